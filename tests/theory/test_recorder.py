"""What any kernel was seen to do, worked through, is what it takes on the ideal machine, to the picosecond."""

from fractions import Fraction
from functools import partial

import numpy as np
import pytest

from kernbench.ccl.wiring import QueuePair, install_queues
from kernbench.lang import jit, tl
from kernbench.simulation import simulate
from kernbench.theory.ideal import IdealModel, Way
from kernbench.theory.max_plus import Load, Math, Recv, Send, Store, Wait, evaluate
from kernbench.theory.notes import Notes
from tests.ccl.collective_kit import IdealAndRecorded

F = Fraction
RING = (QueuePair("next", "prev", lambda rank, n_ranks: (rank + 1) % n_ranks),)
N = 16


def watched(kernel, model):
    """Steps of the four ranks of a ring, and the time that they took."""
    simulation = simulate("tiny", mode="data", ideal=model)
    torch, notes = simulation.torch, Notes()
    simulation.machine.program_kind = partial(IdealAndRecorded, notes=notes)
    x = torch.from_numpy(np.arange(4 * N, dtype=np.float32)).to("ahbm")
    y = torch.zeros(4 * N * N, dtype="fp32")
    queues = install_queues(simulation.device, RING)
    torch.launch(kernel, (4,), (x, y), queues=queues)
    torch.synchronize()
    return [notes.steps[pe] for pe in range(4)], simulation.machine.time


@jit
def asks_ahead(x, y):
    """Receives are asked for before anything is sent, and used one after the other; a send is waited for."""
    me = tl.rank()
    first, second = tl.recv_async("prev", (N,), tl.float32), tl.recv_async("prev", (N,), tl.float32)
    mine = tl.load(x + me * N, shape=(N,))
    tl.send("next", mine * 2.0)
    left = tl.send_async("next", mine + 1.0)
    total = tl.wait(first) * mine
    tl.wait(left)
    tl.store(y + me * N, total - tl.wait(second))


@jit
def multiplies(x, y):
    """A product of matrices of what has come, one from memory to memory, and a load of what was stored."""
    me = tl.rank()
    tl.send_async("next", tl.load(x + me * N, shape=(N,)))
    row = tl.recv("prev", (N,), tl.float32)
    square = tl.dot(row[:, None], row[None, :])
    at = me * N * N
    tl.store(y + at, tl.reshape(square, (N * N,)))
    tl.send_async("next", tl.load(y + at, shape=(N,)))
    tl.store(y + at, tl.recv("prev", (N,), tl.float32) + 1.0)


@jit
def looks_at_values(x, y):
    """What is sent depends on what has come, and a masked load on what was computed."""
    me = tl.rank()
    if me == 0:
        tl.send("next", tl.load(x, shape=(1,)))
        hops = tl.recv("prev", (1,), tl.float32)
    else:
        hops = tl.recv("prev", (1,), tl.float32)
        tl.send("next", hops + 1.0)
    mask = tl.arange(0, N) < tl.sum(hops, axis=0).to(tl.int32)
    tl.store(y + me * N + tl.arange(0, N), tl.load(x + tl.arange(0, N), mask=mask, other=0.0))


MODELS = {
    "links": IdealModel(F(40), F(3), F(1)),
    "a crossbar, slow math": IdealModel(F(7, 2), F(1, 3), F(9), is_crossbar=True),
    "ways that differ": IdealModel(
        F(5), F(2), F(1, 2), ways={(0, 1): Way(F(90), F(7)), (3, 0): Way(F(1), F(1))}
    ),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kernel", [asks_ahead, multiplies, looks_at_values])
def test_a_kernel_takes_what_its_recorded_steps_come_to(kernel, model):
    schedule, time = watched(kernel, MODELS[model])
    assert evaluate(schedule, MODELS[model]).time == time > 0


def test_steps_are_those_of_the_kernel_in_its_order():
    schedule, _ = watched(asks_ahead, MODELS["links"])
    for rank, steps in enumerate(schedule):
        kinds = [type(step) for step in steps if not isinstance(step, Wait)]
        # two constants, 2.0 and 1.0, are no steps: they travel in the commands
        assert kinds == [Recv, Recv, Load, Math, Send, Math, Send, Math, Math, Store]
        sends = [step for step in steps if isinstance(step, Send)]
        assert {(step.to, step.size_bytes, step.way) for step in sends} == {((rank + 1) % 4, 4 * N, "next")}
        assert {(step.source, step.way) for step in steps if isinstance(step, Recv)} == {
            ((rank - 1) % 4, "next")
        }
