"""What changes a configuration for one run: ``path=value`` texts of the command line, or a dict of Python's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from itertools import count
from numbers import Integral, Real
from typing import Any, TypeAlias

from kernbench.config.schema import Document
from kernbench.config.tree import MOST_DIGITS, MOST_LEVELS, Tree, joined, nested, split_path
from kernbench.errors import ConfigError
from kernbench.wording import quoted, shortened

MOST_VALUES = 100_000  # of Python's: more than those of a file, as no YAML has to be read
Overrides: TypeAlias = "str | Iterable[str] | Mapping[str, Any]"


def documents_of(overrides: Overrides) -> dict[Document, Tree]:
    """What ``overrides`` set, by document; ConfigError where one is no override, or two set the same key.

    >>> documents_of({"pe.clock_ghz": 2, "ccl.defaults.slots": 4})["topology"].plain()
    {'pe': {'clock_ghz': 2}}
    >>> documents_of(["pe.tcm.size=64 KiB"])["topology"].plain()
    {'pe': {'tcm': {'size': '64 KiB'}}}
    """
    found: dict[Document, list[Tree]] = {}
    for path, leaf in _leaves(overrides):
        document, keys = _document_of(split_path(path), leaf)
        found.setdefault(document, []).append(nested(keys, leaf))
    return {document: joined(trees) for document, trees in found.items()}


def _leaves(overrides: Overrides) -> Iterable[tuple[str, Tree]]:
    """Each path with its value."""
    if isinstance(overrides, Mapping):
        return [
            (_path(path), _tree(value, f"overrides[{quoted(path)}]", count(1)))
            for path, value in overrides.items()
        ]
    texts = [overrides] if isinstance(overrides, str) else overrides
    if not isinstance(texts, Iterable) or isinstance(texts, bytes):
        raise _no_overrides(overrides)
    return [_assigned(text) for text in texts]


def _assigned(text: str) -> tuple[str, Tree]:
    """The path and the value of ``path=value``."""
    if not isinstance(text, str):
        raise _no_overrides(text)
    path, equals, value = text.partition("=")
    if not equals or not path:
        raise ConfigError(f"--set {shortened(text)}: write path=value, as in --set cube.hbm.channels=8")
    return path, _read(value, f"--set {shortened(text)}")


def _read(text: str, place: str) -> Tree:
    """A value of YAML's."""
    from kernbench.config.read import read_yaml  # which imports the YAML library

    return read_yaml(text, place, has_lines=False)


def _no_overrides(given: Any) -> ConfigError:
    return ConfigError(
        f"overrides: {quoted(given)} is neither a dict, as in {{'cube.hbm.channels': 8}}, nor texts, as in "
        "['cube.hbm.channels=8']"
    )


def _path(path: Any) -> str:
    if not isinstance(path, str) or not path:
        raise ConfigError(
            f"overrides: {quoted(path)} is no path of a configuration; write 'cube.hbm.channels'"
        )
    return path


def _tree(value: Any, place: str, counter: Iterator[int], level: int = 0) -> Tree:
    """A value of Python's as YAML's, as large and deep as there; a text is read as after ``--set``."""
    if level > MOST_LEVELS:
        raise ConfigError(f"{place}: more than {MOST_LEVELS} levels of dicts and lists")
    if next(counter) > MOST_VALUES:
        raise ConfigError(f"{place}: more than {MOST_VALUES:,} values")
    if isinstance(value, Mapping):
        return Tree(
            {_path(key): _tree(child, place, counter, level + 1) for key, child in value.items()}, place
        )
    if isinstance(value, (list, tuple)):
        return Tree([_tree(child, place, counter, level + 1) for child in value], place)
    if isinstance(value, str):
        return _read(value, place)
    if value is None or isinstance(value, (bool, Decimal)):
        return Tree(value, place)
    if isinstance(value, Integral):
        if abs(int(value)) >= 10**MOST_DIGITS:
            raise ConfigError(f"{place}: a number of more than {MOST_DIGITS} digits")
        return Tree(int(value), place)
    try:
        if isinstance(value, Real):
            return Tree(Decimal(str(value)), place)  # its shortest text: 0.1 is a tenth, and no float goes on
    except InvalidOperation:
        pass
    raise ConfigError(
        f"{place}: {type(value).__name__} is no value of a configuration; give a number, a text, a list or a dict"
    )


def _document_of(keys: tuple[str, ...], leaf: Tree) -> tuple[Document, tuple[str, ...]]:
    """Which document a path leads into, and on which way; ``ccl`` alone is the topology's, which names a file."""
    match keys:
        case ("ccl",) if not isinstance(leaf.value, dict):
            return "topology", keys
        case ("components", *_):
            return "components", keys
        case ("ccl", *rest):
            return "ccl", tuple(rest)
    return "topology", keys
