"""How two ways of running KernBench compare: the CPU time of one over that of the other, case by case.

Both are commands that stand for ``kernbench``: two engines of one checkout, or the ``kernbench`` of two. They run in
interleaved pairs, each run in a process of its own with ``--races off``, and the median of the pairs' ratios is held to
the case's bar, if the two are the engines. The op logs of both sides are compared, as the pages name them; and those of
one side with each other, which must be the same. ``--json`` is not asked for: it costs 0.2 s, whatever was simulated.

    python perf/pairs.py --pairs 5
    python perf/pairs.py --first ../before/.venv/bin/kernbench --second .venv/bin/kernbench --only gemm --only halo
"""

from __future__ import annotations

import re
import shlex
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

from cases import CASES, Case
from harness import aligned, bars_missed, parser_of, said_and_used, with_bar, write

ENGINES = [
    f"env KERNBENCH_ENGINE={engine} {sys.executable} -m kernbench" for engine in ("reference", "native")
]
OPTIONS = ("--races", "off")
_OP_LOG = re.compile(r"\bop log ([0-9a-f]+)")


class Ran(NamedTuple):
    """What one process used, and how its page names the op log: by the first digits of the hash."""

    cpu_s: float
    peak_mb: float
    oplog: str


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One line of the table: medians over the pairs, so ``ratio`` is that of the pairs' ratios; most memory of all."""

    case: str
    what: str
    first_cpu_s: float
    second_cpu_s: float
    ratio: float
    bar_ratio: float | None
    first_peak_mb: float
    second_peak_mb: float
    first_oplog: str
    second_oplog: str


def measure(
    case: Case, first: Sequence[str], second: Sequence[str], n_pairs: int, *, barred: bool
) -> Measured:
    """Run ``case`` in ``n_pairs`` pairs, with either side first in turn."""
    runs: tuple[list[Ran], list[Ran]] = ([], [])
    for pair in range(n_pairs):
        for side in (0, 1) if pair % 2 == 0 else (1, 0):
            runs[side].append(_ran(case, (first, second)[side]))
    cpu_s = [[one.cpu_s for one in side] for side in runs]
    hashes = [_one_log(case, side) for side in runs]
    peaks_mb = [max(one.peak_mb for one in side) for side in runs]
    return Measured(
        case=case.name,
        what=case.what,
        first_cpu_s=statistics.median(cpu_s[0]),
        second_cpu_s=statistics.median(cpu_s[1]),
        ratio=statistics.median(a / b for a, b in zip(*cpu_s, strict=True)),
        bar_ratio=case.bar_ratio if barred else None,
        first_peak_mb=peaks_mb[0],
        second_peak_mb=peaks_mb[1],
        first_oplog=hashes[0],
        second_oplog=hashes[1],
    )


def _ran(case: Case, kernbench: Sequence[str]) -> Ran:
    page, cpu_s, peak_mb = said_and_used([*kernbench, *case.args, *OPTIONS])
    found = _OP_LOG.search(page)
    if found is None:
        raise SystemExit(f"{case.name}: its page names no op log:\n{page}")
    return Ran(cpu_s, peak_mb, found.group(1))


def _one_log(case: Case, runs: Sequence[Ran]) -> str:
    """The hash of the op log of all ``runs``; stop if they differ."""
    hashes = {one.oplog for one in runs}
    if len(hashes) > 1:
        raise SystemExit(f"{case.name}: equal runs have different op logs: {', '.join(sorted(hashes))}")
    return hashes.pop()


def table(lines: Sequence[Measured], first: str, second: str, n_pairs: int) -> str:
    """The measurements for people."""
    rows = [
        ("case", "first CPU s", "second CPU s", "ratio", "first MB", "second MB", "first log", "second log")
    ]
    rows += [
        (
            line.case,
            f"{line.first_cpu_s:.2f}",
            f"{line.second_cpu_s:.2f}",
            with_bar(f"{line.ratio:.2f}", line.bar_ratio),
            f"{line.first_peak_mb:.0f}",
            f"{line.second_peak_mb:.0f}",
            line.first_oplog,
            "same" if line.first_oplog == line.second_oplog else line.second_oplog,
        )
        for line in lines
    ]
    texts = [*aligned(rows), "", *(f"{line.case}: {line.what}" for line in lines)]
    texts.append(f"first: {first}; second: {second}; medians of interleaved pairs: {n_pairs} of each case.")
    missed = [line.case for line in lines if line.bar_ratio is not None and line.ratio < line.bar_ratio]
    return "\n".join([*texts, bars_missed(missed)])


def main() -> None:
    """Measure and print a table, or JSON."""
    known = [case.name for case in CASES if case.is_run]
    usual = [case.name for case in CASES if case.bar_ratio is not None]
    parser = parser_of(__doc__)
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        choices=known,
        help=f"this case; may be repeated: {', '.join(known)} (default: {', '.join(usual)})",
    )
    parser.add_argument("--first", metavar="COMMAND", help=f"default: {ENGINES[0]}")
    parser.add_argument("--second", metavar="COMMAND", help=f"default: {ENGINES[1]}")
    parser.add_argument("--pairs", type=int, default=5, metavar="N", help="pairs of each case (default: 5)")
    args = parser.parse_args()
    if args.pairs < 1:
        parser.error("--pairs: at least 1")
    if (args.first is None) != (args.second is None):
        parser.error("give both --first and --second, or neither")
    first, second = args.first or ENGINES[0], args.second or ENGINES[1]
    sides = (shlex.split(first), shlex.split(second))
    lines = []
    for case in CASES:
        if case.name in (args.only or usual):
            lines.append(line := measure(case, *sides, args.pairs, barred=args.first is None))
            print(f"{line.case}: {line.first_cpu_s:.2f} s, {line.second_cpu_s:.2f} s", file=sys.stderr)
    write([asdict(line) for line in lines], lambda: table(lines, first, second, args.pairs), args.json)


if __name__ == "__main__":
    main()
