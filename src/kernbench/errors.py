"""The kinds of error a user can act on, each with the exit code the command line gives it."""

from __future__ import annotations

from opcode import opmap

from kernbench.wording import with_words_cut


class KernBenchError(Exception):
    """Base of every error KernBench raises on purpose: one line that says where, what, and what to do."""

    exit_code = 2

    def __str__(self) -> str:
        return with_words_cut(super().__str__())


def in_one_line(error: BaseException) -> str:
    """What an exception of Python's or of the user's says, whatever line breaks it has.

    >>> in_one_line(ValueError("two\\nlines")), in_one_line(AssertionError())
    ('ValueError: two lines', 'AssertionError')
    """
    try:
        text = " ".join(str(error).split())
    except Exception as failed:
        return f"{type(error).__name__}, whose str() raises {type(failed).__name__}"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def is_of_a_program(error: BaseException) -> bool:
    """Whether a user's program raised ``error``, and nobody from outside of it.

    A Ctrl-C, and what ends a greenlet or a generator that is given up, come from outside: they arise between two
    instructions, or in a switch, and not at a ``raise``.

    >>> def by_hand():
    ...     raise KeyboardInterrupt
    >>> try:
    ...     by_hand()
    ... except KeyboardInterrupt as error:
    ...     is_of_a_program(error)
    True
    """
    if isinstance(error, (Exception, SystemExit)):
        return True
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code.co_code[trace.tb_lasti] == opmap["RAISE_VARARGS"]


class ConfigError(KernBenchError):
    """A configuration file or an override is wrong; the text names file, line and dotted path."""


class UnknownNameError(KernBenchError):
    """A name is not registered; the text offers the nearest one that is."""


class UnknownAttributeError(UnknownNameError, AttributeError):
    """A module or an object has no such attribute; ``hasattr`` and ``getattr`` with a default understand it."""


class DTypeError(KernBenchError):
    """A dtype is unknown, or not allowed for an operation."""


class ShapeError(KernBenchError):
    """Shapes do not fit each other or the operation."""


class CapacityError(KernBenchError):
    """Something cannot fit: a block in TCM, a tensor in HBM, a packet in a buffer."""


class UsageError(KernBenchError):
    """An API or a command was called in a way it cannot serve."""


class InvalidValueError(UsageError, ValueError):
    """What PyTorch raises as a ValueError."""


class InvalidTypeError(UsageError, TypeError):
    """What PyTorch raises as a TypeError."""


class InvalidIndexError(UsageError, IndexError):
    """What PyTorch raises as an IndexError."""


class RefusedError(UsageError, RuntimeError):
    """What PyTorch raises as a RuntimeError."""


class ProgramError(KernBenchError):
    """The simulated program failed."""

    exit_code = 3


class PageFaultError(ProgramError):
    """A kernel touched an address outside of what it may touch."""


class KernelError(ProgramError):
    """A kernel raised an exception of its own."""


class ForcedValueError(ProgramError):
    """A kernel needed a value in ``timing`` mode, where there are none."""


class QueueError(ProgramError):
    """A launch ended with messages that nobody received, or with slots that nobody freed."""


class LimitError(ProgramError):
    """A run takes longer than it was given; the text is the map of what it was doing."""


class DeadlockError(ProgramError):
    """Nothing is left to happen and something still waits."""


class RaceError(ProgramError):
    """Two programs raced for bytes of a tensor, and races are errors."""


class UninitialisedError(ProgramError):
    """Bytes were read that nobody wrote, and that is an error."""


class KernBenchWarning(UserWarning):
    """Base of what KernBench warns of; the command line prints each as one line.

    Where Python is told to make warnings errors, the simulated program failed.
    """

    exit_code = ProgramError.exit_code


class RaceWarning(KernBenchWarning):
    """Two programs raced for bytes of a tensor."""


class UninitialisedWarning(KernBenchWarning):
    """Bytes were read that nobody wrote."""
