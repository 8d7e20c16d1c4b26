"""Launches on streams of their own run side by side where nothing orders them, and nowhere else (ADR-0024)."""

from itertools import pairwise

import numpy as np
import pytest

from kernbench.analysis.breakdown import kernel_breakdown, kernel_spans
from kernbench.analysis.causes import by_cause
from kernbench.ccl import QueuePair, install_queues
from kernbench.device.placement import DPPolicy
from kernbench.errors import QueueError
from kernbench.lang import tl
from kernbench.lang.program import PerProgram
from kernbench.simulation import Simulation

N, ROUNDS = 1024, 4


def double(x_ptr, n: tl.constexpr, rounds: tl.constexpr):
    for _ in range(rounds):
        tl.store(x_ptr, tl.load(x_ptr, shape=(n,)) * 2.0)


def pass_on(x_ptr, n: tl.constexpr, rounds: tl.constexpr):
    block = tl.load(x_ptr, shape=(n,))
    for _ in range(rounds):
        if tl.rank() == 0:
            tl.send("to", block)
        else:
            block = tl.recv("from", (n,), tl.float32)
    tl.store(x_ptr, block)


def machine(topology="tiny", mode="timed"):
    """Without page walks, which all PEs of a cube read from one channel."""
    return Simulation.of(topology, overrides=["pe.mmu.miss=preload"], mode=mode)


def tensor(torch, pe, name):
    return torch.from_numpy(np.arange(N, dtype=np.float32) + pe).to(
        "ahbm", policy=DPPolicy(only=pe), name=name
    )


def spans(simulation):
    table, graph = simulation.machine.log.table(), simulation.machine.graph
    return kernel_spans(table, graph, simulation.machine.spans)


def run_two(streams, pes=(0, 3), *, share=False, mode="timed"):
    """Two launches of ``double`` on ``pes``: their spans, and what their tensors hold."""
    simulation = machine(mode=mode)
    torch = simulation.torch
    x = tensor(torch, pes[0], "x")
    y = x if share else tensor(torch, pes[1], "y")
    torch.synchronize()
    for pe, data, stream in zip(pes, (x, y), streams, strict=True):
        torch.launch(double, (1,), (data,), {"n": N, "rounds": ROUNDS}, place=[pe], stream=stream)
    torch.synchronize()
    return simulation, (x.numpy(), y.numpy())


def overlap(simulation):
    first, second = spans(simulation)
    return second.start_ps < first.end_ps


def expected(pe, times=1):
    return (np.arange(N, dtype=np.float32) + pe) * 2.0 ** (ROUNDS * times)


def test_launches_on_streams_of_their_own_overlap():
    simulation, (x, y) = run_two("ab")
    assert overlap(simulation)
    assert np.array_equal(x, expected(0))
    assert np.array_equal(y, expected(3))


def test_on_links_of_their_own_each_takes_what_it_takes_alone():
    beside, _ = run_two("ab")
    in_order, _ = run_two((None, None))
    assert [span.time_ps for span in spans(beside)] == [span.time_ps for span in spans(in_order)]


@pytest.mark.parametrize(
    ("streams", "pes", "share"),
    [
        ((None, None), (0, 3), False),
        (("a", None), (0, 3), False),
        ((None, "b"), (0, 3), False),
        (("a", "a"), (0, 3), False),
        (("a", "b"), (0, 0), False),
        (("a", "b"), (0, 3), True),
    ],
    ids=["no stream", "then none", "none first", "one stream", "one PE", "one tensor"],
)
def test_what_orders_two_launches(streams, pes, share):
    simulation, values = run_two(streams, pes, share=share)
    first, second = simulation.machine.spans
    assert second.sent_ps >= first.done_ps
    for pe, found in zip((pes[0], pes[0] if share else pes[1]), values, strict=True):
        assert np.array_equal(found, expected(pe, times=2 if share else 1))


