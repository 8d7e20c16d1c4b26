"""A file in ``ccl/algorithms`` is tested by being there: a mistake in one is an error of that one thing."""

import pkgutil

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
