"""``kernbench check``: is a configuration file right, what does it mean, and is it wise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kernbench.cli.files import STDOUT, require_writable, write_json
from kernbench.cli.options import PRESETS, Debug, JsonTarget, Overrides, Plugins, load_plugins
from kernbench.errors import KernBenchError, UsageError
from kernbench.records import Hidden, as_json, derive

if TYPE_CHECKING:
    from kernbench.config.load import Document
    from kernbench.config.schema import Config
    from kernbench.reports.output import Output

SCHEMA = "kernbench.check/1"
EXAMPLES = """\b
Examples:
  kernbench check my_topology.yaml
  kernbench check my_topology.yaml --set cube.hbm.channels=8 --resolved
  kernbench check topology.yaml components.yaml ccl.yaml
  kernbench check --schema topology > topology.schema.json
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is known of one file; ``error`` is None if it is right."""

    file: str
    document: str
    ok: bool = field(init=False, default=True)
    error: str | None = None
    config_sha256: str | None = None
    meaning: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    resolved: Hidden[str] = ""

    def __post_init__(self) -> None:
        derive(self, ok=self.error is None)


def command(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE", help="YAML files, or names of presets.", autocompletion=PRESETS),
    ] = None,
    overrides: Overrides = None,
    resolved: Annotated[
        bool, typer.Option("--resolved", help="Print the file in full, with all it extends.")
    ] = False,
    schema: Annotated[
        str | None,
        typer.Option(
            "--schema", metavar="topology|components|ccl", help="Print the JSON Schema for an editor."
        ),
    ] = None,
    plugin: Plugins = None,
    json: JsonTarget = None,
    debug: Debug = False,
) -> None:
    """Check configuration files and print what they mean.

    Warnings are about what is allowed but probably not meant; they do not change the exit code.
    """
    require_writable(json)
    if schema is not None:
        _print_schema(schema)
        return
    if not files:
        raise UsageError("check: name a file, as in kernbench check my_topology.yaml; or --schema topology")
    load_plugins(plugin or ())
    findings = [_find(name, overrides or (), is_only=len(files) == 1, in_full=resolved) for name in files]
    if json is not None:
        write_json(json, {"schema": SCHEMA, "files": [_as_json(finding) for finding in findings]})
    if json != STDOUT:
        from kernbench.reports.output import Output

        output = Output()
        for finding in findings:
            _print(output, finding)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(KernBenchError.exit_code)


def _find(name: str, overrides: Sequence[str], *, is_only: bool, in_full: bool) -> Finding:
    """What is known of file ``name``. The only file's error is raised, that of one of several is a finding."""
    document: Document = "topology"
    try:
        document = _document_of(name)
        return _understood(name, document, overrides, in_full=in_full)
    except KernBenchError as error:
        if is_only:
            raise
        return Finding(file=name, document=document, error=str(error))


def _understood(name: str, document: Document, overrides: Sequence[str], *, in_full: bool) -> Finding:
    from kernbench.config.load import load_config
    from kernbench.config.plain import config_sha256
    from kernbench.config.plain import resolved as in_full_text

    warnings: tuple[str, ...] = ()
    match document:
        case "topology":
            config = load_config(name, overrides)
            meaning, warnings = _meaning_of_topology(config)
        case "components":
            config = load_config(overrides=overrides, components=name)
            _require_registered(config)
            meaning = config.components.components
        case "ccl":
            config = load_config(overrides=overrides, ccl=name)
            meaning = _meaning_of_ccl(config)
    return Finding(
        file=name,
        document=document,
        config_sha256=config_sha256(config),
        meaning=meaning,
        warnings=warnings,
        resolved=in_full_text(getattr(config, document)) if in_full else "",
    )


def _document_of(name: str) -> Document:
    """Which document a file is: the one that has most of its top-level keys; a preset's name is a topology."""
    from kernbench.config.read import read_yaml

    path = Path(name)
    if not path.is_file():
        return "topology"
    try:
        tree = read_yaml(path.read_text(encoding="utf-8"), name)
    except (OSError, UnicodeDecodeError):
        return "topology"  # whose loader says what is wrong
    keys = {key.split(".")[0] for key in tree.value} if isinstance(tree.value, dict) else set()
    if "components" in keys:
        return "components"
    return "ccl" if keys & {"defaults", "selection", "eager", "algorithms"} else "topology"


def _meaning_of_topology(config: Config) -> tuple[dict[str, str], tuple[str, ...]]:
    from kernbench.reports.tables import machine, peak_rows
    from kernbench.theory.lint import lint
    from kernbench.theory.peaks import peaks
    from kernbench.topology.builder import build_graph

    graph = build_graph(config.topology)
    _require_registered(config)
    limits = peaks(config.topology)
    meaning = {
        "machine": machine(config.topology),
        "graph": f"{len(graph.nodes)} nodes, {len(graph.edges)} directed edges",
    }
    return meaning | dict(peak_rows(limits)), lint(graph, limits)


def _require_registered(config: Config) -> None:
    """ConfigError if a kind's implementation has a name that there is not."""
    from kernbench.components import load_components
    from kernbench.machine.assemble import require_registered

    load_components()
    require_registered(config)


def _meaning_of_ccl(config: Config) -> dict[str, str]:
    from kernbench.units import format_bytes

    queues, machines = config.ccl.defaults, "the machine's (pe.ipcq)"
    size_bytes = queues.slot_bytes
    return {
        "slots": machines if queues.slots is None else str(queues.slots),
        "slot size": machines if size_bytes is None else format_bytes(size_bytes),
        "memory": queues.buffer_kind or machines,
        "back-pressure": queues.backpressure,
        "credits together": str(queues.credit_batch),
        **{name: algorithm.module for name, algorithm in config.ccl.algorithms.items()},
    }


def _print_schema(document: str) -> None:
    import json

    from kernbench.config.json_schema import json_schema

    print(json.dumps(json_schema(document), indent=2))


def _as_json(finding: Finding) -> dict[str, Any]:
    return as_json(finding) | ({"resolved": finding.resolved} if finding.resolved else {})


def _print(output: Output, finding: Finding) -> None:
    from kernbench.reports.output import BAD, GOOD, WARN

    if finding.error is not None:
        output.line(f"{finding.file}: WRONG", BAD)
        output.line(f"  {finding.error}")
        return
    if finding.resolved:
        output.line(finding.resolved.rstrip())
        return
    output.line(f"{finding.file}: ok ({finding.document})", GOOD)
    output.facts((f"  {name}", value) for name, value in finding.meaning.items())
    for warning in finding.warnings:
        output.line(f"  warning: {warning}", WARN)
    output.line(f"  config sha256 {finding.config_sha256}")
