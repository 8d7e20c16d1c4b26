"""Every algorithm gives its own order's result to the bit, on every rank, and sends exactly what it claims."""

from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernbench.bench.collectives.inputs import REDUCING
from kernbench.ccl.algorithm import ALGORITHMS, BITWISE, OPS, require_served
from kernbench.ccl.communicator import Communicator
from kernbench.ccl.orders import double_parents, level_places, mesh_places, ring_order, torus_places
from kernbench.dtypes import as_dtype
from kernbench.errors import UsageError
from kernbench.lang import jit, tl
from kernbench.machine.data_queues import DataQueues
from kernbench.simulation import simulate
from kernbench.theory.group import Group
from kernbench.topology.ids import PeId
from tests.ccl.collective_kit import (
    DTYPES,
    ORDERS,
    Run,
    even,
    machine,
    n_in,
    n_out,
    numbers,
    reference,
    serves,
    world_of,
)

pytestmark = pytest.mark.usefixtures("rare_garbage")
WORLDS = range(1, 18)
SIZES = (0, 1, 3, 64, 1000)
MIXES = list(product(DTYPES, OPS))
SAME_ON_ALL = ("all_reduce", "all_gather", "broadcast")
NAMES = [name for name in ALGORITHMS if ALGORITHMS[name].collective != "barrier"]
BARRIERS = [name for name in ALGORITHMS if ALGORITHMS[name].collective == "barrier"]
ORDERED = [name for name in NAMES if name in ORDERS]


@pytest.fixture
def sent(monkeypatch):
    """Elements of all sends, as they are issued."""
    counted = []
    send = DataQueues.send

    def counting(self, command):
        counted.append(command.operands[0].n_elem)
        send(self, command)

    monkeypatch.setattr(DataQueues, "send", counting)
    return counted


def is_served(name, group, n_elem=0):
    if ALGORITHMS[name].refuses(group):
        return False
    return ALGORITHMS[name].collective != "all_to_all" or n_elem % group.n_ranks == 0


def check(communicator, name, n_elem, dtype, op, *, root=0, in_place=False, vectors=None, seed=0):
    p = communicator.group.n_ranks
    xs = vectors or numbers(seed, p, n_in(name, n_elem, p), dtype, is_exact=name not in ORDERS)
    run = Run(communicator, name, xs, n_elem, op=op, root=root, in_place=in_place)
    expected = reference(name, communicator.group, xs, op, root)
    for rank, (wanted, result) in enumerate(zip(expected, run.results, strict=True)):
        wanted = run.before[rank] if wanted is None else wanted
        assert result.dtype == wanted.dtype
        assert result.tobytes() == wanted.tobytes(), (name, p, n_elem, dtype, op, root, in_place, rank)
    if not in_place:
        assert [x.tobytes() for x in run.sources] == [x.tobytes() for x in xs]
    if ALGORITHMS[name].collective in SAME_ON_ALL:
        assert len({x.tobytes() for x in run.results}) == 1
    return run


