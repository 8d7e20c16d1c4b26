"""``kernbench check``: is a configuration file or a bench right, what does it mean, and is it wise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kernbench.cli.files import STDOUT, require_writable, write_json
from kernbench.cli.options import (
    PRESETS,
    Debug,
    JsonTarget,
    Overrides,
    Plugins,
    TopologyName,
    assignments,
    load_plugins,
)
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
  kernbench check my_bench.py --topology my_topology.yaml -p m=512
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How files are to be read, and, for benches, on which machine and with which parameters."""

    topology: str
    params: dict[str, str]
    overrides: tuple[str, ...]
    in_full: bool

    def require_used(self, benches: Sequence[str], param: Sequence[str]) -> None:
        """UsageError for an option of benches where there is none, or of configuration files for a bench."""
        if benches and self.in_full:
            raise UsageError(f"--resolved: {benches[0]} is a bench; name a configuration file")
        if not benches and param:
            raise UsageError(f"-p {param[0]}: no bench is checked; name one, as in kernbench check gemm")
        if not benches and self.topology != "default":
            raise UsageError(
                f"--topology {self.topology}: no bench is checked; name one, as in kernbench check gemm"
            )


def command(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE",
            help="YAML files, Python files of benches, or names of either.",
            autocompletion=PRESETS,
        ),
    ] = None,
    topology: TopologyName = "default",
    param: Annotated[
        list[str] | None,
        typer.Option("-p", metavar="NAME=VALUE", help="Set a parameter of a bench; may be repeated."),
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
    """Check configuration files and benches, and print what they mean.

    A bench is run without simulated time, to see how its tensors lie on --topology. Warnings are about what is allowed
    but probably not meant; they do not change the exit code.
    """
    require_writable(json)
    if schema is not None:
        _print_schema(schema)
        return
    if not files:
        raise UsageError("check: name a file, as in kernbench check my_topology.yaml; or --schema topology")
    load_plugins(plugin or ())
    asked = Asked(
        topology=topology, params=assignments(param or ()), overrides=tuple(overrides or ()), in_full=resolved
    )
    asked.require_used([name for name in files if _is_bench(name)], param or ())
    findings = [_find(name, asked, is_only=len(files) == 1) for name in files]
    if json is not None:
        write_json(json, {"schema": SCHEMA, "files": [_as_json(finding) for finding in findings]})
    if json != STDOUT:
        from kernbench.reports.output import Output

        output = Output()
        for finding in findings:
            _print(output, finding)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(KernBenchError.exit_code)


def _is_bench(name: str) -> bool:
    """Whether ``name`` is a Python file or a bench's name: what else there is of that name comes first."""
    from kernbench.config.load import preset_names

    if Path(name).suffix == ".py":
        return True
    if Path(name).exists() or name in preset_names():
        return False
    from kernbench.bench import load_benches

    return name in load_benches()


def _find(name: str, asked: Asked, *, is_only: bool) -> Finding:
    """What is known of file ``name``. The only file's error is raised, that of one of several is a finding."""
    document: Document | Literal["bench"] = "topology"
    try:
        if _is_bench(name):
            document = "bench"
            return _bench_understood(name, asked)
        document = _document_of(name)
        return _understood(name, document, asked)
    except KernBenchError as error:
        if is_only:
            raise
        return Finding(file=name, document=document, error=str(error))


def _bench_understood(name: str, asked: Asked) -> Finding:
    """What is known of a bench: its tensors on the machine that was named."""
    from kernbench.cli.show_memory import memory_of
    from kernbench.config.load import load_config
    from kernbench.config.plain import config_sha256
    from kernbench.reports.tables import machine, settings
    from kernbench.units import format_bytes
    from kernbench.wording import plural

    config = load_config(asked.topology, asked.overrides)
    found = memory_of(name, asked.params, config)
    tensors = found.memory.tensors
    size_bytes = sum(tensor.size_bytes for tensor in tensors)
    return Finding(
        file=name,
        document="bench",
        config_sha256=config_sha256(config),
        meaning={
            "bench": f"{found.bench} {settings(found.params)}".rstrip(),
            "machine": f"{asked.topology}: {machine(config.topology)}",
            "on the device": f"{plural(len(tensors), 'tensor')}, {format_bytes(size_bytes)}",
        },
        warnings=found.memory.warnings,
    )


def _understood(name: str, document: Document, asked: Asked) -> Finding:
    from kernbench.config.load import load_config
    from kernbench.config.plain import config_sha256
    from kernbench.config.plain import resolved as in_full_text

    warnings: tuple[str, ...] = ()
    match document:
        case "topology":
            config = load_config(name, asked.overrides)
            meaning, warnings = _meaning_of_topology(config)
        case "components":
            config = load_config(overrides=asked.overrides, components=name)
            _require_registered(config)
            meaning = config.components.components
        case "ccl":
            config = load_config(overrides=asked.overrides, ccl=name)
            meaning = _meaning_of_ccl(config)
    return Finding(
        file=name,
        document=document,
        config_sha256=config_sha256(config),
        meaning=meaning,
        warnings=warnings,
        resolved=in_full_text(getattr(config, document)) if asked.in_full else "",
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
