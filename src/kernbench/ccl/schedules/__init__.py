"""Schedules of the algorithms for :mod:`kernbench.ccl.max_plus`, from their definitions and not from their kernels."""

from kernbench.ccl.schedules import pairs, rings, trees
from kernbench.ccl.schedules.problem import MOST_AHEAD, SCHEDULES, Problem

__all__ = ["MOST_AHEAD", "SCHEDULES", "Problem", "pairs", "rings", "trees"]
