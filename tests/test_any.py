"""What units, engine, machine and device ask of each other is typed; where it cannot be, a comment says why."""

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src/kernbench"
TYPED = ("engine", "components", "machine", "device")
MOST = 30


def untyped(text):
    """The lines of ``text`` that say ``Any``, and whether a comment there, or right above, says why."""
    lines = text.splitlines()
    for number in sorted(
        {node.lineno for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name) and node.id == "Any"}
    ):
        above = lines[number - 2].strip() if number > 1 else ""
        yield number, "# Any: " in lines[number - 1] or above.startswith("# Any: ")


def test_few_things_are_any_and_each_has_a_reason():
    found = {
        f"{path.relative_to(SOURCE)}:{number}": has_reason
        for folder in TYPED
        for path in sorted((SOURCE / folder).rglob("*.py"))
        for number, has_reason in untyped(path.read_text())
    }
    assert [place for place, has_reason in found.items() if not has_reason] == []
    assert len(found) <= MOST


def test_an_any_without_a_reason_is_found():
    text = "x: Any  # Any: a number or a text\n# Any: so\ndef f() -> Any: ...\ny: list[Any] = []\n"
    assert list(untyped(text)) == [(1, True), (3, True), (4, False)]
