"""Times and bytes that are known without simulating: closed forms, max-plus recursions, bounds and ceilings."""
