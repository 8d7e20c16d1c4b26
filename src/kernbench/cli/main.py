"""The command ``kernbench``: finds a command's module when it is called, and turns errors into one line.

Starting costs no more than typer itself: the modules of the commands, and what they use, are imported on demand.
"""

from __future__ import annotations

import gc
import io
import os
import re
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer
from typer.main import get_command

from kernbench.cli.interrupts import interrupts_heard, was_interrupted
from kernbench.cli.once import OnceCommand, OnceGroup
from kernbench.cli.options import Debug, Session
from kernbench.cli.places import line_of, places, users
from kernbench.cpu_time import booked_since_start
from kernbench.ending import wait_no_more
from kernbench.errors import (
    KernBenchError,
    KernBenchWarning,
    ProgramError,
    UnknownNameError,
    in_one_line,
    is_of_a_program,
)
from kernbench.garbage import rarely_collected
from kernbench.registry import did_you_mean
from kernbench.wording import quoted, shown_path, with_words_cut

COMMANDS = {
    "run": "Run a bench: is its result right, how long does it take, and why.",
    "ccl": "Time a collective size by size, check it, and compare it with theory.",
    "probe": "Time single transfers, or a queue, against their closed forms.",
    "list": "List benches, topologies, components, algorithms and ops.",
    "check": "Check configuration files and benches, and print what they mean.",
    "show": "Draw a machine or ranks; print its peaks or a bench's memory map.",
    "init": "Copy a topology, a kernel and a bench to start from.",
}
"""What there is, each in the file of its name, and the first line of its help."""

SERVING = ("--install-completion", "--show-completion")  # options of typer
SHELLS = ("bash", "fish", "powershell", "pwsh", "zsh")  # that it can serve
INTERRUPTED = 130
INTERNAL_ERROR = 70  # EX_SOFTWARE of sysexits.h: none of the codes that say something about the user's work

EXAMPLES = """\b
Examples:
  kernbench run gemm -p m=512 -p dtype=bf16
  kernbench probe pe-to-other-cube --hops
  kernbench ccl all_reduce --ranks 8
  kernbench init my_accelerator

\b
Exit codes:
  0 done and right, 1 the result is wrong, 2 bad input,
  3 the simulated program failed, 130 interrupted
"""


class _CarriedError(Exception):
    """What a command raised, past typer."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


class LazyGroup(OnceGroup):
    """The commands of ``COMMANDS``, each imported when it is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The commands' names, in order."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """One command; UnknownNameError offers the nearest."""
        if cmd_name not in COMMANDS:
            if ctx.resilient_parsing:  # a shell asks how a line that is being typed may go on
                return None
            raise UnknownNameError(f"unknown command {quoted(cmd_name)}; {did_you_mean(cmd_name, COMMANDS)}")
        module = import_module(f"kernbench.cli.{cmd_name}")
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(cmd_name, cls=OnceCommand, epilog=module.EXAMPLES)(module.command)
        return get_command(app)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; the options that serve a shell may name it, where typer goes by the one that runs."""
        if len(args) == 2 and args[0] in SERVING and not args[1].startswith("-"):
            if args[1] not in SHELLS:
                raise UnknownNameError(
                    f"{args[0]}: unknown shell {quoted(args[1])}; {did_you_mean(args[1], SHELLS)}"
                )
            serve = next(param for param in self.params if args[0] in param.opts)
            serve.callback(ctx, serve, args[1])  # type: ignore[misc]  # of these options there is one
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; two kinds of exception are carried past typer, which takes them for its prompts'."""
        try:
            return super().invoke(ctx)
        except (EOFError, KeyboardInterrupt) as error:
            raise _CarriedError(error) from error

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The first lines of the commands' helps, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"kernbench {version('kernbench')}")
        raise typer.Exit


def root(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit."),
    ] = False,
    debug: Debug = False,
) -> None:
    """Is the result of a kernel right, and how long does it take and why, on silicon that does not exist yet."""


def main() -> NoReturn:
    """Run the command that the process was given, and exit with its code."""
    if hasattr(signal, "SIGPIPE"):  # a reader that has gone, as in `| head`, is no error of the result
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.stderr = _stderr()
    with rarely_collected(), interrupts_heard(), booked_since_start():
        code = execute(sys.argv[1:])
        wait_no_more()  # a command waits for what it launches, unless it failed
        gc.freeze()  # the process ends: do not go through all that is left in search of garbage
        _end_output()
    if was_interrupted():
        os._exit(code)  # after `python -m`, Python would end by the signal if any exec() was interrupted
    sys.exit(code)


