"""What every bench costs on every preset, without parameters: timed and checked, in a process of its own.

CPU time is the child's, from its start to its end, as for ``speed.py``. A bench that fails ends the benchmark.

    python perf/presets.py
    python perf/presets.py --preset tiny --only gemm
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from harness import aligned, bars_missed, parser_of, used_by, with_bar, write

from kernbench.bench import load_benches

BARS_CPU_S = {"tiny": 2.0, "default": 10.0, "big": 60.0}


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One bench on one preset."""

    bench: str
    preset: str
    cpu_s: float
    peak_mb: float
    bar_cpu_s: float

    @property
    def misses(self) -> bool:
        """Whether it took longer than it may."""
        return self.cpu_s > self.bar_cpu_s


def measure(bench: str, preset: str) -> Measured:
    """Run ``bench`` on ``preset``."""
    command = [sys.executable, "-m", "kernbench", "run", bench, "--topology", preset]
    cpu_s, peak_mb = used_by(command)
    return Measured(bench=bench, preset=preset, cpu_s=cpu_s, peak_mb=peak_mb, bar_cpu_s=BARS_CPU_S[preset])


def table(lines: Sequence[Measured]) -> str:
    """The measurements for people."""
    rows = [("bench", "preset", "CPU s", "peak MB")]
    rows += [
        (line.bench, line.preset, with_bar(f"{line.cpu_s:.2f}", line.bar_cpu_s), f"{line.peak_mb:.0f}")
        for line in lines
    ]
    missed = [f"{line.bench} on {line.preset}" for line in lines if line.misses]
    return "\n".join([*aligned(rows), "", bars_missed(missed)])


def main() -> None:
    """Measure and print a table, or JSON."""
    benches = list(load_benches())
    parser = parser_of(__doc__)
    parser.add_argument("--only", action="append", choices=benches, help="this bench; may be repeated")
    parser.add_argument("--preset", action="append", choices=BARS_CPU_S, help="this preset; may be repeated")
    args = parser.parse_args()
    lines = [measure(bench, preset) for preset in args.preset or BARS_CPU_S for bench in args.only or benches]
    write([asdict(line) for line in lines], lambda: table(lines), args.json)


if __name__ == "__main__":
    main()
