"""The first message: every other PE sends a block to its eastern neighbour."""

from __future__ import annotations

from typing import Any

from kernbench.bench import Expected, Outcome, bench, on_first, random_values
from kernbench.ccl.wiring import install_queues
from kernbench.device.placement import DPPolicy
from kernbench.dtypes import as_dtype
from kernbench.lang import tl
from kernbench.lang.jit import jit


@jit
def hello_kernel(x_ptr, y_ptr, N: tl.constexpr):
    """Copy the row ``x[r]`` of each even rank r to ``y[e]``, e being its neighbour in the east, if it has one.

    An even rank sends east; whoever has an even rank in the west receives. So each message has one receiver, and it is
    the only one of its queue. A send waits for no receive (a ring has a slot at least), and so no rank waits for ever.
    """
    rank, west = tl.rank(), tl.neighbor("W")
    if rank % 2 == 0 and tl.neighbor("E") is not None:
        tl.send("E", tl.load(x_ptr + rank * N, shape=(N,)))
    if west is not None and west % 2 == 0:
        tl.recv("W", (N,), x_ptr.dtype.element_ty, dst=y_ptr + rank * N)


@bench("hello_send", fit=lambda room, given: {"pes": room.pes(given)}, small={"n": 100})
def run(torch: Any, *, n: int = 256, dtype: str = "fp32", pes: int) -> Outcome:
    """Each of the first pes PEs that has an even rank sends n elements to its eastern neighbour."""
    kind, by_pe = (
        as_dtype(dtype),
        on_first(pes, torch, DPPolicy(sip="row_wise", cube="row_wise", pe="row_wise")),
    )
    x_host = random_values(torch, pes, n, dtype=kind, name="x")
    x = x_host.to("ahbm", policy=by_pe)
    y = torch.zeros(pes, n, dtype=kind, policy=by_pe, name="y")
    queues = install_queues(torch, pes=range(pes), directions=("E", "W"))
    torch.launch(hello_kernel, (pes,), (x, y), {"N": n}, queues=queues)

    def expected() -> tuple[Expected, ...]:
        values = x_host.numpy()
        copied = values * 0
        for site in queues.sites.values():
            if site.rank % 2 == 0 and "E" in site.ends:
                copied[site.ends["E"].peer.rank] = values[site.rank]
        return (Expected(values=copied, tolerance=0.0),)

    is_sent = any(site.rank % 2 == 0 and "E" in site.ends for site in queues.sites.values())
    return Outcome(
        outputs=(y,),
        expected=expected,
        reference="the block that was sent, bit by bit",
        flops=0,
        unchecked=""
        if is_sent
        else "no PE of an even rank has an eastern neighbour among them: nothing is sent",
    )
