"""Formulas that closed forms of collectives share: exact, each with its source. Which has which is in its own file.

The model is :class:`~kernbench.theory.ideal.IdealModel`: a directed link is busy ``beta`` per byte of a message and
delivers it ``alpha`` later, a rank has one engine that reduces a byte in ``gamma``, and that is all. Below, p are the
ranks, n the bytes of a rank's vector, c those of a part, and s the slices that a part is sent in: what one slot holds
is one message. All were checked against an event simulation in rational arithmetic that is no part of this code.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import NamedTuple

from kernbench.theory.ideal import IdealModel
from kernbench.theory.problem import Problem


class Parts(NamedTuple):
    """Even parts: their bytes, and the slices that each is sent in."""

    size_bytes: Fraction
    n_slices: int
    are_even: bool

    @property
    def slice_bytes(self) -> Fraction:
        """Bytes of an even slice."""
        return self.size_bytes / self.n_slices


def parts_of(problem: Problem, n: int = 1) -> Parts | None:
    """The elements of ``problem`` in ``n`` parts; None if they do not divide."""
    return cut(problem, problem.n_elem, n)


def cut(problem: Problem, n_elem: int, n: int) -> Parts | None:
    """``n_elem`` elements in ``n`` parts; None if they do not divide."""
    if n_elem % n:
        return None
    each = n_elem // n
    n_slices, are_even = -(-each // problem.slice_elems), each % problem.slice_elems == 0
    return Parts(Fraction(each * problem.item_bytes), n_slices, are_even or n_slices == 1)


def ring(
    problem: Problem, model: IdealModel, parts: Parts | None, p: int, *, laps: int, n_reducing: int
) -> Fraction | None:
    """A part of c goes p - 1 places on, ``laps`` times, and is reduced at ``n_reducing`` of them.

    One slice a part: ``laps (p-1) (alpha + c beta) + n_reducing c gamma``, in lock-step (Patarasuk and Yuan 2009). In s
    equal slices, all under way at once (s <= slots - 1) and a link that is never idle, ``c beta >= alpha + c/s (beta +
    gamma)`` and ``beta >= gamma``: ``laps (p-1) c beta + alpha``, and ``c/s gamma`` more if it ends with a reduction.
    Without the second condition it does not hold: the engine falls behind.
    """
    if parts is None:
        return None
    (c, s, are_even), a, b, g = parts, model.alpha, model.beta, model.gamma
    n_hops = laps * (p - 1)
    if s == 1:
        return n_hops * (a + c * b) + n_reducing * c * g
    is_last_reduced = n_reducing == n_hops
    g = g if n_reducing else Fraction(0)
    if are_even and s <= problem.slots - 1 and c * b >= a + c / s * (b + g) and b >= g:
        return n_hops * c * b + a + (c / s * g if is_last_reduced else 0)
    return None


def ring_all_reduce(problem: Problem, model: IdealModel) -> Fraction | None:
    """``2(p-1)(alpha + c beta) + (p-1) c gamma``, c = n/p, or in slices ``2(p-1) c beta + alpha``: see :func:`ring`."""
    p = problem.n_ranks
    return ring(problem, model, parts_of(problem, p), p, laps=2, n_reducing=p - 1)


def ring_blocks(problem: Problem, model: IdealModel, *, is_reducing: bool) -> Fraction | None:
    """``(p-1)(alpha + c beta)`` and, if it reduces, ``(p-1) c gamma``, c a rank's block: see :func:`ring`."""
    p = problem.n_ranks
    return ring(problem, model, parts_of(problem), p, laps=1, n_reducing=(p - 1) * is_reducing)


def extents_of(problem: Problem) -> list[int]:
    """The sides of the grid in which the layout's ``places`` lie."""
    return [1 + max(found) for found in zip(*problem.layout["places"], strict=True)]


def buckets(problem: Problem, model: IdealModel) -> Fraction | None:
    """The sum over axes, of e ranks each, of ``(e-1)(2 alpha + 2 c beta + c gamma)``, c being 1/e of the axis before's.

    Conditions: the parts divide, and each is one slice.
    """
    elems, total = problem.n_elem, Fraction(0)
    for extent in extents_of(problem):
        parts = cut(problem, elems, extent)
        if parts is None or (parts.n_slices > 1 and extent > 1):
            return None
        elems //= extent
        c = parts.size_bytes
        total += (extent - 1) * (2 * (model.alpha + c * model.beta) + c * model.gamma)
    return total


def bucket_blocks(problem: Problem, model: IdealModel, *, is_reducing: bool) -> Fraction | None:
    """Along a column of B a block at a time, along a row of A those of a whole column: the ring of each, added.

    The row has B slices a part, or B = 1. Conditions as for :func:`ring`, and a block is one slice.
    """
    n_columns, n_rows = extents_of(problem)
    block = parts_of(problem)
    if block is None or block.n_slices > 1:
        return None
    rings = [
        ring(problem, model, parts, e, laps=1, n_reducing=(e - 1) * is_reducing)
        for parts, e in ((block, n_rows), (Parts(n_rows * block.size_bytes, n_rows, True), n_columns))
        if e > 1
    ]
    return total(rings)


def total(times: Iterable[Fraction | None]) -> Fraction | None:
    """One after the other; None if one of them is not known."""
    known = list(times)
    return None if None in known else sum((time for time in known if time is not None), Fraction(0))


def chain(problem: Problem, model: IdealModel, gamma: Fraction | int) -> Fraction | None:
    """``(p-1)(alpha + c beta + c gamma) + (k-1) c beta`` in k equal slices of c: on each link they follow each other.

    Condition: ``beta >= gamma``.
    """
    slices = parts_of(problem)
    if slices is None or not slices.are_even or model.beta < gamma:
        return None
    c = slices.slice_bytes
    one = model.alpha + c * (model.beta + gamma)
    return (problem.n_ranks - 1) * one + (slices.n_slices - 1) * c * model.beta


def lock_step(problem: Problem, model: IdealModel, gamma: Fraction | int) -> Fraction | None:
    """``L (alpha + n beta + n gamma)``, L = log2 p: everything, in each of L steps.

    Conditions: p is a power of two, and all is one slice.
    """
    n_steps, n = problem.n_ranks.bit_length() - 1, problem.size_bytes
    if problem.n_ranks != 1 << n_steps or problem.n_elem > problem.slice_elems:
        return None
    return n_steps * (model.alpha + n * (model.beta + gamma))
