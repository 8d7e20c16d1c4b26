"""``python -m kernbench``: the command line."""

from kernbench_start import main

if __name__ == "__main__":
    main()
