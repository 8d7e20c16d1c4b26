"""From the log to findings: pure functions over records of what happened, and the findings themselves."""