def run_on_views(starts, streams):
    """Launches of ``double`` on half of a tensor each, from these elements on: their spans, and what it holds."""
    simulation = machine()
    torch = simulation.torch
    x = tensor(torch, 0, "x")
    torch.synchronize()
    for pe, start, stream in zip((0, 3), starts, streams, strict=True):
        half = x.narrow(0, start, N // 2)
        torch.launch(double, (1,), (half,), {"n": N // 2, "rounds": 1}, place=[pe], stream=stream)
    torch.synchronize()
    return simulation, x.numpy()


def test_views_of_one_tensor_that_share_a_byte_order_two_launches():
    simulation, values = run_on_views((0, N // 2 - 1), "ab")
    assert not overlap(simulation)
    assert values[N // 2 - 1] == 4 * (N // 2 - 1)


def test_views_of_one_tensor_without_a_byte_in_common_do_not():
    beside, values = run_on_views((0, N // 2), "ab")
    assert overlap(beside)
    assert np.array_equal(values, 2 * np.arange(N, dtype=np.float32))
    in_order, _ = run_on_views((0, N // 2), (None, None))
    together_ps = max(span.end_ps for span in spans(beside)) - min(span.start_ps for span in spans(beside))
    assert together_ps < sum(span.time_ps for span in spans(in_order))


def test_a_third_launch_waits_for_all_that_it_is_not_free_of():
    simulation = machine()
    torch = simulation.torch
    tensors = {pe: tensor(torch, pe, f"x{pe}") for pe in (0, 1, 3)}
    torch.synchronize()
    for pe, stream in ((0, "a"), (3, "b"), (1, "a")):
        torch.launch(double, (1,), (tensors[pe],), {"n": N, "rounds": 1}, place=[pe], stream=stream)
    torch.synchronize()
    first, second, third = simulation.machine.spans
    assert second.sent_ps < first.done_ps
    assert third.sent_ps >= max(first.done_ps, second.done_ps)


APART = {"a": (0, 1), "b": (2, 3)}  # in the first row of a mesh of 4 x 4
NESTED = {"a": (0, 2), "b": (1, 3)}  # both come along the link between 1 and 2


def send_on(streams, routes, kernel=pass_on):
    """Each route's first PE passes a block to its second, ROUNDS times: the simulation, and what arrives."""
    simulation = machine("default")
    torch = simulation.torch
    found, wirings = {}, {}
    for name, pes in routes.items():
        found[name] = [tensor(torch, pe, f"{name}{pe}") for pe in pes]
        queue = QueuePair("to", "from", lambda rank, n: 1 if rank == 0 else None)
        wirings[name] = install_queues(torch, [queue], pes=pes, directions=())
    torch.synchronize()
    for name, stream in zip(routes, streams, strict=True):
        tensors = PerProgram(found[name])
        torch.launch(
            kernel, (2,), (tensors,), {"n": N, "rounds": ROUNDS}, queues=wirings[name], stream=stream
        )
    torch.synchronize()
    for name, (sender, _) in routes.items():
        assert np.array_equal(found[name][1].numpy(), np.arange(N, dtype=np.float32) + sender)
    return simulation


def test_queues_on_links_of_their_own_take_what_each_takes_alone():
    beside, in_order = send_on("ab", APART), send_on((None, None), APART)
    assert overlap(beside)
    assert [span.time_ps for span in spans(beside)] == [span.time_ps for span in spans(in_order)]


def test_queues_on_a_shared_link_slow_each_other_down_and_arrive_whole():
    beside, in_order = spans(send_on("ab", NESTED)), spans(send_on((None, None), NESTED))
    assert max(span.time_ps for span in beside) > max(span.time_ps for span in in_order)
    assert max(span.end_ps for span in beside) - beside[0].start_ps < sum(span.time_ps for span in in_order)


@pytest.mark.parametrize("mode", ["timed", "data"])
def test_values_of_two_launches_do_not_depend_on_streams(mode):
    _, in_order = run_two((None, None), mode=mode)
    _, beside = run_two("ab", mode=mode)
    assert all(np.array_equal(a, b) for a, b in zip(in_order, beside, strict=True))


def test_the_bytes_of_launches_that_overlap_are_counted_once():
    beside, _ = run_two("ab")
    ordered, _ = run_two((None, None))
    first, second = beside.machine.spans
    assert second.moved.tcm_bytes == 0
    assert first.moved.tcm_bytes == sum(span.moved.tcm_bytes for span in ordered.machine.spans)


def test_each_breakdown_covers_its_own_launch():
    simulation, _ = run_two("ab")
    table, graph = simulation.machine.log.table(), simulation.machine.graph
    for span in spans(simulation):
        parts = kernel_breakdown(table, graph, span, simulation.machine.log.lines)
        assert sum(parts.values()) == span.time_ps
        assert "not traced" not in by_cause(parts)


def leave_one(x_ptr, n: tl.constexpr, rounds: tl.constexpr):
    if tl.rank() == 0:
        tl.send("to", tl.load(x_ptr))


def test_messages_left_behind_are_found_when_all_is_complete():
    with pytest.raises(QueueError, match="the launch ended with 2 messages that nobody received"):
        send_on("ab", APART, leave_one)


def test_a_collective_of_each_of_two_groups_at_once():
    """But for the first, which installs the queues of its algorithm behind all that is under way (ADR-0035)."""
    simulation = machine()
    torch = simulation.torch
    x = {pe: tensor(torch, pe, f"x{pe}") for pe in range(4)}

    def worker(rank, world_size, torch):
        dist = torch.distributed
        dist.init_process_group("ahbm", rank=rank, world_size=world_size)
        groups = [dist.new_group([0, 1]), dist.new_group([2, 3])]
        for _ in range(2):
            dist.all_reduce(x[rank], group=groups[rank // 2])
        dist.destroy_process_group()

    torch.multiprocessing.spawn(worker, args=(4, torch), nprocs=4)
    torch.synchronize()
    assert any(later.start_ps < earlier.end_ps for earlier, later in pairwise(spans(simulation)))
    for rank in range(4):
        lower = rank // 2 * 2
        assert np.array_equal(x[rank].numpy(), 4 * np.arange(N, dtype=np.float32) + 4 * lower + 2)
