"""Where in the code the CPU time of a run goes: its innermost line of KernBench, looked up every 4 ms of CPU time.

Finer than the parts of ``speed.py``, and less exact: some hundreds of samples for each second. What is compiled has no
lines: it counts for the line that called it. Each case runs in a process of its own, with ``--races off``.

    python perf/layers.py --only gemm --only softmax
"""

from __future__ import annotations

import argparse
import io
import json
import signal
from collections import Counter
from contextlib import redirect_stdout
from importlib.util import find_spec
from types import FrameType
from typing import Any

from cases import CASES
from harness import in_child, parser_of, write

PACKAGE = (
    f"{find_spec('kernbench').submodule_search_locations[0]}/"  # where its files are; nothing is imported
)
PERIOD_S = 0.004
IMPORT = "<frozen importlib"
LAYERS = {
    "hops of the fabric": ("engine/reference/channel.py",),
    "op log": ("engine/reference/log.py",),
    "servers, memories, host, control CPUs": (
        "engine/reference/memory.py",
        "engine/reference/server.py",
        "components/memory_",
        "components/fabric/",
        "components/control_cpu.py",
    ),
    "calendar, processes, queues, credits": ("engine/",),
    "DMA, packets, NIU, MMU, IPCQ": (
        "components/comm.py",
        "components/packets.py",
        "components/pe/niu.py",
        "components/pe/pe_dma.py",
        "components/pe/pe_ipcq.py",
        "components/pe/pe_mmu.py",
        "components/slicing.py",
        "components/transfer.py",
        "memory/cut.py",
        "memory/ipcq_ring.py",
        "memory/mapping.py",
        "memory/page_table.py",
        "memory/shards.py",
    ),
    "scheduler, scoreboard, plans, messages": (
        "components/accumulators.py",
        "components/pe/pe_scheduler.py",
        "components/scoreboard.py",
        "components/tiling/",
        "messages/",
    ),
    "PE_CPU, FETCH_STORE, GEMM, MATH, TCM": ("components/",),
    "kernel language": ("lang/", "machine/kernel_runner.py", "machine/polls.py", "ccl/", "benches/"),
    "values": ("memory/", "ops/"),
    "imports": (IMPORT,),
    "configuration, graph, routes": ("config/", "topology/", "machine/assemble.py", "registry.py"),
    "run loop, and what is compiled": ("machine/",),
    "host API, check, report, all else": ("",),
}
"""What files belong to: to the first that names one, so the last has what is left."""


def layer_of(file: str) -> str:
    """The layer of a file, by its path within the package."""
    return next(layer for layer, heads in LAYERS.items() if file.startswith(heads))


def sample(args: tuple[str, ...]) -> dict[str, Any]:
    """Run ``kernbench`` here, and look up where it is: the share of each layer, and how many samples there are."""
    files: Counter[str] = Counter()

    def look(_: int, frame: FrameType | None) -> None:
        while frame is not None:
            path = frame.f_code.co_filename
            if path.startswith((PACKAGE, IMPORT)):
                files[path.removeprefix(PACKAGE) if path.startswith(PACKAGE) else IMPORT] += 1
                return
            frame = frame.f_back
        files["outside"] += 1

    signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, PERIOD_S, PERIOD_S)
    from kernbench.cli.main import execute
    from kernbench.garbage import rarely_collected

    with redirect_stdout(io.StringIO()), rarely_collected():
        code = execute([*args, "--races", "off"])
    signal.setitimer(signal.ITIMER_PROF, 0)
    if code:
        raise SystemExit(f"kernbench {' '.join(args)}: exit code {code}")
    layers: Counter[str] = Counter()
    for file, n in files.items():
        layers[layer_of(file)] += n
    return {
        "samples": files.total(),
        "shares": {layer: layers[layer] / files.total() for layer in LAYERS},
        "files": {file: n / files.total() for file, n in files.most_common()},
    }


def table(lines: list[dict[str, Any]]) -> str:
    """A row for each layer, a column for each case."""
    width = max(map(len, LAYERS))
    heads = [line["case"] for line in lines]
    rows = ["  ".join(["".ljust(width), *heads])]
    for layer in LAYERS:
        cells = [
            f"{line['shares'][layer]:.1%}".rjust(len(head)) for head, line in zip(heads, lines, strict=True)
        ]
        rows.append("  ".join([layer.ljust(width), *cells]))
    said = ", ".join(f"{line['case']} {line['samples']:,}" for line in lines)
    return "\n".join([*rows, "", f"Samples: {said}."])


def main() -> None:
    """Measure and print a table, or JSON, which has the share of each file too."""
    known = [case.name for case in CASES if case.is_run]
    usual = [case.name for case in CASES if case.bar_ratio is not None]
    parser = parser_of(__doc__)
    parser.add_argument(
        "--only", action="append", choices=known, help="this case; may be repeated", metavar="NAME"
    )
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    chosen = [case for case in CASES if case.name in (options.only or usual)]
    if options.here:
        print(json.dumps({"case": chosen[0].name, **sample(chosen[0].args)}))
        return
    lines = [in_child(__file__, "--only", case.name) for case in chosen]
    write(lines, lambda: table(lines), options.json)


if __name__ == "__main__":
    main()
