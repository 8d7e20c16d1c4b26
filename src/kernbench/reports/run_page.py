"""What was measured, for people: times, where they went, and what to do about it; of a run also its verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kernbench.analysis.causes import DEVICE_CAUSES, Parts, by_cause, cure, hints, payer
from kernbench.analysis.measured import Measured, MeasuredLaunch
from kernbench.analysis.measures import Measure
from kernbench.analysis.summary import UnitUse
from kernbench.compiled import Running
from kernbench.reports.output import BAD, GOOD, WARN, Output
from kernbench.reports.tables import flops_rate, settings, share_rows, sizes, use_by_kind
from kernbench.runs.result import Check, RunResult
from kernbench.units import format_ps, percent

MOST_LAUNCHES = 12  # on a page, the longest; ``--json`` has all
HINT_SHARE = 0.01  # of the kernel time; a hint on less is not worth its line
MOST_CAUSES = 3  # of one launch, likewise


def write_page(output: Output, result: RunResult) -> None:
    """All that is known of ``result``, a bench's with its verdict; at the end its limit, and which engine ran."""
    output.facts(_facts(result))
    if len(result.measures) > 1 and result.mode != "data":
        for measure in result.measures:
            write_measure(output, measure)
    else:
        _print_times(output, result)
    window = format_ps(result.device_time_ps)
    _print_uses(output, f"Busiest units, within {window}", "units", result.units)
    _print_uses(output, f"Busiest links, within {window}", "links", result.links)
    output.line()
    output.line(_identity(result))
    for race in result.races:
        output.line(f"{race.line}: {race}", WARN)
    for use in result.early_uses:
        output.line(str(use), WARN)
    for read in result.unwritten:
        output.line(f"{read.line}: {read}", WARN)
    if result.bench:
        output.line(*_verdict(result.check, result.mode))
    output.line(result.limit)
    if result.engine is not None:
        output.line(Running(result.engine, result.engine_because).line)


def write_window(output: Output, window: Measured) -> None:
    """The times of ``window``, and where they went."""
    output.facts(_times(window, "beginning"))
    _print_times(output, window)


def write_measure(output: Output, measure: Measure) -> None:
    """The last round of ``measure``, under its name, and how it differs from the first."""
    output.heading(f"Measure {measure.name!r}, {_which(measure)}")
    output.facts((*_times(measure.last, "beginning"), *_cold(measure)))
    _print_times(output, measure.last)


def _print_times(output: Output, window: Measured) -> None:
    """The launches of a window, and where its times went."""
    _print_launches(output, window.launches, window.opened_ps)
    if window.parts:
        output.heading("Where the kernel time went, on the PE that ended last")
        _print_causes(output, window.parts)
    if window.device_breakdown:
        output.heading("Where the device time went")
        rows = [
            (*row, DEVICE_CAUSES[row[0]].cure or DEVICE_CAUSES[row[0]].meaning)
            for row in share_rows(window.device_breakdown)
        ]
        output.table(("cause", "time", "share", "what to do"), rows, left=("cause", "what to do"))


def _facts(result: RunResult) -> Iterator[tuple[str, str]]:
    measures, apart = result.measures, result.apart
    if result.bench:
        yield "bench", f"{result.bench} {settings(result.params)}"
    yield "machine", result.machine
    if result.iterations > 1:
        yield "iteration", f"the last of {result.iterations}, each with tensors of its own"
    if measures:
        yield "measured", ", ".join(f"{measure.name} ({_which(measure)})" for measure in measures)
    if not result.device_time_ps:
        yield "time", "none is simulated in mode data" if result.mode == "data" else "none has passed"
        return
    yield from _times(result, "beginning" if measures else "first byte over PCIe")
    if len(measures) == 1:
        yield from _cold(measures[0])
    if apart is not None and apart.device_time_ps:
        causes = ", ".join(f"{cause} {time}" for cause, time, _ in share_rows(apart.device_breakdown))
        yield "not measured", f"{format_ps(apart.device_time_ps)} of device time: {causes}"
    yield "bytes moved", sizes(result.bytes)
    seen = result.translations
    n_pages = seen.hits + seen.misses
    yield (
        "translations",
        f"{n_pages:,} pages looked up: {seen.misses:,} TLB misses, {seen.walks:,} page walks",
    )


def _times(window: Measured, begin: str) -> Iterator[tuple[str, str]]:
    """What a window took, from its ``begin`` on."""
    yield "device time", f"{format_ps(window.device_time_ps)} from the {begin} to the last completion"
    yield (
        "kernel time",
        f"{format_ps(window.kernel_time_ps)} from the first PE's start to the last one's end",
    )
    yield "host software", f"{format_ps(window.host_time_ps)}, apart: part of neither"
    if window.kernel_time_ps and window.flops:
        yield "achieved", flops_rate(window.flops, window.kernel_time_ps)
    if window.bound is not None:
        bound = window.bound
        yield (
            "bound",
            f"{format_ps(bound.bound_ps)} by {bound.limit}; {percent(bound.share)} of it is reached",
        )


