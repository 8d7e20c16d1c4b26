"""How Sphinx makes the site. ``docs/website.py`` prepares what it reads and calls it."""

from __future__ import annotations

import builtins
import sys
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.metadata import version as version_of
from operator import attrgetter
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from docutils.nodes import document
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.ext.napoleon import GoogleDocstring

from kernbench import errors

project = "KernBench"
copyright = "KernBench developers"
version = release = version_of("kernbench")

extensions = ["myst_parser", "autoapi.extension"]
myst_heading_anchors = 4  # links to headings, by the names that a forge gives them

autoapi_dirs = [str(Path(__file__).parents[1] / "src" / "kernbench")]
autoapi_root = "api"
autoapi_add_toctree_entry = False  # `reference/api.md` leads to it
autoapi_ignore = ["*/__main__.py", "*/cli/*"]  # the reference of the command line is a page
autoapi_options = ["members", "undoc-members", "show-inheritance"]
autoapi_member_order = "groupwise"
exclude_patterns = ["api/index.rst"]

nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!kernbench\.)\w+\..*"),  # of other packages, whose documents are not here
    ("py:.*", r"(.*\.)?_\w+"),  # private
    ("py:class", r"kernbench\.records\.named"),  # a function that marks the type of a field
    ("py:obj", r"\.\."),  # what is made of the dots of a base class `tuple[Any, ...]`
]
# Names that are made in loops or looked up when they are first used: the parser does not run the code. That none is
# missing from the site is checked when it is built.
suppress_warnings = ["autoapi.python_import_resolution"]

highlight_language = "none"  # a block without a language is a picture in characters
html_theme = "furo"
html_title = f"KernBench {release}"
html_copy_source = False
html_show_search_summary = False  # it fetches each page that it finds, which a browser refuses of files


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", leave_out_of_navigation)
    app.connect("autodoc-process-docstring", read_sections)
    app.connect("doctree-read", qualify)


def leave_out_of_navigation(_app: Sphinx, docname: str, source: list[str]) -> None:
    """`reference/api.md` leads to the API: its 250 files, on every page, would more than double the time."""
    if docname == "api/kernbench/index":
        source[0] = f":orphan:\n\n{source[0]}"


def read_sections(_app: Sphinx, _what: str, _name: str, _thing: Any, _options: Any, lines: list[str]) -> None:
    """Read ``Args:`` and ``Raises:``. Napoleon's own hook would take what is before a colon for a property's type."""
    lines[:] = GoogleDocstring(list(lines), what="function").lines()


def qualify(app: Sphinx, doctree: document) -> None:
    """Read names in docstrings and signatures as their module does; Sphinx would take any that ends alike."""
    known = shown(app)
    for node in list(doctree.findall(pending_xref)):
        if node.get("refdomain") != "py":
            continue
        node["refspecific"] = (
            False  # the name is exact: no search for others that end alike, a third of the time
        )
        module, scope, name = node.get("py:module"), node.get("py:class"), node["reftarget"]
        if f"{module}.{scope}.{name}" not in known and name not in known:
            with suppress(AttributeError):
                node["reftarget"] = _full_name(_meant(module, name), name, known)


@cache
def shown(app: Sphinx) -> frozenset[str]:
    """The full names of the API's pages; found when their pages are written, before any is read."""
    return frozenset(name for name, thing in app.env.autoapi_all_objects.items() if thing.display)


def _meant(module: str | None, name: str) -> Any:
    """What ``name`` is in ``module``; an error that it does not import may be raised by what it calls."""
    if name.startswith("kernbench."):
        return resolve_name(name)
    for place in (import_module(module or "kernbench"), errors):
        with suppress(AttributeError):
            return attrgetter(name)(place)
    return attrgetter(name)(builtins)


def _full_name(meant: Any, name: str, known: frozenset[str]) -> str:
    """Under which name the object ``meant``, in its module ``name``, is on the site; else where it is from."""
    defined = f"{getattr(meant, '__module__', None)}.{getattr(meant, '__qualname__', None)}"
    if defined in known:
        return defined
    last = name.rpartition(".")[2]
    for home in sorted(module for module in sys.modules if module.startswith("kernbench.")):
        if f"{home}.{last}" in known and vars(sys.modules[home]).get(last) is meant:
            return f"{home}.{last}"
    return name if defined.startswith(("kernbench.", "None.")) else defined
