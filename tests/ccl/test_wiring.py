"""Who is joined to whom, what the rings are like, where they lie, and what installing them costs."""

import re

import numpy as np
import pytest

from kernbench.ccl.wiring import QueuePair, install_queues, ring_of, wire
from kernbench.config.ccl import CclAlgorithmSpec, CclDefaultsSpec
from kernbench.config.load import load_config
from kernbench.errors import CapacityError, DeadlockError, UsageError
from kernbench.lang import jit, tl
from kernbench.messages.ipcq import RingSpec
from kernbench.simulation import simulate
from kernbench.topology.builder import build_graph
from kernbench.topology.levels import coords_of, grid_extents

pytestmark = pytest.mark.filterwarnings("ignore::kernbench.errors.UninitialisedWarning")
MODES = pytest.mark.parametrize("mode", ["data", "timed"])
RING = RingSpec(slots=2, slot_bytes=512, kind="tcm", backpressure="sleep", credit_batch=1)
RING_OF_RANKS = QueuePair("next", "prev", lambda rank, n: (rank + 1) % n)


class Shape:
    """A machine's spec and PEs, without the machine."""

    def __init__(self, topology, *overrides):
        self.spec = load_config(topology, overrides).topology
        self.pes = build_graph(self.spec).pes

    def wire(self, *queues, **options):
        return wire(self.spec, self.pes, RING, queues, **options)

    def site(self, wiring, coords):
        """The site at ``coords``."""
        (found,) = [site for site in wiring.sites.values() if site.coords == coords]
        return found


@pytest.fixture(scope="module")
def default():
    return Shape("default")


@pytest.fixture(scope="module")
def tiny():
    return Shape("tiny")


def peers(wiring):
    """``{(rank, name): (peer's rank, peer's name)}``."""
    return {
        (end.rank, name): (end.peer.rank, end.peer.name)
        for site in wiring.sites.values()
        for name, end in site.ends.items()
    }


def mutual(wiring):
    """Whether each end is the peer of its peer, at its own PE."""
    return all(
        end.peer.peer is end and end.name == name and end.pe == pe == wiring.pes[end.rank]
        for pe, site in wiring.sites.items()
        for name, end in site.ends.items()
    )


# -- the grid ---------------------------------------------------------------------------------------------


def test_the_grid_of_all_pes_is_the_product_of_its_levels(default):
    """2 x 1 SIPs of 2 x 2 cubes of 4 x 4 PEs."""
    assert grid_extents(default.spec) == (16, 8)
    places = [coords_of(default.spec, pe) for pe in default.pes]
    assert sorted(places) == [(x, y) for x in range(16) for y in range(8)]


@pytest.mark.parametrize(
    ("pe", "coords"),
    [(0, (0, 0)), (3, (3, 0)), (4, (0, 1)), (16, (4, 0)), (32, (0, 4)), (64, (8, 0)), (127, (15, 7))],
)
def test_pes_lie_row_by_row_in_their_cube_cubes_in_their_sip_and_sips_side_by_side(default, pe, coords):
    assert coords_of(default.spec, default.pes[pe]) == coords
    assert default.wire().sites[pe].coords == coords


def test_each_e_is_matched_by_the_w_beside_it_across_cubes_and_sips(default):
    wiring = default.wire()
    columns, rows = grid_extents(default.spec)
    assert mutual(wiring)
    for site in wiring.sites.values():
        x, y = site.coords
        steps = {"N": (x, y - 1), "S": (x, y + 1), "E": (x + 1, y), "W": (x - 1, y)}
        inside = {name: (i, j) for name, (i, j) in steps.items() if 0 <= i < columns and 0 <= j < rows}
        assert {name: wiring.sites[end.peer.pe].coords for name, end in site.ends.items()} == inside
        assert all(
            end.peer.name == {"N": "S", "S": "N", "E": "W", "W": "E"}[name] for name, end in site.ends.items()
        )
    n_ends = sum(len(site.ends) for site in wiring.sites.values())
    assert n_ends == 2 * (15 * 8 + 16 * 7)


def test_a_torus_has_four_neighbours_everywhere():
    torus = Shape("default", "neighbours.wrap=true")
    wiring = torus.wire()
    assert mutual(wiring)
    assert {len(site.ends) for site in wiring.sites.values()} == {4}
    corner = torus.site(wiring, (0, 0))
    assert {name: wiring.sites[end.peer.pe].coords for name, end in corner.ends.items()} == {
        "N": (0, 7),
        "S": (0, 1),
        "E": (1, 0),
        "W": (15, 0),
    }


