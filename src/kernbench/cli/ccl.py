"""``kernbench ccl``: a collective size by size, with nccl-tests' flags and columns, and ours behind them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from kernbench.cli.files import STDOUT, require_writable, write_json
from kernbench.cli.options import (
    Debug,
    JsonTarget,
    MaxCpu,
    MaxTime,
    Overrides,
    Plugins,
    TopologyName,
    completed_from,
    load_plugins,
    whole_number,
)
from kernbench.errors import CapacityError, UnknownNameError, UsageError
from kernbench.registry import did_you_mean
from kernbench.reports.files import together
from kernbench.units import parse_bytes
from kernbench.wording import plural, quoted, shortened

if TYPE_CHECKING:
    from kernbench.bench.collectives.bench import CclBench
    from kernbench.bench.collectives.row import CclRow

SCHEMA = "kernbench.ccl/1"
WRONG = 1
MODES = ("timed", "timing")
BUFFERS = ("tcm", "hbm", "sram")
MOST_SIZES = 1000
LEAST, MOST, FACTOR = "1K", "64K", "8"  # run in seconds on the ranks of one cube
TUNED_LEAST, TUNED_MOST, TUNED_FACTOR = "64", "256K", "4"  # a minute on `tiny`
EXAMPLES = """\b
Examples:
  kernbench ccl all_reduce
  kernbench ccl all_reduce -b 8 -e 128K -f 2 --algo ring_allreduce --ranks 8
  kernbench ccl all_reduce --topology tiny --ideal
  kernbench ccl --tune --topology tiny --output tiny_ccl.yaml
