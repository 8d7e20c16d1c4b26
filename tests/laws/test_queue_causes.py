"""The breakdown of a kernel on queues leads to what other PEs did: it sums to its time, and nothing is untraced."""

import pytest

from kernbench.analysis.causes import causes
from kernbench.ccl import QueuePair, install_queues
from kernbench.device.placement import DPPolicy
from kernbench.lang import tl
from kernbench.lang.jit import jit
from kernbench.messages.oplog import OpCode
from kernbench.simulation import Simulation


@jit
def ring_kernel(x_ptr, delays, works, N: tl.constexpr, ROUNDS: tl.constexpr):
    """Blocks go round; a rank begins late by ``delays[rank]`` operations, and does ``works[rank]`` on each block."""
    rank = tl.rank()
    x = tl.load(x_ptr, shape=(N,))
    for _ in range(delays[rank]):
        x = tl.exp(x)
    for _ in range(ROUNDS):
        tl.send_async("next", x)
        x = tl.recv("prev", (N,), tl.float32)
        for _ in range(works[rank]):
            x = tl.exp(x)


NEXT = QueuePair("next", "prev", lambda rank, n_ranks: (rank + 1) % n_ranks)
NONE, LATE = (0, 0, 0, 0), (0, 11, 0, 3)


def round_and_round(delays, works, *, rounds=5, n=256, overrides=(), **rings):
    """What was measured of a launch on the four PEs of ``tiny``, and the machine."""
    simulation = Simulation.of("tiny", overrides=overrides, mode="timing")
    torch = simulation.torch
    wiring = install_queues(torch, (NEXT,), **rings)
    simulation.begin_window()
    x = torch.empty(n, dtype="fp32", policy=DPPolicy("replicate", "replicate", "replicate"))
    torch.launch(ring_kernel, (4,), (x, delays, works), {"N": n, "ROUNDS": rounds}, queues=wiring)
    torch.synchronize()
    return simulation.report(), simulation.machine


@pytest.mark.parametrize(
    ("delays", "works"), [(NONE, NONE), (LATE, NONE), (NONE, LATE), (LATE, (9, 0, 0, 5))]
)
@pytest.mark.parametrize("n", [32, 256, 1024])
@pytest.mark.parametrize("slots", [2, 3, 8])
@pytest.mark.parametrize("kind", ["tcm", "sram"])
def test_the_causes_of_a_ring_sum_to_its_kernel_time_whoever_is_late(delays, works, n, slots, kind):
    rings = {"buffer_kind": kind, "slots": slots, "slot_bytes": 1024}
    run, machine = round_and_round(delays, works, n=n, directions=(), **rings)
    assert sum(run.breakdown.values()) == run.kernel_time_ps > 0
    assert run.breakdown.keys() <= causes().keys() - {"not traced"}
    assert min(run.breakdown.values()) > 0
    for unit in machine.assembly.components.values():
        for name, meter in unit.meters():
            if unit.node.pe >= 0:
                total_ps = meter.busy_ps + sum(meter.stalled_ps.values()) + meter.idle_ps
                assert total_ps == machine.now_ps, f"{unit.node.name}.{name}"


def test_who_waits_for_a_late_rank_has_that_ranks_work_as_its_cause():
    """Rank 1 computes for long before it sends once; the last to end is rank 2, which waited for that."""
    run, machine = round_and_round((0, 40, 0, 0), NONE, rounds=1, n=128)
    ends = {machine.graph.nodes[r.node].pe: r.end_ps for r in machine.log if r.op == OpCode.END}
    assert max(ends, key=ends.get) == 2
    spent_ps = sum(r.end_ps - r.start_ps for r in machine.log if r.op == OpCode.MATH)
    assert run.breakdown["math"] == spent_ps > 0  # of rank 1: nobody else computes
    recv = [r for r in machine.log if r.op == OpCode.RECV][-1]
    sent = list(machine.log)[recv.cause]
    assert (OpCode(sent.op), machine.graph.nodes[sent.node].pe) == (OpCode.IPCQ_COPY, 1)
    assert run.breakdown["message on the fabric"] == recv.end_ps - sent.end_ps
    assert run.breakdown["send"] == sent.end_ps - sent.start_ps


@jit
def stream_kernel(N: tl.constexpr, MESSAGES: tl.constexpr):
    """Rank 0 sends ahead; rank 1 works on each block, and only then frees its slots."""
    x = tl.zeros((N,), tl.float32)
    for _ in range(MESSAGES):
        if tl.rank() == 0:
            tl.send("next", x)
        if tl.rank() == 1:
            y = tl.recv("prev", (N,), tl.float32)
            tl.exp(y)
            del y


@pytest.mark.parametrize("backpressure", ["sleep", "poll"])
def test_who_waits_for_a_credit_has_the_receivers_work_as_its_cause(backpressure):
    """One slot and five messages: each but the first waits until the block before is read and its credit is back."""
    simulation = Simulation.of("tiny", mode="timing")
    torch = simulation.torch
    rings = {"slots": 1, "slot_bytes": 512, "backpressure": backpressure}
    wiring = install_queues(torch, (NEXT,), pes=(0, 1), directions=(), **rings)
    simulation.begin_window()
    torch.launch(stream_kernel, (2,), meta={"N": 128, "MESSAGES": 5}, queues=wiring)
    torch.synchronize()
    run, log = simulation.report(), list(simulation.machine.log)
    parts = run.breakdown
    assert sum(parts.values()) == run.kernel_time_ps
    slots, sends, recvs = (
        [record for record in log if record.op == op] for op in (OpCode.SLOT, OpCode.IPCQ_COPY, OpCode.RECV)
    )
    exps = [record for record in log if record.op == OpCode.MATH and record.program == 1]
    assert parts["send"] == sum(record.end_ps - record.start_ps for record in sends)
    assert parts["message on the fabric"] == sum(
        recv.end_ps - sent.end_ps for recv, sent in zip(recvs, sends, strict=True)
    )
    assert parts["credit return"] == sum(slot.end_ps - log[slot.cause].end_ps for slot in slots[1:])
    assert len(slots) == len(sends) == len(recvs) == len(exps) == 5
    assert parts["math"] >= sum(record.end_ps - record.start_ps for record in exps)
