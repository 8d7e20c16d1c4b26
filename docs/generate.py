"""Writes into the documents what their commands print, and the tables that follow from the code.

    .venv/bin/python -m docs.generate                 every page
    .venv/bin/python -m docs.generate README.md       one page

The info string of a fenced block says what it is:

    LANG file=NAME    a file of that name, with the block as its text
    diff file=NAME    a change of that file: its "-" lines become its "+" lines
    console           commands after "$ ", each followed by what it prints

A page is worked through from top to bottom, in an empty folder of its own. The commands ``kernbench``, ``python
FILE``, ``make TARGET`` (the repository's), ``cd`` and ``echo $?`` run in this process; others, and what a pipe feeds,
in a shell. ``![...](NAME.svg)`` is a picture that a command made; it is kept beside the page. ``<!-- table: NAME -->``
up to ``<!-- end -->`` encloses a table of ``docs/tables.py``. All else is the author's.
``tests/docs/test_documents_run.py`` compares; a difference in :data:`ENVIRONMENT` is none.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextvars import copy_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

from docs.tables import TABLES
from kernbench.bench import BENCHES, load_benches
from kernbench.ccl.algorithm import ALGORITHMS, load_algorithms
from kernbench.cli.main import execute
from kernbench.components import load_components
from kernbench.components.base import COMPONENTS
from kernbench.components.memory_model import HBM_MODELS
from kernbench.ending import complete_all
from kernbench.kinds import KINDS
from kernbench.ops import OPS

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))

# What one machine, or one moment, prints differently from the next: time, memory and engine of KernBench, and the last
# bits of a sum of floats, which are the BLAS's and the CPU's. Nothing else may differ.
ENVIRONMENT = (
    (r"[\d.]+ CPU s", "# CPU s"),
    (r"[\d.]+ MB at most", "# MB at most"),
    (r"max abs err \S+", "max abs err #"),
    (r"\n(# )?engine (native|reference)\b.*", ""),
)

_BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TABLE = re.compile(r"^<!-- table: ([\w-]+) -->\n(.*?)^<!-- end -->$", re.MULTILINE | re.DOTALL)
_PICTURE = re.compile(r"^!\[[^\]]*\]\(([\w-]+\.svg)\)$", re.MULTILINE)
_REGISTRIES: tuple[Any, ...] = (ALGORITHMS, BENCHES, COMPONENTS, HBM_MODELS, KINDS, OPS)


def normal(text: str) -> str:
    """``text`` without what depends on the environment."""
    for pattern, placeholder in ENVIRONMENT:
        text = re.sub(pattern, placeholder, text)
    return text


def regenerated(page: Path, pictures: Path | None = None) -> str:
    """The text of ``page`` as it should be; the pictures that it shows and makes go to the folder ``pictures``."""
    return copy_context().run(_worked_through, page.read_text(encoding="utf-8"), pictures)


def _worked_through(text: str, pictures: Path | None) -> str:
    load_algorithms()
    load_benches()
    load_components()
    text = _TABLE.sub(lambda match: _table(*match.groups()), text)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), _plain_output():
        text = _BLOCK.sub(Reader().block, text)
        for name in _PICTURE.findall(text) if pictures is not None else ():
            shutil.copyfile(name, pictures / name)
        return text


@contextlib.contextmanager
def _plain_output() -> Iterator[None]:
    """No width, no colours: what a pipe gets."""
    before = {name: os.environ.pop(name) for name in ("COLUMNS", "FORCE_COLOR") if name in os.environ}
    try:
        with patch(
            "kernbench.cli.console.LINE_EVERY_S", threading.TIMEOUT_MAX
        ):  # a slow computer's lines of progress
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
        if command == "echo $?":
            return f"{self.code}\n"
        program, *pipe = command.split(" | ", 1)
        program, *file = program.split(" > ", 1)
        if program.split()[0] not in ("kernbench", "python", "make", "cd"):
            return _shell(command, "")
        with io.StringIO() as out, io.StringIO() as err:
            merged = err if pipe or file else out
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(merged):
                self.code = run_command(*shlex.split(program))
            printed, errors = out.getvalue(), err.getvalue()
        if file:
            Path(file[0]).write_text(printed, encoding="utf-8")
            printed = ""
        if pipe:
            self.code, printed = 0, _shell(pipe[0], printed)
        return errors + printed


def _shell(command: str, text: str) -> str:
    done = subprocess.run(command, shell=True, input=text, capture_output=True, text=True, check=True)
    return done.stdout


def run_command(program: str, *args: str) -> int:
    """Run one command as if in a process of its own; its exit code."""
    if program == "cd":
        os.chdir(args[0])
    elif program == "make":
        return max(run_command(*shlex.split(line)) for line in _recipe(args[0]))
    else:
        with _forgotten():
            if program == "kernbench":
                return execute(args)
            runpy.run_path(args[0], run_name="__main__")
            return complete_all()
    return 0


@contextlib.contextmanager
def _forgotten() -> Iterator[None]:
    """What is registered or imported from this folder within is forgotten afterwards."""
    load_algorithms()  # loads once: what it registers within would be forgotten for good
    entries = [dict(registry._entries) for registry in _REGISTRIES]
    modules = set(sys.modules)
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)
        for name in set(sys.modules) - modules:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(here):
                del sys.modules[name]
        for registry, before in zip(_REGISTRIES, entries, strict=True):
            registry._entries = before


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


def _table(name: str, old: str) -> str:
    return f"<!-- table: {name} -->\n{TABLES[name](old)}<!-- end -->"


def main(names: list[str]) -> None:
    """Write the pages anew."""
    for page in [Path(name).resolve() for name in names] or PAGES:
        new = regenerated(page, page.parent)
        if new != page.read_text(encoding="utf-8"):
            page.write_text(new, encoding="utf-8")
            sys.stderr.write(f"wrote {page}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
