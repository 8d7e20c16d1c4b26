"""``kernbench list``: what can be named on the command line and in configuration files."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from kernbench.cli.files import STDOUT, require_writable, write_json
from kernbench.cli.options import Debug, JsonTarget, Plugins, load_plugins
from kernbench.errors import UnknownNameError
from kernbench.registry import did_you_mean, load_entry_points
from kernbench.wording import quoted

SCHEMA = "kernbench.list/1"
EXAMPLES = """\b
Examples:
  kernbench list
  kernbench list benches
  kernbench list components --plugin my_gemm.py
"""


@dataclass(frozen=True, slots=True)
class Section:
    """One kind of thing: how to find them, and the columns that are shown of each."""

    rows: Callable[[], list[dict[str, Any]]]
    columns: tuple[str, ...]
    hint: str


def command(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND",
            help="One kind only.",
            show_default=False,
        ),
    ] = None,
    plugin: Plugins = None,
    json: JsonTarget = None,
    debug: Debug = False,
) -> None:
    """List benches, topologies, components, algorithms and ops."""
    require_writable(json)
    if what is not None and what not in SECTIONS:
        raise UnknownNameError(f"cannot list {quoted(what)}; {did_you_mean(what, SECTIONS)}")
    load_plugins(plugin or ())
    _left_out(load_entry_points())
    found = {name: SECTIONS[name].rows() for name in ([what] if what else SECTIONS)}
    if json is not None:
        from kernbench.config.load import load_config
        from kernbench.config.plain import config_sha256

        write_json(json, {"schema": SCHEMA, "config_sha256": config_sha256(load_config()), **found})
    if json != STDOUT:
        _print(found)


def _left_out(mistakes: Iterable[str]) -> None:
    """Tell of what could not be loaded."""
    for line in mistakes:
        print(f"kernbench: {line}; the list is without it", file=sys.stderr)


def _benches() -> list[dict[str, Any]]:
    from kernbench.bench import load_benches

    benches = load_benches()
    _left_out(benches.mistakes.values())
    return [
        {
            "name": name,
            "doc": benches[name].doc,
            "parameters": {key: default for key, (_, default) in benches[name].parameters.items()},
        }
        for name in benches
    ]


def _topologies() -> list[dict[str, Any]]:
    from kernbench.config.load import load_config, preset_names
    from kernbench.config.plain import config_sha256
    from kernbench.reports.tables import machine

    configs = [(name, load_config(name)) for name in preset_names()]
    return [
        {"name": name, "doc": machine(config.topology), "config_sha256": config_sha256(config)}
        for name, config in configs
    ]


def _components() -> list[dict[str, Any]]:
    from kernbench.components import load_components
    from kernbench.components.base import COMPONENTS
    from kernbench.config.load import load_config

    _left_out(load_components().values())
    chosen = set(load_config().components.components.values())
    return [
        {
            "name": name,
            "kind": COMPONENTS[name].kind,
            "default": name in chosen,
            "doc": _first_line(inspect.getdoc(COMPONENTS[name])),
        }
        for name in COMPONENTS
    ]


def _algorithms() -> list[dict[str, Any]]:
    from kernbench.ccl.algorithm import load_algorithms
    from kernbench.config.load import load_config
    from kernbench.reports.tables import number_ranges
    from kernbench.theory.group import group_of
    from kernbench.topology.builder import build_graph

    algorithms, spec = load_algorithms(), load_config().topology
    _left_out(algorithms.mistakes.values())
    pes = build_graph(spec).pes
    groups = [group_of(spec, pes, range(n)) for n in range(1, len(pes) + 1)]
    return [
        {
            "name": name,
            "collective": algorithms[name].collective,
            "ranks": number_ranges(
                [group.n_ranks for group in groups if algorithms[name].refuses(group) is None]
            ),
            "doc": _first_line(algorithms[name].doc),
            "module": _module(algorithms[name].kernel.__module__, algorithms.source(name)),
        }
        for name in algorithms
    ]


def _module(name: str, source: str) -> str:
    """What can be imported by its name, else the user's file."""
    return name if name in sys.modules else source


def _ops() -> list[dict[str, Any]]:
    from kernbench.ops import OPS

    _left_out(OPS.mistakes.values())
    return [{"name": name, "unit": OPS[name].unit.value} for name in OPS]


SECTIONS = {
    "benches": Section(
        _benches,
        ("name", "doc", "parameters"),
        "kernbench run NAME -p name=value; auto follows from the machine",
    ),
    "topologies": Section(
        _topologies, ("name", "doc"), "--topology NAME, or extends: NAME in a file of yours"
    ),
    "components": Section(
        _components, ("name", "kind", "default", "doc"), "components.yaml, or --set components.KIND=NAME"
    ),
    "algorithms": Section(
        _algorithms,
        ("name", "collective", "ranks", "doc"),
        "kernbench ccl COLLECTIVE --algo NAME, or ccl.yaml; ranks: the first so many PEs of default that it serves",
    ),
    "ops": Section(_ops, ("name", "unit"), "tl.NAME in a kernel, or an operator"),
}


def _first_line(doc: str | None) -> str:
    """The first line of a docstring, without its marks of code."""
    return (doc or "").split("\n")[0].replace("``", "")


def _print(found: dict[str, list[dict[str, Any]]]) -> None:
    from kernbench.reports.output import QUIET, Output

    output = Output()
    for name, rows in found.items():
        section = SECTIONS[name]
        output.heading(name)
        output.line(section.hint, QUIET)
        if rows:
            cells = [[_cell(row[column]) for column in section.columns] for row in rows]
            output.table(section.columns, cells, left=section.columns)
        else:
            output.line("  none")


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        from kernbench.bench import FOLLOWS
        from kernbench.reports.tables import settings

        return settings({name: FOLLOWS if default is None else default for name, default in value.items()})
    if isinstance(value, bool):
        return "yes" if value else ""
    return str(value)
