"""What a message costs in CPU time, and whether a long run has flat memory: exchanges of halos between 128 PEs.

The bench ``halo_exchange`` on ``default``, mode ``timed``, values checked, without an op log, each number of steps in a
process of its own. CPU time is that of the simulation alone, without imports, the making of the machine, and the
check; the peak is of the whole process.

    python benchmarks/halo.py
    python benchmarks/halo.py --steps 20,100
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

from harness import aligned, parser_of, peak_mb, write

STEPS = "100,500"
BLOCK = 32  # cells along a side of a tile; an edge is 128 B


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One number of steps."""

    steps: int
    messages: int
    events: int
    simulated_us: float
    cpu_s: float
    us_per_message: float
    us_per_event: float
    peak_mb: float


def simulate(steps: int) -> Measured:
    """Run it here; stop if a value is wrong."""
    import numpy as np

    from kernbench.benches.halo_exchange import run
    from kernbench.garbage import rarely_collected
    from kernbench.simulation import Simulation

    with rarely_collected():
        simulation = Simulation.of("default", keep_log=False)
        torch = simulation.torch
        cpu_from = time.process_time()
        outcome = run(torch, block=BLOCK, steps=steps)
        torch.synchronize()
        cpu_s = time.process_time() - cpu_from
        most_mb = peak_mb()
        (tiles,), (expected,) = outcome.outputs, outcome.expected()
        if not np.array_equal(tiles.numpy(), expected.values):
            raise SystemExit(f"after {steps} steps a value is wrong")
    (wiring,) = torch.wirings
    messages = steps * sum(len(site.ends) for site in wiring.sites.values())
    engine = torch.machine.engine
    return Measured(
        steps=steps,
        messages=messages,
        events=engine.events,
        simulated_us=torch.machine.now_ps / 1e6,
        cpu_s=cpu_s,
        us_per_message=cpu_s / messages * 1e6,
        us_per_event=cpu_s / engine.events * 1e6,
        peak_mb=most_mb,
    )


def measure(steps: int) -> Measured:
    """Run it in a child."""
    command = [sys.executable, __file__, "--here", "--steps", str(steps)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Measured(**json.loads(done.stdout))


def table(lines: list[Measured]) -> str:
    """The measurements for people."""
    rows = [("steps", "messages", "events", "simulated us", "CPU s", "us/message", "us/event", "peak MB")]
    rows += [
        (
            f"{line.steps:,}",
            f"{line.messages:,}",
            f"{line.events:,}",
            f"{line.simulated_us:.1f}",
            f"{line.cpu_s:.1f}",
            f"{line.us_per_message:.0f}",
            f"{line.us_per_event:.2f}",
            f"{line.peak_mb:.0f}",
        )
        for line in lines
    ]
    texts = aligned(rows)
    first, last = lines[0], lines[-1]
    texts.append("")
    texts.append(
        f"Peak memory at {last.steps:,} steps is {last.peak_mb / first.peak_mb:.2f} times that at {first.steps:,}."
    )
    return "\n".join(texts)


def main() -> None:
    """Measure and print a table, or JSON."""
    parser = parser_of(__doc__)
    parser.add_argument("--steps", default=STEPS, metavar="N,...", help=f"steps to take (default: {STEPS})")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    try:
        steps = [int(text) for text in args.steps.split(",")]
    except ValueError:
        parser.error(f"--steps: {args.steps!r} is no list of numbers")
    if min(steps) < 1:
        parser.error("--steps: at least 1")
    if args.here:
        print(json.dumps(asdict(simulate(steps[0]))))
        return
    lines = [measure(n) for n in steps]
    write([asdict(line) for line in lines], lambda: table(lines), args.json)


if __name__ == "__main__":
    main()
