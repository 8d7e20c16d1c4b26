"""Schedules of algorithms for :mod:`kernbench.theory.max_plus`, from their definitions and not from their kernels."""

from kernbench.theory.schedules import pairs, rings, trees
from kernbench.theory.schedules.problem import MOST_IN_TCM, SCHEDULES, Problem

__all__ = ["MOST_IN_TCM", "SCHEDULES", "Problem", "pairs", "rings", "trees"]
