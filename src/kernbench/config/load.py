"""YAML files to a checked configuration: presets, files that extend them, and overrides of a run."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import lru_cache, reduce
from itertools import islice
from pathlib import Path
from typing import TypeVar

from kernbench.config import kept
from kernbench.config.ccl import CclSpec
from kernbench.config.explain import explain, line
from kernbench.config.overrides import Overrides, documents_of
from kernbench.config.plain import config_sha256
from kernbench.config.quantities import FileSpec
from kernbench.config.rules import broken_rules
from kernbench.config.schema import ComponentsSpec, Config, Document, machine_spec, models
from kernbench.config.tree import Tree, overlay, shown
from kernbench.errors import ConfigError, UnknownNameError, UsageError

__all__ = ["Document", "Overrides", "config_sha256", "load_config", "load_tree", "preset_names"]

PRESETS = Path(__file__).parent / "presets"
_EXAMPLES: dict[Document, str] = {
    "topology": "cube.hbm.channels=8",
    "components": "components.pe_gemm=pe_gemm_v1",
    "ccl": "ccl.defaults.slots=4",
}
MOST_COUNTED = 100  # of what breaks a rule: each is told with what may be meant
_SpecT = TypeVar("_SpecT", bound=FileSpec)


def load_config(
    topology: str | Path = "default",
    overrides: Overrides = (),
    *,
    below: Overrides = (),
    components: str | Path = "default",
    ccl: str | Path | None = None,
) -> Config:
    """The configuration that a preset's name or a file's path stands for, with overrides.

    An override's path starts in ``topology.yaml``, or with ``components.`` or ``ccl.``; ``below`` are overrides that
    those of ``overrides`` override. Raises ConfigError, UnknownNameError or UsageError, in one line.
    """
    place = kept.place_of(topology, components, ccl, below, overrides)
    config = kept.found(place)
    if config is None:
        read: dict[Path, str] = {}
        config = _resolved(topology, overrides, below, components, ccl, read)
        kept.keep(place, config.known_by(config_sha256(config)), read)
    return config


def _resolved(
    topology: str | Path,
    overrides: Overrides,
    below: Overrides,
    components: str | Path,
    ccl: str | Path | None,
    read: dict[Path, str],
) -> Config:
    """What :func:`load_config` gives, from files, whose texts it adds to ``read``."""
    layers = [documents_of(layer) for layer in (below, overrides)]

    def full(document: Document, source: str | Path) -> Tree:
        tree = load_tree(document, source, read)
        return reduce(Tree.merged, (layer[document] for layer in layers if document in layer), tree)

    machine = full("topology", topology)
    spec = _checked(machine_spec(_parts_of_pe(machine)), machine)
    implementations = _checked(ComponentsSpec, full("components", components))
    try:
        queues = full("ccl", spec.ccl if ccl is None else ccl)
    except UnknownNameError as error:
        raise (
            error if ccl is not None else ConfigError(line(spec.place_of("ccl"), ("ccl",), str(error)))
        ) from None
    return Config.model_construct(topology=spec, components=implementations, ccl=_checked(CclSpec, queues))


def _parts_of_pe(machine: Tree) -> list[str]:
    """The keys below ``pe``, checked or not."""
    pe = machine.value.get("pe") if isinstance(machine.value, dict) else None
    return list(pe.value) if pe is not None and isinstance(pe.value, dict) else []


def preset_names(document: Document = "topology") -> tuple[str, ...]:
    """The presets there are: ``default`` first."""
    return tuple(_presets(document))


def load_tree(
    document: Document, source: str | Path, read: dict[Path, str] | None = None, seen: tuple[Path, ...] = ()
) -> Tree:
    """The tree of a preset or of a file, with what it extends below it; not checked yet.

    The texts of the files that it had to read are added to ``read``.
    """
    if not isinstance(source, (str, Path)):
        what = "None" if source is None else type(source).__name__
        raise UsageError(
            f"the {document} is a preset's name or the path of a YAML file, as in kb.simulate('tiny'), not {what}"
            + ("; what is to be changed goes into overrides" if isinstance(source, Mapping) else "")
        )
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
    text = _text(path, str(source))
    if read is not None:
        read[path] = text
    tree = _mapping(text, str(source))
    assert isinstance(tree.value, dict)
    entries = {key: child for key, child in tree.value.items() if key not in ("extends", "presets")}
    named = entries.get("ccl")
    if named is not None and isinstance(named.value, str) and named.value not in _presets("ccl"):
        entries["ccl"] = Tree(str(path.parent / named.value), named.place)  # lies beside this file
    base = tree.value.get("extends")
    if base is None:
        _require_whole(document, entries, tree.place)
        return Tree(entries, tree.place)
    if not isinstance(base.value, str):
        raise ConfigError(line(base.place, ("extends",), f"{shown(base.plain())} is not a preset or a file"))
    below = base.value if base.value in presets else path.parent / base.value
    if isinstance(below, Path) and below.suffix in (".yaml", ".yml") and not below.is_file():
        raise ConfigError(line(base.place, ("extends",), f"there is no file {str(below)!r}"))
    try:
        lower = load_tree(document, below, read, (*seen, path.resolve()))
    except UnknownNameError as error:
        raise ConfigError(line(base.place, ("extends",), str(error))) from None
    return lower.merged(overlay(Tree(entries, tree.place)))


def _require_whole(document: Document, entries: dict[str, Tree], place: str) -> None:
    """Raise ConfigError unless ``entries``, which extend nothing, have every key at the top; say what may be meant."""
    keys = _keys_of(document)
    if set(keys) <= set(entries):
        return
    for key, child in entries.items():
        other = next((name for name in models() if key in _keys_of(name)), None)
        if key not in keys and other is not None:
            raise ConfigError(
                f"{child.place}: {key}: is a key of {other}.yaml, and this file is read as {document}.yaml; "
                f"set single keys of it, as in --set {_EXAMPLES[other]}"
            )
        if difflib.get_close_matches(key, ["extends"]):
            raise ConfigError(f"{child.place}: {key}: unknown key; did you mean 'extends'?")
    missing = [key for key in keys if key not in entries]
    raise ConfigError(
        f"{place}: the file extends nothing and has no {missing[0]}"
        + (f" (and {len(missing) - 1} more)" if len(missing) > 1 else "")
        + "; begin it with extends: default"
    )


def _keys_of(document: Document) -> list[str]:
    """The keys at the top of a file."""
    return [key.name for key in models()[document].fields().values()]


def _text(path: Path, label: str) -> str:
    try:
        return kept.text_of(path)
    except OSError as error:
        raise ConfigError(f"{label}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        at = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"{label}:{at}: not UTF-8 text; save the file as UTF-8") from None


def _mapping(text: str, label: str) -> Tree:
    """The keys of a file."""
    from kernbench.config.read import read_yaml  # which imports the YAML library

    tree = read_yaml(text, label)
    if tree.value is None:
        raise ConfigError(f"{label}: the file is empty; begin with a line like extends: default")
    if not isinstance(tree.value, dict):
        raise ConfigError(f"{tree.place}: {shown(tree.plain())} is not a mapping of keys")
    return tree


@lru_cache
def _presets(document: Document) -> dict[str, Tree]:
    """The presets of a document: ``default`` in full, the others as overlays on it."""
    label = f"presets/{document}.yaml"
    tree = _mapping(_text(PRESETS / f"{document}.yaml", label), label)
    assert isinstance(tree.value, dict)
    children = dict(tree.value)
    others = children.pop("presets", Tree({}, tree.place))
    default = Tree(children, tree.place)
    assert isinstance(others.value, dict)
    return {"default": default} | {
        name: default.merged(overlay(entries)) for name, entries in others.value.items()
    }


def _checked(model: type[_SpecT], tree: Tree) -> _SpecT:
    from pydantic import ValidationError

    try:
        spec = model.model_validate(tree.plain())
    except ValidationError as error:
        raise ConfigError(explain(error, model, lambda path: tree.nearest(path).place)) from None
    broken = list(islice(broken_rules(spec), MOST_COUNTED + 1))
    if broken:
        place, path, message = broken[0].told(tree)
        is_all = "" if len(broken) <= MOST_COUNTED else " or"
        more = f" (and {len(broken) - 1}{is_all} more)" if len(broken) > 1 else ""
        raise ConfigError(line(place, path, message + more))
    return spec.placed(dict(tree.places()))
