"""YAML to a checked configuration: presets, files that extend them, ``--set`` overrides. The only reader of YAML.

Scalars are read from their text by the YAML 1.2 core schema (a bare ``N`` is text), so that no rate ever passes
through a float.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.nodes import Node as YamlNode

from kernbench.config.explain import explain, line, shown
from kernbench.config.plain import config_sha256
from kernbench.config.rules import broken_rules
from kernbench.config.schema import CclSpec, ComponentsSpec, Config, Places, Spec, TopologySpec
from kernbench.config.tree import Scalar, Tree, nested, overlay, split_path
from kernbench.errors import ConfigError, UnknownNameError

__all__ = ["Document", "config_sha256", "load_config", "load_tree", "preset_names", "read_yaml"]

Document = Literal["topology", "components", "ccl"]
PRESETS = Path(__file__).parent / "presets"
_MODELS: dict[Document, type[Spec]] = {"topology": TopologySpec, "components": ComponentsSpec, "ccl": CclSpec}
_PlaceOf = Callable[[YamlNode], str]
_SpecT = TypeVar("_SpecT", bound=Spec)

_NULLS = ("", "~", "null", "Null", "NULL")
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
MOST_DIGITS = 1000  # Python reads 4300
_INT = re.compile(r"[-+]?\d+")
_RADIX = re.compile(r"0(?:o[0-7]+|x[0-9a-fA-F]+)")
_FLOAT = re.compile(r"[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?")
_NON_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def load_config(
    topology: str | Path = "default",
    overrides: Iterable[str] = (),
    *,
    components: str | Path = "default",
    ccl: str | Path = "default",
) -> Config:
    """The configuration that a preset's name or a file's path stands for, with ``path=value`` overrides.

    An override's path starts in ``topology.yaml``, or with ``components.`` or ``ccl.``. Raises ConfigError or
    UnknownNameError, in one line.
    """
    trees: dict[Document, Tree] = {
        "topology": load_tree("topology", topology),
        "components": load_tree("components", components),
        "ccl": load_tree("ccl", ccl),
    }
    for text in (overrides,) if isinstance(overrides, str) else overrides:
        document, over = _parse_override(text)
        trees[document] = trees[document].merged(over)
    spec = _checked(TopologySpec, trees["topology"])
    spec._places = Places(dict(trees["topology"].places()))
    implementations = _checked(ComponentsSpec, trees["components"])
    implementations._places = Places(dict(trees["components"].places()))
    collectives = _checked(CclSpec, trees["ccl"])
    collectives._places = Places(dict(trees["ccl"].places()))
    return Config.model_construct(topology=spec, components=implementations, ccl=collectives)


def preset_names(document: Document = "topology") -> tuple[str, ...]:
    """The presets there are: ``default`` first."""
    return tuple(_presets(document))


def load_tree(document: Document, source: str | Path, seen: tuple[Path, ...] = ()) -> Tree:
    """The tree of a preset or of a file, with what it extends below it; not checked yet."""
    presets = _presets(document)
    if str(source) in presets:
        return presets[str(source)]
    path = Path(source)
    if path.suffix not in (".yaml", ".yml") and not path.is_file():
        close = difflib.get_close_matches(path.name, presets, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise UnknownNameError(
            f"unknown {document} {str(source)!r}; {hint}(presets: {', '.join(presets)}; or a YAML file's path)"
        )
    if path.resolve() in seen:
        raise ConfigError(f"{path}: extends itself, by way of {', '.join(p.name for p in seen)}")
    tree = _read_file(path, str(source))
    assert isinstance(tree.value, dict)
    entries = {key: child for key, child in tree.value.items() if key not in ("extends", "presets")}
    base = tree.value.get("extends")
    if base is None:
        return Tree(entries, tree.place)
    if not isinstance(base.value, str):
        raise ConfigError(line(base.place, ("extends",), f"{shown(base.plain())} is not a preset or a file"))
    below = base.value if base.value in presets else path.parent / base.value
    try:
        lower = load_tree(document, below, (*seen, path.resolve()))
    except UnknownNameError as error:
        raise ConfigError(line(base.place, ("extends",), str(error))) from None
    return lower.merged(overlay(Tree(entries, tree.place)))


def read_yaml(text: str, label: str, *, has_lines: bool = True) -> Tree:
    """The tree of one YAML document; ``label`` names it in errors, with the line if it has any."""

    def place(node: YamlNode) -> str:
        return f"{label}:{node.start_mark.line + 1}" if has_lines else label

    try:
        root = YAML(typ="rt", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f"{label}:{mark.line + 1}" if mark and has_lines else label
        raise ConfigError(f"{at}: YAML syntax: {error.problem or error.context}") from None
    except YAMLError as error:
        raise ConfigError(f"{label}: YAML syntax: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ConfigError(f"{label}: YAML syntax: brackets within brackets, too many to follow") from None
    if root is None:
        return Tree(None, f"{label}:1" if has_lines else label)
    return _tree(root, place(root), place, ())


def _tree(node: YamlNode, at: str, place: _PlaceOf, inside: tuple[YamlNode, ...]) -> Tree:
    """``node`` as a tree that was written ``at`` (a mapping's value stands where its key does)."""
    if any(node is outer for outer in inside):
        raise ConfigError(f"{at}: YAML syntax: an alias contains itself")
    if isinstance(node, MappingNode):
        children: dict[str, Tree] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                raise ConfigError(f"{place(key)}: a key must be text")
            if key.value in children:
                first = children[key.value].place
                raise ConfigError(f"{place(key)}: duplicate key {key.value!r}; it is already at {first}")
            children[key.value] = _tree(value, place(key), place, (*inside, node))
        return Tree(children, at)
    if isinstance(node, SequenceNode):
        return Tree([_tree(item, place(item), place, (*inside, node)) for item in node.value], at)
    assert isinstance(node, ScalarNode)
    if node.style is None and len(node.value) > MOST_DIGITS and _INT.fullmatch(node.value):
        raise ConfigError(f"{at}: a number of {len(node.value)} digits")
    return Tree(_scalar(node, at), at)


def _scalar(node: ScalarNode, at: str) -> Scalar:
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


def _read_file(path: Path, label: str) -> Tree:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{label}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        at = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"{label}:{at}: not UTF-8 text; save the file as UTF-8") from None
    tree = read_yaml(text, label)
    if tree.value is None:
        raise ConfigError(f"{label}: the file is empty; begin with a line like extends: default")
    if not isinstance(tree.value, dict):
        raise ConfigError(f"{tree.place}: {shown(tree.plain())} is not a mapping of keys")
    return tree


