"""The engine in Python: the specification of every other."""
