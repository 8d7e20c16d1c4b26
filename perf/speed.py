"""How fast KernBench itself is: what users run, each case in a process of its own, in CPU time and peak memory.

CPU time is the child's, user and system together, from its start to its end: interpreter, imports, simulation, check
and report. It is what the bars are set in; wall time would measure the neighbours. The second table shares it out, as
the ``--json`` of a run splits it; ``rest`` is what comes after: writing the result, and the end of the process.
Simulated times are not the point here, but a run whose check fails ends the benchmark.

    python perf/speed.py --runs 3
    python perf/speed.py --only gemm --only help
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from cases import BIG, CASES, PARTS, Case, Used, used
from harness import aligned, parser_of, used_by, write

KERNBENCH = (sys.executable, "-m", "kernbench")
# Triton 3.9.0's interpreter on one thread of another machine, without times. Context, not a yardstick.
ELSEWHERE = "Triton's interpreter, measured elsewhere"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One line of the table: medians over the runs; ``share_of_bar`` is of the tighter one, ``shares`` by part."""

    case: str
    what: str
    events: int
    chunk_hops: int
    events_per_chunk_hop: float | None
    us_per_event: float | None
    cpu_s: float
    peak_mb: float
    bar_cpu_s: float | None
    bar_peak_mb: float | None
    share_of_bar: float | None
    interpreter_cpu_s: float | None
    shares: dict[str, float] | None


def make_big() -> None:
    """Build ``big`` and make each of its components and start all their processes; links are made on first use."""
    from kernbench.components import load_components
    from kernbench.config.load import load_config
    from kernbench.garbage import rarely_collected
    from kernbench.machine.machine import Machine
    from kernbench.topology.builder import build_graph

    load_components()
    with rarely_collected():
        config = load_config(BIG)
        graph = build_graph(config.topology)
        machine = Machine(config, graph, mode="timed", say=print)
        for node in graph.nodes:
            machine.assembly.component(node.index)
        machine.engine.run()  # each process to its first wait
    n_components, n_processes = len(machine.assembly.components), len(machine.engine.processes)
    print(
        f"{graph.n_pes:,} PEs, {len(graph.nodes):,} nodes, {len(graph.edges):,} edges, "
        f"{n_components:,} components, {n_processes:,} processes"
    )
    gc.freeze()  # as the command line does: what is left at the end is not gone through in search of garbage


def measure(case: Case, n_runs: int) -> Measured:
    """Run ``case`` ``n_runs`` times: the median of each column."""
    runs = [_run(case) for _ in range(n_runs)]
    cpu_s, peak_mb = (
        statistics.median(column) for column in ([r.cpu_s for r in runs], [r.peak_mb for r in runs])
    )
    events, chunk_hops = runs[0].events, runs[0].chunk_hops
    shares = [
        used / bar for used, bar in ((cpu_s, case.bar_cpu_s), (peak_mb, case.bar_peak_mb)) if bar is not None
    ]
    return Measured(
        case=case.name,
        what=case.what,
        events=events,
        chunk_hops=chunk_hops,
        events_per_chunk_hop=events / chunk_hops if chunk_hops else None,
        us_per_event=cpu_s / events * 1e6 if events else None,
        cpu_s=cpu_s,
        peak_mb=peak_mb,
        bar_cpu_s=case.bar_cpu_s,
        bar_peak_mb=case.bar_peak_mb,
        share_of_bar=max(shares, default=None),
        interpreter_cpu_s=case.interpreter_cpu_s,
        shares=shares_of(runs) if case.is_run else None,
    )


def shares_of(runs: Sequence[Used]) -> dict[str, float]:
    """The share of each part in the CPU time of all ``runs``; they sum to 1."""
    cpu_s = sum(one.cpu_s for one in runs)
    shares = {part: sum(one.parts_s[part] for one in runs) / cpu_s for part in PARTS}
    return {**shares, "rest": 1 - sum(shares.values())}


def _run(case: Case) -> Used:
    if case.args == (BIG,):
        return Used(*used_by([sys.executable, __file__, "--make-big"]), 0, 0, "", {})
    return used(case, KERNBENCH)


COLUMNS = ("case", "events", "chunk-hops", "ev/hop", "us/event", "CPU s", "peak MB", "bar", "of bar")


def table(lines: list[Measured], n_runs: int) -> str:
    """The measurements for people."""
    rows = [COLUMNS, *(_row(line) for line in lines)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    texts = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    texts += ["", *_shares_table(lines), *(f"{line.case}: {line.what}{_context(line)}" for line in lines)]
    texts.append(
        f"Median{'s' if n_runs > 1 else ''} of {n_runs} run{'s' if n_runs > 1 else ''}; CPU time of the whole process, "
        "so us/event holds imports, checks and reports too."
    )
    return "\n".join(texts)


def _row(line: Measured) -> tuple[str, ...]:
    bars = [
        f"{bar:g} {unit}"
        for bar, unit in ((line.bar_cpu_s, "s"), (line.bar_peak_mb, "MB"))
        if bar is not None
    ]
    return (
        line.case,
        f"{line.events:,}" if line.events else "",
        f"{line.chunk_hops:,}" if line.chunk_hops else "",
        "" if line.events_per_chunk_hop is None else f"{line.events_per_chunk_hop:.2f}",
        "" if line.us_per_event is None else f"{line.us_per_event:.2f}",
        f"{line.cpu_s:.2f}",
        f"{line.peak_mb:.0f}",
        ", ".join(bars),
        "" if line.share_of_bar is None else f"{line.share_of_bar:.0%}",
    )


def _shares_table(lines: list[Measured]) -> list[str]:
    """The shares of CPU time in %, of cases that say."""
    rows = [(line.case, *(f"{share:.1%}" for share in line.shares.values())) for line in lines if line.shares]
    return [*aligned([("case", *PARTS, "rest"), *rows]), ""] if rows else []


def _context(line: Measured) -> str:
    if line.interpreter_cpu_s is None:
        return ""
    return f" ({ELSEWHERE}: {line.interpreter_cpu_s:g} s)"


def main() -> None:
    """Measure and print a table, or JSON."""
    parser = parser_of(__doc__)
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        choices=[case.name for case in CASES],
        help=f"measure this case; may be repeated: {', '.join(case.name for case in CASES)}",
    )
    parser.add_argument("--runs", type=int, default=1, metavar="N", help="runs of each case (default: 1)")
    parser.add_argument("--make-big", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.make_big:
        make_big()
        return
    if args.runs < 1:
        parser.error("--runs: at least 1")
    lines = []
    for case in CASES:
        if args.only is None or case.name in args.only:
            lines.append(line := measure(case, args.runs))
            print(f"{line.case}: {line.cpu_s:.2f} s", file=sys.stderr)
    write([asdict(line) for line in lines], lambda: table(lines, args.runs), args.json)


if __name__ == "__main__":
    main()
