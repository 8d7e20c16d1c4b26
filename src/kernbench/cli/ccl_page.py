"""What ``kernbench ccl`` prints, and its JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from kernbench.bench.collectives.bench import CclBench, Faster
from kernbench.bench.collectives.request import TYPES, Request
from kernbench.bench.collectives.row import CclRow
from kernbench.bench.collectives.volume import SHARDED, Volume
from kernbench.cli.ccl_asked import Asked
from kernbench.cli.ccl_sizes import last_of
from kernbench.cli.ccl_table import NONE, Table, folded
from kernbench.cli.console import sign_of_life
from kernbench.cli.files import STDOUT, write_json
from kernbench.compiled import running
from kernbench.config.load import load_config
from kernbench.config.plain import config_sha256
from kernbench.cpu_time import CONFIGURATION, REPORT, booked, in_force
from kernbench.errors import UsageError
from kernbench.files import together
from kernbench.records import as_json
from kernbench.reports.output import Output
from kernbench.reports.tables import machine
from kernbench.wording import plural

SCHEMA = "kernbench.ccl/1"
WAYS = {"link": "link", "niu": "NIU", "hbm": "HBM channel", "sram": "SRAM bank"}


def write_page(asked: Asked, sizes: Sequence[int]) -> list[CclRow]:
    """Measure size by size, and write each row as it comes, then the rest, the JSON and the picture; give the rows."""
    with booked(REPORT):
        return _written(asked, sizes)


def _written(asked: Asked, sizes: Sequence[int]) -> list[CclRow]:
    with booked(CONFIGURATION):
        config = load_config(asked.topology, asked.overrides or ())
    bench = CclBench(config, asked.request())
    _require_elements(bench, sizes)
    collective, output = bench.request.collective, Output()
    table, rows = Table(output.width), list[CclRow]()
    write = output.line if asked.json != STDOUT else lambda _: None
    with sign_of_life(collective, max_time=asked.max_time, max_cpu=asked.max_cpu) as tell:
        comments = head_of(bench, asked.topology, sizes, last=last_of(asked.most, sizes))
        for line in (*folded(comments, output.width), *table.head()):
            write(line)
        for size in sizes:
            tell(f"{collective}, {size} B")
            rows.append(bench.row(size))
            write(table.line(rows[-1]))
        faster = None
        if asked.compare:
            tell(f"{collective}, {sizes[-1]} B: is another algorithm faster?")
            faster = bench.faster(rows[-1], sizes[-1])
    foot = foot_of(
        rows, advice_of(bench, rows[-1], sizes[-1], faster, is_compared=asked.compare), mode=mode_of(bench)
    )
    for line in (*table.rest(rows), *folded(foot, output.width)):
        write(line)
    with together():
        if asked.json is not None:
            write_json(asked.json, document_of(bench, asked.topology, rows, faster))
        if asked.plot is not None:
            from kernbench.cli.ccl_plot import draw

            for line in draw(asked.plot, bench, rows, sizes, asked.topology):
                write(line)
    if not bench.request.is_oracle:
        for line in folded([f"# {running().line}"], output.width):
            write(line)
    return rows


def _require_elements(bench: CclBench, sizes: Sequence[int]) -> None:
    """Refuse sizes of which none holds anything, unless nothing is what was asked for."""
    request, n_ranks = bench.request, len(bench.ranks.pes)
    if sizes[-1] == 0 or any(Volume(request, n_ranks, size).n_elem for size in sizes):
        return
    each = f" for each of {n_ranks} ranks" if request.collective in SHARDED else ""
    least = TYPES[request.dtype].size_bytes * (n_ranks if each else 1)
    raise UsageError(f"-e {sizes[-1]}: holds no element of {request.dtype}{each}; give {least} or more")


def mode_of(bench: CclBench) -> str:
    """The mode, in which ``--ideal`` is one."""
    return "ideal" if bench.request.is_ideal else bench.request.mode


def runs_of(request: Request) -> tuple[int, int]:
    """Runs that are not timed, and those that are; none of theory."""
    return (0, 0) if request.is_oracle else (request.n_warmup, request.n_iters)


def head_of(bench: CclBench, topology: str, sizes: Sequence[int], *, last: int) -> list[str]:
    """What is measured on what, up to ``last`` bytes."""
    request, ranks = bench.request, bench.ranks
    n_warmup, n_iters = runs_of(request)
    lines = [
        f"# kernbench ccl {request.collective}  topology={topology} ({machine(ranks.config.topology)})  "
        f"algo={', '.join(names_of(bench, sizes))}  ranks={len(ranks.pes)}  mode={mode_of(bench)}",
        f"# minBytes {sizes[0]} maxBytes {last} sizes: {len(sizes)} warmup iters: {n_warmup} "
        f"iters: {n_iters} validation: {request.n_checks}",
    ]
    if request.is_by_data_sheet:
        model = ranks.model_of(names_of(bench, sizes)[0])
        what = (
            "theory of the ideal machine, nothing is run"
            if request.is_oracle
            else "ideal machine, no fabric and no units"
        )
        ports = "one egress port a rank" if model.is_crossbar else "a link for each queue"
        lines.append(
            f"# {what}: {ports}; alpha={float(model.alpha) / 1000:g} ns, "
            f"1/beta={float(1000 / model.beta):g} GB/s, 1/gamma={float(1000 / model.gamma):g} GB/s"
        )
    if len(ranks.pes) > ranks.n_machine_pes:
        lines.append(
            f"# {topology} has {plural(ranks.n_machine_pes, 'PE')}; for {len(ranks.pes)} ranks, more SIPs of its kind"
        )
    return [*lines, "#"]


def names_of(bench: CclBench, sizes: Sequence[int]) -> list[str]:
    """The algorithms of all sizes, each once, in order."""
    return list(dict.fromkeys(bench.algorithm_at(size) for size in sizes))


def foot_of(rows: Sequence[CclRow], advice: Sequence[str], *, mode: str) -> list[str]:
    """The sums: nccl-tests', for the ideal machine what theory says to it; what the largest size was bound by.

    The last line is the ``advice``, if there is any; below it the page says which engine ran.
    """
    halves = [half for row in rows for half in row.halves]
    n_failed = sum(bool(half.n_wrong) for half in halves)
    is_checked = any(half.n_wrong is not None for half in halves)
    verdict = f"{n_failed} {'FAILED' if n_failed else 'OK'}" if is_checked else f"{NONE}, nothing was checked"
    bandwidth = sum(half.busbw for half in halves) / len(halves)
    lines = [
        f"# Out of bounds values : {verdict}",
        f"# Avg bus bandwidth    : {bandwidth:g} ",
    ]
    if mode == "ideal":
        n_off = sum(row.has_error for row in rows)
        lines.append(f"# Off their oracle     : {n_off} {'FAILED' if n_off else 'OK'}")
    if mode == "oracle":
        n_by = Counter(row.oracle.source for row in rows)
        said = (f"{source} at {plural(n, 'size')}" for source, n in n_by.items())
        lines.append(f"# Oracle               : {', '.join(said)}")
    return [*lines, *bottleneck_of(rows[-1]), "#", *advice]


def advice_of(
    bench: CclBench, row: CclRow, size_bytes: int, faster: Faster | None, *, is_compared: bool
) -> list[str]:
    """The algorithm to take instead at the largest size: one that is ``faster``, or that ``ccl.yaml`` would take."""
    if faster is not None:
        name, size_bytes, times = faster
        return [f"# {name}: {float(times):.1f} times faster here, at {size_bytes} B; --algo {name}"]
    selected = None if is_compared else bench.otherwise(row, size_bytes)
    if selected is None:
        return []
    return [f"# ccl.yaml selects {selected} at {size_bytes} B; --compare says whether it is faster"]


def bottleneck_of(row: CclRow) -> list[str]:
    """The lines of ``busbw`` of the first half, the lowest, and how near it was; nothing if nothing moved."""
    half = row.first
    if half.bottleneck is None:
        return []
    lines = [
        f"# {'Busiest ' + WAYS[line.level]:<20} : {float(line.busbw):.2f} GB/s of busbw = {line.rate} / "
        f"{float(line.bytes_per_bus_byte):.4f} B per bus byte"
        for line in half.lines
    ]
    share = half.busbw / float(half.bottleneck.busbw)
    name = WAYS[half.bottleneck.level]
    return [
        *lines,
        f"# Bottleneck           : {name}, {100 * share:.1f} % of its line reached at {row.size_bytes} B",
    ]


# -- JSON -----------------------------------------------------------------------------------------------------


def document_of(
    bench: CclBench, topology: str, rows: Sequence[CclRow], faster: Faster | None
) -> dict[str, Any]:
    """What was asked for, the data sheet as a model, and what was measured, as schema ``kernbench.ccl/1``."""
    request, model = bench.request, bench.ranks.model_of(bench.able[0])
    n_warmup, n_iters = runs_of(request)
    return {
        "schema": SCHEMA,
        "topology": topology,
        "config_sha256": config_sha256(bench.ranks.config),
        "collective": request.collective,
        "n_ranks": len(bench.ranks.pes),
        "mode": mode_of(bench),
        "engine": None if request.is_oracle else running().engine,
        "dtype": request.dtype,
        "n_iters": n_iters,
        "n_warmup": n_warmup,
        "model": {
            "alpha_ps": float(model.alpha),
            "beta_ps_per_byte": float(model.beta),
            "gamma_ps_per_byte": float(model.gamma),
        },
        "rows": [as_json(row) for row in rows],
        "cpu": asdict(in_force().parts()),  # with what the rows above took
        "faster": None if faster is None else {**faster._asdict(), "times": float(faster.times)},
    }
