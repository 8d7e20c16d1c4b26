"""What kernels of collectives share, in a file each; sees only the kernel language."""