def test_on_a_torus_two_wide_e_and_w_are_two_queues_to_one_peer():
    """They are matched by what they are, not by whom they lead to."""
    wiring = Shape("tiny", "neighbours.wrap=true").wire()
    assert mutual(wiring)
    ends = wiring.sites[0].ends
    assert (ends["E"].peer.pe, ends["W"].peer.pe) == (1, 1)
    assert (ends["N"].peer.pe, ends["S"].peer.pe) == (2, 2)
    assert ends["E"].peer is wiring.sites[1].ends["W"]
    assert ends["W"].peer is wiring.sites[1].ends["E"]
    assert ends["E"].peer is not ends["W"].peer


def test_on_a_torus_one_wide_nobody_is_their_own_neighbour():
    column = Shape("tiny", "cube.pes={count: 4, grid: [1, 4]}", "neighbours.wrap=true")
    wiring = column.wire()
    assert mutual(wiring)
    assert peers(wiring) == {
        **{(rank, "S"): ((rank + 1) % 4, "N") for rank in range(4)},
        **{(rank, "N"): ((rank - 1) % 4, "S") for rank in range(4)},
    }


def test_of_a_subset_of_pes_those_side_by_side_are_joined(default):
    """Ranks are in the order that is given; (1, 0) is missing between (0, 0) and (2, 0)."""
    wiring = default.wire(pes=[7, 0, 2, 3, 4])
    assert wiring.pes == (7, 0, 2, 3, 4)
    assert [wiring.sites[pe].rank for pe in wiring.pes] == [0, 1, 2, 3, 4]
    assert peers(wiring) == {
        (2, "E"): (3, "W"),
        (3, "W"): (2, "E"),
        (3, "S"): (0, "N"),
        (0, "N"): (3, "S"),
        (1, "S"): (4, "N"),
        (4, "N"): (1, "S"),
    }


def test_a_subset_of_a_torus_wraps_where_both_edges_are_in_it():
    wiring = Shape("default", "neighbours.wrap=true").wire(pes=[0, 83])
    assert [wiring.sites[pe].coords for pe in wiring.pes] == [(0, 0), (15, 0)]
    assert peers(wiring) == {(0, "W"): (1, "E"), (1, "E"): (0, "W")}


@pytest.mark.parametrize(
    ("directions", "names"),
    [(("E", "W"), {"E", "W"}), (("S", "N"), {"N", "S"}), ((), set())],
)
def test_only_directions_asked_for_are_installed(default, directions, names):
    wiring = default.wire(directions=directions)
    assert {name for site in wiring.sites.values() for name in site.ends} == names


def test_a_machine_may_have_fewer_directions():
    line = Shape("tiny", 'pe.ipcq.directions=["E", "W"]')
    assert peers(line.wire()) == {
        (0, "E"): (1, "W"),
        (1, "W"): (0, "E"),
        (2, "E"): (3, "W"),
        (3, "W"): (2, "E"),
    }


# -- declared queues --------------------------------------------------------------------------------------


def test_one_line_joins_a_ring_of_ranks(tiny):
    wiring = tiny.wire(RING_OF_RANKS, pes=[3, 1, 0], directions=())
    assert mutual(wiring)
    assert peers(wiring) == {
        **{(rank, "next"): ((rank + 1) % 3, "prev") for rank in range(3)},
        **{(rank, "prev"): ((rank - 1) % 3, "next") for rank in range(3)},
    }


def test_in_a_ring_of_two_next_and_prev_are_two_queues_to_one_peer(tiny):
    wiring = tiny.wire(RING_OF_RANKS, pes=[0, 1], directions=())
    assert mutual(wiring)
    assert peers(wiring) == {
        (0, "next"): (1, "prev"),
        (1, "prev"): (0, "next"),
        (1, "next"): (0, "prev"),
        (0, "prev"): (1, "next"),
    }


def test_a_hypercube_may_be_declared_from_both_ends(default):
    cube = [QueuePair(f"d{i}", f"d{i}", lambda rank, n, bit=1 << i: rank ^ bit) for i in range(4)]
    wiring = default.wire(*cube, pes=range(16), directions=())
    assert mutual(wiring)
    assert peers(wiring) == {
        (rank, f"d{i}"): (rank ^ (1 << i), f"d{i}") for rank in range(16) for i in range(4)
    }


