"""What a collective takes by theory: closed forms, exact, each with its source; and the general oracle behind them.

The model is :class:`~kernbench.theory.ideal.IdealModel`: a directed link is busy ``beta`` per byte of a
message and delivers it ``alpha`` later, a rank has one engine that reduces a byte in ``gamma``, and that is all.
Below, p are the ranks, n the bytes of a rank's vector, c those of a part, and s the slices that a part is sent in:
what one slot holds is one message. Section 6 is that of a study of collectives that preceded this code, which checked
its forms against an event simulation in rational arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Literal, NamedTuple, TypeAlias

from kernbench.theory.ideal import IdealModel
from kernbench.theory.max_plus import Finish, evaluate
from kernbench.theory.schedules import MOST_IN_TCM, SCHEDULES, Problem

Form: TypeAlias = Callable[[Problem, IdealModel], Fraction | None]
FORMS: dict[str, Form] = {}


class Oracle(NamedTuple):
    """A time in ps, and what says so."""

    time: Fraction
    source: Literal["closed form", "max-plus"]


def form(*names: str, is_crossbar: bool = False) -> Callable[[Form], Form]:
    """Decorator: the function is the closed form of the algorithms ``names``; None where it does not hold.

    It is for one egress port a rank, or for a link to each peer, as ``is_crossbar`` says, and for ways that are all
    alike. One rank, or no element, has nothing to do in any.
    """

    def enter(closed: Form) -> Form:
        def checked(problem: Problem, model: IdealModel) -> Fraction | None:
            if model.is_crossbar != is_crossbar or model.ways:
                return None
            is_nothing = problem.n_ranks == 1 or (problem.n_elem == 0 and closed is not dissemination_barrier)
            return Fraction(0) if is_nothing else closed(problem, model)

        FORMS.update(dict.fromkeys(names, checked))
        return closed

    return enter


def closed_form(name: str, problem: Problem, model: IdealModel) -> Fraction | None:
    """What the algorithm ``name`` takes, in ps; None where no closed form holds."""
    return FORMS[name](problem, model) if name in FORMS else None


def outcome(name: str, problem: Problem, model: IdealModel) -> Finish | None:
    """What the schedule of the algorithm ``name`` comes to; None without a schedule."""
    return evaluate(SCHEDULES[name](problem), model) if name in SCHEDULES else None


def oracle(name: str, problem: Problem, model: IdealModel) -> Oracle | None:
    """The closed form if one holds, else what the schedule comes to; None for an algorithm that has neither."""
    closed = closed_form(name, problem, model)
    if closed is not None:
        return Oracle(closed, "closed form")
    found = outcome(name, problem, model)
    return None if found is None else Oracle(found.time, "max-plus")


class Parts(NamedTuple):
    """Even parts: their bytes, and the slices that each is sent in."""

    size_bytes: Fraction
    n_slices: int
    are_even: bool


def parts_of(problem: Problem, n_elem: int, n: int) -> Parts | None:
    """``n_elem`` elements in ``n`` parts; None if they do not divide."""
    if n_elem % n:
        return None
    each = n_elem // n
    n_slices, are_even = -(-each // problem.slice_elems), each % problem.slice_elems == 0
    return Parts(Fraction(each * problem.item_bytes), n_slices, are_even or n_slices == 1)


# -- rings ----------------------------------------------------------------------------------------------------


def ring(
    problem: Problem, model: IdealModel, parts: Parts, p: int, *, laps: int, n_reducing: int
) -> Fraction | None:
    """A part of c goes p - 1 places on, ``laps`` times, and is reduced at ``n_reducing`` of them.

    One slice a part: ``laps (p-1) (alpha + c beta) + n_reducing c gamma``, in lock-step (Patarasuk and Yuan 2009). In s
    equal slices, all under way at once (s <= slots - 1) and a link that is never idle, ``c beta >= alpha + c/s (beta +
    gamma)`` and ``beta >= gamma``: ``laps (p-1) c beta + alpha``, and ``c/s gamma`` more if it ends with a reduction.
    Section 6 gives this without the second condition, and it does not hold without: the engine falls behind.
    """
    (c, s, are_even), a, b, g = parts, model.alpha, model.beta, model.gamma
    n_hops = laps * (p - 1)
    if s == 1:
        return n_hops * (a + c * b) + n_reducing * c * g
    is_last_reduced = n_reducing == n_hops
    g = g if n_reducing else Fraction(0)
    if are_even and s <= problem.slots - 1 and c * b >= a + c / s * (b + g) and b >= g:
        return n_hops * c * b + a + (c / s * g if is_last_reduced else 0)
    return None


@form("ring_allreduce")
def ring_allreduce(problem: Problem, model: IdealModel) -> Fraction | None:
    """``2(p-1)(alpha + c beta) + (p-1) c gamma``, or in slices ``2(p-1) c beta + alpha``, c = n/p: see :func:`ring`."""
    p = problem.n_ranks
    parts = parts_of(problem, problem.n_elem, p)
    return parts and ring(problem, model, parts, p, laps=2, n_reducing=p - 1)


@form("ring_sliced_allreduce")
def ring_sliced_allreduce(problem: Problem, model: IdealModel) -> Fraction | None:
    """As the ring, where all slices fit its first window of ``slots // 2 - 1``, or no second one fits the ring."""
    parts = parts_of(problem, problem.n_elem, problem.n_ranks)
    width = problem.slots // 2 - 1
    return ring_allreduce(problem, model) if parts and (width < 1 or parts.n_slices <= width) else None


