"""What a large collective costs in CPU time and memory, and how near it comes to what ``default`` allows.

One launch of each, out of place, without an op log, in a process of its own. Where there are values, they are checked.
CPU time is that of the launch alone, without imports, the making of the machine, copies and the check; the peak is of
the whole process. ``share`` is that of the lower of two lines of busbw: what the busiest link and the busiest HBM
channel allow. It follows from simulated time alone.

    python perf/collectives.py
    python perf/collectives.py --only ring-64 --ranks 16 --size 4096
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from harness import aligned, bars_missed, in_child, parser_of, peak_mb, with_bar, write

KIB, MIB = 1 << 10, 1 << 20
ITEM_BYTES = 4  # of an fp32


@dataclass(frozen=True, kw_only=True)
class Case:
    """An all-reduce of ``size_bytes`` a rank, and its bars (None: no bar)."""

    name: str
    algorithm: str
    mode: str
    n_ranks: int
    size_bytes: int
    bar_cpu_s: float | None = None
    bar_peak_mb: float | None = None
    bar_share: float | None = None


CASES = (
    Case(
        name="ring-128",
        algorithm="ring_allreduce",
        mode="timed",
        n_ranks=128,
        size_bytes=MIB,
        bar_cpu_s=60,
        bar_peak_mb=2000,
    ),
    Case(
        name="ring-64",
        algorithm="ring_allreduce",
        mode="timed",
        n_ranks=64,
        size_bytes=64 * KIB,
        bar_cpu_s=10,
    ),
    Case(
        name="sliced-16",
        algorithm="ring_sliced_allreduce",
        mode="timing",
        n_ranks=16,
        size_bytes=16 * MIB,
        bar_share=0.9,
    ),
)


def resized(case: Case, n_ranks: int | None, size_bytes: int | None) -> Case:
    """``case`` with what is given; its bars are for its own size only."""
    if n_ranks is None and size_bytes is None:
        return case
    return replace(
        case,
        n_ranks=n_ranks or case.n_ranks,
        size_bytes=size_bytes or case.size_bytes,
        bar_cpu_s=None,
        bar_peak_mb=None,
        bar_share=None,
    )


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One case, and its bars. ``busbw`` and the lines are GB/s."""

    case: str
    mode: str
    n_ranks: int
    size_bytes: int
    messages: int
    events: int
    simulated_us: float
    cpu_s: float
    bar_cpu_s: float | None
    us_per_message: float
    peak_mb: float
    bar_peak_mb: float | None
    busbw: float
    link_line: float
    hbm_line: float
    share: float
    bar_share: float | None

    @property
    def is_over(self) -> bool:
        """Whether it misses a bar."""
        return (
            (self.bar_cpu_s is not None and self.cpu_s > self.bar_cpu_s)
            or (self.bar_peak_mb is not None and self.peak_mb > self.bar_peak_mb)
            or (self.bar_share is not None and self.share < self.bar_share)
        )


