"""The command line in this process: what it writes, and the code it would exit with."""

from typing import NamedTuple

import pytest

from kernbench.cli.main import execute


class Ran(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def kernbench(capsys, monkeypatch):
    """Runs ``kernbench`` with arguments; without a terminal, so that no line is wrapped."""
    monkeypatch.delenv("COLUMNS", raising=False)

    def run(*args: str) -> Ran:
        code = execute(args)
        return Ran(code, *capsys.readouterr())

    return run