def test_a_tree_declared_downwards_and_upwards_is_one_tree(default):
    down = [
        QueuePair(f"child{i}", "parent", lambda r, n, i=i: 2 * r + i + 1 if 2 * r + i + 1 < n else None)
        for i in (0, 1)
    ]
    up = [
        QueuePair("parent", f"child{i}", lambda r, n, i=i: (r - 1) // 2 if r and (r - 1) % 2 == i else None)
        for i in (0, 1)
    ]
    expected = {(r, "parent"): ((r - 1) // 2, f"child{(r - 1) % 2}") for r in range(1, 11)}
    expected |= {peer: end for end, peer in expected.items()}
    for queues in (down, up, down + up):
        wiring = default.wire(*queues, pes=range(11), directions=())
        assert mutual(wiring)
        assert peers(wiring) == expected


def test_declared_queues_are_beside_those_of_the_grid(tiny):
    ends = tiny.wire(RING_OF_RANKS).sites[0].ends
    assert list(ends) == ["E", "S", "next", "prev"]


def one(name, peer_name, at, peer):
    """A queue at one rank only."""
    return QueuePair(name, peer_name, lambda rank, n: peer if rank == at else None)


@pytest.mark.parametrize(
    ("queues", "options", "text"),
    [
        ([], {"pes": []}, "pes names no PE; name those that are to have queues"),
        ([], {"pes": [0, 4]}, "rank 1 is PE 4, and PEs are 0..3; name one of them"),
        ([], {"pes": [-1]}, "rank 0 is PE -1, and PEs are 0..3; name one of them"),
        ([], {"pes": ["0"]}, "rank 0 is PE '0', and PEs are 0..3; name one of them"),
        ([], {"pes": [1.0]}, "rank 0 is PE 1.0, and PEs are 0..3; name one of them"),
        ([], {"pes": [0, 1, 2, 1]}, "PE 1 has two ranks; list each PE once"),
        (
            [],
            {"directions": ("S", "N", "E")},
            "direction 'E' is joined to 'W' of the next PE; give both, or none",
        ),
        ([], {"directions": ("W", "E", "up")}, "there is no direction 'up'; the machine has N, S, E, W"),
        ([one("E", "back", 0, 1)], {}, "'E' and 'back': N, S, E and W are the grid's"),
        ([one("out", "N", 0, 1)], {"directions": ()}, "'out' and 'N': N, S, E and W are the grid's"),
        ([one("a", "b", 2, 4)], {}, "queue 'a' of rank 2 leads to rank 4 of 4"),
        ([one("a", "b", 2, -1)], {}, "queue 'a' of rank 2 leads to rank -1 of 4"),
        ([one("a", "b", 1, 1)], {}, "queue 'a' of rank 1 leads to its own rank; give None there"),
        ([one("a", "a", 1, 1)], {}, "queue 'a' of rank 1 leads to its own rank; give None there"),
        ([RING_OF_RANKS], {"pes": [3]}, "queue 'next' of rank 0 leads to its own rank; give None there"),
        (
            [one("a", "b", 0, 1), one("a", "c", 0, 2)],
            {},
            "queue 'a' of rank 0 is joined to queue 'b' of rank 1 and to queue 'c' of rank 2; a queue has one peer: "
            "declare one more queue",
        ),
        (
            [one("a", "b", 0, 2), one("c", "b", 1, 2)],
            {},
            "queue 'b' of rank 2 is joined to queue 'a' of rank 0 and to queue 'c' of rank 1; a queue has one peer: "
            "declare one more queue",
        ),
        (
            [QueuePair("next", "next", lambda r, n: (r + 1) % n)],
            {},
            "queue 'next' of rank 1 is joined to queue 'next' of rank 0 and to queue 'next' of rank 2; a queue has one "
            "peer: declare one more queue",
        ),
    ],
)
def test_a_wiring_that_cannot_be_is_refused(tiny, queues, options, text):
    with pytest.raises(UsageError, match=f"^{re.escape('install_queues: ' + text)}$"):
        tiny.wire(*queues, **options)


def test_what_is_no_queue_or_leads_to_no_rank_is_refused(tiny):
    def wrong_peer(peer):
        with pytest.raises(UsageError) as error:
            tiny.wire(one("a", "b", 2, peer))
        return re.sub(r":\d+: ", ":N: ", str(error.value), count=1)

    called = "test_wiring.py:N: install_queues: QueuePair('a', 'b').peer(2, 4) gives"
    for peer in (1.0, "x", True, [], 10**30):
        assert wrong_peer(peer) == f"{called} {peer!r}; it must give the rank at the other end, or None"
    for pair, error in (
        (
            5,
            "5 is no QueuePair; give a list of them, as in [QueuePair('next', 'prev', lambda r, n: (r + 1) % n)]",
        ),
        (
            QueuePair("a", None, 5),
            "QueuePair('a', None, 5) is not two names and a function that gives the peer's rank",
        ),
    ):
        with pytest.raises(UsageError, match=f"^{re.escape('install_queues: ' + error)}$"):
            tiny.wire(pair)


def test_a_direction_the_machine_has_not_is_named_with_those_it_has():
    line = Shape("tiny", 'pe.ipcq.directions=["E", "W"]')
    text = "install_queues: there is no direction 'N'; the machine has E, W"
    with pytest.raises(UsageError, match=f"^{re.escape(text)}$"):
        line.wire(directions=("N", "S"))


# -- what the rings are like ------------------------------------------------------------------------------


def layered(spec, *, given=None, settings=None, defaults=None, first=0):
    ccl = {"backpressure": "sleep", "credit_batch": 1, **(defaults or {})}
    settings = None if settings is None else CclAlgorithmSpec(module="m", **settings)
    return ring_of(spec, CclDefaultsSpec(**ccl), settings, given or {}, first)


def test_rings_are_the_machines_unless_somebody_says_otherwise(tiny):
    assert layered(tiny.spec) == RingSpec(2, 512, "tcm", "sleep", 1, 0)


def test_the_call_goes_before_the_algorithm_before_the_defaults_before_the_machine(tiny):
    """Each layer says one thing less than the one below it."""
    defaults = {
        "buffer_kind": "sram",
        "slots": 3,
        "slot_size": 300,
        "backpressure": "poll",
        "credit_batch": 2,
    }
    settings = {"buffer_kind": "hbm", "slots": 4, "slot_size": 400, "backpressure": "sleep"}
    given = {"kind": "tcm", "slots": 5, "slot_bytes": 500}
    assert layered(tiny.spec, defaults=defaults) == RingSpec(3, 300, "sram", "poll", 2)
    assert layered(tiny.spec, defaults=defaults, settings=settings) == RingSpec(4, 400, "hbm", "sleep", 2)
    assert layered(tiny.spec, defaults=defaults, settings=settings, given=given) == RingSpec(
        5, 500, "tcm", "sleep", 2
    )
    assert layered(tiny.spec, settings=settings, given={"slots": 5}, first=7) == RingSpec(
        5, 400, "hbm", "sleep", 1, 7
    )


@MODES
def test_install_queues_reads_the_configuration(mode):
    torch = simulate(
        "tiny", mode=mode, overrides=["ccl.defaults.slots=3", "ccl.defaults.backpressure=poll"]
    ).torch
    assert install_queues(torch).ring == RingSpec(3, 512, "tcm", "poll", 1)
    one_slot = install_queues(
        torch, slots=1, slot_bytes=np.int64(64), buffer_kind="sram", credit_batch=1, first=9
    )
    assert one_slot.ring == RingSpec(1, 64, "sram", "poll", 1, 9)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"slots": 0}, "slots=0; give 1 or more"),
        ({"slots": 1.5}, "slots=1.5; give 1 or more"),
        ({"slots": True}, "slots=True; give 1 or more"),
        ({"slot_bytes": -4}, "slot_bytes=-4; give 1 or more"),
        ({"slot_bytes": "4 KiB"}, "slot_bytes='4 KiB'; give 1 or more"),
        ({"credit_batch": 0}, "credit_batch=0; give 1 or more"),
        ({"first": -1}, "first=-1; give 0 or more"),
        ({"buffer_kind": "hmb"}, "unknown buffer_kind 'hmb'; did you mean 'hbm'? (known: hbm, sram, tcm)"),
        ({"backpressure": "spin"}, "unknown backpressure 'spin'; (known: poll, sleep)"),
    ],
)
def test_rings_that_cannot_be_are_refused(options, text):
    torch = simulate("tiny", mode="data").torch
    with pytest.raises(UsageError, match=f"^{re.escape('install_queues: ' + text)}$"):
        install_queues(torch, **options)
    assert torch.ahbm.wirings == []