def simulate(case: Case) -> Measured:
    """Run it here; stop if a value is wrong."""
    from kernbench.bench.collectives.inputs import Inputs, expected
    from kernbench.bench.collectives.setup import send_rings
    from kernbench.bench.collectives.volume import bus_factor
    from kernbench.ccl.communicator import Communicator
    from kernbench.device.placement import DPPolicy
    from kernbench.dtypes import float32
    from kernbench.garbage import rarely_collected
    from kernbench.simulation import Simulation
    from kernbench.theory.ceilings import lines_of

    ranks, n_elem = range(case.n_ranks), case.size_bytes // ITEM_BYTES
    with rarely_collected():
        simulation = Simulation.of("default", mode=case.mode, keep_log=False)
        torch, machine = simulation.torch, simulation.machine
        communicator = Communicator(torch.ahbm, ranks)
        communicator.install(case.algorithm)
        sources, results = (
            [torch.empty(n_elem, policy=DPPolicy(only=rank)) for rank in ranks] for _ in range(2)
        )
        values = Inputs(case.n_ranks, float32, "sum")
        inputs = [values.of("all_reduce", rank, n_elem) for rank in ranks] if case.mode == "timed" else []
        for rank, given in enumerate(inputs):
            sources[rank].copy_(given)
        torch.synchronize()
        moved, begin_ps, events = machine.moved(), machine.now_ps, machine.engine.events
        cpu_from = time.process_time()
        communicator.run(case.algorithm, sources, results, n_elem=n_elem)
        torch.synchronize()
        cpu_s, time_ps = time.process_time() - cpu_from, machine.now_ps - begin_ps
        moved, events, most_mb = machine.moved() - moved, machine.engine.events - events, peak_mb()
        for rank, wanted in expected("all_reduce", "sum", 0, inputs) if inputs else ():
            if (results[rank].numpy() != wanted).any():
                raise SystemExit(f"{case.name}: rank {rank} has a wrong value")
    messages = sum(ring.tail for ring in send_rings(machine))
    bus_bytes = case.size_bytes * bus_factor("all_reduce", case.n_ranks)
    lines = lines_of(machine.graph, moved.links, moved.memories, bus_bytes)
    line = {line.level: float(line.busbw) for line in lines}
    busbw = float(bus_bytes * 1000 / time_ps)
    return Measured(
        case=case.name,
        mode=case.mode,
        n_ranks=case.n_ranks,
        size_bytes=case.size_bytes,
        messages=messages,
        events=events,
        simulated_us=time_ps / 1e6,
        cpu_s=cpu_s,
        bar_cpu_s=case.bar_cpu_s,
        us_per_message=cpu_s / messages * 1e6,
        peak_mb=most_mb,
        bar_peak_mb=case.bar_peak_mb,
        busbw=busbw,
        link_line=line["link"],
        hbm_line=line["hbm"],
        share=busbw / min(line["link"], line["hbm"]),
        bar_share=case.bar_share,
    )


def measure(case: Case, sizes: Sequence[str]) -> Measured:
    """Run it in a child; ``sizes`` are the options that change it."""
    return Measured(**in_child(__file__, "--only", case.name, *sizes))


def table(lines: Sequence[Measured]) -> str:
    """The measurements for people."""
    heads = (
        "case",
        "KiB a rank",
        "messages",
        "simulated us",
        "CPU s",
        "us/message",
        "peak MB",
        "busbw",
        "link",
        "HBM",
    )
    rows = [(*heads, "share")]
    rows += [
        (
            line.case,
            f"{line.size_bytes / KIB:g}",
            f"{line.messages:,}",
            f"{line.simulated_us:.1f}",
            with_bar(f"{line.cpu_s:.1f}", line.bar_cpu_s),
            f"{line.us_per_message:.0f}",
            with_bar(f"{line.peak_mb:.0f}", line.bar_peak_mb),
            f"{line.busbw:.2f}",
            f"{line.link_line:.2f}",
            f"{line.hbm_line:.2f}",
            with_bar(f"{line.share:.3f}", line.bar_share),
        )
        for line in lines
    ]
    texts = aligned(rows)
    missed = [line.case for line in lines if line.is_over]
    return "\n".join([*texts, "", bars_missed(missed)])


def main() -> None:
    """Measure and print a table, or JSON."""
    parser = parser_of(__doc__)
    names = [case.name for case in CASES]
    parser.add_argument("--only", action="append", choices=names, help="this case; may be repeated")
    parser.add_argument("--ranks", type=int, metavar="N", help="of so many ranks instead")
    parser.add_argument("--size", type=int, metavar="BYTES", help="of so many bytes a rank instead")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    chosen = [case for case in CASES if not args.only or case.name in args.only]
    if args.here:
        print(json.dumps(asdict(simulate(resized(chosen[0], args.ranks, args.size)))))
        return
    options = {"--ranks": args.ranks, "--size": args.size}
    sizes = [word for name, value in options.items() if value for word in (name, str(value))]
    lines = [measure(case, sizes) for case in chosen]
    write([asdict(line) for line in lines], lambda: table(lines), args.json)


if __name__ == "__main__":
    main()
