"""The tables of the documents: rows that follow from the code, with the author's words beside them.

A function of ``TABLES`` makes a table from the one that is in the page: what an author wrote in its last column stays,
by the name in the first one; all else is made anew. A new row has an empty last cell, which a test finds.
"""

from __future__ import annotations

import inspect
import json
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kernbench as kb
from kernbench import tl
from kernbench.analysis.causes import DEVICE_CAUSES, PAYERS, causes
from kernbench.bench.collectives.bench import CclBench
from kernbench.bench.collectives.request import Request
from kernbench.cli.ccl_page import document_of
from kernbench.cli.main import COMMANDS, _group
from kernbench.components.base import COMPONENTS
from kernbench.config.json_schema import json_schema
from kernbench.config.load import load_config, load_tree, preset_names
from kernbench.config.tree import Tree
from kernbench.machine.machine import Machine
from kernbench.messages.oplog import OpCode, OpRecord
from kernbench.ops import OPS
from kernbench.records import schema_of
from kernbench.runs.result import RunResult

TABLES: dict[str, Callable[[str], str]] = {}


def table(name: str) -> Callable[[Callable[[str], str]], Callable[[str], str]]:
    """Decorator: the function makes the table ``name`` from the one that is there."""

    def enter(make: Callable[[str], str]) -> Callable[[str], str]:
        TABLES[name] = make
        return make

    return enter


def markdown(*rows: tuple[str, ...]) -> str:
    """A table of ``rows``; the first is its head."""
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]]) + "\n"


def written(old: str, column: int) -> dict[str, str]:
    """What the author wrote in ``column`` (-1: the last) of each row of a table, by its first cell."""
    rows = [re.split(r"(?<!\\) ?\| ?", line.strip()[1:-1].strip()) for line in old.splitlines()[2:]]
    return {row[0].strip(): row[column].strip().replace("\\|", "|") for row in rows}


@table("causes")
def _causes(_old: str) -> str:
    rows = []
    for name, cause in causes().items():
        cures = {"": cause.cure} if cause.cure else {}
        cures |= cause.cures
        cures = cures or {"": "only components of your own bring it about"}
        for i, (paid_by, text) in enumerate(cures.items()):
            payer = PAYERS.get(paid_by, f"`{paid_by}`" if paid_by else "")
            rows.append(("" if i else name, payer, "" if i else cause.meaning, text))
    return markdown(("cause", "paid by", "what it means", "what to do"), *rows)


@table("device-causes")
def _device_causes(_old: str) -> str:
    rows = [(name, cause.meaning, cause.cure) for name, cause in DEVICE_CAUSES.items()]
    return markdown(("cause", "what it means", "what to do"), *rows)


@table("oplog-columns")
def _oplog_columns(old: str) -> str:
    """The columns of the op log in their order; the author says what each is."""
    meaning = written(old, -1)
    rows = [(str(i), f"`{name}`") for i, name in enumerate(OpRecord._fields)]
    return markdown(("no.", "column", "what it is"), *((*row, meaning.get(row[0], "")) for row in rows))


@table("op-codes")
def _op_codes(old: str) -> str:
    """The op codes; the author says what each is."""
    meaning = written(old, -1)
    rows = [(str(int(code)), f"`{code.name}`") for code in OpCode]
    return markdown(("code", "name", "the unit finished"), *((*row, meaning.get(row[0], "")) for row in rows))


@table("ops")
def _ops(old: str) -> str:
    """Every op with its unit; the author says what each computes."""
    meaning = written(old, -1)
    rows = [(f"`{name}`", OPS[name].unit.value.upper()) for name in OPS]
    return markdown(("op", "unit", "computes"), *((*row, meaning.get(row[0], "")) for row in rows))


@table("commands")
def _commands(_old: str) -> str:
    return markdown(("command", "does"), *((f"`{name}`", text) for name, text in COMMANDS.items()))


def _options(command: str) -> Callable[[str], str]:
    """The arguments and options of a command: what its help says."""

    def make(_old: str) -> str:
        rows = []
        for parameter in _group().get_command(None, command).params:
            is_option = parameter.param_type_name == "option"
            name = " ".join([*(parameter.opts if is_option else ()), parameter.metavar or ""]).strip()
            default = parameter.default
            shown = "" if default is None or isinstance(default, bool) else f"`{default}`"
            rows.append((f"`{name}`", parameter.help, shown))
        return markdown(("argument or option", "does", "default"), *rows)

    return make