"""


def command(
    collective: Annotated[
        str | None,
        typer.Argument(
            metavar="COLLECTIVE",
            help="As in all_reduce; a wrong name lists them all. All, if left out with --tune.",
            autocompletion=completed_from("kernbench.bench.collectives.request", "COLLECTIVES"),
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
    iters: Annotated[
        int,
        typer.Option(
            "-n", "--iters", metavar="N", parser=whole_number, help="Timed runs; the last is the row."
        ),
    ] = 1,
    warmup: Annotated[
        int,
        typer.Option("-w", "--warmup_iters", metavar="N", parser=whole_number, help="Runs before them."),
    ] = 1,
    check: Annotated[
        int | None,
        typer.Option(
            "-c",
            "--check",
            metavar="N",
            parser=whole_number,
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
    root: Annotated[
        int,
        typer.Option("-r", "--root", metavar="RANK", parser=whole_number, help="Of broadcast and reduce."),
    ] = 0,
    algo: Annotated[
        str | None,
        typer.Option(
            "--algo",
            metavar="NAME",
            help="The algorithm; what ccl.yaml selects for ranks and size, if left out.",
        ),
    ] = None,
    ranks: Annotated[
        int | None,
        typer.Option(
            "--ranks",
            metavar="N",
            parser=whole_number,
            help="The first N PEs; those of one cube, if left out.",
        ),
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
        str, typer.Option("--mode", metavar="timed|timing", help="Time and values, or time only.")
    ] = "timed",
    topology: TopologyName = "default",
    overrides: Overrides = None,
    plugin: Plugins = None,
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
    json: JsonTarget = None,
    max_time: MaxTime = None,
    max_cpu: MaxCpu = None,
    debug: Debug = False,
) -> None:
    """Time a collective size by size, check it, and compare it with theory.

    Flags and columns are nccl-tests'. A wrong value makes the exit code 1, with --ideal an err that is not 0 too.
    """
    require_writable(json, plot)
    if plot is not None:
        from kernbench.cli.plot import require_drawable

        require_drawable(plot)
    for option, value, known in (("--mode", mode, MODES), ("--buffer", buffer, BUFFERS)):
        if value is not None and value not in known:
            raise UnknownNameError(
                f"{option}: unknown {option[2:]} {quoted(value)}; {did_you_mean(value, known)}"
            )
    if ideal and mode == "timing":
        raise UsageError("--ideal: computes values with its times; leave --mode out")
    if ideal and max_time is not None:
        raise UsageError(
            "--max-time: the ideal machine has no clock to stop; use --max-cpu, or leave --ideal out"
        )
    if ideal and buffer is not None:
        raise UsageError(f"--buffer {buffer}: the ideal machine has no memories; leave it or --ideal out")
    if iters < 1:
        raise UsageError("-n 0: nothing is timed; give 1 or more")
    if check and mode == "timing":
        raise UsageError(f"-c {check}: mode timing computes no values; leave it or --mode out")
    if tune:
        _require_tunable(algo=algo, check=check, plot=plot, json=json)
        least, most = least or TUNED_LEAST, most or TUNED_MOST
        factor = factor or (None if step else TUNED_FACTOR)
    elif collective is None:
        raise UsageError("no collective; name one, as in kernbench ccl all_reduce")
    elif output_file != STDOUT:
        raise UsageError(f"--output {output_file}: is where --tune writes; for the rows, give --json FILE")
    sizes = [0] if collective == "barrier" else sizes_of(least or LEAST, most, factor, step)
    if plot is not None and not any(sizes):
        raise UsageError(f"--plot {plot}: nothing is moved at these sizes; give larger ones")
    load_plugins(plugin or ())

    from kernbench.bench.collectives.request import Request

    request = Request(
        collective=collective or "all_reduce",  # type: ignore[arg-type]  # checked where it is used
        algorithm=algo,
        n_ranks=ranks,
        dtype=dtype,
        op=op,
        root=root,
        n_iters=iters,
        n_warmup=warmup,
        n_checks=0 if mode == "timing" or collective == "barrier" else 1 if check is None else check,
        buffer=buffer,
        mode="timing" if tune else mode,
        is_ideal=ideal and not tune,
    )
    if tune:
        from kernbench.cli.ccl_tune import tune as write_tables

        given = {"-b": least, "-e": most, "-f": factor, "-i": step}
        words = [word for option, text in given.items() if text is not None for word in (option, text)]
        write_tables(
            output_file, topology, overrides or (), request, sizes, words, collective, by_theory=ideal
        )
        return

    from kernbench.bench.collectives.bench import CclBench
    from kernbench.cli.ccl_page import faster_as_json, foot_of, head_of, request_as_json, row_as_json
    from kernbench.cli.ccl_table import Table, folded
    from kernbench.cli.console import sign_of_life
    from kernbench.config.load import load_config
    from kernbench.config.plain import config_sha256
    from kernbench.reports.output import Output

    config = load_config(topology, overrides or ())
    bench = CclBench(config, request)
    _require_elements(bench, sizes)
    output = Output()
    table = Table(output.width)
    write = output.line if json != STDOUT else lambda _: None
    rows: list[CclRow] = []
    with sign_of_life(request.collective, max_time=max_time, max_cpu=max_cpu) as tell:
        comments = head_of(bench, topology, sizes, last=last_of(most, sizes))
        for line in (*folded(comments, output.width), *table.head()):
            write(line)
        for size in sizes:
            tell(f"{collective}, {size} B")
            rows.append(bench.row(size))
            write(table.line(rows[-1]))
        tell(f"{request.collective}, {sizes[-1]} B: is another algorithm faster?")
        faster = bench.faster(rows[-1], sizes[-1])
    for line in (*table.rest(rows), *folded(foot_of(rows, faster, is_ideal=ideal), output.width)):
        write(line)
    head = {"schema": SCHEMA, "topology": topology, "config_sha256": config_sha256(config)}
    measured = {"rows": [row_as_json(row) for row in rows], "faster": faster_as_json(faster)}
    with together():
        if json is not None:
            write_json(json, {**head, **request_as_json(bench), **measured})
        if plot is not None:
            for line in _draw(plot, bench, rows, sizes, topology):
                write(line)
    if any(row.n_wrong for row in rows) or (ideal and any(row.has_error for row in rows)):
        raise typer.Exit(WRONG)


def _require_tunable(**given: object) -> None:
    """Refuse options that say something of rows, or of one algorithm."""
    for name, value in given.items():
        if value is not None:
            raise UsageError(
                f"--{name} {value}: --tune compares all algorithms, without values; leave it or --tune out"
            )


# -- sizes ----------------------------------------------------------------------------------------------------


def parse_size(option: str, text: str) -> int:
    """Bytes of a size; UsageError names ``option``.

    >>> parse_size("-b", "8"), parse_size("-e", "128M"), parse_size("-b", "1.5k")
    (8, 134217728, 1536)
    """
    try:
        return parse_bytes(text)
    except ValueError as error:
        raise UsageError(f"{option} {shortened(text)}: {error}") from None


def sizes_of(least: str, most: str | None, factor: str | None, step: str | None) -> Sequence[int]:
    """The sizes from ``least`` to ``most``, by a factor or in steps.

    >>> sizes_of("1K", "64K", None, None), sizes_of("8", "30", None, "8")
    ([1024, 8192, 65536], [8, 16, 24])
    """
    first = parse_size("-b", least)
    last = max(first, parse_size("-e", MOST)) if most is None else parse_size("-e", most)
    if first > last:
        raise UsageError(f"-b {least}: is more than -e {most or MOST}")
    times = whole_number(factor or ("1" if step else FACTOR), "-f")
    plus = parse_size("-i", step or "0")
    if times > 1 and step is not None:
        raise UsageError(f"-i {step}: -f {factor} leads from one size to the next already; give one of them")
    if times > 1 and first == 0:
        raise UsageError("-b 0: no factor leads on from 0; give another -b, or steps with -i")
    if times <= 1 and plus < 1:
        given = f"-f {factor}" if step is None else f"-i {step}"
        raise UsageError(f"{given}: does not lead on; give a factor of 2 or more, or steps with -i")
    if times <= 1 and (last - first) // plus >= MOST_SIZES:
        raise UsageError(
            f"-i {step}: makes {(last - first) // plus + 1:,} sizes of -b {least} to -e {most or MOST}; "
            f"{MOST_SIZES:,} are the most"
        )
    sizes = [first]
    while (after := sizes[-1] * times if times > 1 else sizes[-1] + plus) <= last:
        sizes.append(after)
    return sizes


def last_of(most: str | None, sizes: Sequence[int]) -> int:
    """The size that was asked for as the largest, whether or not the steps meet it."""
    return sizes[-1] if most is None or sizes == [0] else parse_size("-e", most)


def _require_elements(bench: CclBench, sizes: Sequence[int]) -> None:
    """Refuse sizes of which none holds anything, unless nothing is what was asked for."""
    from kernbench.bench.collectives.request import TYPES
    from kernbench.bench.collectives.volume import SHARDED, Volume

    request, n_ranks = bench.request, len(bench.ranks.pes)
    if sizes[-1] == 0 or any(Volume(request, n_ranks, size).n_elem for size in sizes):
        return
    each = f" for each of {n_ranks} ranks" if request.collective in SHARDED else ""
    least = TYPES[request.dtype].size_bytes * (n_ranks if each else 1)
    raise UsageError(f"-e {sizes[-1]}: holds no element of {request.dtype}{each}; give {least} or more")


# -- the picture ----------------------------------------------------------------------------------------------


def _draw(
    plot: str, bench: CclBench, rows: Sequence[CclRow], sizes: Sequence[int], topology: str
) -> Iterator[str]:
    """All algorithms that can serve; says which do not fit. What was measured for the page is not measured again."""
    from kernbench.cli.ccl_plot import draw_busbw
    from kernbench.cli.console import sign_of_life

    known = {(row.algorithm, size): row for row, size in zip(rows, sizes, strict=True)}
    found: dict[str, list[CclRow]] = {}
    with sign_of_life("drawing") as tell:
        for name in bench.able:
            tell(name)
            try:
                measured = [known.get((name, size)) or bench.row(size, name) for size in sizes]
            except CapacityError as error:
                yield f"# not drawn: {name}: {error}"
                continue
            if any(row.size_bytes for row in measured):
                found[name] = [row for row in measured if row.size_bytes]
    if not found:
        raise UsageError(f"--plot {plot}: nothing is moved at these sizes; give larger ones")
    request = bench.request
    how = "ideal" if request.is_ideal else topology
    draw_busbw(
        plot,
        f"{request.collective} of {request.dtype} on {plural(len(bench.ranks.pes), 'rank')}, {how}",
        found,
    )
