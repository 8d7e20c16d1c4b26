"""Makes the site: the pages as a forge shows them, and the API from docstrings, as HTML that needs no network.

    .venv-docs/bin/python -m docs.website build/site

The pages stay plain Markdown. What Sphinx needs besides follows from them: the navigation from the lists of
``docs/index.md``, the way from a page to its twin in the other language from the names of the files, and from a link
to a file of the repository where it leads on the site.
"""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
CODE = ROOT / "src" / "kernbench"

FIRST = ("README.md", "CONTRIBUTING.md")
API = "reference/api.md"
# The pages of `docs/names.py`: the file whose names each has, and under which words a user finds them.
NAMES = {
    "reference/kb.rst": (CODE / "__init__.py", ("kb",)),
    "reference/tl.rst": (CODE / "lang" / "tl.py", ("tl",)),
    "reference/torch.rst": (
        CODE / "torch" / "context.py",
        ("torch", "torch.Tensor", "torch.distributed", "torch.multiprocessing", "torch.ahbm"),
    ),
}
NO_API = ("cli", "__main__.py")  # as in conf.py

_CODE_OR_LINK = re.compile(
    r"^```.*?^```$|`[^`\n]*`|(?<=\]\()(?!https?:|#)([^)#\s]+)", re.MULTILINE | re.DOTALL
)
_SECTION = re.compile(r"^## ([^:\n]*).*$", re.MULTILINE)
_TITLE = re.compile(r"^# .*\n", re.MULTILINE)
_KEYS = re.compile(r"^<!-- table: configuration-\w+ -->\n.*?^<!-- end -->$", re.MULTILINE | re.DOTALL)
_KEY = re.compile(r"^\| `([\w.]+)` \|", re.MULTILINE)
_FROM_OUTSIDE = re.compile(
    r"<(?:script|img|iframe)[^>]*\bsrc=\"(?:https?:)?//|<link[^>]*\brel=\"(?:stylesheet|preload|icon)\"[^>]*"
    r"\bhref=\"(?:https?:)?//|@import[^;]*//|url\([\"']?(?:https?:)?//"
)


def files() -> dict[str, Path]:
    """The file of each page, by the place of the page on the site."""
    first = {name: ROOT / name for name in FIRST}
    return first | {path.relative_to(DOCS).as_posix(): path for path in sorted(DOCS.rglob("*.md"))}


def links(text: str) -> list[str]:
    """Relative targets of ``[text](target)``, code left out."""
    return [match[1] for match in _CODE_OR_LINK.finditer(text) if match[1]]


# -- navigation -----------------------------------------------------------------------------------------------------


def navigation() -> dict[str, list[str]]:
    """The pages under each heading: those that the sections of the index list, in their order."""
    _, *parts = _SECTION.split((DOCS / "index.md").read_text(encoding="utf-8"))
    sections = zip(parts[::2], parts[1::2], strict=True)
    return {"KernBench": [*FIRST]} | {title: links(text) for title, text in sections}


def toctree(names: list[str], caption: str = "") -> str:
    """The directive that puts ``names`` into the navigation, and nothing onto the page."""
    heading = [f":caption: {caption}"] if caption else []
    return "\n".join(
        ["", "```{toctree}", ":hidden:", *heading, "", *(f"/{name}" for name in names), "```", ""]
    )


# -- languages ------------------------------------------------------------------------------------------------------


def twins() -> dict[str, tuple[str, str]]:
    """For each page that there is in two languages: the other one's name for itself, and its page.

    Korean is ``ko/NAME.md`` beside ``NAME.md``, or ``NAME.md`` beside ``NAME.en.md``.
    """
    found = {}
    for name in files():
        path = PurePosixPath(name)
        if path.parent.name == "ko":
            english, korean = (path.parent.parent / path.name).as_posix(), name
        elif name.endswith(".en.md"):
            english, korean = name, name.removesuffix(".en.md") + ".md"
        else:
            continue
        found |= {english: ("한국어", korean), korean: ("English", english)}
    return found


# -- what Sphinx reads ----------------------------------------------------------------------------------------------


