"""No function of the command line has a body longer than 60 lines; the signatures of commands are typer's."""

import ast
from pathlib import Path

import pytest

import kernbench.cli

MOST_LINES = 60
FILES = sorted(Path(kernbench.cli.__file__).parent.glob("*.py"))


def body_lines(function: ast.FunctionDef) -> int:
    """Lines from the first statement behind the docstring to the last one."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_function_can_be_seen_at_once(path):
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    assert [f.name for f in functions if body_lines(f) > MOST_LINES] == []


def test_bodies_are_measured_without_signature_and_docstring():
    source = 'def f(\n    a,\n    b,\n):\n    """Of\n\n    no matter."""\n    x = a\n\n    return x\n'
    (function,) = ast.parse(source).body
    assert body_lines(function) == 3
