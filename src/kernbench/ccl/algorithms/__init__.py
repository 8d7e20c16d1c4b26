"""Collectives as kernels: one file and one registration each."""
