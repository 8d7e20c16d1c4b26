"""What a message between PEs costs in CPU time, and whether a long launch has flat memory: 128 PEs exchange halos.

On ``default``, mode ``timed``, values checked, without an op log, each number of steps in a process of its own. Case
``exchange`` does nothing else: each PE sends 128 B to all its neighbours and receives from them. Case ``stencil`` is
the bench ``halo_exchange``, which computes between its exchanges. CPU time is that of tensors, queues and the launch,
without imports, the making of the machine and the check; the peak is of the whole process.

    python perf/halo.py
    python perf/halo.py --only stencil --steps 20,40
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from harness import aligned, bars_missed, in_child, parser_of, peak_mb, with_bar, write

from kernbench.benches.halo_exchange import run as halo_exchange
from kernbench.ccl import install_queues
from kernbench.garbage import rarely_collected
from kernbench.lang import jit, tl
from kernbench.simulation import Simulation

N_PES = 128
N = 32  # cells along an edge, which is 128 B
DIRECTIONS = "NSEW"
MOST_GROWTH = 1.1  # of the peak, from the fewest of a case's own steps to the most

Check = Callable[[], bool]  # whether the values are right, once all is complete


@jit
def exchange_kernel(x_ptr, y_ptr, steps: tl.constexpr):
    """Edge d of rank r begins as ``x[r]``; a step sends edge d to d and replaces it by what came from there."""
    rank = tl.rank()
    x = tl.load(x_ptr + rank * N, shape=(N,))
    edges = {d: x for d in DIRECTIONS if tl.neighbor(d) is not None}
    for _ in range(steps):
        for d in edges:
            tl.send_async(d, edges[d])
        for d in edges:
            edges[d] = tl.recv(d, (N,), tl.float32)
    for d in edges:
        tl.store(y_ptr + (rank * len(DIRECTIONS) + DIRECTIONS.index(d)) * N, edges[d])


def exchange(torch: Any, steps: int) -> Check:
    """Launch it."""
    wiring = install_queues(torch)
    x = torch.arange(N_PES * N, dtype=torch.float32)
    y = torch.zeros(N_PES * len(DIRECTIONS) * N)
    torch.launch(exchange_kernel, (N_PES,), (x, y), {"steps": steps}, queues=wiring)

    def is_right() -> bool:
        """What goes out at d comes back at d: after an odd number of steps it is the neighbour's, else the own."""
        found, given = y.numpy().reshape(N_PES, len(DIRECTIONS), N), x.numpy().reshape(N_PES, N)
        return all(
            np.array_equal(
                found[site.rank, DIRECTIONS.index(d)], given[end.peer.rank if steps % 2 else site.rank]
            )
            for site in wiring.sites.values()
            for d, end in site.ends.items()
        )

    return is_right


def stencil(torch: Any, steps: int) -> Check:
    """Launch it."""
    outcome = halo_exchange(torch, block=N, steps=steps, pes=len(torch.ahbm.machine.pes))

    def is_right() -> bool:
        (tiles,), (expected,) = outcome.outputs, outcome.expected()
        return np.array_equal(tiles.numpy(), expected.values)

    return is_right


@dataclass(frozen=True, kw_only=True)
class Case:
    """What to launch, for how many steps, and the bar for one number of them."""

    launch: Callable[[Any, int], Check]
    steps: tuple[int, ...]
    bars_cpu_s: dict[int, float]


CASES = {
    "exchange": Case(launch=exchange, steps=(100, 500), bars_cpu_s={500: 60}),
    "stencil": Case(launch=stencil, steps=(20, 100), bars_cpu_s={}),
}


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One number of steps of a case."""

    case: str
    steps: int
    messages: int
    events: int
    simulated_us: float
    cpu_s: float
    bar_cpu_s: float | None
    us_per_message: float
    us_per_event: float
    peak_mb: float

    @property
    def is_over(self) -> bool:
        """Whether it misses its bar."""
        return self.bar_cpu_s is not None and self.cpu_s > self.bar_cpu_s


def simulate(name: str, steps: int) -> Measured:
    """Run it here; stop if a value is wrong."""
    case = CASES[name]
    with rarely_collected():
        torch = Simulation.of("default", keep_log=False).torch
        cpu_from = time.process_time()
        is_right = case.launch(torch, steps)
        torch.synchronize()
        cpu_s, most_mb = time.process_time() - cpu_from, peak_mb()
        if not is_right():
            raise SystemExit(f"{name}: after {steps} steps a value is wrong")
    (wiring,) = torch.ahbm.wirings
    messages = steps * sum(len(site.ends) for site in wiring.sites.values())
    engine = torch.ahbm.machine.engine
    return Measured(
        case=name,
        steps=steps,
        messages=messages,
        events=engine.events,
        simulated_us=torch.ahbm.machine.now_ps / 1e6,
        cpu_s=cpu_s,
        bar_cpu_s=case.bars_cpu_s.get(steps),
        us_per_message=cpu_s / messages * 1e6,
        us_per_event=cpu_s / engine.events * 1e6,
        peak_mb=most_mb,
    )


def measure(name: str, steps: int) -> Measured:
    """Run it in a child."""
    return Measured(**in_child(__file__, "--only", name, "--steps", str(steps)))


def table(lines: Sequence[Measured]) -> str:
    """The measurements for people."""
    heads = (
        "case",
        "steps",
        "messages",
        "events",
        "simulated us",
        "CPU s",
        "us/message",
        "us/event",
        "peak MB",
    )
    rows = [heads] + [
        (
            line.case,
            f"{line.steps:,}",
            f"{line.messages:,}",
            f"{line.events:,}",
            f"{line.simulated_us:.1f}",
            with_bar(f"{line.cpu_s:.1f}", line.bar_cpu_s),
            f"{line.us_per_message:.0f}",
            f"{line.us_per_event:.2f}",
            f"{line.peak_mb:.0f}",
        )
        for line in lines
    ]
    missed = [f"{line.case} {line.steps}" for line in lines if line.is_over]
    texts = [*aligned(rows), ""]
    for name in dict.fromkeys(line.case for line in lines):
        mine = [line for line in lines if line.case == name]
        first, last = mine[0], mine[-1]
        growth = last.peak_mb / first.peak_mb
        texts.append(
            f"{name}: peak memory at {last.steps:,} steps is {growth:.2f} times that at {first.steps:,}."
        )
        if growth > MOST_GROWTH and tuple(line.steps for line in mine) == CASES[name].steps:
            missed.append(f"{name} memory")
    return "\n".join([*texts, bars_missed(missed)])


def steps_of(text: str) -> list[int]:
    """The numbers of ``--steps``, ascending."""
    try:
        steps = sorted(int(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers") from None
    if steps[0] < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return steps


def main() -> None:
    """Measure and print a table, or JSON."""
    parser = parser_of(__doc__)
    parser.add_argument("--only", action="append", choices=list(CASES), help="this case; may be repeated")
    parser.add_argument("--steps", type=steps_of, metavar="N,...", help="so many steps, not each case's own")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    chosen = [(name, n) for name in args.only or CASES for n in args.steps or CASES[name].steps]
    if args.here:
        print(json.dumps(asdict(simulate(*chosen[0]))))
        return
    lines = [measure(name, steps) for name, steps in chosen]
    write([asdict(line) for line in lines], lambda: table(lines), args.json)


if __name__ == "__main__":
    main()
