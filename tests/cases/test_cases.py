"""Whole programs, as users write them: each prints what the transcript at its end says, and exits as it says.

A transcript is comments: ``# $ COMMAND``, what the command prints, lines of the standard error as ``#! LINE``, and
``# = CODE`` unless it exits with 0. ``...`` stands for anything. The commands are ``python FILE`` and ``kernbench ...``,
run in this folder; in this process, or each in one of its own if ``# in a process of its own`` stands before them.
An exception that ends a program is its last line, without the traceback.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import traceback
import warnings
from contextlib import chdir, redirect_stderr, redirect_stdout
from contextvars import copy_context
from doctest import ELLIPSIS, OutputChecker
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import pytest

from docs import generate

FOLDER = Path(__file__).parent
PROGRAMS = sorted(path for path in FOLDER.glob("*.py") if path.name not in ("conftest.py", "test_cases.py"))
SCRIPTS = Path(sys.executable).parent
COMMAND = re.compile(r"^# \$ (.+)\n((?:#.*\n)*?)(?=^# \$ |\Z)", re.MULTILINE)


class Printed(NamedTuple):
    """What a command prints, and the code with which it exits."""

    out: str
    err: str
    code: int


def expected(lines):
    """What the lines of a transcript say."""
    out, err, code = [], [], 0
    for line in lines.splitlines():
        if line.startswith("# = "):
            code = int(line[4:])
        elif line.startswith("#!"):
            err.append(line[2:].removeprefix(" "))
        else:
            out.append(line[1:].removeprefix(" "))
    return Printed("".join(f"{line}\n" for line in out), "".join(f"{line}\n" for line in err), code)


def transcript(printed):
    """The lines of a transcript that say this, to be looked at and pasted."""
    lines = [f"# {line}".rstrip() for line in printed.out.splitlines()]
    lines += [f"#! {line}".rstrip() for line in printed.err.splitlines()]
    return "\n".join([*lines, *([f"# = {printed.code}"] if printed.code else [])])


def run_here(command):
    """Run a command in this process, which is afterwards as it was."""
    handler, environment = signal.getsignal(signal.SIGALRM), dict(os.environ)
    hook, threading.excepthook = (
        threading.excepthook,
        threading.__excepthook__,
    )  # pytest's keeps what Python prints
    out, err = StringIO(), StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.showwarning = show_warning  # as Python does, where pytest would keep it
            code = copy_context().run(code_of, *shlex.split(command))
    finally:
        threading.excepthook = hook
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        os.environ.clear()
        os.environ.update(environment)
    return Printed(out.getvalue(), err.getvalue(), code)


def show_warning(message, category, filename, lineno, file=None, line=None):
    sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))


def code_of(*command):
    try:
        return generate.run_command(*command)
    except SystemExit as error:
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
            return 1
        return error.code or 0
    except Exception as error:
        print("".join(traceback.format_exception_only(error)), end="", file=sys.stderr)
        return 1


def run_apart(command):
    """Run a command in a process of its own; of a traceback, only the last line is kept."""
    program, *args = shlex.split(command)
    done = subprocess.run([SCRIPTS / program, *args], capture_output=True, text=True, timeout=60)
    err = re.sub(r"^Traceback .*\n(?:  .*\n)*", "", done.stderr, flags=re.MULTILINE)
    return Printed(done.stdout, err, done.returncode)


def agree(said, printed):
    checker = OutputChecker()
    return said.code == printed.code and all(
        checker.check_output(want, got, ELLIPSIS) for want, got in zip(said[:2], printed[:2])
    )


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_a_program_does_what_its_transcript_says(program):
    text = program.read_text()
    run = run_apart if "\n# in a process of its own\n" in text else run_here
    commands = COMMAND.findall(text)
    assert commands, f"{program.name} has no transcript"
    for command, lines in commands:
        with chdir(FOLDER):
            printed = run(command)
        if not agree(expected(lines), printed):
            pytest.fail(f"{program.name} prints\n# $ {command}\n{transcript(printed)}", pytrace=False)
