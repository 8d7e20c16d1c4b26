"""What collectives must come to, in numpy: by their kind, or in an algorithm's own order where that is known.

What is registered is tested by its kind. :data:`ORDERS` adds to that what rounds, for algorithms that it has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, reduce

import numpy as np

from kernbench.bench.collectives.recording import record
from kernbench.bench.collectives.row import Oracle
from kernbench.ccl.algorithm import ALGORITHMS, load_algorithms
from kernbench.ccl.communicator import Communicator
from kernbench.config.load import load_config
from kernbench.device.placement import DPPolicy
from kernbench.dtypes import as_dtype
from kernbench.machine.ideal_machine import IdealProgram
from kernbench.machine.recorder import RecordedProgram
from kernbench.simulation import Simulation, simulate
from kernbench.theory.group import Group
from kernbench.theory.ideal import IdealModel
from kernbench.theory.max_plus import Finish, Schedule, evaluate
from kernbench.theory.problem import Problem
from kernbench.topology.builder import build_graph
from kernbench.topology.ids import PeId
from kernbench.torch.context import Context

load_algorithms()
DTYPES = ("fp32", "fp16", "bf16", "int32")
Vectors = list[np.ndarray]


def sides(p: int) -> tuple[int, int]:
    """Columns and rows of ``p`` PEs: as square as can be."""
    rows = max(d for d in range(1, int(p**0.5) + 1) if p % d == 0)
    return p // rows, rows


def cube_of(p: int) -> list[str]:
    """Overrides that give `tiny` ``p`` PEs, each with a channel of its own."""
    columns, rows = sides(p)
    return [
        f"cube.pes.count={p}",
        f"cube.pes.grid=[{columns},{rows}]",
        f"cube.hbm.channels={p}",
        f"cube.hbm.capacity={p} MiB",
    ]


@cache
def machine(p: int, mode: str = "data") -> Simulation:
    """`tiny` with ``p`` PEs; one for all tests."""
    return simulate("tiny", mode=mode, overrides=cube_of(p), keep_log=False)


def group_of(p: int) -> Group:
    """``p`` PEs of a cube, as square as can be, without a machine."""
    columns, _ = sides(p)
    coords = tuple((pe % columns, pe // columns) for pe in range(p))
    return Group(coords, tuple(PeId(0, 0, pe) for pe in range(p)))


def serves(name: str, p: int) -> bool:
    """Whether the algorithm ``name`` can serve :func:`group_of` ``p``."""
    return ALGORITHMS[name].refuses(group_of(p)) is None


def world_of(name: str, p: int) -> int:
    """``p`` ranks if the algorithm ``name`` can serve them, else those of its small size."""
    return p if serves(name, p) else ALGORITHMS[name].small.n_ranks


def even(name: str, n_elem: int, p: int) -> int:
    """``n_elem``, of an all-to-all rounded up to even blocks."""
    return n_elem + -n_elem % p if ALGORITHMS[name].collective == "all_to_all" else n_elem


# -- theory -----------------------------------------------------------------------------------------------------------


def problem_of(name: str, p: int, n_elem: int, **rings: int) -> Problem:
    """In slots that hold 1024 elements of 4 B, eight in a ring, unless ``rings`` say otherwise."""
    layout = ALGORITHMS[name].layout(group_of(p))
    return Problem(
        n_ranks=p, n_elem=n_elem, layout=layout, **{"item_bytes": 4, "slice_elems": 1024, "slots": 8, **rings}
    )


@cache
def hardware(p: int):
    """``p`` PEs with room for any rings: their configuration and graph."""
    config = load_config("tiny", [*cube_of(p), "pe.tcm.size=1 MiB"])
    return config, build_graph(config.topology)


class IdealAndRecorded(RecordedProgram, IdealProgram):
    """A program of the ideal machine that is recorded too, which spends no time on it."""


def schedule_of(name: str, problem: Problem) -> Schedule:
    """That of the algorithm's kernel on fp32, as it is recorded."""
    p, slot_bytes = problem.n_ranks, problem.slice_elems * problem.item_bytes
    rings = {"slots": problem.slots, "slot_bytes": slot_bytes}
    return record(*hardware(p), range(p), name, problem.n_elem, root=problem.root, **rings).schedule


