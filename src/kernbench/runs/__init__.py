"""What was run, and its JSON."""
