"""What is installed is what users and their tools look for: public names, types, and where to find more."""

import ast
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import grimp

import kernbench as kb

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = SETTINGS["project"]


def test_dir_shows_the_public_names_and_no_other():
    assert dir(kb) == sorted(kb.__all__)
    assert [name for name in dir(kb) if not hasattr(kb, name)] == []


def test_a_type_checker_sees_every_public_name():
    """What ``__getattr__`` finds at run time stands in a block of imports that only type checkers read."""
    module = ast.parse(Path(kb.__file__).read_text())
    (block,) = (node for node in module.body if isinstance(node, ast.If))
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert {name.name for node in imports for name in node.names} | {"__version__"} == set(kb.__all__)
    assert (Path(kb.__file__).parent / "py.typed").is_file()


def test_the_wheel_says_who_made_it_and_where_more_is():
    assert PROJECT["authors"] == [{"name": "KernBench developers"}]
    assert set(PROJECT["urls"]) == {"Homepage", "Documentation", "Changes", "Issues"}
    assert all(url.startswith("https://github.com/kernbench/kernbench") for url in PROJECT["urls"].values())
    assert "Typing :: Typed" in PROJECT["classifiers"]


def test_a_page_in_the_wheels_urls_is_there():
    page = PROJECT["urls"]["Documentation"].partition("/blob/main/")[2]
    assert (ROOT / page).is_file()


def test_no_tool_passes_a_package_by():
    """pytest, ruff and git have names that they skip wherever they stand, ``dist`` and ``build`` among them."""
    tools = SETTINGS["tool"]
    ignored = (ROOT / ".gitignore").read_text().split()
    skipped = [
        *tools["pytest"]["ini_options"]["norecursedirs"],
        *tools["ruff"]["exclude"],
        *(line.rstrip("/") for line in ignored if not line.startswith("/")),
    ]
    files = [path.relative_to(ROOT) for top in ("src", "tests") for path in (ROOT / top).rglob("*.py")]
    folders = {part for file in files for part in file.parts[:-1]}
    assert [name for name in folders if any(fnmatch(name, pattern) for pattern in skipped)] == []


def test_no_file_imports_a_package_whose_own_file_imports_it():
    """The contract on circles compares the files and packages within a package, not the package's own file."""
    graph = grimp.build_graph("kernbench", cache_dir=None)
    circles = [
        " -> ".join((package, *chain))
        for package in sorted(graph.modules)
        for part in sorted(graph.find_modules_directly_imported_by(package))
        if part.startswith(f"{package}.")
        and (chain := graph.find_shortest_chain(importer=part, imported=package))
    ]
    assert circles == []


def test_each_python_that_the_package_names_has_a_wheel():
    language = "Programming Language :: Python :: 3."
    minors = [text.removeprefix(language) for text in PROJECT["classifiers"] if text.startswith(language)]
    built = SETTINGS["tool"]["cibuildwheel"]["build"]
    assert [minor for minor in minors if f"cp3{minor}-*" not in built] == []
