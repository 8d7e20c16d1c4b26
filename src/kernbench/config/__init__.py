"""What the user wrote: YAML to frozen specs. ``config.load`` reads it; everything above sees only ``config.schema``."""
