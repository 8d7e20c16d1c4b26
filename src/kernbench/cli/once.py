"""A command whose options mean one thing: one that takes a value is given once, unless it gathers several."""

from __future__ import annotations

from collections import Counter
from typing import Any

from typer.core import TyperCommand, TyperGroup, TyperOption

from kernbench.errors import UsageError


class Once:
    """Of a command or a group of them: refuses an option with a value that is given again."""

    def make_parser(self, ctx: Any) -> Any:
        """The parser of a command, which gives what it read in the order in which it came."""
        parser = super().make_parser(ctx)  # type: ignore[misc]
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


def _require_once(order: list[Any]) -> None:
    for option, times in Counter(order).items():
        if times > 1 and isinstance(option, TyperOption) and not option.is_flag and not option.multiple:
            raise UsageError(f"{', '.join(option.opts)}: is given {times} times; keep one of them")