def _which(measure: Measure) -> str:
    """Which of its rounds a page shows."""
    n_rounds = len(measure.rounds)
    return f"round {n_rounds} of {n_rounds}, warm" if measure.is_warm else "one round"


def _cold(measure: Measure) -> Iterator[tuple[str, str]]:
    """What the first of several rounds took, and between what the others lie."""
    if not measure.is_warm:
        return
    first, *warm = measure.rounds
    yield (
        "cold",
        f"kernel time {format_ps(first.kernel_time_ps)}, device time {format_ps(first.device_time_ps)} in round 1",
    )
    if len(warm) > 1:
        kernel, device = (
            f"{format_ps(min(times))} to {format_ps(max(times))}"
            if min(times) < max(times)
            else format_ps(times[0])
            for times in ([r.kernel_time_ps for r in warm], [r.device_time_ps for r in warm])
        )
        yield "warm", f"kernel time {kernel}, device time {device} in rounds 2 to {len(measure.rounds)}"


def _identity(result: RunResult) -> str:
    """How much was simulated, and the hashes that say what."""
    cost = f"{result.events:,} events"
    if result.bench:
        cost += f" in {result.cpu_s:.1f} CPU s, {result.peak_mb:.0f} MB at most"
    log = f"op log {result.oplog_sha256[:12]}, " if result.oplog_sha256 else ""
    return f"{cost}; {log}configuration {result.config_sha256[:12]}"


def _verdict(check: Check, mode: str) -> tuple[str, str]:
    """The line on whether the result is right, and its style."""
    if mode == "timing":
        return "check not made (mode timing)", WARN
    if check.ok is None:
        return f"check: none ({check.unchecked})", WARN
    how = f"max abs err {check.max_abs_err:.3g} against {check.reference}"
    return (f"check ok: {how}", GOOD) if check.ok else (f"check WRONG: {how}", BAD)


def _print_causes(output: Output, parts: Parts) -> None:
    """The causes of a kernel's time, each with the line that pays most for it and what to do there."""
    rows = []
    for cause, time, share in share_rows(by_cause(parts)):
        most = payer(parts, cause)
        rows.append((cause, time, share, str(most.origin or ""), cure(cause, most)))
    output.table(
        ("cause", "time", "share", "most at", "what to do"), rows, left=("cause", "most at", "what to do")
    )
    total_ps = sum(parts.values())
    for hint in hints(parts):
        if hint.time_ps >= HINT_SHARE * total_ps:
            paid = f"{format_ps(hint.time_ps)}, {percent(hint.time_ps / total_ps)}"
            output.line(f"At {hint.origin}, {paid}: {hint.cure}.")


def _print_launches(output: Output, launches: Sequence[MeasuredLaunch], opened_ps: int) -> None:
    """A row for each launch, in order, or for the longest of many."""
    if not launches:
        return
    longest = sorted(range(len(launches)), key=lambda i: -launches[i].time_ps)[:MOST_LAUNCHES]
    n_left = len(launches) - len(longest)
    title = f"Launches, the longest {len(longest)} of {len(launches):,}" if n_left else "Launches"
    output.heading(f"{title}; the window opened at {format_ps(opened_ps)}" if opened_ps else title)
    rows = [_launch_row(launches[i]) for i in sorted(longest)]
    columns = ("kernel", "grid", "PEs", "sent", "start", "end", "time", "most of it")
    output.table(columns, rows, left=("kernel", "most of it"))
    if n_left:
        output.line(f"and {n_left:,} shorter ones, which --json lists")


def _launch_row(launch: MeasuredLaunch) -> tuple[str, ...]:
    times = (launch.sent_ps, launch.start_ps, launch.end_ps, launch.time_ps)
    causes = [f"{cause} {share}" for cause, _, share in share_rows(launch.breakdown)[:MOST_CAUSES]]
    grid = " x ".join(map(str, launch.grid)).removesuffix(" x 1").removesuffix(" x 1")
    return launch.kernel, grid, str(len(launch.pes)), *map(format_ps, times), ", ".join(causes)


def _print_uses(output: Output, heading: str, what: str, uses: tuple[UnitUse, ...]) -> None:
    rows = [
        (use.kind, str(use.n_units), percent(use.mean), percent(use.max), use.busiest)
        for use in use_by_kind(uses)
    ]
    if rows:
        output.heading(heading)
        output.table(("kind", what, "mean", "max", "busiest"), rows, left=("kind", "busiest"))