def _end_output() -> None:
    """Leave nothing in standard output that Python would try to write at its end, where it could not be before."""
    if sys.stdout is None:  # closed, as by >&-
        return
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Untroubled(io.FileIO):
    """Standard error that drops what cannot be written: a message says what happened, and does not change it."""

    def write(self, text: Any) -> int:
        """All of ``text``, or what there is room for."""
        try:
            return super().write(text)
        except OSError:
            return len(text)


def _stderr() -> io.TextIOWrapper:
    """Standard error for a command, which ends with the same code if nothing can be written there."""
    number = 2 if sys.stderr is not None else os.open(os.devnull, os.O_WRONLY)  # closed, as by 2>&-
    errors = getattr(sys.stderr, "errors", "backslashreplace")
    encoding = getattr(sys.stderr, "encoding", "utf-8")
    return io.TextIOWrapper(
        _Untroubled(number, "w", closefd=False),
        encoding=encoding,
        errors=errors,
        write_through=True,
    )


def execute(args: Sequence[str]) -> int:
    """Run one command; its exit code. Without arguments, print the help.

    An error is one line on the standard error, after its traceback if ``--debug`` is given.
    """
    session = Session()
    warnings.showwarning = _warn
    try:
        code = _group().main(
            list(args) or ["--help"], prog_name="kernbench", standalone_mode=False, obj=session
        )
        if sys.stdout is not None:
            sys.stdout.flush()  # what cannot be written is an error of the command
    except (KernBenchError, KernBenchWarning) as error:
        return _failed(session, error, _with_place(error), error.exit_code)
    except typer.TyperException as error:
        return _failed(session, error, _usage(error), KernBenchError.exit_code)
    except _CarriedError as carried:
        return _failed(session, carried.error, *_unexpected(carried.error))
    # Whatever else is a mistake in a user's file, or of KernBench: a terminal is no place for its traceback.
    except BaseException as error:
        if isinstance(error, SystemExit) and not users(error):  # typer's, when it has served a shell
            return error.code if isinstance(error.code, int) else 0
        return _failed(session, error, *_unexpected(error))
    if code == INTERRUPTED:
        return _failed(session, None, "interrupted", INTERRUPTED)
    return code if isinstance(code, int) else 0


def _warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    """A warning as one line on the standard error."""
    if issubclass(category, KernBenchWarning):
        print(f"kernbench: warning: {shown_path(filename)}:{lineno}: {message}", file=file or sys.stderr)
    else:
        print(
            warnings.formatwarning(message, category, filename, lineno, line), end="", file=file or sys.stderr
        )


def _group() -> Any:
    app = typer.Typer(cls=LazyGroup, rich_markup_mode=None)
    app.callback(epilog=EXAMPLES)(root)
    return get_command(app)


def _usage(error: typer.TyperException) -> str:
    """What typer found wrong with the arguments, in our form."""
    option = getattr(error, "option_name", None)
    close = getattr(error, "possibilities", None)
    if option is not None and error.message.startswith("No such option"):
        cure = f"did you mean {close[0]!r}?" if close else "--help lists the options"
        return f"unknown option {quoted(option)}; {cure}"
    text = error.format_message().strip().rstrip(".")
    return f"{text[:1].lower()}{text[1:]}; --help shows an example"


def _with_place(error: KernBenchError | KernBenchWarning) -> str:
    """The error's text, behind the line of the user's program that led to it, unless it names one."""
    text, theirs = str(error), users(error)
    if not theirs or re.search(r"(?<!\S)(?<!\bat )\S+\.py:\d", text):
        return text
    return f"{line_of(theirs[-1])}: {text}"


def _unexpected(error: BaseException) -> tuple[str, int]:
    """Whose mistake an exception is that nothing expected, and the code that says so.

    It is the user's if the innermost place that is no library's is in a file of theirs.
    """
    what, all_places, theirs = in_one_line(error), places(error), users(error)
    if _is_interrupt(error):
        return "interrupted", INTERRUPTED
    place = f"{line_of(theirs[-1])}: " if theirs else ""
    if theirs and (theirs[-1] == all_places[-1] or isinstance(error, RecursionError)):
        return f"{place}{what}; --debug shows the traceback", ProgramError.exit_code
    if isinstance(error, MemoryError):
        return (
            f"{place}this computer has too little memory; make it smaller ({what})",
            KernBenchError.exit_code,
        )
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'standard output'}: {error.strerror}", KernBenchError.exit_code
    return f"{place}internal error: {what}; run it again with --debug and report it", INTERNAL_ERROR


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether ``error`` is a Ctrl-C, or what a library made of it in the middle of its import."""
    if was_interrupted():
        return True
    while error is not None:
        if isinstance(error, KeyboardInterrupt) and not is_of_a_program(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _failed(session: Session, error: BaseException | None, text: str, code: int) -> int:
    if session.debug:
        traceback.print_exception(error)
    print(f"kernbench: {with_words_cut(text)}", file=sys.stderr)
    return code