def mixes(name, world, size, all_mixes):
    """Dtypes and ops to try with the ``world``-th number of ranks and the ``size``-th size.

    Without ``--all-mixes`` it is one: over the sizes, each op and each dtype, for where messages are cut depends on
    what an element measures. What reduces nothing is tried with every dtype, but not with every op.
    """
    is_reducing = ALGORITHMS[name].collective in REDUCING
    if all_mixes:
        return MIXES if is_reducing else [(dtype, "sum") for dtype in DTYPES]
    return [(DTYPES[(world + size) % len(DTYPES)], OPS[(size + world // len(DTYPES)) % len(OPS)])]


def worlds_of(name):
    """Those that the algorithm ``name`` can serve."""
    return [p for p in WORLDS if serves(name, p)]


@pytest.mark.parametrize(("name", "p"), [(name, p) for name in NAMES for p in worlds_of(name)])
def test_every_rank_has_the_result_of_the_algorithms_own_order(name, p, sent, all_mixes):
    communicator = Communicator(machine(p).device, range(p))
    world = worlds_of(name).index(p)
    for size, n_elem in enumerate(SIZES):
        n_elem = even(name, n_elem, p)
        for i, (dtype, op) in enumerate(mixes(name, world, size, all_mixes)):
            turn = world + size + i
            in_place = turn % 2 == 1 and n_in(name, n_elem, p) == n_out(name, n_elem, p)
            sent.clear()
            check(communicator, name, n_elem, dtype, op, root=turn % p, in_place=in_place, seed=turn)
            assert sum(sent) == ALGORITHMS[name].elems_sent(p, n_elem)
    communicator.remove()


@pytest.mark.parametrize("name", NAMES)
def test_every_op_and_dtype_is_tried_in_every_world_and_all_mixes_in_four(name):
    tried = [
        {mix for size in range(len(SIZES)) for mix in mixes(name, world, size, all_mixes=False)}
        for world in range(len(worlds_of(name)))
    ]
    for mixed in tried:
        assert {op for _, op in mixed} == set(OPS)
        assert {dtype for dtype, _ in mixed} == set(DTYPES)
    for first in range(0, len(tried) - 3, 4):
        assert set().union(*tried[first : first + 4]) == set(MIXES)


@jit
def come_and_look(come_ptr, seen_ptr, BARRIER: tl.constexpr, P: tl.constexpr):
    """Each rank says that it has come, and behind the barrier looks who has."""
    tl.store(come_ptr + tl.rank(), 1)
    BARRIER(None, None)
    tl.store(seen_ptr + tl.rank() * P, tl.load(come_ptr, shape=(P,)))


@pytest.mark.parametrize("mode", ["data", "timed"])
@pytest.mark.parametrize(("name", "p"), [(name, p) for name in BARRIERS for p in WORLDS if serves(name, p)])
def test_behind_a_barrier_everybody_sees_that_everybody_has_come(name, p, mode):
    torch, barrier = machine(p, mode).torch, ALGORITHMS[name]
    communicator = Communicator(torch.ahbm, range(p))
    come, seen = torch.zeros(p, dtype="int32"), torch.zeros(p, p, dtype="int32")
    wiring = communicator.install(name)
    torch.launch(come_and_look, (p,), (come, seen, barrier.kernel, p), queues=wiring)
    torch.synchronize()
    assert (seen.numpy() == 1).all()
    communicator.remove()


P, N = 8, 640
BUSIEST_RANK = {"double_binary_tree_allreduce": 2 * N, "tree_allreduce": 3 * N}


def busiest(name, monkeypatch, key):
    counted = {}
    send = DataQueues.send

    def counting(self, command):
        end = key(command.queue)
        counted[end] = counted.get(end, 0) + command.operands[0].n_elem
        send(self, command)

    monkeypatch.setattr(DataQueues, "send", counting)
    communicator = Communicator(machine(P).device, range(P))
    check(communicator, name, N, "fp32", "sum")
    communicator.remove()
    return max(counted.values())


@pytest.mark.parametrize("name", BUSIEST_RANK)
def test_two_trees_share_the_load_of_a_rank(name, monkeypatch):
    assert busiest(name, monkeypatch, lambda queue: queue.rank) == BUSIEST_RANK[name]


@pytest.mark.parametrize("name", ORDERED)
def test_random_floats_are_rounded_in_the_algorithms_own_order(name):
    p, n_elem = 8, 40
    communicator = Communicator(machine(p).device, range(p))
    random = np.random.default_rng(1)
    for dtype, op in product(("fp32", "fp16", "bf16"), ("sum", "avg", "prod")):
        values = random.normal(size=(p, n_in(name, n_elem, p))).astype(as_dtype(dtype).numpy)
        check(communicator, name, n_elem, dtype, op, vectors=list(values))
    communicator.remove()


REDUCING_NAMES = [name for name in NAMES if ALGORITHMS[name].collective in REDUCING]


@pytest.mark.parametrize("op", ["max", "min"])
@pytest.mark.parametrize("name", ORDERED)
def test_a_nan_is_kept_and_zeros_of_both_signs_and_nans_are_the_same_on_all_ranks(name, op):
    p = 8
    values = np.random.default_rng(2).choice([0.0, -0.0, 1.0, np.nan], (p, 48), p=[0.3, 0.3, 0.3, 0.1])
    vectors = list(values.astype(np.float32))
    communicator = Communicator(machine(p).device, range(p))
    run = check(communicator, name, 48 // p if n_in(name, 1, p) == p else 48, "fp32", op, vectors=vectors)
    assert np.isnan(np.concatenate(run.results)).any()
    if ALGORITHMS[name].collective == "all_reduce":
        assert [np.isnan(x).tolist() for x in run.results] == [np.isnan(values).any(axis=0).tolist()] * p
        assert len({x.tobytes() for x in run.results}) == 1
    communicator.remove()


@pytest.mark.parametrize(
    ("dtype", "op"),
    [*product(("int1",), ("sum", "prod", "max", "min", *BITWISE)), *product(("int32", "uint8"), BITWISE)],
)
@pytest.mark.parametrize("name", REDUCING_NAMES)
def test_bools_are_reduced_as_truths_and_integers_bit_by_bit(name, dtype, op):
    p, n_elem = world_of(name, 3), 7
    bits = np.random.default_rng(5).integers(0, 256, (p, n_in(name, n_elem, p)))
    vectors = list((bits % 2 if dtype == "int1" else bits * 0x0102_0301).astype(as_dtype(dtype).numpy))
    communicator = Communicator(machine(p).device, range(p))
    check(communicator, name, n_elem, dtype, op, vectors=vectors)
    communicator.remove()


@settings(deadline=None, max_examples=150)
@given(
    name=st.sampled_from(NAMES),
    p=st.sampled_from([1, 2, 3, 4, 6, 8, 9]),
    n_elem=st.integers(0, 60),
    slots=st.integers(1, 7),
    slot_bytes=st.sampled_from([4, 10, 16, 64]),
    kind=st.sampled_from(["tcm", "sram", "hbm"]),
    batch=st.integers(1, 7),
    dtype=st.sampled_from(DTYPES),
    op=st.sampled_from(OPS),
    in_place=st.booleans(),
)
def test_rings_of_any_depth_and_kind_do(name, p, n_elem, slots, slot_bytes, kind, batch, dtype, op, in_place):
    rings = {"slots": slots, "slot_bytes": slot_bytes, "buffer_kind": kind, "credit_batch": min(batch, slots)}
    communicator = Communicator(machine(p).device, range(p), **rings)
    if is_served(name, communicator.group, n_elem):
        in_place = in_place and ALGORITHMS[name].collective not in ("reduce_scatter", "all_gather")
        for _ in range(2):  # the second begins where the first left the rings
            check(communicator, name, n_elem, dtype, op, root=n_elem % p, in_place=in_place)
    communicator.remove()


# -- groups -----------------------------------------------------------------------------------------------------------

FOUR_CUBES = Path(__file__).parents[1] / "laws" / "two_by_two.yaml"  # 2 SIPs of 2 cubes of 4 PEs
GROUPS = {
    "all": range(16),
    "any order": (9, 4, 14, 3, 0, 12, 7, 1, 15, 2, 8, 5, 11, 6, 13, 10),
    "two PEs of each cube": (0, 1, 4, 5, 8, 9, 12, 13),
    "one PE of each cube": (2, 6, 10, 14),
    "one cube": (4, 5, 6, 7),
    "two SIPs": (0, 8),
}


@pytest.mark.parametrize("pes", GROUPS)
@pytest.mark.parametrize("name", NAMES)
def test_groups_of_any_pes_in_any_order(name, pes):
    communicator = Communicator(simulate(FOUR_CUBES, mode="data").device, GROUPS[pes])
    if is_served(name, communicator.group):
        check(communicator, name, 48, "fp32", "sum", root=1)


def group(*coords, pes=None):
    return Group(coords, tuple(pes or [PeId(0, 0, i) for i in range(len(coords))]))


ROW = group((0, 0), (1, 0), (2, 0))
CORNER = group((0, 0), (1, 0), (0, 1))
GAP = group((0, 0), (2, 0))
RAGGED = group((0, 0), (1, 0), (2, 0), pes=[PeId(0, 0, 0), PeId(0, 0, 1), PeId(0, 1, 0)])
RAGGED_SIPS = group((0, 0), (1, 0), (2, 0), pes=[PeId(0, 0, 0), PeId(0, 1, 0), PeId(1, 0, 0)])
REFUSED = [
    ("recursive_doubling_allreduce", ROW, "needs a power of two"),
    ("mesh_allreduce", CORNER, "the ranks do not fill a rectangle"),
    ("mesh_allreduce", GAP, "the ranks do not fill a rectangle"),
    ("bucket_all_gather", CORNER, "the ranks do not fill a rectangle"),
    ("bucket_reduce_scatter", CORNER, "the ranks do not fill a rectangle"),
    ("torus_bucket_allreduce", ROW, "the ranks do not fill a rectangle with sides of 2 or more"),
    ("torus_bucket_allreduce", CORNER, "the ranks do not fill a rectangle with sides of 2 or more"),
    (
        "hierarchical_allreduce",
        RAGGED,
        "sip0.cube0 has 2 ranks and sip0.cube1 has 1; every cube needs as many",
    ),
    ("hierarchical_allreduce", RAGGED_SIPS, "sip0 has 2 cubes and sip1 has 1; every SIP needs as many"),
    ("hello_send", group((0, 0)), "there is nobody to send to"),
]


@pytest.mark.parametrize(("name", "ranks", "reason"), REFUSED)
def test_a_group_that_it_cannot_serve_is_refused_with_the_reason(name, ranks, reason):
    with pytest.raises(UsageError) as raised:
        require_served(name, ranks)
    served = f"{ranks.n_ranks} rank" + "s" * (ranks.n_ranks != 1)
    assert str(raised.value).startswith(f"{name} cannot serve {served}: {reason}; of ")


def test_a_refusal_names_those_that_can():
    with pytest.raises(UsageError, match=r"; of send_recv, none can$"):
        require_served("hello_send", group((0, 0)))
    with pytest.raises(UsageError, match=r"; of reduce_scatter, ring_reduce_scatter can$"):
        require_served("bucket_reduce_scatter", CORNER)


def test_what_no_algorithm_can_do_is_refused_before_it_begins():
    torch = machine(4).torch
    vectors = numbers(0, 4, 6, "fp32")
    with pytest.raises(UsageError) as raised:
        Run(Communicator(torch.ahbm, range(4)), "pairwise_all_to_all", vectors, 6)
    assert str(raised.value) == "6 elements are no even blocks for 4 ranks; give a multiple of 4 elements"
    with pytest.raises(UsageError) as raised:
        Run(Communicator(torch.ahbm, range(4), slot_bytes=2), "ring_allreduce", vectors, 6)
    assert str(raised.value) == "ring_allreduce: a slot of 2 B holds no element of 4 B"
    with pytest.raises(UsageError) as raised:
        Run(Communicator(torch.ahbm, range(4), slots=2, credit_batch=3), "ring_allreduce", vectors, 6)
    assert str(raised.value) == (
        "ring_allreduce: 2 slots cannot fill a batch of 3 credits; give credit_batch 2 or less"
    )


# -- orders -----------------------------------------------------------------------------------------------------------


def rectangle(a, b, *, left=3, top=1):
    return group(*[(left + x, top + y) for y in range(b) for x in range(a)])


def distance(ranks, a, b):
    return sum(abs(x - y) for x, y in zip(ranks.coords[a], ranks.coords[b], strict=True))


@pytest.mark.parametrize(("a", "b"), list(product(range(1, 6), range(1, 6))))
def test_a_ring_has_all_ranks_and_is_a_cycle_of_neighbours_where_there_is_one(a, b):
    ranks = rectangle(a, b)
    order = ring_order(ranks)
    assert sorted(order) == list(range(a * b))
    assert all(distance(ranks, x, y) == 1 for x, y in pairwise(order))
    if min(a, b) > 1 and a * b % 2 == 0:
        assert distance(ranks, order[0], order[-1]) == 1


@pytest.mark.parametrize("topology", ["default", FOUR_CUBES])
@pytest.mark.parametrize("n_left_out", [0, 1])
def test_a_ring_over_two_sips_leaves_each_once(topology, n_left_out):
    torch = simulate(topology, mode="data").torch
    ranks = Communicator(torch.ahbm, range(len(torch.ahbm.machine.pes) - n_left_out)).group
    ring = ring_order(ranks)
    assert sorted(ring) == list(range(ranks.n_ranks))
    sips = [ranks.pes[rank].sip for rank in ring]
    assert sum(a != b for a, b in pairwise([*sips, sips[0]])) == 2


@pytest.mark.parametrize(("a", "b"), [(1, 1), (5, 1), (6, 4), (4, 3)])
def test_a_mesh_is_folded_and_a_torus_is_not(a, b):
    ranks = rectangle(a, b)
    assert torus_places(ranks) == tuple((r % a, r // a) for r in range(a * b))
    at = {place: rank for rank, place in enumerate(mesh_places(ranks))}
    assert sorted(at) == sorted(product(range(a), range(b)))
    assert all(distance(ranks, at[i, j], at[(i + 1) % a, j]) <= 2 for i, j in at)
    assert all(distance(ranks, at[i, j], at[i, (j + 1) % b]) <= 2 for i, j in at)


def test_levels_are_pes_cubes_and_sips():
    communicator = Communicator(simulate(FOUR_CUBES, mode="data").device, range(16))
    places = level_places(communicator.group)
    assert sorted(places) == sorted(product(range(4), range(2), range(2)))
    for pe, place in zip(communicator.group.pes, places, strict=True):
        assert place[1:] == (pe.cube, pe.sip)


@pytest.mark.parametrize("n", range(1, 40))
def test_two_trees_have_all_ranks_and_who_has_children_in_one_is_a_leaf_in_the_other(n):
    trees = double_parents(rectangle(n, 1))
    for parents in trees:
        assert len(parents) == n
        assert all(parents.count(rank) <= 2 for rank in range(n))
        for rank in range(n):
            hops = 0
            while parents[rank] is not None:
                rank, hops = parents[rank], hops + 1
            assert hops <= n.bit_length()
    assert sum(rank in trees[0] and rank in trees[1] for rank in range(n)) <= n % 2