def outcome(name: str, problem: Problem, model: IdealModel) -> Finish:
    """What the recorded schedule comes to."""
    return evaluate(schedule_of(name, problem), model)


def oracle(name: str, problem: Problem, model: IdealModel) -> Oracle:
    """The closed form where it holds, else what the recorded schedule comes to."""
    closed = ALGORITHMS[name].closed_time(problem, model)
    if closed is not None:
        return Oracle(closed, "closed form")
    return Oracle(outcome(name, problem, model).time, "max-plus")


class Run:
    """One collective on fresh tensors: ``sources`` and ``results`` by rank, as they are afterwards."""

    def __init__(
        self,
        communicator: Communicator,
        name: str,
        vectors: Vectors,
        n_elem: int,
        *,
        op: str = "sum",
        root: int = 0,
        in_place: bool = False,
    ) -> None:
        torch, p = Context(communicator.device, seed=0), communicator.group.n_ranks
        out = n_out(name, n_elem, p)

        def put(array: np.ndarray, rank: int):
            policy = DPPolicy(only=communicator.pes[rank])
            return torch.from_numpy(array).to("ahbm", policy=policy)

        sources = [put(x, rank) for rank, x in enumerate(vectors)]
        untouched = [np.full(out, 99, x.dtype) for x in vectors]
        destinations = sources if in_place else [put(x, rank) for rank, x in enumerate(untouched)]
        communicator.run(name, sources, destinations, n_elem=n_elem, op=op, root=root)
        torch.synchronize()
        self.before = vectors if in_place else untouched
        self.sources = [x.numpy() for x in sources]
        self.results = [x.numpy() for x in destinations]
        for tensor in {id(x): x for x in (*sources, *destinations)}.values():
            tensor.free()


def n_in(name: str, n_elem: int, p: int) -> int:
    """Elements of a rank's source."""
    return n_elem * p if ALGORITHMS[name].collective == "reduce_scatter" else n_elem


def n_out(name: str, n_elem: int, p: int) -> int:
    """Elements of a rank's destination."""
    return n_elem * p if ALGORITHMS[name].collective == "all_gather" else n_elem


def numbers(seed: int, p: int, n: int, dtype: str, *, is_exact: bool = False) -> Vectors:
    """Small integers but 0, different on every rank: a product that overflows is infinite, and never a NaN.

    If it ``is_exact``, no reduction of them rounds, in whatever order.
    """
    values = np.random.default_rng(seed).choice([-2, -1, 1, 2, 2 if is_exact else 3], (p, n))
    return list(values.astype(as_dtype(dtype).numpy))


# -- what an op means -------------------------------------------------------------------------------------------------


FUNCTIONS = {
    "sum": np.add,  # of bools in numpy: "any"
    "avg": np.add,
    "prod": np.multiply,
    "max": np.maximum,  # keeps a NaN
    "min": np.minimum,
    "band": np.bitwise_and,
    "bor": np.bitwise_or,
    "bxor": np.bitwise_xor,
}


