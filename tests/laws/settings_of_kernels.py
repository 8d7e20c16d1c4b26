"""A user's module whose values kernels read; the tests change them."""

scale = 0
