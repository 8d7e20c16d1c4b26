"""``kernbench run``: one bench on one machine."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from time import process_time_ns
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kernbench.cli import options
from kernbench.cli.files import STDOUT, require_writable, write_json
from kernbench.errors import UsageError
from kernbench.files import together

if TYPE_CHECKING:
    from kernbench.runs.result import RunResult

EXAMPLES = """\b
Examples:
  kernbench run gemm
  kernbench run gemm -p m=512 -p dtype=bf16
  kernbench run vector_add --topology tiny
  kernbench run my_bench.py --set cube.hbm.channels=8 --json result.json
  kernbench run softmax --mode timing --trace trace.json
"""

WRONG = 1


def command(
    bench: Annotated[
        str,
        typer.Argument(
            metavar="BENCH",
            help="A bench's name, or a Python file with one.",
            autocompletion=options.completed_from("kernbench.bench", "load_benches"),
        ),
    ],
    param: Annotated[
        list[str] | None,
        typer.Option(
            "-p",
            metavar="NAME=VALUE",
            help="Set a parameter of the bench; the others have defaults or follow from the machine; may be repeated.",
        ),
    ] = None,
    topology: options.TopologyName = "default",
    overrides: options.Overrides = None,
    mode: Annotated[
        str,
        typer.Option(
            "--mode",
            metavar="timed|data|timing",
            help="Time and values, values only (the debugger), or time only.",
        ),
    ] = "timed",
    iters: Annotated[
        int,
        options.number(
            "--iters", help="Run what it measures N times, or else all of it; the last one is reported."
        ),
    ] = 1,
    seed: Annotated[int, options.number("--seed", help="Seed of the bench's random tensors.")] = 0,
    races: options.Races = "warn",
    uninitialised: options.Uninitialised = "warn",
    plugin: options.Plugins = None,
    json: options.JsonTarget = None,
    trace: Annotated[
        str | None,
        typer.Option("--trace", metavar="FILE", help="Write a trace that opens in ui.perfetto.dev."),
    ] = None,
    max_time: options.MaxTime = None,
    max_cpu: options.MaxCpu = None,
    engine: options.Engine = None,
    debug: options.Debug = False,
) -> None:
    """Run a bench: is its result right, how long does it take, and why.

    The last line but one says what limits the kernel. `kernbench list benches` shows the benches and their parameters.
    """
    require_writable(json, trace)
    _require_apart(json, trace)
    if max_time is not None and mode == "data":
        raise UsageError(
            "--max-time: mode 'data' has no simulated time; limit its CPU time with --max-cpu, or use mode 'timed'"
        )
    params = options.assignments(param or ())
    from kernbench.bench import run
    from kernbench.cli.console import sign_of_life
    from kernbench.reports.output import Output
    from kernbench.reports.run_page import write_page

    with together():
        # What a kernel prints must not end up within the JSON.
        with (
            redirect_stdout(sys.stderr if json == STDOUT else sys.stdout),
            sign_of_life(f"loading {bench}", max_time=max_time, max_cpu=max_cpu) as tell,
        ):
            result = run(
                bench,
                topology=topology,
                overrides=tuple(overrides or ()),
                params=params,
                mode=mode,
                iters=iters,
                seed=seed,
                races=races,
                uninitialised=uninitialised,
                plugins=tuple(Path(name) for name in plugin or ()),
                trace=trace,
                progress=tell,
            )
        if json is not None:
            write_json(json, _document(result))
    if json != STDOUT:
        write_page(Output(), result)
    if result.check.ok is False:
        raise typer.Exit(WRONG)


def _document(result: RunResult) -> dict[str, Any]:
    """The JSON of ``result``, in whose CPU time is what making it took: as much as a tiny run."""
    begun_ns = process_time_ns()
    document = result.to_json()
    cpu = result.cpu.reported(process_time_ns() - begun_ns)
    return {**document, "cpu_s": cpu.run_ns / 1e9, "cpu": asdict(cpu)}


def _require_apart(json: str | None, trace: str | None) -> None:
    """A trace goes to a file, and not to that of the result."""
    if trace == STDOUT:
        raise UsageError("--trace -: a trace goes to a file; name one, as in --trace trace.json")
    if trace is not None and json not in (None, STDOUT) and Path(json).resolve() == Path(trace).resolve():
        raise UsageError(f"--json and --trace both name {trace}; give each a file of its own")