@lru_cache
def _presets(document: Document) -> dict[str, Tree]:
    """The presets of a document: ``default`` in full, the others as overlays on it."""
    tree = _read_file(PRESETS / f"{document}.yaml", f"presets/{document}.yaml")
    assert isinstance(tree.value, dict)
    children = dict(tree.value)
    others = children.pop("presets", Tree({}, tree.place))
    default = Tree(children, tree.place)
    assert isinstance(others.value, dict)
    return {"default": default} | {
        name: default.merged(overlay(entries)) for name, entries in others.value.items()
    }


def _parse_override(text: str) -> tuple[Document, Tree]:
    path, equals, value = text.partition("=")
    if not equals or not path:
        raise ConfigError(f"--set {text}: write path=value, as in --set cube.hbm.channels=8")
    leaf = read_yaml(value, f"--set {text}", has_lines=False)
    keys = split_path(path)
    if keys[0] == "components":
        return "components", nested(keys, leaf)
    if keys[0] == "ccl":
        return "ccl", nested(keys[1:], leaf)
    return "topology", nested(keys, leaf)


def _checked(model: type[_SpecT], tree: Tree) -> _SpecT:
    try:
        spec = model.model_validate(tree.plain())
    except ValidationError as error:
        raise ConfigError(explain(error, model, lambda path: tree.nearest(path).place)) from None
    broken = list(broken_rules(spec))
    if broken:
        path, message = broken[0]
        more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        raise ConfigError(line(tree.nearest(path).place, path, message + more))
    return spec