def combined(op: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Two vectors reduced by ``op``, rounded to their dtype."""
    function = FUNCTIONS[op]
    if a.dtype.kind in "biu":
        return function(a, b)
    with np.errstate(over="ignore"):
        return function(a.astype(np.float32), b.astype(np.float32)).astype(a.dtype)


def finished(op: str, total: np.ndarray, p: int) -> np.ndarray:
    """An average's division, at the end: rounded once, or of integers cut off."""
    if op != "avg":
        return total
    if total.dtype == np.int32:
        return (np.sign(total) * (np.abs(total.astype(np.int64)) // p)).astype(np.int32)
    return (total.astype(np.float32) / np.float32(p)).astype(total.dtype)


# -- by kind ----------------------------------------------------------------------------------------------------------


def fold(op: str, vectors: Sequence[np.ndarray]) -> np.ndarray:
    """From the left."""
    return reduce(lambda a, b: combined(op, a, b), vectors)


def to_all(op: str, total: np.ndarray, p: int) -> list[np.ndarray | None]:
    return [finished(op, total, p)] * p


def reference(name: str, group: Group, xs: Vectors, op: str, root: int) -> list[np.ndarray | None]:
    """What the algorithm leaves in every rank's destination; None: what was there."""
    if name in ORDERS:
        return ORDERS[name](group, xs, op, root)
    p, collective = len(xs), ALGORITHMS[name].collective
    blocks = [np.split(x, p) for x in xs] if collective in ("reduce_scatter", "all_to_all") else []
    nothing: list[np.ndarray | None] = [None] * p
    match collective:
        case "all_reduce":
            return to_all(op, fold(op, xs), p)
        case "reduce_scatter":
            return [finished(op, fold(op, [theirs[r] for theirs in blocks]), p) for r in range(p)]
        case "reduce":
            return at_root(op, fold(op, xs), p, root)
        case "all_gather":
            return [np.concatenate(xs)] * p
        case "all_to_all":
            return [np.concatenate([theirs[r] for theirs in blocks]) for r in range(p)]
        case "broadcast":
            return [xs[root]] * p
        case "send_recv":
            return [None, xs[0], *nothing[2:]]
    return nothing


def at_root(op: str, total: np.ndarray, p: int, root: int) -> list[np.ndarray | None]:
    """Complete on one rank."""
    found: list[np.ndarray | None] = [None] * p
    found[root] = finished(op, total, p)
    return found


# -- in which order ---------------------------------------------------------------------------------------------------

Order = Callable[[Group, Vectors, str, int], list[np.ndarray | None]]
ORDERS: dict[str, Order] = {}


def ordered(*names: str) -> Callable[[Order], Order]:
    """The function reduces in the order of the algorithms ``names``."""

    def enter(function: Order) -> Order:
        ORDERS.update(dict.fromkeys(names, function))
        return function

    return enter


def around(order: Sequence[int], xs: Vectors, op: str, shift: int = 0) -> np.ndarray:
    """Chunk c is folded round the ring, beginning at place c + ``shift``."""
    n = len(order)
    chunks = [np.array_split(xs[rank], n) for rank in order]
    return np.concatenate(
        [fold(op, [chunks[(c + shift + k) % n][c] for k in range(n)]) for c in range(n)] or [xs[0]]
    )


@ordered("ring_allreduce", "ring_sliced_allreduce")
def _ring(group, xs, op, root):
    order = ALGORITHMS["ring_allreduce"].layout(group)["order"]
    return to_all(op, around(order, xs, op), len(xs))


@ordered("ring_bidirectional_allreduce")
def _both_ways(group, xs, op, root):
    first, *others = ALGORITHMS["ring_allreduce"].layout(group)["order"]
    halves = zip(*[np.array_split(x, 2) for x in xs], strict=True)
    orders = ([first, *others], [first, *reversed(others)])
    totals = [around(order, list(half), op) for order, half in zip(orders, halves, strict=True)]
    return to_all(op, np.concatenate(totals), len(xs))


def along_axes(places: Sequence[tuple[int, ...]], xs: Vectors, op: str) -> np.ndarray:
    """Part i of an axis is folded from place i + 1 on; of the last axis, from place i on."""
    vectors = dict(zip(places, xs, strict=True))
    n = 1 + max(place[0] for place in places)
    rests = sorted({place[1:] for place in places})
    if rests == [()]:
        return around(range(n), [vectors[(k,)] for k in range(n)], op)
    parts = {place: np.array_split(x, n) for place, x in vectors.items()}
    found = []
    for i in range(n):
        rows = [fold(op, [parts[((i + 1 + k) % n, *rest)][i] for k in range(n)]) for rest in rests]
        found.append(along_axes(rests, rows, op))
    return np.concatenate(found)


def _along(name: str) -> None:
    @ordered(name)
    def buckets(group, xs, op, root):
        return to_all(op, along_axes(ALGORITHMS[name].layout(group)["places"], xs, op), len(xs))


for _name in ("mesh_allreduce", "torus_bucket_allreduce", "hierarchical_allreduce"):
    _along(_name)


def up_tree(parents: Sequence[int | None], xs: Vectors, op: str) -> np.ndarray:
    """A rank's own, then the subtrees of its children in the order of their ranks."""

    def subtree(rank: int) -> np.ndarray:
        children = [r for r, parent in enumerate(parents) if parent == rank]
        return fold(op, [xs[rank], *map(subtree, children)])

    return subtree(parents.index(None))


@ordered("tree_allreduce")
def _tree(group, xs, op, root):
    parents = ALGORITHMS["tree_allreduce"].layout(group)["parents"]
    return to_all(op, up_tree(parents, xs, op), len(xs))


@ordered("double_binary_tree_allreduce")
def _two_trees(group, xs, op, root):
    trees = ALGORITHMS["double_binary_tree_allreduce"].layout(group)["trees"]
    halves = zip(*[np.array_split(x, 2) for x in xs], strict=True)
    totals = [up_tree(parents, list(half), op) for parents, half in zip(trees, halves, strict=True)]
    return to_all(op, np.concatenate(totals), len(xs))


@ordered("recursive_doubling_allreduce")
def _doubling(group, xs, op, root):
    totals = list(xs)
    while len(totals) > 1:  # neighbours first
        totals = [combined(op, totals[i], totals[i + 1]) for i in range(0, len(totals), 2)]
    return to_all(op, totals[0], len(xs))


@ordered("halving_doubling_allreduce")
def _halving(group, xs, op, root):
    q = 1 << (len(xs).bit_length() - 1)
    totals = [combined(op, x, xs[q + r]) if q + r < len(xs) else x for r, x in enumerate(xs[:q])]
    while len(totals) > 1:  # the furthest first
        half = len(totals) // 2
        totals = [combined(op, totals[i], totals[i + half]) for i in range(half)]
    return to_all(op, totals[0], len(xs))


@ordered("ring_reduce_scatter")
def _ring_blocks(group, xs, op, root):
    p, order = len(xs), ALGORITHMS["ring_reduce_scatter"].layout(group)["order"]
    blocks = [x.reshape(p, -1) for x in xs]
    found: list[np.ndarray | None] = [None] * p
    for i, rank in enumerate(order):
        behind = [order[(i + 1 + k) % p] for k in range(p)]
        found[rank] = finished(op, fold(op, [blocks[r][rank] for r in behind]), p)
    return found


@ordered("bucket_reduce_scatter")
def _bucket_blocks(group, xs, op, root):
    p, blocks = len(xs), [x.reshape(len(xs), -1) for x in xs]
    columns, lines = (sorted(set(side)) for side in zip(*group.coords, strict=True))
    at = {place: rank for rank, place in enumerate(group.coords)}
    found: list[np.ndarray | None] = []
    for rank, (x, y) in enumerate(group.coords):
        behind, below = columns.index(x) + 1, lines.index(y) + 1
        rows = [
            fold(op, [blocks[at[column, line]][rank] for column in (*columns[behind:], *columns[:behind])])
            for line in lines
        ]
        total = fold(op, [*rows[below:], *rows[:below]])
        found.append(finished(op, total, p))
    return found


@ordered("binomial_reduce")
def _binomial(group, xs, op, root):
    p = len(xs)

    def subtree(v: int) -> np.ndarray:
        children, bit = [], 1
        while not v & bit and v + bit < p and bit < p:
            children.append(v + bit)
            bit *= 2
        return fold(op, [xs[(root + v) % p], *map(subtree, children)])

    return at_root(op, subtree(0), p, root)


@ordered("chain_reduce")
def _chain(group, xs, op, root):
    p, order = len(xs), ALGORITHMS["chain_reduce"].layout(group)["order"]
    start = order.index(root)
    vectors = [xs[order[(start + v) % p]] for v in range(p)]
    total = reduce(lambda theirs, mine: combined(op, mine, theirs), reversed(vectors))
    return at_root(op, total, p, root)