# -- where they lie ---------------------------------------------------------------------------------------


@jit
def load_kernel(x_ptr, n: tl.constexpr):
    """One block of ``n`` bytes in TCM."""
    tl.load(x_ptr, shape=(n,))


def capacity_error(torch, size_bytes):
    """What a kernel with a block of ``size_bytes`` says; None if it fits."""
    x = torch.empty(size_bytes, dtype="int8")
    try:
        torch.launch(load_kernel, (1,), (x,), {"n": size_bytes}, place=[0])
        torch.synchronize()
    except CapacityError as error:
        return str(error).partition(": ")[2].partition("; live")[0]
    return None


@MODES
def test_a_ring_in_tcm_takes_its_bytes_from_kernels(mode):
    """PE 0 of ``tiny`` has E and S: 2 x 2 x 512 of its 65536 bytes."""
    room = 65536 - 2048

    def torch():
        torch = simulate("tiny", mode=mode, strict=False).torch
        install_queues(torch)
        return torch

    assert capacity_error(torch(), room) is None
    assert (
        capacity_error(torch(), 2 * room)
        == f"int8[{2 * room}] needs 124 KiB of TCM, and 62 KiB of 62 KiB are free"
    )
    assert capacity_error(torch(), room + 1) is not None
    removed = torch()
    removed.ahbm.remove_queues(removed.ahbm.wirings[0])
    assert capacity_error(removed, 65536) is None


