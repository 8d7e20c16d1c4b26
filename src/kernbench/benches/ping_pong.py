"""Two PEs bounce a block: what one message costs, from a kernel on one to a kernel on the other."""

from __future__ import annotations

from typing import Any

from kernbench.bench import Expected, Outcome, bench, random_values
from kernbench.ccl.wiring import QueuePair, install_queues
from kernbench.dtypes import as_dtype
from kernbench.errors import UsageError
from kernbench.lang import tl
from kernbench.lang.jit import jit


@jit
def ping_pong_kernel(x_ptr, y_ptr, ROUNDS: tl.constexpr, N: tl.constexpr):
    """Bounce ``x`` between ranks 0 and 1 until rank 1 keeps it in ``y``; rank 0 prints the time of half a round.

    Rank 0 serves, then both do the same: they send back what they receive, ROUNDS + 1 times. The serve makes one more
    message on its way to rank 1 than back, and rank 1 keeps that. A rank has at most one block at a time, which dies
    as it is sent, so a ring that holds one message is enough. The first round is not timed: it may have to wait for the
    start of rank 1.
    """
    kind = x_ptr.dtype.element_ty
    begin_ps = 0
    if tl.rank() == 0:
        tl.send("peer", tl.load(x_ptr, shape=(N,)))
    for bounce in range(ROUNDS + 1):
        if bounce == 1:
            begin_ps = tl.clock()
        tl.send("peer", tl.recv("peer", (N,), kind))
    half_ps = (tl.clock() - begin_ps) / (2 * ROUNDS)
    if tl.rank() == 1:
        tl.recv("peer", (N,), kind, dst=y_ptr)
    elif half_ps:  # without simulated time there is nothing to say
        tl.device_print(f"half a round trip takes {half_ps / 1000:.3f} ns")


@bench("ping_pong", least_pes=2, small={"n": 100, "rounds": 2})
def run(
    torch: Any, n: int = 128, dtype: str = "fp32", rounds: int = 10, src: int = 0, dst: int = 1
) -> Outcome:
    """PEs src and dst bounce a block of n elements; prints half the time of a round."""
    if rounds < 1:
        raise UsageError(f"ping_pong: rounds must be 1 or more, not {rounds}")
    kind = as_dtype(dtype)
    x_host = random_values(torch, n, dtype=kind, name="x")
    x = x_host.to("ahbm")
    y = torch.empty(n, dtype=kind, name="y")
    peers = QueuePair("peer", "peer", lambda rank, n_ranks: 1 - rank)
    queues = install_queues(torch, [peers], pes=(src, dst), directions=())
    torch.launch(ping_pong_kernel, (2,), (x, y), {"ROUNDS": rounds, "N": n}, queues=queues)

    def expected() -> tuple[Expected, ...]:
        return (Expected(values=x_host.numpy(), tolerance=0.0),)

    return Outcome(
        outputs=(y,), expected=expected, reference="the block that was served, bit by bit", flops=0
    )
