"""In simulated time every algorithm gives what it gives without, and ends."""

from itertools import product

import pytest

from kernbench.ccl.algorithm import ALGORITHMS
from kernbench.ccl.communicator import Communicator
from kernbench.device.placement import DPPolicy
from kernbench.lang import jit, tl
from kernbench.simulation import simulate
from tests.ccl.collective_kit import Run, even, machine, n_in, numbers, serves, world_of
from tests.ccl.test_algorithms import BARRIERS, MIXES, NAMES, check

pytestmark = [
    pytest.mark.usefixtures("rare_garbage"),
    pytest.mark.filterwarnings("ignore::kernbench.errors.UninitialisedWarning"),
]
WORLDS = (1, 2, 3, 7, 8, 16)
SIZES = (3, 200)


@pytest.mark.parametrize("name", NAMES)
def test_in_simulated_time_too_every_rank_has_the_result_of_the_algorithms_own_order(name):
    worlds = [p for p in WORLDS if serves(name, p)]
    for n_cases, (p, n_elem) in enumerate(product(worlds, SIZES), start=NAMES.index(name)):
        communicator = Communicator(machine(p, "timed").device, range(p))
        n_elem = even(name, n_elem, p)
        dtype, op = MIXES[n_cases % len(MIXES)]
        check(communicator, name, n_elem, dtype, op, root=n_cases % p, seed=n_cases)
        communicator.remove()


SHALLOW = {
    "one slot": {"slots": 1},
    "two slots": {"slots": 2},
    "a batch of credits": {"slots": 3, "credit_batch": 3},
    "five slots in HBM": {"slots": 5, "buffer_kind": "hbm"},
    "slots in SRAM, polled": {"slots": 3, "buffer_kind": "sram", "backpressure": "poll"},
    "many slots": {"slots": 40},
}


@pytest.mark.parametrize("rings", SHALLOW)
@pytest.mark.parametrize("name", NAMES)
def test_no_depth_of_the_rings_makes_it_stand_still(name, rings):
    p = world_of(name, 4)
    n_elem = even(name, 160, p)
    vectors = numbers(0, p, n_in(name, n_elem, p), "fp32")
    settings = {"slot_bytes": 32, **SHALLOW[rings]}
    communicators = [
        Communicator(machine(p, mode).device, range(p), **settings) for mode in ("data", "timed")
    ]
    data, timed = (Run(c, name, vectors, n_elem) for c in communicators)
    assert [x.tobytes() for x in timed.results] == [x.tobytes() for x in data.results]
    for communicator in communicators:
        communicator.remove()


@jit
def waiting_for_all(zero_ptr, before_ptr, after_ptr, COME: tl.constexpr, LATE: tl.constexpr):
    """Each rank comes to the barrier at a time of its own, the rank ``LATE`` long after the others."""
    for _ in tl.static_range(100 if tl.rank() == LATE else tl.rank()):
        tl.wait(tl.load(zero_ptr, shape=(1,)))
    tl.store(before_ptr + tl.rank(), tl.clock())
    COME(None, None)
    tl.store(after_ptr + tl.rank(), tl.clock())


@pytest.mark.parametrize(("name", "p"), [(name, p) for name in BARRIERS for p in WORLDS if serves(name, p)])
def test_nobody_leaves_a_barrier_before_everybody_has_come(name, p):
    torch, barrier = machine(p, "timed").torch, ALGORITHMS[name]
    communicator = Communicator(torch.ahbm, range(p))
    communicator.run(name, [], [], n_elem=0)
    wiring = communicator.install(name)
    for late in {0, p // 2, p - 1}:
        zero, before, after = (torch.zeros(p, dtype="int64") for _ in range(3))
        torch.launch(waiting_for_all, (p,), (zero, before, after, barrier.kernel, late), queues=wiring)
        torch.synchronize()
        assert after.numpy().min() >= before.numpy().max()
    communicator.remove()


def test_two_windows_in_opposite_phases_are_faster_than_one_after_the_other():
    p, n_elem, times_ps = 4, 1 << 16, {}
    for name in ("ring_allreduce", "ring_sliced_allreduce"):
        simulation = simulate("default", mode="timing", keep_log=False)
        torch, communicator = simulation.torch, Communicator(simulation.device, range(p))
        vectors = [torch.empty(n_elem, policy=DPPolicy(only=rank)) for rank in range(p)]
        communicator.install(name)
        begin_ps = simulation.machine.now_ps
        communicator.run(name, vectors, vectors, n_elem=n_elem)
        torch.synchronize()
        times_ps[name] = simulation.machine.now_ps - begin_ps
    # A PE's port to its router carries 2 n (p-1)/p of the ring and n of its own memory in each direction, at 64 B/ns.
    port_ps = n_elem * 4 * (2 * (p - 1) / p + 1) / 64 * 1000
    assert port_ps < times_ps["ring_sliced_allreduce"] < 0.9 * times_ps["ring_allreduce"]
