"""The end of a program: what was launched and not waited for runs then; a fault in it is told, and the exit code."""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress
from typing import Protocol

from kernbench.errors import KernBenchError, KernBenchWarning

INTERRUPTED = 130
CRASHED = 1  # as Python's own, after a traceback


class Completes(Protocol):
    """A device with launches under way."""

    def is_stopped(self) -> bool:
        """Whether an error that was raised stopped it for good."""

    def complete_launches(self) -> None:
        """Wait for them; raises what a kernel raised."""


# By the process that launched: a forked one ends without them. Strong references, since a program that drops its
# simulation has launched a kernel all the same.
_under_way: dict[Completes, int] = {}


def must_complete(device: Completes) -> None:
    """Note that ``device`` has launches under way, which the end of the program waits for."""
    _under_way[device] = os.getpid()


def has_completed(device: Completes) -> None:
    """Note that ``device`` has no launches under way any more, or that it cannot go on."""
    _under_way.pop(device, None)


def complete_all() -> int:
    """Wait for all that was launched and write each fault to the standard error, in one line; 0, or an exit code."""
    code, mine = 0, os.getpid()
    for device in [device for device, pid in _under_way.items() if pid == mine]:
        if device.is_stopped():  # and who was told went on
            continue
        try:
            device.complete_launches()
        except (KernBenchError, KernBenchWarning) as error:
            _tell(str(error))
            code = code or error.exit_code
        except KeyboardInterrupt:
            _tell("interrupted")
            return INTERRUPTED
        except Exception:  # Python would print it, and end as if all were well
            sys.excepthook(*sys.exc_info())
            code = code or CRASHED
        finally:
            has_completed(device)
    return code


def _tell(what: str) -> None:
    with suppress(OSError, AttributeError):  # full or closed: the exit code still says it
        sys.stderr.write(f"kernbench: {what}\n")


def wait_at_exit() -> None:
    """Have the program wait at its end for what it has launched; call it as early as can be."""
    atexit.register(_end)


def wait_no_more() -> None:
    """End the program without what it has launched."""
    atexit.unregister(_end)


def _end() -> None:
    ended_by = getattr(sys, "last_value", None)
    if isinstance(ended_by, KeyboardInterrupt):  # nobody waits for more
        return
    code = complete_all()
    if code and ended_by is None:  # else Python's own code says that the program failed
        # Python has settled its exit code by now, and takes no other. What atexit was to run after this is not run:
        # that is what was registered before KernBench was imported.
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, AttributeError):
                stream.flush()
        os._exit(code)
