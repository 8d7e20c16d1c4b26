"""Every decision record keeps to the form of ADR-0001, and what it says watches it exists."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECORDS = sorted((ROOT / "docs" / "adr").glob("*.md"))
SECTIONS = ["Question", "What matters", "Options", "Decision", "Consequences", "How we know it holds"]
STATUS = re.compile(r"proposed|accepted|rejected|superseded by ADR-\d{4}")
REFERENCE = re.compile(r"`((?:tests|perf|src|docs)/[^`\s]*|pyproject\.toml)`")


def sections(text: str) -> dict[str, str]:
    parts = re.split(r"^## (.*)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def is_watching(path: Path) -> bool:
    """A file that is there, or a folder with a test in it."""
    return path.is_file() or any(path.rglob("*.py"))


def contracts() -> set[str]:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return {contract["name"] for contract in config["tool"]["importlinter"]["contracts"]}


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_has_the_form_of_adr_0001(path):
    text = path.read_text()
    front, title = re.match(r"---\n(.*?)\n---\n# (.*)\n", text, flags=re.DOTALL).groups()
    fields = dict(line.split(": ", 1) for line in front.splitlines())
    assert STATUS.fullmatch(fields["status"])
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", fields["date"])
    assert title.startswith(f"{path.name[:4]}. ")
    assert list(sections(text)) == SECTIONS
    assert len(text.splitlines()) <= 60


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_gives_real_options_and_what_the_decision_costs(path):
    parts = sections(path.read_text())
    assert len(re.findall(r"^\d\. ", parts["Options"], flags=re.MULTILINE)) >= 2
    assert "\n- Bad: " in parts["Consequences"]


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_what_watches_a_decision_exists(path):
    watch = sections(path.read_text())["How we know it holds"]
    named = REFERENCE.findall(watch)
    quoted = set(re.findall(r'"([A-Z][^"]{5,})"', " ".join(watch.split()))) & contracts()
    assert named or quoted
    assert [name for name in named if not is_watching(ROOT / name)] == []


def test_numbers_are_used_once():
    numbers = [path.name[:4] for path in RECORDS]
    assert len(numbers) == len(set(numbers))


def test_the_index_lists_every_record():
    index = (ROOT / "docs" / "index.md").read_text()
    for path in RECORDS:
        number, title = re.search(r"^# (\d{4})\. (.*)$", path.read_text(), flags=re.MULTILINE).groups()
        assert f"- [{number}: {title}](adr/{path.name})" in index
