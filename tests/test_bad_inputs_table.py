"""What users get wrong, in a table: each row of ``tests/bad_inputs`` is an input, and the line and code that answer it.

A row ends with ``=> CODE LINE``. Where ``...`` stands in the line there may be more: a list of names, or a path. On a
command line ``9{5000}`` stands for so many. Every answer takes less than 2 s of CPU time, writes no file and shows no
traceback.
"""

import re
import shlex
import time
from pathlib import Path
from textwrap import indent

import pytest

from kernbench.cli.main import execute

TABLE = Path(__file__).parent / "bad_inputs"
MOST_CPU_S = 2
TINY = ("--topology", "tiny")

BENCH = """\
import numpy as np
import kernbench as kb
from kernbench import DPPolicy, tl
from kernbench.bench import Expected, Outcome, bench

@kb.jit
def kernel(x):
{kernel}

@bench("mine")
def run(torch, n: int = 64):
    x = torch.zeros(n, name="x")
{host}
    return Outcome(outputs=(x,), expected=lambda: (Expected(values=np.zeros(n), tolerance=1e9),),
                   reference="zeros", flops=0)
"""


def in_a_bench(kernel="pass", host="kernel[(4,)](x)"):
    Path("mine.py").write_text(BENCH.format(kernel=indent(kernel, "    "), host=indent(host, "    ")))
    return ("run", "mine.py", *TINY)


def in_a_file(name, text, *args):
    Path(name).write_text(f"{text}\n")
    return args


COMMANDS = {
    "yaml": lambda text: in_a_file(
        "my.yaml", text, "run", "vector_add", "-p", "n=64", "--topology", "my.yaml"
    ),
    "command_line": lambda text: shlex.split(
        re.sub(r"(a[.]|.)[{](\d+)[}]", lambda found: found[1] * int(found[2]), text)
    ),
    "kernels": lambda text: in_a_bench(kernel=text),
    "host_calls": lambda text: in_a_bench(host=text),
    "plugins": lambda text: in_a_file("mine.py", text, "list", "ops", "--plugin", "mine.py"),
    "files": lambda text: in_files(*text.splitlines()),
}
"""What is typed, by kind of row."""


def in_files(*steps):
    """All lines but the last make files: ``name: text``, ``name/`` a folder; the last is the command."""
    for step in steps[:-1]:
        name, _, text = step.partition(": ")
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir()
        else:
            path.write_bytes(text.encode().decode("unicode_escape").encode("latin-1"))
    return shlex.split(steps[-1])


def rows():
    """``(kind, input, code, line)`` of every row."""
    for kind in COMMANDS:
        for block in (TABLE / f"{kind}.txt").read_text().strip("\n").split("\n\n"):
            text, _, answer = block.rpartition("\n=> ")
            code, _, line = answer.partition(" ")
            yield pytest.param(kind, text, int(code), line, id=f"{kind}: {text[-60:]}".replace("\n", "; "))


ROWS = list(rows())


def test_there_are_more_than_200_rows_of_every_kind():
    least = {"yaml": 60, "command_line": 60, "kernels": 30, "host_calls": 30, "plugins": 10, "files": 10}
    counts = {kind: sum(row.values[0] == kind for row in ROWS) for kind in COMMANDS}
    assert {kind: n for kind, n in counts.items() if n < least[kind]} == {}
    assert len(ROWS) >= 200
    assert len({row.values[:2] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize(("kind", "text", "code", "line"), ROWS)
def test_bad_input_is_one_line_with_its_place_and_its_cure(
    kind, text, code, line, capsys, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    args = COMMANDS[kind](text)
    before = {path: path.is_dir() or path.read_bytes() for path in tmp_path.rglob("*")}
    begin_s = time.process_time()
    answered = execute(args)
    assert time.process_time() - begin_s < MOST_CPU_S
    written, said = capsys.readouterr()
    assert (answered, written) == (code, "")
    assert re.fullmatch(rf"kernbench: {shown(line)}\n", said.replace(f"{tmp_path}/", "")), said
    after = {path: path.is_dir() or path.read_bytes() for path in tmp_path.rglob("*")}
    assert after == before


def shown(line):
    """A pattern: ``...`` stands for anything within a line."""
    return r"[^\n]*".join(re.escape(part) for part in line.split("..."))
