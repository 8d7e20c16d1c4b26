"""Schedules of algorithms for :mod:`kernbench.theory.max_plus`, from their definitions and not from their kernels."""

from kernbench.theory.schedules import pairs, rings, trees
from kernbench.theory.schedules.problem import MOST_AHEAD, SCHEDULES, Problem

__all__ = ["MOST_AHEAD", "SCHEDULES", "Problem", "pairs", "rings", "trees"]