@form("ring_reduce_scatter")
def ring_reduce_scatter(problem: Problem, model: IdealModel) -> Fraction | None:
    """``(p-1)(alpha + c beta + c gamma)``, or in slices ``(p-1) c beta + alpha + c/s gamma``, c a rank's block."""
    p = problem.n_ranks
    parts = parts_of(problem, problem.n_elem, 1)
    return parts and ring(problem, model, parts, p, laps=1, n_reducing=p - 1)


@form("ring_all_gather")
def ring_all_gather(problem: Problem, model: IdealModel) -> Fraction | None:
    """``(p-1)(alpha + c beta)``, or in slices ``(p-1) c beta + alpha``, c a rank's block (section 6, derived)."""
    parts = parts_of(problem, problem.n_elem, 1)
    return parts and ring(problem, model, parts, problem.n_ranks, laps=1, n_reducing=0)


@form("ring_bidirectional_allreduce")
def ring_bidirectional_allreduce(problem: Problem, model: IdealModel) -> Fraction | None:
    """``2(p-1)(alpha + c beta) + p c gamma``, c = n/2p: the halves share an engine, one stays behind by one part.

    Section 6. Conditions: 2p divides n, and a part is one slice. The half that waits does so once: from then on its
    parts come when the engine is free, if a part's way takes as long as its reduction, ``alpha + c beta >= c gamma``.
    """
    p, a, b, g = problem.n_ranks, model.alpha, model.beta, model.gamma
    parts = parts_of(problem, problem.n_elem, 2 * p)
    if not parts or parts.n_slices > 1 or a + parts.size_bytes * (b - g) < 0:
        return None
    return 2 * (p - 1) * (a + parts.size_bytes * b) + p * parts.size_bytes * g


@form("torus_bucket_allreduce", "mesh_allreduce", "hierarchical_allreduce")
def bucket_allreduce(problem: Problem, model: IdealModel) -> Fraction | None:
    """The sum over axes, of e ranks each, of ``(e-1)(2 alpha + 2 c beta + c gamma)``, c being 1/e of the axis before's.

    Section 6: the torus bucket with one part, and the hierarchical reduce-scatter, all-reduce, all-gather; there
    without gamma. Conditions: the parts divide, and each is one slice.
    """
    extents = [1 + max(found) for found in zip(*problem.layout["places"], strict=True)]
    elems, total = problem.n_elem, Fraction(0)
    for extent in extents:
        parts = parts_of(problem, elems, extent)
        if parts is None or (parts.n_slices > 1 and extent > 1):
            return None
        elems //= extent
        c = parts.size_bytes
        total += (extent - 1) * (2 * (model.alpha + c * model.beta) + c * model.gamma)
    return total


@form("bucket_all_gather")
def bucket_all_gather(problem: Problem, model: IdealModel) -> Fraction | None:
    """Along a column of B, then along a row of A with the blocks of a column: the ring all-gather of each.

    The second has B slices a part, or B = 1. Conditions as for :func:`ring`, and a block is one slice.
    """
    n_columns, n_rows = (1 + max(found) for found in zip(*problem.layout["places"], strict=True))
    block = parts_of(problem, problem.n_elem, 1)
    if block is None or block.n_slices > 1:
        return None
    columns = Parts(n_rows * block.size_bytes, n_rows, True)
    rings = [
        ring(problem, model, parts, extent, laps=1, n_reducing=0)
        for parts, extent in ((block, n_rows), (columns, n_columns))
        if extent > 1
    ]
    return None if None in rings else sum((found for found in rings if found is not None), Fraction(0))


# -- trees ----------------------------------------------------------------------------------------------------


@form("tree_allreduce")
def tree_allreduce(problem: Problem, model: IdealModel) -> Fraction | None:
    """``d (2 alpha + 2 c beta + 2 c gamma) + (k-1) c beta`` for depth d and k equal slices of c.

    Section 6. Conditions: a link for each edge, ``beta >= 2 gamma``, two children everywhere but at the leaves, which
    are all at depth d, and no more slices than turns between up and down, so that nothing waits for what comes down.
    Who has parent and children passes nothing down before its last slice from below is there, and then one slice each
    ``c beta``: below the root that is no later than the last one comes down if ``(k-1) c beta <= 2 (alpha + c beta +
    2 c gamma)``.
    """
    a, b, g = model.alpha, model.beta, model.gamma
    slices, depth = parts_of(problem, problem.n_elem, 1), (problem.n_ranks + 1).bit_length() - 2
    is_full, n_turns = problem.n_ranks + 1 == 2 << depth, 2 * problem.turns_ahead
    if slices is None or not slices.are_even or not is_full or b < 2 * g or slices.n_slices > n_turns:
        return None
    c = slices.size_bytes / slices.n_slices
    behind_the_first = (slices.n_slices - 1) * c * b
    if depth > 1 and behind_the_first > 2 * (a + c * b + 2 * c * g):
        return None
    return depth * (2 * a + 2 * c * b + 2 * c * g) + behind_the_first


