"""``kernbench ccl``: a collective size by size, with nccl-tests' flags and columns, and ours behind them."""

from __future__ import annotations

from typing import Annotated

import typer

from kernbench.cli import options
from kernbench.cli.ccl_asked import Asked
from kernbench.cli.ccl_sizes import FACTOR, LEAST, MOST
from kernbench.cli.files import STDOUT, require_writable

WRONG = 1
EXAMPLES = """\b
Examples:
  kernbench ccl all_reduce
  kernbench ccl all_reduce -b 8 -e 128K -f 2 --algo ring_allreduce --ranks 8
  kernbench ccl all_reduce --topology tiny --ideal
  kernbench ccl all_reduce --mode oracle --ranks 4096 -b 1M -e 64M
  kernbench ccl --tune --topology tiny --output tiny_ccl.yaml
"""


def command(
    context: typer.Context,
    collective: Annotated[
        str | None,
        typer.Argument(
            metavar="COLLECTIVE",
            help="As in all_reduce; a wrong name lists them all. All, if left out with --tune.",
            autocompletion=options.completed_from("kernbench.bench.collectives.request", "COLLECTIVES"),
        ),
    ] = None,
    least: Annotated[
        str | None,
        typer.Option(
            "-b",
            "--minbytes",
            metavar="SIZE",
            help=f"Smallest size: bytes, or with KiB (K), MiB or GiB; {LEAST}.",
        ),
    ] = None,
    most: Annotated[
        str | None,
        typer.Option(
            "-e", "--maxbytes", metavar="SIZE", help=f"Largest size; {MOST}, or -b if that is more."
        ),
    ] = None,
    factor: Annotated[
        str | None,
        typer.Option(
            "-f", "--stepfactor", metavar="N", help=f"From one size to the next; {FACTOR} without -i."
        ),
    ] = None,
    step: Annotated[
        str | None, typer.Option("-i", "--stepbytes", metavar="SIZE", help="The same as a difference.")
    ] = None,
    iters: Annotated[int, options.number("-n", "--iters", help="Timed runs; the last is the row.")] = 1,
    warmup: Annotated[int, options.number("-w", "--warmup_iters", help="Runs before them.")] = 1,
    check: Annotated[
        int | None,
        options.number(
            "-c",
            "--check",
            help="Runs whose results are checked, the last timed one first, each with other values; 1, or 0 of timing.",
        ),
    ] = None,
    op: Annotated[str, typer.Option("-o", "--op", metavar="OP", help="sum, prod, max, min or avg.")] = "sum",
    dtype: Annotated[
        str,
        typer.Option(
            "-d",
            "--datatype",
            metavar="TYPE",
            help="float, half, bfloat16, double, or int8 to int64 and uint8 to uint64.",
        ),
    ] = "float",
    root: Annotated[int, options.number("-r", "--root", metavar="RANK", help="Of broadcast and reduce.")] = 0,
    algo: Annotated[
        str | None,
        typer.Option(
            "--algo",
            metavar="NAME",
            help="The algorithm; what ccl.yaml selects for ranks and size, if left out.",
        ),
    ] = None,
    ranks: Annotated[
        int | None, options.number("--ranks", help="The first N PEs; those of one cube, if left out.")
    ] = None,
    buffer: Annotated[
        str | None,
        typer.Option(
            "--buffer", metavar="tcm|hbm|sram", help="The memory of the queues; as configured, if left out."
        ),
    ] = None,
    ideal: Annotated[
        bool,
        typer.Option(
            "--ideal", help="Links and engines of the data sheet take time, and nothing else; err must be 0."
        ),
    ] = False,
    mode: Annotated[
        str,
        typer.Option(
            "--mode",
            metavar="timed|timing|oracle",
            help="Time and values, or time only; oracle: what theory says of the ideal machine, without a run.",
        ),
    ] = "timed",
    half: Annotated[
        str | None,
        typer.Option(
            "--half", metavar="out|in", help="Run out of place or in place only; both, if left out."
        ),
    ] = None,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare",
            help="Time what ccl.yaml selects and what theory prefers too, at the largest size; the last line but one "
            "names one that is faster.",
        ),
    ] = False,
    topology: options.TopologyName = "default",
    overrides: options.Overrides = None,
    plugin: options.Plugins = None,
    tune: Annotated[
        bool,
        typer.Option(
            "--tune",
            help="Write which algorithm is the fastest at which size, as ccl.yaml, on the PEs of a cube, of a SIP and "
            "on all, or on --ranks. With --ideal by theory.",
        ),
    ] = False,
    output_file: Annotated[
        str,
        typer.Option("--output", metavar="FILE|-", help="Where --tune writes; standard output, if left out."),
    ] = STDOUT,
    plot: Annotated[
        str | None,
        typer.Option(
            "--plot",
            metavar="FILE",
            help="Draw busbw against size, of every algorithm that can serve or of --algo.",
        ),
    ] = None,
    json: options.JsonTarget = None,
    max_time: options.MaxTime = None,
    max_cpu: options.MaxCpu = None,
    engine: options.Engine = None,
    debug: options.Debug = False,
) -> None:
    """Time a collective size by size, check it, and compare it with theory.

    Flags and columns are nccl-tests'. A wrong value makes the exit code 1, with --ideal an err that is not 0 too.
    """
    require_writable(json, plot)
    if plot is not None:
        from kernbench.cli.plot import require_drawable

        require_drawable(plot)
    asked = Asked(**context.params).settled()  # its fields are named as the parameters
    sizes = asked.sizes()
    options.load_plugins(plugin or ())
    if tune:
        from kernbench.cli.ccl_tune import write_tables

        write_tables(asked, sizes)
        return
    from kernbench.cli.ccl_page import write_page

    rows = write_page(asked, sizes)
    if any(row.n_wrong for row in rows) or (ideal and any(row.has_error for row in rows)):
        raise typer.Exit(WRONG)
