"""What looking for races and for reads of unwritten memory costs: CPU time with it over CPU time without.

Each case runs in pairs in a process of its own, with and without in turn, and the median of the ratios is held to its
bar. What is timed is the bench on a machine that is there already: launches, copies and values.

    python perf/races.py --pairs 5
    python perf/races.py --only softmax --mode data
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from typing import Any

from harness import aligned, bars_missed, in_child, parser_of, with_bar, write

from kernbench.bench import load_bench
from kernbench.simulation import Simulation

CASES: dict[str, dict[str, int]] = {
    "gemm": {},
    "softmax": {},
    "vector_add": {},
    "ccl_allreduce": {"world_size": 16, "n": 16384},
}
N_RUNS = {"ccl_allreduce": 5}  # of one measurement: a run alone is too short to be compared
BARS = {"timed": 1.10, "data": 1.20}


def cpu_s(case: str, mode: str, *, watched: bool) -> float:
    """CPU seconds of a bench on ``default``, run N_RUNS times."""
    how = {} if watched else {"races": "off", "uninitialised": "ignore"}
    simulation = Simulation.of("default", mode=mode, **how)
    bench = load_bench(case)
    params = bench.params_on(simulation.graph, CASES[case])
    gc.collect()
    from_s = time.process_time()
    for _ in range(N_RUNS.get(case, 1)):
        for output in bench.run(simulation.torch, **params).outputs:
            output.numpy()
    return time.process_time() - from_s


def measure(case: str, mode: str, n_pairs: int) -> dict[str, Any]:
    """The ratios of ``n_pairs`` pairs, behind one that is not counted."""
    cpu_s(case, mode, watched=True)
    pairs = []
    for i in range(n_pairs):
        first = cpu_s(case, mode, watched=bool(i % 2))
        second = cpu_s(case, mode, watched=not i % 2)
        pairs.append((first, second) if i % 2 else (second, first))
    return {
        "case": case,
        "mode": mode,
        "cpu_s": statistics.median(on for on, _ in pairs),
        "cpu_s_without": statistics.median(off for _, off in pairs),
        "ratio": statistics.median(on / off for on, off in pairs),
        "bar": BARS[mode],
    }


def table(lines: list[dict[str, Any]]) -> str:
    """A line for each case and mode, and the bars that were missed."""
    rows = [["case", "mode", "CPU s", "without", "ratio"]]
    for line in lines:
        ratio = with_bar(f"{line['ratio']:.3f}", line["bar"])
        rows.append(
            [line["case"], line["mode"], f"{line['cpu_s']:.2f}", f"{line['cpu_s_without']:.2f}", ratio]
        )
    missed = [f"{line['case']} {line['mode']}" for line in lines if line["ratio"] > line["bar"]]
    return "\n".join([*aligned(rows), bars_missed(missed)])


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    parser.add_argument("--only", action="append", choices=list(CASES), help="a case; may be repeated")
    parser.add_argument("--mode", action="append", choices=list(BARS), help="a mode; may be repeated")
    parser.add_argument("--pairs", type=int, default=5, metavar="N", help="pairs of runs (default 5)")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    cases, modes = options.only or list(CASES), options.mode or list(BARS)
    if options.here:
        print(json.dumps(measure(cases[0], modes[0], options.pairs)))
        return
    lines = [
        in_child(__file__, "--only", case, "--mode", mode, "--pairs", str(options.pairs))
        for mode in modes
        for case in cases
    ]
    write(lines, lambda: table(lines), options.json)


if __name__ == "__main__":
    main()
