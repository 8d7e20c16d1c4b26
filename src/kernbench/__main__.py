"""``python -m kernbench``: the command line."""

from kernbench.cli.main import main

if __name__ == "__main__":
    main()
