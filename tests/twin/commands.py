"""A command in a process of its own, with the engine of the process that asks: its code, and all that it says."""

import os
import signal
import sys
import tempfile
import time
from typing import NamedTuple, NoReturn

from kernbench.cli.main import main

MOST_S = 200  # on a busy computer


class Said(NamedTuple):
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


def command(*args: str, interrupt_s: float | None = None) -> Said:
    """Run ``kernbench args``; Ctrl-C comes after ``interrupt_s`` of its CPU time."""
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        child = os.fork()
        if not child:
            os.dup2(stdout.fileno(), 1)
            os.dup2(stderr.fileno(), 2)
            _become(args)
        status = _waited_for(child, interrupt_s)
        texts = []
        for file in (stdout, stderr):
            file.seek(0)
            texts.append(file.read())
    return Said(os.waitstatus_to_exitcode(status), *texts)


def _waited_for(child: int, interrupt_s: float | None) -> int:
    """The status with which ``child`` ends; a child that hangs is killed."""
    latest = time.monotonic() + MOST_S
    cpu_clock = ~child << 3 | 2  # of the whole process, as Linux numbers them
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return status
        if interrupt_s is not None and time.clock_gettime(cpu_clock) > interrupt_s:
            interrupt_s = None
            os.kill(child, signal.SIGINT)
        if time.monotonic() > latest:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise AssertionError(f"a command is not over after {MOST_S} s")
        time.sleep(0.002)


def _become(args: tuple[str, ...]) -> NoReturn:
    code = 99
    try:
        sys.stdout, sys.stderr = (os.fdopen(os.dup(number), "w") for number in (1, 2))
        sys.argv = ["kernbench", *args]
        signal.signal(signal.SIGINT, signal.default_int_handler)
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 98
    finally:
        sys.stdout.flush()
        os._exit(code)
