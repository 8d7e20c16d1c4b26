"""A link from one page to another leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(DOCS.rglob("*.md"))


def links(page: Path) -> list[str]:
    """Relative targets of ``[text](target)``, code left out."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    return re.findall(r"\]\((?!https?:)([^)#]+)", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_every_relative_link_leads_to_a_file(page):
    assert [target for target in links(page) if not (page.parent / target).exists()] == []


def test_the_index_reaches_every_page():
    index = DOCS / "index.md"
    reached = {index, *((DOCS / target).resolve() for target in links(index))}
    assert [page for page in PAGES if page not in reached] == []
