"""The command ``kernbench`` from its first instruction on: Ctrl-C ends it in one line while modules are imported, too.

For the entry points alone. It is a module beside the package, since to import that takes tens of milliseconds.
"""

import os

INTERRUPTED = 130


def _end(*_: object) -> None:
    """End the process at once: what is raised in the middle of an import may be swallowed there."""
    try:
        os.write(2, b"kernbench: interrupted\n")
    finally:
        os._exit(INTERRUPTED)


try:
    import signal

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)

    from kernbench.cli.main import main
except KeyboardInterrupt:  # before the handler was there
    _end()

__all__ = ["main"]
