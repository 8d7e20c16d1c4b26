"""One queue, kept full: messages from the memory of one PE to that of another."""

from __future__ import annotations

from typing import Any, get_args

from kernbench.bench import Expected, Outcome, bench, random_values
from kernbench.ccl.wiring import QueuePair, install_queues
from kernbench.device.placement import DPPolicy
from kernbench.dtypes import uint8
from kernbench.errors import UnknownNameError, UsageError
from kernbench.lang import tl
from kernbench.lang.jit import jit
from kernbench.messages.ipcq import Backpressure, BufferKind
from kernbench.registry import did_you_mean
from kernbench.wording import quoted


@jit
def stream_kernel(x_ptr, y_ptr, MESSAGES: tl.constexpr, N: tl.constexpr):
    """Copy ``x``, MESSAGES rows of N bytes, from rank 0 to ``y`` through rank 1, which prints the rate.

    Rank 0 waits for nothing: it loads and sends ahead, as far as its TCM and the queue let it. A queue keeps order, so
    the message that rank 1 receives as number i is row i. A row is stored from its slot, which is free with that.
    """
    if tl.rank() == 0:
        for i in range(MESSAGES):
            tl.send_async("next", tl.load(x_ptr + i * N, shape=(N,)))
        return
    first_ps = 0
    for i in range(MESSAGES):
        tl.recv("previous", (N,), tl.uint8, dst=y_ptr + i * N)
        if i == 0:
            first_ps = tl.clock()
    took_ps = tl.clock() - first_ps
    if MESSAGES > 1 and took_ps:  # and simulated time
        rest = MESSAGES - 1
        tl.device_print(f"{rest * N * 1000 / took_ps:.2f} GB/s, {took_ps / rest / 1000:.3f} ns a message")


@bench("stream", least_pes=2, small={"messages": 7, "n": 300, "slots": 3})
def run(
    torch: Any,
    messages: int = 32,
    n: int = 2048,
    slots: int = 4,
    buffer: str = "tcm",
    backpressure: str = "sleep",
    src: int = 0,
    dst: int = 1,
) -> Outcome:
    """PE src streams messages of n bytes to PE dst, through a ring of slots of that size in tcm, sram or hbm."""
    if messages < 1 or n < 1:
        raise UsageError(f"stream: messages and n must be 1 or more, not {messages} and {n}")
    kind: BufferKind = chosen("buffer", buffer, get_args(BufferKind))
    waits: Backpressure = chosen("backpressure", backpressure, get_args(Backpressure))
    queues = install_queues(
        torch,
        [QueuePair("next", "previous", lambda rank, n_ranks: 1 if rank == 0 else None)],
        pes=(src, dst),
        directions=(),
        buffer_kind=kind,
        backpressure=waits,
        slots=slots,
        slot_bytes=n,
    )
    n_rows = len(torch.ahbm.pes) * messages  # of which each PE has the memory of its own share
    by_pe = DPPolicy(sip="row_wise", cube="row_wise", pe="row_wise")
    x_host = random_values(torch, messages, n, dtype=uint8, name="x")
    x, y = (
        torch.empty(n_rows, n, dtype=uint8, policy=by_pe, name=name).narrow(0, pe * messages, messages)
        for name, pe in (("x", src), ("y", dst))
    )
    x.copy_(x_host)
    torch.launch(stream_kernel, (2,), (x, y), {"MESSAGES": messages, "N": n}, queues=queues)

    def expected() -> tuple[Expected, ...]:
        return (Expected(values=x_host.numpy(), tolerance=0.0),)

    return Outcome(outputs=(y,), expected=expected, reference="the bytes that were sent", flops=0)


def chosen(name: str, value: str, known: tuple[str, ...]) -> Any:
    """``value``, which must be one of ``known``."""
    if value not in known:
        raise UnknownNameError(f"stream: no {name} {quoted(value)}; {did_you_mean(value, known)}")
    return value