for _command in COMMANDS:
    TABLES[f"options-{_command}"] = _options(_command)


@table("ccl-fields")
def _ccl_fields(old: str) -> str:
    """The fields of a collective's JSON with an example; the author says what each is."""
    meaning = written(old, -1)
    bench = CclBench(load_config("tiny"), Request(collective="all_reduce", is_ideal=True, n_warmup=0))
    document = document_of(bench, "tiny", [bench.row(64)], None)
    row = document.pop("rows")[0]
    faster = document.popitem()[0]
    fields = [
        *document,
        *(f"rows[].{name}" for name in row),
        *(f"rows[].out_of_place.{name}" for name in row["out_of_place"]),
        faster,
    ]
    return markdown(
        ("field", "what it is"), *((f"`{name}`", meaning.get(f"`{name}`", "")) for name in fields)
    )


@table("run-fields")
def _run_fields(old: str) -> str:
    """The members of a run's JSON as its schema has them; the author says what each is."""
    meaning = written(old, -1)
    schema = schema_of(RunResult)
    fields = [(f"`{path}`", kind) for path, kind in _members(schema, schema["$defs"], "")]
    return markdown(("field", "type", "what it is"), *((*row, meaning.get(row[0], "")) for row in fields))


def _members(schema: dict[str, Any], known: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """Dotted paths and types of what ``schema`` allows; a mapping of free names, or of a window's members, is one."""
    schema = next((one for one in schema.get("anyOf", ()) if one.get("type") != "null"), schema)
    name = schema.get("$ref", "").rpartition("/")[2]
    schema = known[name] if name else schema
    if "properties" in schema and name != "Measured":
        for key, child in schema["properties"].items():
            yield from _members(child, known, f"{path}.{key}".lstrip("."))
    elif schema["type"] == "array":
        yield from _members(schema.get("items") or schema["prefixItems"][0], known, f"{path}[]")
    else:
        names = {
            "boolean": "true or false",
            "integer": "integer",
            "number": "number",
            "string": "text",
            "object": "mapping",
        }
        yield path, names[schema["type"]]


def _configuration(section: str) -> Callable[[str], str]:
    """The keys of ``topology.yaml`` below ``section``: unit, what each preset says, and what the author says."""

    def make(old: str) -> str:
        meaning = written(old, -1)
        schema = json_schema("topology")
        leaves = {name: dict(_leaves(load_tree("topology", name))) for name in preset_names()}
        rows = []
        for path, text in leaves["default"].items():
            if path.split(".")[0] not in section.split():
                continue
            others = (leaves[name].get(path, "") for name in ("tiny", "big"))
            key = f"`{path}`"
            cells = (text, *("" if other == text else other for other in others))
            rows.append((key, _unit(schema, path.split(".")), *cells, meaning.get(key, "")))
        return markdown(("key", "unit", "default", "tiny", "big", "what it changes"), *rows)

    return make


for _section in (
    "version preset units",
    "host",
    "system",
    "sip",
    "cube",
    "pe",
    "neighbours geometry overrides ccl",
):
    TABLES[f"configuration-{_section.split()[0]}"] = _configuration(_section)


@table("components")
def _components(_old: str) -> str:
    """Each kind of node with its implementation, and what that says of itself."""
    chosen = load_config().components.components
    rows = [
        (f"`{kind}`", f"`{name}`", (inspect.getdoc(COMPONENTS[name]) or "").split("\n")[0].replace("``", "`"))
        for kind, name in chosen.items()
    ]
    return markdown(("kind", "default", "what it is"), *rows)


@table("configuration-ccl")
def _ccl(old: str) -> str:
    """The keys of ``ccl.yaml``; all algorithms are one row, which counts them."""
    meaning = written(old, -1)
    leaves = list(_leaves(load_tree("ccl", "default")))
    tables = load_config().ccl.selection
    rows = [
        (f"`{path}`", f"tables for ranks: {', '.join(str(table.ranks) for table in getattr(tables, name))}")
        if (name := path.removeprefix("selection.")) != path
        else (f"`{path}`", text)
        for path, text in leaves
        if not path.startswith("algorithms")
    ]
    names = {path.split(".")[1] for path, _ in leaves if path.startswith("algorithms.")}
    rows.append(("`algorithms`", f"{len(names)} of them" if names else "{}"))
    return markdown(("key", "default", "what it is"), *((*row, meaning.get(row[0], "")) for row in rows))


def _leaves(tree: Tree, path: str = "") -> Iterator[tuple[str, str]]:
    """Dotted paths and what is written there."""
    if isinstance(tree.value, dict) and tree.value:
        for key, child in tree.value.items():
            yield from _leaves(child, f"{path}.{key}".lstrip("."))
    else:
        yield path, json.dumps(tree.plain(), default=str).replace('"', "")


def _unit(schema: dict[str, Any], path: list[str]) -> str:
    """What the value at ``path`` is in, as the schema for editors says."""
    at: dict[str, Any] = schema
    for key in path:
        at = at.get("properties", {}).get(key) or at.get("additionalProperties", {})
        at = schema["$defs"][at["$ref"].rsplit("/", 1)[1]] if "$ref" in at else at
    if "description" in at and "anyOf" in at:
        return "bytes"
    if "description" in at and at.get("type") == "number":
        return str(at["description"])
    if "enum" in at:
        return " or ".join(f"`{value}`" for value in at["enum"])
    if "const" in at:
        return f"`{at['const']}`"
    return {"integer": "count", "string": "text", "array": "list", "boolean": "true or false"}.get(
        at.get("type", ""), ""
    )


@kb.jit
def load_once(x_ptr, N: tl.constexpr):  # noqa: N803 - a constant, as in Triton
    """Loads one block."""
    tl.load(x_ptr + tl.arange(0, N))


@table("one-load")
def _one_load(_old: str) -> str:
    """What one local load of 4 KiB on ``tiny`` spends where, as its op log says."""
    simulation = kb.simulate("tiny", mode="timing")
    x = simulation.torch.empty(1024 * simulation.graph.n_pes)
    load_once[(1,)](x, N=1024)
    simulation.torch.synchronize()
    assert isinstance(simulation.machine, Machine)
    pe = [record for record in simulation.machine.log if simulation.graph.nodes[record.node].pe == 0]
    _, start, issue, dispatch, walk, end, load = pe  # PE_MMU was told of the tensor first
    assert walk.op == OpCode.WALK
    assert load.op == OpCode.DMA_READ
    asks = (
        load.start_ps,
        load.mark1_ps,
        load.mark2_ps,
        load.mark3_ps,
        load.mark4_ps,
        load.mark5_ps,
        load.end_ps,
    )
    steps = [
        ("1", "PE_CPU starts the kernel", start.start_ps, start.end_ps),
        ("2", "PE_CPU issues the command", issue.start_ps, issue.end_ps),
        ("3", "PE_SCHEDULER admits and plans it", dispatch.start_ps, dispatch.end_ps),
        ("4", "PE_DMA sets it up, and PE_MMU looks its page up", *asks[0:2]),
        ("4", "the TLB does not hold it: a walk of two reads", *asks[1:3]),
        ("5", "the request travels: NIU, router, HBM controller", *asks[2:4]),
        ("6", "it waits for its turn at the memory", *asks[3:5]),
        ("6", "the memory: latency, and 4096 B at its rate", *asks[4:6]),
        ("7", "the last chunk travels back, and into TCM", *asks[5:7]),
        ("4 to 7", "**the load**", load.start_ps, load.end_ps),
        ("8", "PE_CPU ends the kernel", end.start_ps, end.end_ps),
    ]
    rows = [
        (number, what, _ns(begin - start.start_ps), _ns(finish - begin), _ns(finish - start.start_ps))
        for number, what, begin, finish in steps
    ]
    return markdown(("step", "what happens", "from, ns", "takes, ns", "to, ns"), *rows)


def _ns(ps: int) -> str:
    return f"{ps / 1000:g}"


@table("floors")
def _floors(old: str) -> str:
    """The floors of pyproject.toml, from the upper ones down; the author says what each is for."""
    meaning = written(old, -1)
    names = [
        ", ".join(f"`{name}`" for name in re.findall(r"\w+", floor)) for floor in _contracts()[0]["layers"]
    ]
    return markdown(("floor", "what it is for"), *((name, meaning.get(name, "")) for name in names))


@table("contracts")
def _contract_table(old: str) -> str:
    """The contracts besides the floors; the author says why each is kept."""
    meaning = written(old, -1)
    names = [contract["name"] for contract in _contracts()[1:]]
    return markdown(("contract", "why"), *((name, meaning.get(name, "")) for name in names))


def _contracts() -> list[dict[str, Any]]:
    project = Path(__file__).parents[1] / "pyproject.toml"
    contracts: list[dict[str, Any]] = tomllib.loads(project.read_text(encoding="utf-8"))["tool"][
        "importlinter"
    ]["contracts"]
    return contracts
