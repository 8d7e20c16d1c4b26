"""``kernbench probe``: single transfers, and a queue, on an idle machine, simulated and by closed form."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kernbench.cli.files import STDOUT, require_writable, write_json
from kernbench.cli.options import (
    Debug,
    Engine,
    JsonTarget,
    MaxCpu,
    MaxTime,
    Overrides,
    TopologyName,
    completed_from,
)
from kernbench.cli.probe_queue import parse_depths, parse_pes, print_rows, queue_as_json
from kernbench.compiled import running
from kernbench.errors import UsageError
from kernbench.files import together
from kernbench.registry import require_listed
from kernbench.units import format_bytes, format_ps, parse_bytes
from kernbench.wording import shortened

if TYPE_CHECKING:
    from kernbench.bench.probe import ProbeRow
    from kernbench.reports.output import Output

SCHEMA = "kernbench.probe/1"
WRONG = 1
QUEUE = "queue"
EXAMPLES = """\b
Examples:
  kernbench probe
  kernbench probe pe-to-other-cube --hops
  kernbench probe host-to-device --sizes 4KiB,1MiB --topology big
  kernbench probe queue --pes 0,31 --depths 1..12 --plot knee.png
"""


def command(
    case: Annotated[
        str | None,
        typer.Argument(
            metavar="CASE",
            help="One of host-to-device, device-to-host, pe-to-local, pe-to-same-cube, pe-to-other-cube, "
            "pe-to-other-sip; all of these that the machine has, if left out. Or queue: a queue between two PEs.",
            show_default=False,
            autocompletion=completed_from("kernbench.bench.probe", "CASES"),
        ),
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(
            "--sizes",
            metavar="SIZE,...",
            help="Bytes, or with KiB (K), MiB or GiB, up to a PE's slice of HBM; 4 KiB to 1 MiB, doubling, if left out "
            "(queue: 256 B, 1 KiB, 4 KiB).",
        ),
    ] = None,
    hops: Annotated[
        bool,
        typer.Option(
            "--hops", help="Show every hop of the routes (queue: all that the closed forms are made of)."
        ),
    ] = False,
    pes: Annotated[
        str | None,
        typer.Option("--pes", metavar="SRC,DST", help="queue: from which PE to which; 0,1 if left out."),
    ] = None,
    depths: Annotated[
        str | None,
        typer.Option(
            "--depths", metavar="N,...", help="queue: slots, as in 1,2,4 or 1..8; 1..16 if left out."
        ),
    ] = None,
    plot: Annotated[
        str | None,
        typer.Option(
            "--plot", metavar="FILE", help="queue: draw throughput against depth to FILE, .png or .svg."
        ),
    ] = None,
    topology: TopologyName = "default",
    overrides: Overrides = None,
    json: JsonTarget = None,
    max_time: MaxTime = None,
    max_cpu: MaxCpu = None,
    engine: Engine = None,
    debug: Debug = False,
) -> None:
    """Time single transfers, or a queue, against their closed forms.

    On an idle machine the two agree to the picosecond: an error that is not 0 makes the exit code 1.
    """
    require_writable(json, plot)
    sizes_bytes = parse_sizes(sizes) if sizes is not None else None
    from kernbench.cli.console import sign_of_life
    from kernbench.cli.plot import draw_queue
    from kernbench.records import as_json
    from kernbench.reports.output import Output

    is_queue = case == QUEUE
    for option, value in (("--pes", pes), ("--depths", depths), ("--plot", plot)):
        if value is not None and not is_queue:
            raise UsageError(f"{option} is for a queue: kernbench probe queue {option} {value}")
    probe = _of_queue(sizes_bytes, depths, pes, plot) if is_queue else _of_transfers(case, sizes_bytes)
    with sign_of_life("probing", max_time=max_time, max_cpu=max_cpu):
        rows = probe(topology=topology, overrides=tuple(overrides or ()))
    if not rows:
        raise UsageError(
            f"probe {case}: {topology} has no such place; leave the case out to see what there is"
        )
    with together():
        if plot is not None:
            draw_queue(plot, rows)
        _write(json, topology, overrides, queue_as_json(rows) if is_queue else [as_json(row) for row in rows])
    if json != STDOUT:
        output = Output()
        (print_rows if is_queue else _print)(output, rows, with_hops=hops)
        output.line(running().line)
    if any(row.error_ps for row in rows):
        raise typer.Exit(WRONG)


def _of_transfers(case: str | None, sizes: tuple[int, ...] | None) -> Callable[..., Any]:
    """The probe of one case, or of all, that a machine is given to."""
    from kernbench.bench.probe import CASES, SIZES, run_probe

    if case is not None:
        require_listed("case", case, (*CASES, QUEUE))
    return partial(run_probe, (case,) if case else CASES, sizes or SIZES)


def _of_queue(
    sizes: tuple[int, ...] | None, depths: str | None, pes: str | None, plot: str | None
) -> Callable[..., Any]:
    """The sweep of a queue that a machine is given to."""
    from kernbench.cli.plot import require_drawable

    require_drawable(plot)
    chosen_depths = None if depths is None else parse_depths(depths)
    chosen_pes = (0, 1) if pes is None else parse_pes(pes)
    from kernbench.bench.probe import DEPTHS, QUEUE_SIZES, run_queue_probe

    return partial(run_queue_probe, sizes or QUEUE_SIZES, chosen_depths or DEPTHS, pes=chosen_pes)


def _write(json: str | None, topology: str, overrides: list[str] | None, rows: list[dict[str, Any]]) -> None:
    """The rows as JSON, if that is asked for."""
    from kernbench.config.load import load_config
    from kernbench.config.plain import config_sha256

    if json is not None:
        sha256 = config_sha256(load_config(topology, overrides or ()))
        about = {"topology": topology, "config_sha256": sha256, "engine": running().engine}
        write_json(json, {"schema": SCHEMA, **about, "rows": rows})


def parse_sizes(text: str) -> tuple[int, ...]:
    """Sizes in bytes from ``4 KiB, 1 MiB``.

    >>> parse_sizes("100,4KiB")
    (100, 4096)
    """
    try:
        sizes = tuple(parse_bytes(size) for size in text.split(","))
    except ValueError as error:
        raise UsageError(f"--sizes {shortened(text)}: {error}") from None
    if 0 in sizes:
        raise UsageError(f"--sizes {shortened(text)}: a transfer moves 1 byte or more")
    return sizes


def _print(output: Output, rows: tuple[ProbeRow, ...], *, with_hops: bool) -> None:
    from kernbench.units import percent

    columns = ("case", "size", "simulated", "closed form", "error", "GB/s", "of bottleneck")
    output.table(
        columns,
        [
            (
                row.case,
                format_bytes(row.size_bytes),
                format_ps(row.simulated_ps),
                "N/A" if row.closed_form_ps is None else format_ps(row.closed_form_ps),
                "N/A" if row.error_ps is None else f"{row.error_ps} ps",
                f"{row.bytes_per_ns:.2f}",
                percent(row.share),
            )
            for row in rows
        ],
        left=("case",),
    )
    if with_hops:
        for row in _first_of_each_case(rows):
            _print_hops(output, row)
    wrong = sum(bool(row.error_ps) for row in rows)
    n_open = sum(row.error_ps is None for row in rows)
    output.line()
    if n_open:
        output.line(
            f"{n_open} of {len(rows)} transfers have no closed form: their pages are more than the TLB holds "
            "(pe.mmu.tlb_entries), or their blocks in flight more than TCM does"
        )
    output.line(
        f"{wrong} of {len(rows)} transfers differ from their closed form, for which every buffer and queue is large "
        "enough; kernbench check warns of those that are not"
        if wrong
        else "no transfer was compared with a closed form"
        if n_open == len(rows)
        else "every error is 0"
    )


def _first_of_each_case(rows: tuple[ProbeRow, ...]) -> list[ProbeRow]:
    return list({row.case: row for row in reversed(rows)}.values())[::-1]


def _print_hops(output: Output, row: ProbeRow) -> None:
    output.heading(f"{row.case}: {row.src} -> {row.dst}, {format_bytes(row.size_bytes)}")
    output.table(
        ("hop", "latency", "serialisation", "GB/s"),
        [
            (hop.name, format_ps(hop.latency_ps), format_ps(hop.serial_ps), f"{hop.bytes_per_ns:.5g}")
            for hop in row.hops
        ],
        left=("hop",),
    )