def page(name: str) -> str:
    """The page ``name`` as Sphinx reads it."""
    file = files()[name]
    text = _CODE_OR_LINK.sub(
        lambda match: place(file, match[1]) if match[1] else match[0], file.read_text(encoding="utf-8")
    )
    if name in twins():
        language, other = twins()[name]
        text = _TITLE.sub(lambda match: f"{match[0]}\n[{language}](/{other})\n", text, count=1)
    if name.startswith(
        "adr/"
    ):  # their headings, copied for the sidebar of every page, took a tenth of the time
        text = text.replace("---\n", "---\ntocdepth: 1\n", 1)
    text = _KEYS.sub(_indexed, text)
    if name == "index.md":
        text += "".join(toctree(names, caption) for caption, names in navigation().items())
    if name == API:
        text += toctree([*NAMES])
    return text


def _indexed(table: re.Match[str]) -> str:
    """A table of keys, with entries of the index by which searching for a key finds it."""
    return f"```{{index}} {', '.join(_KEY.findall(table[0]))}\n```\n\n{table[0]}"


def place(file: Path, link: str) -> str:
    """Where the relative ``link`` of ``file`` leads on the site: a page, the API of a source file, or the repository.

    Raises:
        FileNotFoundError: there is no such file.
    """
    path = (file.parent / link).resolve(strict=True)
    pages = {known: name for name, known in files().items()} | {
        known: name for name, (known, _) in NAMES.items()
    }
    if path in pages:
        return f"/{pages[path]}"
    if path.suffix == ".svg":
        return link
    if path.is_relative_to(CODE) and path.relative_to(CODE).parts[:1] not in [(part,) for part in NO_API]:
        module = path.parent if path.name == "__init__.py" else path.with_suffix("")
        return f"/api/{module.relative_to(CODE.parent).as_posix()}/index.rst"
    return f"{_repository()}/{path.relative_to(ROOT).as_posix()}"


def _repository() -> str:
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    return f"{urls['Homepage']}/blob/main"


def write(folder: Path) -> None:
    """Write what Sphinx reads."""
    from docs import names  # needs the package, which the tests of the functions above do not

    shutil.rmtree(folder, ignore_errors=True)
    texts = {name: page(name) for name in files()}
    texts |= {name: names.page(*wheres) for name, (_, wheres) in NAMES.items()}
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    for picture in DOCS.rglob("*.svg"):
        shutil.copyfile(picture, folder / picture.relative_to(DOCS))


# -- what is checked ------------------------------------------------------------------------------------------------


def missing(site: Path) -> list[str]:
    """Public names that the site does not have."""
    from docs import names

    lines = zlib.decompress((site / "objects.inv").read_bytes().split(b"\n", 4)[4]).decode().splitlines()
    there = {line.split()[0] for line in lines}
    return [name for name in names.promised() if name not in there]


def from_outside(site: Path) -> Iterator[str]:
    """Scripts, styles, fonts and pictures that the site loads from elsewhere."""
    for file in sorted(site.rglob("*")):
        if file.suffix in (".html", ".css"):
            for found in _FROM_OUTSIDE.findall(file.read_text(encoding="utf-8")):
                yield f"{file.relative_to(site)}: {found}"


def searches_without_network(site: Path) -> bool:
    """Whether the search takes its index from a script: a page that is opened as a file may fetch nothing."""
    text = (site / "search.html").read_text(encoding="utf-8")
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    return bool(re.search(r'<script [^>]*src="searchindex\.js', text)) and index.startswith(
        "Search.setIndex("
    )


def main(site: Path) -> int:
    """Make and check the site; the exit code."""
    from sphinx.cmd.build import build_main

    sources = site.with_name(f"{site.name}-sources")
    shutil.rmtree(site, ignore_errors=True)
    write(sources)
    strict = ["--fail-on-warning", "--keep-going", "--quiet"]
    places = [f"--doctree-dir={sources / '.doctrees'}", f"--conf-dir={DOCS}", str(sources), str(site)]
    code = build_main([*strict, *places])
    faults = [f"not on the site: {name}" for name in missing(site)]
    faults += [f"from outside: {found}" for found in from_outside(site)]
    faults += [] if searches_without_network(site) else ["the search fetches its index"]
    sys.stderr.writelines(f"{fault}\n" for fault in faults)
    return code or bool(faults)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
