"""YAML text to a tree with places. The only reader of YAML.

Scalars are read from their text by the YAML 1.2 core schema (a bare ``N`` is text), so that no rate ever passes
through a float.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.nodes import Node as YamlNode
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.scanner import Scanner, ScannerError

from kernbench.config.tree import MOST_DIGITS, MOST_LEVELS, Scalar, Tree
from kernbench.errors import ConfigError

_PlaceOf = Callable[[YamlNode], str]

# Keys count too, and aliases as often as they are written: 400 bytes of them can stand for 10^9 values. ruamel reads
# about 12 a millisecond; the presets have 700.
MOST_VALUES = 10_000
_TOO_DEEP = f"more than {MOST_LEVELS} levels of brackets or indentation"
_TOO_MANY = f"more than {MOST_VALUES:,} values; give the rest as overrides= from Python"
_NULLS = ("", "~", "null", "Null", "NULL")
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?\d+")
_RADIX = re.compile(r"0(?:o[0-7]+|x[0-9a-fA-F]+)")
_FLOAT = re.compile(r"[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?")
_NUMBER = re.compile(f"{_RADIX.pattern}|{_FLOAT.pattern}")
_NON_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


@lru_cache(maxsize=8)
def read_yaml(text: str, label: str, *, has_lines: bool = True) -> Tree:
    """The tree of one YAML document; ``label`` names it in errors, with the line if it has any."""

    def place(node: YamlNode) -> str:
        return f"{label}:{node.start_mark.line + 1}" if has_lines else label

    yaml = YAML(typ="safe", pure=True)  # which keeps no comments: three times as fast as the one that does
    yaml.Scanner, yaml.Composer = _BoundedScanner, _BoundedComposer
    try:
        root = yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f"{label}:{mark.line + 1}" if mark and has_lines else label
        raise ConfigError(f"{at}: YAML syntax: {error.problem or error.context}") from None
    except ReaderError as error:
        raise ConfigError(
            f"{label}: the character #x{error.character:02x} at {error.position} is not text; save the file as UTF-8"
        ) from None
    except YAMLError as error:
        raise ConfigError(f"{label}: YAML syntax: {' '.join(str(error).split())}") from None
    if root is None:
        return Tree(None, f"{label}:1" if has_lines else label)
    _measure(root, place(root), place, {}, ())
    return _tree(root, place(root), place)


class _BoundedScanner(Scanner):
    """Stops at :data:`MOST_LEVELS` of brackets; its time goes with their square, half a minute for 3,000."""

    def fetch_flow_collection_start(self, TokenClass: Any, to_push: str) -> None:
        """Open one more bracket."""
        if self.flow_level >= MOST_LEVELS:
            raise ScannerError(None, None, _TOO_DEEP, self.reader.get_mark())
        super().fetch_flow_collection_start(TokenClass, to_push)


class _BoundedComposer(Composer):
    """Stops at :data:`MOST_LEVELS` of anything, before Python's stack does; and at :data:`MOST_VALUES`."""

    levels = values = 0

    def compose_node(self, parent: YamlNode | None, index: int) -> YamlNode:
        """One node and all below it."""
        self.levels += 1
        if self.levels > MOST_LEVELS:
            raise ComposerError(None, None, _TOO_DEEP, self.parser.peek_event().start_mark)
        self.values += 1
        if self.values > MOST_VALUES:
            raise ComposerError(None, None, _TOO_MANY, self.parser.peek_event().start_mark)
        try:
            node: YamlNode = super().compose_node(parent, index)
            return node
        finally:
            self.levels -= 1


def _measure(
    node: YamlNode, at: str, place: _PlaceOf, known: dict[int, tuple[int, int]], inside: tuple[YamlNode, ...]
) -> tuple[int, int]:
    """``(values, levels)`` of ``node`` as a tree, where an alias is all that it stands for; a node is visited once."""
    if any(node is outer for outer in inside):
        raise ConfigError(f"{at}: YAML syntax: an alias contains itself")
    if id(node) in known:
        return known[id(node)]
    children: list[tuple[YamlNode, str]] = []
    if isinstance(node, MappingNode):
        children = [(child, place(key)) for key, value in node.value for child in (key, value)]
    elif isinstance(node, SequenceNode):
        children = [(item, place(item)) for item in node.value]
    sizes = [_measure(child, child_at, place, known, (*inside, node)) for child, child_at in children]
    values, levels = (
        1 + sum(values for values, _ in sizes),
        1 + max((levels for _, levels in sizes), default=0),
    )
    if values > MOST_VALUES:
        raise ConfigError(f"{at}: {values:,} values, aliases written out; {MOST_VALUES:,} are the most")
    if levels > MOST_LEVELS:
        raise ConfigError(f"{at}: YAML syntax: {_TOO_DEEP}")
    known[id(node)] = values, levels
    return values, levels


def _tree(node: YamlNode, at: str, place: _PlaceOf) -> Tree:
    """``node`` as a tree that was written ``at`` (a mapping's value stands where its key does)."""
    if isinstance(node, MappingNode):
        children: dict[str, Tree] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                raise ConfigError(f"{place(key)}: a key must be text")
            if key.value == "<<" and key.style is None:
                raise ConfigError(
                    f"{place(key)}: << merges nothing here; write the keys, or begin the file with extends: FILE"
                )
            if key.value in children:
                first = children[key.value].place
                raise ConfigError(f"{place(key)}: duplicate key {key.value!r}; it is already at {first}")
            children[key.value] = _tree(value, place(key), place)
        return Tree(children, at)
    if isinstance(node, SequenceNode):
        return Tree([_tree(item, place(item), place) for item in node.value], at)
    assert isinstance(node, ScalarNode)
    if node.style is None and len(node.value) > MOST_DIGITS and _NUMBER.fullmatch(node.value):
        raise ConfigError(f"{at}: a number of {len(node.value)} digits; {MOST_DIGITS} are the most")
    return Tree(_scalar(node), at)


def _scalar(node: ScalarNode) -> Scalar:
    text: str = node.value
    if node.style is not None or str(node.tag) == "!":
        return text
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _RADIX.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return Decimal(text)
    if _NON_FINITE.fullmatch(text):
        return Decimal(text.replace(".", ""))
    return text
