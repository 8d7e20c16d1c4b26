"""Writes into the documents what their commands print, and the tables that follow from the code.

    .venv/bin/python docs/generate.py                 every page
    .venv/bin/python docs/generate.py README.md       one page

The info string of a fenced block says what it is:

    LANG file=NAME    a file of that name, with the block as its text
    diff file=NAME    a change of that file: its "-" lines become its "+" lines
    console           commands after "$ ", each followed by what it prints

A page is worked through from top to bottom, in an empty folder of its own. The commands are ``kernbench``, ``python
FILE``, ``make TARGET`` (the repository's), ``cd``, ``echo $?`` and what a pipe feeds; all but the last run in this process.
``<!-- table: NAME -->`` up to ``<!-- end -->`` encloses what the function registered as NAME makes. All else is the
author's. ``tests/docs/test_documents_run.py`` compares; a difference in :data:`ENVIRONMENT` is none.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextvars import copy_context
from pathlib import Path
from typing import Any

from kernbench.bench import BENCHES, load_benches
from kernbench.cli.main import COMMANDS, execute
from kernbench.components import load_components
from kernbench.components.base import COMPONENTS
from kernbench.components.memory_model import HBM_MODELS
from kernbench.config.json_schema import json_schema
from kernbench.config.load import load_tree, preset_names
from kernbench.config.tree import Tree
from kernbench.messages.oplog import OpCode, OpRecord
from kernbench.ops import OPS
from kernbench.reports.breakdown import CAUSES, DEVICE_CAUSES

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))

# What one machine, or one moment, prints differently from the next: time and memory of KernBench itself, and the last
# bits of a sum of floats, which are the BLAS's and the CPU's. Nothing else may differ.
ENVIRONMENT = (
    (r"[\d.]+ CPU s", "# CPU s"),
    (r"[\d.]+ MB at most", "# MB at most"),
    (r"max abs err \S+", "max abs err #"),
)

_BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TABLE = re.compile(r"^<!-- table: ([\w-]+) -->\n(.*?)^<!-- end -->$", re.MULTILINE | re.DOTALL)
_REGISTRIES: tuple[Any, ...] = (BENCHES, COMPONENTS, HBM_MODELS, OPS)

Rows = Iterator[tuple[str, ...]]
TABLES: dict[str, Callable[[str], str]] = {}


def normal(text: str) -> str:
    """``text`` without what depends on the environment."""
    for pattern, placeholder in ENVIRONMENT:
        text = re.sub(pattern, placeholder, text)
    return text


def regenerated(page: Path) -> str:
    """The text of ``page`` as it should be."""
    text = _TABLE.sub(_new_table, page.read_text(encoding="utf-8"))
    return copy_context().run(_worked_through, text)


def _worked_through(text: str) -> str:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), _own_registries(), _plain_output():
        reader = Reader()
        return _BLOCK.sub(reader.block, text)


@contextlib.contextmanager
def _own_registries() -> Iterator[None]:
    """What is registered within is forgotten afterwards."""
    load_benches()
    load_components()
    before = [dict(registry._entries) for registry in _REGISTRIES]
    try:
        yield
    finally:
        for registry, entries in zip(_REGISTRIES, before, strict=True):
            registry._entries = entries


@contextlib.contextmanager
def _plain_output() -> Iterator[None]:
    """No width, no colours: what a pipe gets."""
    before = {name: os.environ.pop(name) for name in ("COLUMNS", "FORCE_COLOR") if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(before)


class Reader:
    """Someone who does what the page says; ``code`` is the exit code of the last command."""

    def __init__(self) -> None:
        self.code = 0

    def block(self, match: re.Match[str]) -> str:
        """One fenced block as it should be."""
        language, name, body = match.groups()
        if language == "diff" and name:
            _change(Path(name), body)
        elif name:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(body, encoding="utf-8")
        elif language == "console":
            new = "".join(self.session(body))
            return match[0] if normal(new) == normal(body) else f"```console\n{new}```"
        return match[0]

    def session(self, body: str) -> Iterator[str]:
        """The commands of ``body``, each with what it prints."""
        for command in re.findall(r"^\$ ((?:.*\\\n)*.*\n)", body, re.MULTILINE):
            yield f"$ {command}"
            output = self.run(command.replace("\\\n", " ").strip())
            yield output if output.endswith("\n") or not output else output + "\n"

    def run(self, command: str) -> str:
        """What ``command`` prints, errors included."""
        first, _, rest = command.partition(" | ")
        if first == "echo $?":
            return f"{self.code}\n"
        # A kernel may hold on to the standard output it saw first, so both go through one file.
        with io.StringIO() as out, contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            self.code = _call(*shlex.split(first))
            printed = out.getvalue()
        if rest:
            done = subprocess.run(rest, shell=True, input=printed, capture_output=True, text=True, check=True)
            printed = done.stdout
        return printed


def _call(program: str, *args: str) -> int:
    """Run one command in this process; its exit code."""
    match program:
        case "kernbench":
            registered = [dict(registry._entries) for registry in _REGISTRIES]
            code = execute(args)
            for registry, entries in zip(_REGISTRIES, registered, strict=True):
                registry._entries = entries  # as in a process of its own
            return code
        case "python":
            runpy.run_path(args[0], run_name="__main__")
        case "make":
            return max(_call(*shlex.split(line)) for line in _recipe(args[0]))
        case "cd":
            os.chdir(args[0])
        case _:
            raise ValueError(f"a page says '$ {program}', which docs/generate.py cannot run")
    return 0


def _recipe(target: str) -> list[str]:
    """The commands of a target of the Makefile."""
    rule = (ROOT / "Makefile").read_text(encoding="utf-8").split(f"\n{target}:", 1)[1].split("\n\n")[0]
    return [line.strip().removeprefix("$(BIN)/") for line in rule.splitlines()[1:]]


def _change(path: Path, diff: str) -> None:
    """Replace the lines of ``path`` that ``diff`` shows; they must be there once."""
    text, lines = path.read_text(encoding="utf-8"), diff.splitlines(keepends=True)
    old = "".join(line[1:] for line in lines if line[0] in " -")
    new = "".join(line[1:] for line in lines if line[0] in " +")
    if text.count(old) != 1:
        raise ValueError(f"a diff changes {text.count(old)} places of {path.name}, not one:\n{diff}")
    path.write_text(text.replace(old, new), encoding="utf-8")


# -- tables -----------------------------------------------------------------------------------------------


def table(name: str) -> Callable[[Callable[[str], str]], Callable[[str], str]]:
    """Decorator: the function makes the table ``name`` from the one that is there."""

    def enter(make: Callable[[str], str]) -> Callable[[str], str]:
        TABLES[name] = make
        return make

    return enter


def _new_table(match: re.Match[str]) -> str:
    name, old = match.groups()
    return f"<!-- table: {name} -->\n{TABLES[name](old)}<!-- end -->"


def markdown(*rows: tuple[str, ...]) -> str:
    """A table of ``rows``; the first is its head."""
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]]) + "\n"


def written(old: str, column: int) -> dict[str, str]:
    """What the author wrote in ``column`` (-1: the last) of each row of a table, by its first cell."""
    rows = [re.split(r"(?<!\\) \| ", line.strip("| \n")) for line in old.splitlines()[2:]]
    return {row[0]: row[column] for row in rows if len(row) > 1}


@table("causes")
def _causes(_old: str) -> str:
    return _cause_table(CAUSES)


@table("device-causes")
def _device_causes(_old: str) -> str:
    return _cause_table(DEVICE_CAUSES)


def _cause_table(causes: dict[str, str]) -> str:
    rows = [(name, *(text.partition(": ")[::2])) for name, text in causes.items()]
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


for _section in ("version preset units", "host", "system", "sip", "cube", "pe", "neighbours geometry overrides"):
    TABLES[f"configuration-{_section.split()[0]}"] = _configuration(_section)


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
    return {"integer": "count", "string": "text", "array": "list", "boolean": "true or false"}.get(at.get("type", ""), "")


def main(names: list[str]) -> None:
    """Write the pages anew."""
    for page in [Path(name).resolve() for name in names] or PAGES:
        new = regenerated(page)
        if new != page.read_text(encoding="utf-8"):
            page.write_text(new, encoding="utf-8")
            sys.stderr.write(f"wrote {page}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
