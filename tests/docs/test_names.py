"""Files, modules and members that the documents name exist: in the tree, or made by the page that names them."""

from __future__ import annotations

import inspect
import pkgutil
import re
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

import kernbench
from docs import generate

ROOT = Path(__file__).parents[2]
CODE = ROOT / "src" / "kernbench"
PRESETS = CODE / "config" / "presets"
PAGES = [
    page for page in generate.PAGES if "adr" not in page.parts
]  # a decision names what there was on its day
FILE = re.compile(r"[\w./-]+\.(?:py|md|yaml|toml)|(?:[\w-]+/)+|(?:src|docs|tests|perf|changes)/[\w./-]+")
MODULE = re.compile(r"kernbench(?:\.\w+)+")
MEMBER = re.compile(r"([A-Z]\w*)\.(\w+)(?:\(\))?")
NO_MODULE = {"kernbench.plugins": "a group of entry points"}


def spans(page):
    """What stands in backquotes, but for blocks, texts of links, and names of the brief beside ours."""
    text = re.sub(r"^```.*?^```$|\[[^\]]*\]\([^)]*\)", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    text, _, brief = text.partition("\n## The brief's names and ours\n")
    ours = re.findall(r"^\|[^|]*\|(.*)\|$", brief, re.MULTILINE)
    return re.findall(r"`([^`\n]+)`", "\n".join([text, *ours]))


def made_by(page):
    """Files that a page makes, by its blocks and by its commands."""
    return set(re.findall(r"(?: file=|^wrote |/)([\w.-]+)$", page.read_text(), re.MULTILINE))


def is_there(name, page):
    """Whether ``name`` is a file or a folder seen from the repository, the package, the presets or the page."""
    return any((folder / name).exists() for folder in (ROOT, CODE, PRESETS, page.parent))


@cache
def classes():
    """All classes of the package by name."""
    found = {}
    for module in pkgutil.walk_packages(kernbench.__path__, "kernbench."):
        if module.name == "kernbench.__main__" or ".templates" in module.name:
            continue
        for name, thing in inspect.getmembers(import_module(module.name), inspect.isclass):
            if thing.__module__.startswith("kernbench."):
                found.setdefault(name, set()).add(thing)
    return found


def has(owner, member):
    """Whether some class ``owner`` has ``member``, as an attribute or declared for its instances."""
    return any(
        hasattr(kind, member) or any(member in vars(base).get("__annotations__", ()) for base in kind.__mro__)
        for kind in classes()[owner]
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_is_there(page):
    made = made_by(page)
    missing = [
        name for name in spans(page) if FILE.fullmatch(name) and name not in made and not is_there(name, page)
    ]
    for name in spans(page):
        if MODULE.fullmatch(name) and name not in NO_MODULE:
            pkgutil.resolve_name(name)
        if (match := MEMBER.fullmatch(name)) and match[1] in classes() and not has(*match.groups()):
            missing.append(name)
    assert missing == []


def test_members_are_found_in_one_load():
    page = ROOT / "docs" / "explanation" / "one-load.md"
    named = [match[1] for name in spans(page) if (match := MEMBER.fullmatch(name))]
    assert len(named) > 10
    assert [name for name in named if name not in classes()] == []


def test_a_name_of_nothing_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "`lang/nothing.py` and `lang/tl.py`, `here.py`, `GB/s`, [`there.py`](x)\n```python file=here.py\n```\n"
    )
    named = [name for name in spans(page) if FILE.fullmatch(name)]
    assert named == ["lang/nothing.py", "lang/tl.py", "here.py"]
    assert [name for name in named if not is_there(name, page)] == ["lang/nothing.py", "here.py"]
    assert made_by(page) == {"here.py"}
