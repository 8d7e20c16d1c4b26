"""A configuration before it is checked: plain values, each with the place it was written at."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, TypeAlias

from kernbench.errors import ConfigError
from kernbench.wording import shortened

Scalar: TypeAlias = "int | Decimal | str | bool | None"
Plain: TypeAlias = "Scalar | list[Plain] | dict[str, Plain]"
Path: TypeAlias = tuple[str, ...]
MOST_LEVELS = 64  # a machine's file has about six
MOST_DIGITS = 1000  # of a number; Python reads 4300
MOST_SHOWN = 8  # items of a list

_NODE = r"(?:sip\d+\.)?(?:cube\d+\.)?(?:pe\d+\.)?[a-z_]+\d*(?:_\d+)?"
_OVERRIDE = re.compile(rf"overrides\.({_NODE}(?:->{_NODE})?)(?:\.(.+))?")


class Tree:
    """A value and its place (``topology.yaml:41``): a scalar, a list of trees or a mapping to trees."""

    __slots__ = ("place", "value")

    def __init__(self, value: Scalar | list[Tree] | dict[str, Tree], place: str) -> None:
        self.value = value
        self.place = place

    def plain(self) -> Plain:
        """The value without places."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def nearest(self, path: Path) -> Tree:
        """The tree at ``path``, or the deepest one on the way there."""
        if not path:
            return self
        child: Tree | None = None
        if isinstance(self.value, dict):
            child = self.value.get(path[0])
        elif isinstance(self.value, list) and path[0] in map(str, range(len(self.value))):
            child = self.value[int(path[0])]
        return child.nearest(path[1:]) if child is not None else self

    def places(self, prefix: str = "") -> Iterator[tuple[str, str]]:
        """``(dotted path, place)`` of everything below."""
        if isinstance(self.value, dict):
            for key, child in self.value.items():
                yield f"{prefix}{key}", child.place
                yield from child.places(f"{prefix}{key}.")

    def merged(self, over: Tree) -> Tree:
        """This tree with ``over`` laid on top: mappings are merged, everything else is replaced."""
        if not isinstance(self.value, dict) or not isinstance(over.value, dict):
            return over
        children = dict(self.value)
        for key, child in over.value.items():
            below = children.get(key)
            children[key] = child if below is None else below.merged(child)
        return Tree(children, over.place)


def split_path(path: str) -> Path:
    """The keys of a dotted path; the name of an overridden node is one key.

    >>> split_path("cube.hbm.channels")
    ('cube', 'hbm', 'channels')
    >>> split_path("overrides.sip0.cube1.pe3.pe_gemm.fill_cycles")
    ('overrides', 'sip0.cube1.pe3.pe_gemm', 'fill_cycles')
    """
    override = _OVERRIDE.fullmatch(path)
    if override is None:
        return tuple(path.split("."))
    node, rest = override.groups()
    return ("overrides", node, *(rest.split(".") if rest else ()))


def nested(path: Path, leaf: Tree) -> Tree:
    """``leaf`` as it would stand in a file at ``path``; ConfigError where that is too deep."""
    if len(path) > MOST_LEVELS:
        raise ConfigError(f"{leaf.place}: a path of {len(path)} steps; {MOST_LEVELS} are the most")
    for key in reversed(path):
        leaf = Tree({key: leaf}, leaf.place)
    return leaf


def overlay(entries: Tree) -> Tree:
    """A mapping whose top-level keys may be dotted paths, as one nested tree; ConfigError where two set one key."""
    assert isinstance(entries.value, dict)
    return joined(
        [Tree({}, entries.place), *(nested(split_path(path), child) for path, child in entries.value.items())]
    )


def joined(trees: Sequence[Tree], path: Path = ()) -> Tree:
    """``trees``, which stand side by side in one file at ``path``, as one; ConfigError where two set the same key."""
    first, *others = trees
    if not others:
        return first
    children: dict[str, list[Tree]] = {}
    for tree in trees:
        if not isinstance(first.value, dict) or not isinstance(tree.value, dict):
            second = tree if tree is not first else others[0]
            raise ConfigError(
                f"{second.place}: {'.'.join(path) or 'it'} is set already, by {first.place}; keep one of the two"
            )
        for key, child in tree.value.items():
            children.setdefault(key, []).append(child)
    return Tree({key: joined(beside, (*path, key)) for key, beside in children.items()}, first.place)


def shown(value: Any) -> str:
    """A YAML value as its author knows it, in some words if it is long.

    >>> shown(True), shown(None), shown([1, "a"]), shown({"a": 1})
    ('true', 'nothing', "[1, 'a']", 'a mapping')
    """
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        items = ", ".join(shown(item) for item in value[:MOST_SHOWN])
        return f"[{items}{', ...' if len(value) > MOST_SHOWN else ''}]"
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "nothing"
    return shortened(str(value)) if isinstance(value, (int, Decimal)) else repr(shortened(str(value)))
