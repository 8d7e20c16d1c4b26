"""A link from one page to another leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import kernbench
from docs.website import links
from kernbench.cli.list import SECTIONS
from kernbench.cli.main import COMMANDS

DOCS = Path(__file__).parents[2] / "docs"
SOURCE = Path(kernbench.__file__).parent
PAGES = sorted(DOCS.rglob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_every_relative_link_leads_to_a_file(page):
    assert [target for target in links(page.read_text()) if not (page.parent / target).exists()] == []


def test_the_index_reaches_every_page():
    index = DOCS / "index.md"
    reached = {index, *((DOCS / target).resolve() for target in links(index.read_text()))}
    assert [page for page in PAGES if page not in reached] == []


# -- what the installed package says: it has no pages beside it -----------------------------------------------------

TEXTS = {
    path: path.read_text()
    for path in SOURCE.rglob("*")
    if path.is_file() and path.suffix in (".py", ".yaml", ".txt", ".json")
}


def test_no_text_of_the_package_points_to_a_file_of_the_repository():
    pointer = re.compile(r"\bdocs/\S*|\b[\w-]+\.md\b|\bCONTRIBUTING\b|\bREADME\b")
    found = {str(path.relative_to(SOURCE)): pointer.findall(text) for path, text in TEXTS.items()}
    assert {name: pointers for name, pointers in found.items() if pointers} == {}


def test_every_command_that_a_text_names_is_one():
    pattern = re.compile(r"`kernbench (\w[\w-]*)(?: (\w+)`)?")
    named = {match.groups() for text in TEXTS.values() for match in pattern.finditer(text)}
    assert {command for command, _ in named} <= set(COMMANDS)
    assert {kind for command, kind in named if command == "list" and kind} <= set(SECTIONS)