@MODES
@pytest.mark.parametrize("kind", ["sram", "hbm"])
def test_a_ring_in_memory_takes_no_tcm(mode, kind):
    torch = simulate("tiny", mode=mode, strict=False).torch
    install_queues(torch, buffer_kind=kind)
    assert capacity_error(torch, 65536) is None


def free_bytes(torch):
    """What is free, by memory; of those that were ever used."""
    return {memory.where: memory.free_bytes for memory in torch.ahbm.heap.memories()}


@MODES
def test_rings_that_do_not_fit_the_tcm_are_refused_with_their_sum(mode):
    """Of 64 KiB, 2 ends of 8 KiB are taken: 48 KiB are left, and 2 x 2 x 12 KiB just fit."""
    torch = simulate("tiny", mode=mode).torch
    first = install_queues(torch, slots=2, slot_bytes=4096)
    text = (
        "sip0.cube0.pe0: its queues need 2 x 2 slots x 16 KiB = 64 KiB of TCM, and 48 KiB are left; use fewer or "
        "smaller slots, or a ring in sram or hbm (ccl.yaml)"
    )
    with pytest.raises(CapacityError, match=f"^{re.escape(text)}$"):
        install_queues(torch, slots=2, slot_bytes=16384)
    one_ring = {"queues": [one("a", "b", 0, 1)], "pes": [0, 1], "directions": (), "slots": 1}
    with pytest.raises(CapacityError):
        install_queues(torch, **one_ring, slot_bytes=(48 << 10) + 1)
    assert torch.ahbm.wirings == [first]
    torch.ahbm.remove_queues(install_queues(torch, **one_ring, slot_bytes=48 << 10))
    torch.ahbm.remove_queues(install_queues(torch, slots=2, slot_bytes=12 << 10))
    assert [torch.ahbm.machine.tcm_left_bytes(pe) for pe in range(4)] == [48 << 10] * 4


@MODES
@pytest.mark.parametrize(
    ("kind", "slot_bytes", "text"),
    [
        (
            "hbm",
            8 << 20,
            "sip0.cube0.pe0: its slice of HBM: no room for the queues of sip0.cube0.pe0, 2 x 2 slots x 8 MiB: it needs "
            "32 MiB",
        ),
        (
            "sram",
            100 << 10,
            "sip0.cube0.sram0: no room for the queues of sip0.cube0.pe2, 2 x 2 slots x 100 KiB: it needs 400 KiB, and "
            "of 1 MiB 224 KiB are free",
        ),
    ],
)
def test_rings_that_do_not_fit_a_memory_are_refused_and_take_nothing(mode, kind, slot_bytes, text):
    """A PE's slice of HBM is 16 MiB; in the SRAM of 1 MiB, of four PEs two have room."""
    torch = simulate("tiny", mode=mode).torch
    torch.ahbm.remove_queues(install_queues(torch, buffer_kind=kind))
    before = free_bytes(torch)
    with pytest.raises(CapacityError, match=f"^{re.escape(text)}"):
        install_queues(torch, buffer_kind=kind, slot_bytes=slot_bytes)
    assert free_bytes(torch) == before
    assert torch.ahbm.wirings == []


