"""Collectives as nccl-tests measures them: size by size, out of place and in place, checked, and against theory."""
