"""A command whose options mean one thing: one that takes a value is given once, unless it gathers several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from typer.core import TyperCommand, TyperGroup, TyperOption

from kernbench.errors import UsageError


class Once:
    """Of a command or a group of them: refuses an option with a value that is given again."""

    def get_params(self, ctx: Any) -> Any:
        """The parameters, the values of which are read as text; see :class:`AsText`."""
        params = super().get_params(ctx)  # type: ignore[misc]  # of the command beside it
        for param in params:
            param.get_runtime_param = partial(AsText, type(param).get_runtime_param)
        return params

    def make_parser(self, ctx: Any) -> Any:
        """The parser of a command, which gives what it read in the order in which it came."""
        parser = super().make_parser(ctx)  # type: ignore[misc]  # of the command beside it
        parse = parser.parse_args

        def parse_args(args: list[str]) -> Any:
            values, left, order = parse(args=args)
            if not ctx.resilient_parsing:
                _require_once(order)
            return values, left, order

        parser.parse_args = parse_args
        return parser


class OnceCommand(Once, TyperCommand):
    """A command whose options are each given once."""


class OnceGroup(Once, TyperGroup):
    """All commands, under one name."""


class AsText:
    """How a parameter's value is read: as the text that it is, or by its parser; by typer only if it is something else.

    Typer's own way asks pydantic, whose import takes more CPU time than a short run.
    """

    def __init__(self, typers: Callable[[Any], Any]) -> None:
        self._typers = typers

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """What the command is called with."""
        kind, is_list = param.type_descriptor, param.multiple or param.nargs == -1
        read = kind.parameter_info.parser or (str if kind.annotation in (str, list[str]) else None)
        if value is None:
            return () if is_list else None
        if read is None:
            return self._typers(param).coerce(value, param, ctx)
        return [read(one) for one in value] if is_list else read(value)


def _require_once(order: list[Any]) -> None:
    for option, times in Counter(order).items():
        if times > 1 and isinstance(option, TyperOption) and not option.is_flag and not option.multiple:
            raise UsageError(f"{', '.join(option.opts)}: is given {times} times; keep one of them")