@pytest.mark.parametrize("kind", ["sram", "hbm"])
def test_the_rings_of_a_pe_lie_side_by_side_in_one_memory(kind):
    torch = simulate("tiny", mode="data").torch
    wiring = install_queues(torch, [RING_OF_RANKS], buffer_kind=kind)
    taken = []
    for pe, site in wiring.sites.items():
        pas = [end.pa for end in site.ends.values()]
        assert np.diff(pas).tolist() == [1024] * 3
        taken += pas
        region = torch.ahbm.machine.slice_of(pe) if kind == "hbm" else torch.ahbm.machine.sram_banks(pe)[0]
        assert {end.owner for end in site.ends.values()} == {region[0]}
        assert region[1] <= min(pas)
        assert max(pas) + 1024 <= region[1] + region[2]
    assert len(set(taken)) == 16


@MODES
@pytest.mark.parametrize("kind", ["tcm", "sram", "hbm"])
def test_removing_queues_gives_all_back(mode, kind):
    torch = simulate("tiny", mode=mode).torch
    torch.ahbm.remove_queues(install_queues(torch, buffer_kind=kind))
    before = free_bytes(torch), [torch.ahbm.machine.tcm_left_bytes(pe) for pe in range(4)]
    assert before[1] == [65536] * 4
    wirings = [install_queues(torch, buffer_kind=kind) for _ in range(3)]
    assert (free_bytes(torch), [torch.ahbm.machine.tcm_left_bytes(pe) for pe in range(4)]) != before
    for wiring in (wirings[1], wirings[0], wirings[2]):
        torch.ahbm.remove_queues(wiring)
    assert (free_bytes(torch), [torch.ahbm.machine.tcm_left_bytes(pe) for pe in range(4)]) == before


@MODES
@pytest.mark.parametrize("kind", ["tcm", "sram", "hbm"])
def test_closing_the_context_frees_the_rings(mode, kind):
    simulation = simulate("tiny", mode=mode)
    with simulation:
        torch = simulation.torch
        install_queues(torch, buffer_kind=kind)
        install_queues(torch, [RING_OF_RANKS], buffer_kind=kind)
    assert torch.ahbm.wirings == []
    assert all(memory.free_bytes == memory.size_bytes for memory in torch.ahbm.heap.memories())
    assert [torch.ahbm.machine.tcm_left_bytes(pe) for pe in range(4)] == [65536] * 4


def test_rings_of_a_context_that_a_deadlock_stopped_are_freed_too():
    @jit
    def waits_kernel():
        tl.recv("E", (), "fp32")

    torch = simulate("tiny").torch
    install_queues(torch, buffer_kind="sram")
    torch.launch(waits_kernel, (1,))
    with pytest.raises(DeadlockError):
        torch.synchronize()
    torch.close()
    assert torch.ahbm.wirings == []
    assert all(memory.free_bytes == memory.size_bytes for memory in torch.ahbm.heap.memories())


# -- installed and removed --------------------------------------------------------------------------------


def test_installing_takes_time_that_grows_with_the_ends_of_a_pe():
    """``install`` is 4 us here; each queue is one end more on either PE, which work side by side."""

    def install_ps(n_queues):
        simulation = simulate("tiny", overrides=["pe.ipcq.install_ns=4000"])
        before_ps = simulation.machine.now_ps
        queues = [one(f"a{i}", f"b{i}", 0, 1) for i in range(n_queues)]
        install_queues(simulation.torch, queues, pes=[0, 1], directions=())
        return simulation.machine.now_ps - before_ps

    times = [install_ps(n) for n in range(4)]
    assert times[0] > 0
    steps = [after - before for before, after in zip(times, times[1:], strict=False)]
    assert all(4_000_000 <= step < 4_100_000 for step in steps), "and 32 bytes more of a message"


def test_removing_costs_what_installing_does():
    simulation = simulate("tiny")
    torch, machine = simulation.torch, simulation.machine
    marks = [machine.now_ps]
    for _ in range(2):
        wiring = install_queues(torch)
        marks.append(machine.now_ps)
        torch.ahbm.remove_queues(wiring)
        marks.append(machine.now_ps)
    spans = [after - before for before, after in zip(marks, marks[1:], strict=False)]
    assert len(set(spans)) == 1


