"""A docstring names its own subject: it is read alone, in an editor's help or on a page of the reference."""

import ast
import re
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"
POINTS_ELSEWHERE = re.compile(
    r"(It|Its|They|Their|Those|That|The same|Same|How many they|One\.|What (it|its|they|their))(\b|$)"
)


def relative(text):
    """The docstrings of a module that begin by pointing at something else, with their lines."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            docstring = ast.get_docstring(node) or ""
            if POINTS_ELSEWHERE.match(docstring):
                yield getattr(node, "lineno", 1), docstring.splitlines()[0]


def test_no_docstring_begins_with_a_pronoun_or_the_same():
    found = [
        f"{path.relative_to(SOURCE)}:{line}: {first!r} names something else; begin with what is documented"
        for path in sorted(SOURCE.rglob("*.py"))
        for line, first in relative(path.read_text())
    ]
    assert found == []


def test_such_a_docstring_is_found():
    text = 'class A:\n    """Items of a list."""\n\n    def b(self):\n        """Its name."""\n'
    assert list(relative(text)) == [(4, "Its name.")]
