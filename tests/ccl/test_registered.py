"""A file in ``ccl/algorithms`` is tested by being there: a mistake in one is an error of that one thing."""

import pkgutil
from pathlib import Path

import pytest

from kernbench.ccl import algorithms
from kernbench.ccl.algorithm import load_algorithms
from kernbench.theory.group import COLLECTIVES
from tests.ccl.collective_kit import problem_of, serves

FILES = [module.name for module in pkgutil.iter_modules(algorithms.__path__)]


@pytest.mark.parametrize("name", FILES)
def test_a_file_registers_an_algorithm_of_its_name_which_serves_its_small_size(name):
    algorithm = load_algorithms()[name]  # or what to write in the file
    assert algorithm.kernel.__module__ == f"{algorithms.__name__}.{name}"
    assert serves(name, algorithm.small.n_ranks)
    assert problem_of(name, *algorithm.small).n_elem <= problem_of(name, *algorithm.small).slice_elems


def test_every_collective_has_an_algorithm():
    assert {load_algorithms()[name].collective for name in FILES} == set(COLLECTIVES)


ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "kernbench" / "ccl"


@pytest.mark.parametrize("guide", ["ccl-author-guide.md", "ccl-author-guide.en.md"])
def test_the_guide_names_every_file_that_an_author_reads(guide):
    """All of the package, of the algorithms those to begin with; half a day is enough for them."""
    text = (ROOT / "docs" / guide).read_text()
    files = [path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"]
    others = [path for path in files if path.parent.name != "algorithms"]
    assert [path.name for path in others if f"`{path.relative_to(PACKAGE.parent)}`" not in text] == []
    assert sum(path.read_text().count("\n") for path in files) < 2700