@MODES
def test_queues_that_are_not_installed_any_more_are_refused(mode):
    torch = simulate("tiny", mode=mode).torch
    wiring = install_queues(torch)
    torch.ahbm.remove_queues(wiring)
    out = torch.zeros(1)
    text = "^these queues are not installed here, or not any more; install them again$"
    with pytest.raises(UsageError, match=text):
        torch.launch(rank_kernel, (1,), (out,), queues=wiring)
    with pytest.raises(UsageError, match=text):
        torch.ahbm.remove_queues(wiring)
    other = install_queues(simulate("tiny", mode=mode).torch)
    with pytest.raises(UsageError, match=text):
        torch.launch(rank_kernel, (1,), (out,), queues=other)


@jit
def rank_kernel(out_ptr):
    tl.store(out_ptr + tl.program_id(0), (tl.rank() * 10.0 + tl.num_ranks()))


@MODES
def test_queues_that_were_removed_may_be_installed_again(mode):
    torch = simulate("tiny", mode=mode).torch
    wiring = install_queues(torch, pes=[0, 1])
    for _ in range(2):
        out = torch.zeros(2)
        torch.launch(pass_kernel, (2,), (out,), queues=wiring)
        assert out.numpy().tolist() == [1.0, 7.0]
        torch.ahbm.remove_queues(wiring)
        torch.ahbm.install_queues(wiring)


@jit
def pass_kernel(out_ptr):
    """Five messages from rank 0 to rank 1, more than there are slots."""
    if tl.rank() == 0:
        for _ in range(5):
            tl.send("E", 7.0)
        tl.store(out_ptr, 1.0)
    else:
        for _ in range(5):
            tl.recv("W", (), "fp32", dst=out_ptr + 1)


@MODES
def test_queues_that_are_installed_are_not_installed_again(mode):
    torch = simulate("tiny", mode=mode).torch
    wiring = install_queues(torch)
    text = "these queues are installed already; remove them first, or wire others"
    with pytest.raises(UsageError, match=f"^{text}$"):
        torch.ahbm.install_queues(wiring)
    assert torch.ahbm.wirings == [wiring]


@MODES
def test_programs_run_on_the_ranks_and_see_the_queues_named_or_those_installed_last(mode):
    torch = simulate("tiny", mode=mode).torch
    pair = install_queues(torch, pes=[3, 1])
    alone = install_queues(torch, pes=[2])

    def ranks(grid, **options):
        out = torch.zeros(4)
        torch.launch(rank_kernel, (grid,), (out,), **options)
        return out.numpy().tolist()

    assert ranks(2, queues=pair) == [2.0, 12.0, 0.0, 0.0]
    assert ranks(4, queues=pair) == [2.0, 2.0, 12.0, 12.0]
    assert ranks(1, queues=alone) == [1.0, 0.0, 0.0, 0.0]
    assert ranks(1, place=[2]) == [1.0, 0.0, 0.0, 0.0]
    torch.ahbm.remove_queues(alone)
    assert ranks(1, place=[1]) == [12.0, 0.0, 0.0, 0.0]


@MODES
def test_fewer_programs_than_ranks_are_spread_over_them(mode):
    torch = simulate("tiny", mode=mode).torch
    wiring = install_queues(torch)
    out = torch.zeros(4)
    torch.launch(rank_kernel, (2,), (out,), queues=wiring)
    assert out.numpy().tolist() == [4.0, 24.0, 0.0, 0.0]


@MODES
def test_a_closed_context_installs_nothing(mode):
    torch = simulate("tiny", mode=mode).torch
    torch.close()
    with pytest.raises(UsageError, match=r"^this context is closed \(at "):
        install_queues(torch)


def test_credits_that_are_still_on_their_way_arrive_before_the_queues_are_removed():
    """A credit of 256 KiB is on its way for 4 us, and the host learns of the end before."""
    torch = simulate("tiny", overrides=["pe.ipcq.credit_size=262144"]).torch
    wiring = install_queues(torch, pes=[0, 1], slots=8)
    out = torch.zeros(2)
    torch.launch(pass_kernel, (2,), (out,), queues=wiring)
    torch.synchronize()
    torch.ahbm.remove_queues(wiring)
    for _ in range(10):
        assert out.numpy().tolist() == [1.0, 7.0]
    torch.close()
