"""What ``kernbench ccl`` prints, and its JSON."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from kernbench.cli.ccl_table import NONE

if TYPE_CHECKING:
    from kernbench.bench.collectives.bench import CclBench, Faster
    from kernbench.bench.collectives.row import CclRow, Half
    from kernbench.theory.ceilings import Line

WAYS = {"link": "link", "niu": "NIU", "hbm": "HBM channel", "sram": "SRAM bank"}


def head_of(bench: CclBench, topology: str, sizes: Sequence[int], *, last: int) -> list[str]:
    """What is measured on what, up to ``last`` bytes."""
    from kernbench.reports.tables import machine

    request, mode = bench.request, "ideal" if bench.request.is_ideal else bench.request.mode
    lines = [
        f"# kernbench ccl {request.collective}  topology={topology} ({machine(bench.config.topology)})  "
        f"algo={', '.join(names_of(bench, sizes))}  ranks={len(bench.ranks.pes)}  mode={mode}",
        f"# minBytes {sizes[0]} maxBytes {last} sizes: {len(sizes)} warmup iters: {request.n_warmup} "
        f"iters: {request.n_iters} validation: {request.n_checks}",
    ]
    if request.is_ideal:
        model = bench.ranks.model_of(names_of(bench, sizes)[0])
        ports = "one egress port a rank" if model.is_crossbar else "a link for each queue"
        lines.append(
            f"# ideal machine, no fabric and no units: {ports}; alpha={float(model.alpha) / 1000:g} ns, "
            f"1/beta={float(1000 / model.beta):g} GB/s, 1/gamma={float(1000 / model.gamma):g} GB/s"
        )
    return [*lines, "#"]


def names_of(bench: CclBench, sizes: Sequence[int]) -> list[str]:
    """The algorithms of all sizes, each once, in order."""
    return list(dict.fromkeys(bench.algorithm_at(size) for size in sizes))


def foot_of(rows: Sequence[CclRow], faster: Faster | None, *, is_ideal: bool) -> list[str]:
    """The sums: nccl-tests', for the ideal machine what theory says to it; what the largest size was bound by.

    The last line says which algorithm is ``faster`` there.
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
    if is_ideal:
        n_off = sum(row.has_error for row in rows)
        lines.append(f"# Off their oracle     : {n_off} {'FAILED' if n_off else 'OK'}")
    return [*lines, *bottleneck_of(rows[-1]), "#", *([] if faster is None else [advice_of(faster)])]


def advice_of(faster: Faster) -> str:
    """The algorithm to take instead."""
    name, size_bytes, times = faster
    return f"# {name}: {float(times):.1f} times faster here, at {size_bytes} B; --algo {name}"


def bottleneck_of(row: CclRow) -> list[str]:
    """The lines of ``busbw`` out of place, the lowest of them, and how near it was; nothing if nothing moved."""
    half = row.out_of_place
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


def request_as_json(bench: CclBench) -> dict[str, Any]:
    """What was asked for, and the data sheet as a model."""
    request, model = bench.request, bench.ranks.model_of(bench.able[0])
    return {
        "collective": request.collective,
        "n_ranks": len(bench.ranks.pes),
        "mode": "ideal" if request.is_ideal else request.mode,
        "dtype": request.dtype,
        "n_iters": request.n_iters,
        "n_warmup": request.n_warmup,
        "model": {
            "alpha_ps": float(model.alpha),
            "beta_ps_per_byte": float(model.beta),
            "gamma_ps_per_byte": float(model.gamma),
        },
    }


def faster_as_json(faster: Faster | None) -> dict[str, Any] | None:
    """The algorithm that is faster at the largest size; None if none is known."""
    if faster is None:
        return None
    return {"algorithm": faster.algorithm, "size_bytes": faster.size_bytes, "times": float(faster.times)}


def row_as_json(row: CclRow) -> dict[str, Any]:
    """One size. Times are ps; whole ones but of the ideal machine."""
    return {
        "algorithm": row.algorithm,
        "size_bytes": row.size_bytes,
        "count": row.n_elem,
        "redop": row.op,
        "root": row.root,
        "out_of_place": half_as_json(row.out_of_place),
        "in_place": None if row.in_place is None else half_as_json(row.in_place),
        "steps": row.n_steps,
        "max_link_bytes": row.max_link_bytes,
        "total_bytes": row.total_bytes,
        "bound_ps": number(row.bound_ps),
        "bound_share": row.bound_share,
        "oracle_ps": None if row.oracle is None else number(row.oracle.time),
        "oracle_source": None if row.oracle is None else row.oracle.source,
        "host_s": row.host_s,
    }


def half_as_json(half: Half) -> dict[str, Any]:
    """Out of place, or in place."""
    return {
        "time_ps": number(half.time_ps),
        "iteration_ps": [number(time) for time in half.iteration_ps],
        "algbw": half.algbw,
        "busbw": half.busbw,
        "n_wrong": half.n_wrong,
        "error_ps": None if half.error_ps is None else number(half.error_ps),
        "stall_ps": half.stall_ps,
        "credits_min": half.credits_min,
        "lines": {line.level: line_as_json(line) for line in half.lines},
        "bottleneck": None if half.bottleneck is None else half.bottleneck.level,
    }


def line_as_json(line: Line) -> dict[str, float]:
    """What one level allows; rates are GB/s."""
    return {
        "rate": float(line.rate),
        "bytes_per_bus_byte": float(line.bytes_per_bus_byte),
        "busbw": float(line.busbw),
    }


def number(exact: Fraction) -> int | float:
    """A whole number as one."""
    return int(exact) if exact.denominator == 1 else float(exact)
