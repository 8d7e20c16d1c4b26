"""What a user gives to a function: read as what it must be, or refused by the argument's name."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from functools import wraps
from numbers import Real
from operator import index
from types import NoneType, UnionType
from typing import Any, TypeVar

from kernbench.errors import InvalidTypeError, InvalidValueError, KernBenchError, in_one_line
from kernbench.wording import quoted

F = TypeVar("F", bound=Callable[..., Any])
MOST_COUNT = 10**24  # of operations, rounds or ranks: a run has a millionth of it
LONG_BITS = 63
RAW = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)  # of Python and of numpy


def whole(value: object, what: str, *, least: int = 0, most: int = MOST_COUNT) -> int:
    """A whole number of a user, bools apart, as an int.

    >>> whole(3, "iters", least=1)
    3

    Raises:
        UsageError: ``what`` it is to count is no whole number from ``least`` to ``most``.
    """
    cure = "give a whole number" + (f", {least} or more" if least > -MOST_COUNT else "")
    try:
        if isinstance(value, bool):
            raise TypeError
        number: int = index(value)  # type: ignore[arg-type]
    except Exception:  # whatever an object raises that is asked for its index
        raise InvalidTypeError(f"{what}={quoted(value)}; {cure}") from None
    if number < least:
        raise InvalidValueError(f"{what}={quoted(number)}; {cure}")
    if number > most:
        raise InvalidValueError(f"{what}={quoted(number)}; give {most:,} at most")
    return number


def told(name: str = "") -> Callable[[F], F]:
    """Decorator of a function that runs no code of a user: an error of Python's in it tells which argument is wrong.

    Its annotations say what an argument must be. ``name`` is what users call it.

    >>> @told()
    ... def halved(n: int) -> int:
    ...     return n.bit_length() and n // 2
    >>> halved("x")
    Traceback (most recent call last):
    kernbench.errors.InvalidTypeError: halved(): argument 'n' must be int, not 'x'
    """

    def enter(call: F) -> F:
        said = name or call.__name__

        @wraps(call)
        def told_call(*args: Any, **named: Any) -> Any:
            try:
                return call(*args, **named)
            except RAW as error:
                if isinstance(error, KernBenchError):
                    raise
                try:
                    given = inspect.signature(call).bind(*args, **named).arguments
                except TypeError:
                    raise error from None  # called with other arguments than it has: Python says it well
                raise _wrong(said, call, given, error) from None

        return typing.cast(F, told_call)

    return enter


def _wrong(said: str, call: Callable[..., Any], given: dict[str, Any], error: Exception) -> KernBenchError:
    """Which of the arguments ``given`` is of another kind than ``call`` is annotated with; else what Python says."""
    try:
        kinds = typing.get_type_hints(call)
    except NameError:  # of a name that only type checkers import
        kinds = {}
    for argument, value in given.items():
        kind = kinds.get(argument, Any)
        if not _is(value, kind):
            return InvalidTypeError(
                f"{said}(): argument {argument!r} must be {_named(kind)}, not {quoted(value)}"
            )
    return InvalidValueError(f"{said}({', '.join(map(quoted, given.values()))}): {in_one_line(error)}")


def _is(value: object, kind: Any) -> bool:
    """Whether ``value`` is of an annotated kind; all are of one that cannot be asked."""
    if isinstance(kind, UnionType) or typing.get_origin(kind) is typing.Union:
        return any(_is(value, part) for part in typing.get_args(kind))
    if kind is int:
        return hasattr(value, "__index__") and not isinstance(value, bool | type) and _is_long(value)
    if kind is float:
        return isinstance(value, Real) and not isinstance(value, bool)
    kind = typing.get_origin(kind) or kind
    return kind is Any or not isinstance(kind, type) or isinstance(value, kind)


def _is_long(value: Any) -> bool:
    try:
        return abs(index(value)) < 1 << LONG_BITS
    except Exception:  # whatever an object raises that is asked for its index
        return False


def _named(kind: Any) -> str:
    """A kind in an error, as in "int or None"."""
    if isinstance(kind, UnionType) or typing.get_origin(kind) is typing.Union:
        return " or ".join(map(_named, typing.get_args(kind)))
    kind = typing.get_origin(kind) or kind
    return "None" if kind is NoneType else getattr(kind, "__name__", str(kind))