@form("chain_broadcast")
def chain_broadcast(problem: Problem, model: IdealModel) -> Fraction | None:
    """``(p-1)(alpha + c beta) + (k-1) c beta`` in k equal slices of c: on each link they follow each other."""
    return _chain(problem, model, gamma=Fraction(0))


@form("chain_reduce")
def chain_reduce(problem: Problem, model: IdealModel) -> Fraction | None:
    """``(p-1)(alpha + c beta + c gamma) + (k-1) c beta`` in k equal slices of c, if ``beta >= gamma``.

    Section 6: half of the chain all-reduce.
    """
    return None if model.beta < model.gamma else _chain(problem, model, gamma=model.gamma)


def _chain(problem: Problem, model: IdealModel, *, gamma: Fraction) -> Fraction | None:
    slices = parts_of(problem, problem.n_elem, 1)
    if slices is None or not slices.are_even:
        return None
    c = slices.size_bytes / slices.n_slices
    one = model.alpha + c * (model.beta + gamma)
    return (problem.n_ranks - 1) * one + (slices.n_slices - 1) * c * model.beta


@form("binomial_broadcast", is_crossbar=True)
def binomial_broadcast(problem: Problem, model: IdealModel) -> Fraction | None:
    """``L (alpha + n beta)``, L = log2 p: place v has it after as many messages and waits at ports as v has bits set.

    Table 2.2, one half. Conditions: p a power of two, one slice.
    """
    return _lock_step(problem, model, Fraction(0))


@form("binomial_reduce", is_crossbar=True)
def binomial_reduce(problem: Problem, model: IdealModel) -> Fraction | None:
    """``L (alpha + n beta + n gamma)``, L = log2 p. Table 2.2, the other half, under the same conditions."""
    return _lock_step(problem, model, model.gamma)


def _lock_step(problem: Problem, model: IdealModel, gamma: Fraction) -> Fraction | None:
    n_steps, n = problem.n_ranks.bit_length() - 1, problem.size_bytes
    if problem.n_ranks != 1 << n_steps or problem.n_elem > problem.slice_elems:
        return None
    return n_steps * (model.alpha + n * (model.beta + gamma))


# -- ranks that are a power of two apart -----------------------------------------------------------------------


@form("recursive_doubling_allreduce", is_crossbar=True)
def recursive_doubling_allreduce(problem: Problem, model: IdealModel) -> Fraction | None:
    """``L (alpha + n beta + n gamma)``, L = log2 p. Section 6; p a power of two, one slice."""
    return _lock_step(problem, model, model.gamma)


@form("halving_doubling_allreduce", is_crossbar=True)
def halving_doubling_allreduce(problem: Problem, model: IdealModel) -> Fraction | None:
    """``2 L alpha + 2 n (p-1)/p beta + n (p-1)/p gamma``, L = log2 p. Section 6.

    Conditions: p is a power of two and divides the elements, and half the vector is one slice.
    """
    n_steps, p = problem.n_ranks.bit_length() - 1, problem.n_ranks
    if p != 1 << n_steps or problem.n_elem % p or problem.n_elem > 2 * problem.slice_elems:
        return None
    most = Fraction(problem.size_bytes * (p - 1), p)
    return 2 * n_steps * model.alpha + most * (2 * model.beta + model.gamma)


@form("pairwise_all_to_all", is_crossbar=True)
def pairwise_all_to_all(problem: Problem, model: IdealModel) -> Fraction | None:
    """``alpha + n (p-1)/p beta``: the one port is never idle (section 6, sends that do not wait).

    Conditions: all slices of all blocks may be sent before the first is received; or p is even, a block is one slice
    or equal ones, and those that may be sent ahead keep the port busy for the first one's way.
    """
    p, ahead = problem.n_ranks, min(problem.slots, MOST_IN_TCM)
    blocks = parts_of(problem, problem.n_elem, p)
    assert blocks is not None  # n_elem is p blocks
    c = blocks.size_bytes / blocks.n_slices
    is_busy = p % 2 == 0 and blocks.are_even and (ahead - 1) * c * model.beta >= model.alpha
    if blocks.n_slices * (p - 1) > ahead and not is_busy:
        return None
    return model.alpha + (p - 1) * blocks.size_bytes * model.beta


@form("dissemination_barrier", is_crossbar=True)
def dissemination_barrier(problem: Problem, model: IdealModel) -> Fraction | None:
    """``ceil(log2 p) alpha``. Section 6; Hensgen, Finkel and Manber 1988."""
    return (problem.n_ranks - 1).bit_length() * model.alpha


@form("hello_send")
def hello_send(problem: Problem, model: IdealModel) -> Fraction | None:
    """``n beta + alpha``: one message behind the other on one link."""
    return problem.size_bytes * model.beta + model.alpha
