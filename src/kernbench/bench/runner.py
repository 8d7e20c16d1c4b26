"""Runs a bench on a fresh machine, and judges it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from kernbench.analysis.measures import added
from kernbench.bench.fit import Room
from kernbench.bench.judge import judged
from kernbench.bench.outcome import Outcome
from kernbench.bench.registry import Bench, load_bench
from kernbench.components.gemm_rate import macs_per_cycle
from kernbench.config.load import Overrides
from kernbench.cpu_time import REPORT, START, VALUES, booked
from kernbench.dtypes import as_dtype
from kernbench.errors import ShapeError, UnknownNameError, UsageError
from kernbench.given import whole
from kernbench.limits import limited
from kernbench.messages.source_line import SourceLine
from kernbench.registry import did_you_mean
from kernbench.runs.result import Check, RunResult, peak_mb
from kernbench.simulation import Simulation, load_plugin
from kernbench.torch.tensor import DeviceTensor
from kernbench.wording import quoted


def run(
    bench: str | Path | Bench,
    /,
    *,
    topology: str | Path = "default",
    overrides: Overrides = (),
    params: Mapping[str, Any] | None = None,
    mode: str = "timed",
    iters: int = 1,
    seed: int = 0,
    races: str = "warn",
    uninitialised: str = "warn",
    plugins: Iterable[str | Path] = (),
    trace: str | Path | None = None,
    max_time: str | None = None,
    max_cpu: str | None = None,
    progress: Callable[[str], None] | None = None,
    **parameters: Any,
) -> RunResult:
    """Run a bench (its name, or a Python file with one) on a fresh machine, as ``kernbench run`` does, and judge it.

    Every other keyword is a parameter of the bench. One that is named as an option of ``run`` goes into ``params``,
    which may hold any. ``overrides`` as for :func:`kernbench.simulate`. A loop over ``torch.measure`` is measured
    ``iters`` times; without one, all of the bench runs ``iters`` times, each after the tensors of the one before are
    freed. The last result is judged and timed. ``max_time`` and ``max_cpu``, as in
    "10ms" and "60s", stop it after so much simulated or CPU time: see :func:`kernbench.limited`. ``progress`` is told
    in a few words what is being done. ``print`` of the result is the page of the command line, and ``to_json()`` its
    JSON.

    >>> result = run("gemm", topology="tiny", overrides={"pe.clock_ghz": 2}, m=64, n=64, k=64)
    >>> result.check.ok, result.params["m"], result.kernel_time_ps
    (True, 64, 1151125)

    Raises:
        KernBenchError: its kinds for bad input, and for a simulated program that fails.
    """
    with limited(max_time=max_time, max_cpu=max_cpu), booked(START) as cpu:
        iters = whole(iters, "iters", least=1)
        if not (progress is None or callable(progress)):
            raise UsageError(f"progress must be a function that is told what is done, not {quoted(progress)}")
        if not (trace is None or isinstance(trace, (str, Path))):
            raise UsageError(f"trace must be the path of a file, not {quoted(trace)}")
        for plugin in _plugins(plugins):
            load_plugin(plugin)
        bench = load_bench(bench)
        known = bench.bind(_given(bench, params, parameters))
        tell = progress or (lambda _: None)
        tell(f"building {topology if isinstance(topology, (str, Path)) else '...'}")
        simulation = Simulation.of(
            topology, overrides=overrides, mode=mode, seed=seed, races=races, uninitialised=uninitialised
        )
        values = bench.fitted(known, Room.of(simulation.graph))
        simulation.keeps_rows = trace is not None
        measures = simulation.device.measures
        measures.iters, measures.tell = iters, lambda what: tell(f"{bench.name}: {what}")
        outcome: Outcome
        cpu.enter(VALUES)
        for i in range(iters):
            tell(f"{bench.name}: iteration {i + 1} of {iters}")
            if i:  # free, and unmap, the tensors of the one before while no window is open
                del outcome  # noqa: F821 (bound by the round before)
                simulation.torch.synchronize()
            simulation.begin_window()
            with _naming_negative(values):
                outcome = _outcome_of(bench, bench.run(simulation.torch, **values))
            results = [_read_back(tensor, mode, outcome.line) for tensor in outcome.outputs]
            if measures.is_looped:
                break
        cpu.enter(REPORT)
        if outcome.gemm is not None:
            macs_per_cycle(as_dtype(outcome.gemm), simulation.config.topology.pe.gemm, outcome.line)
        found = simulation.measures(flops=outcome.flops, gemm=outcome.gemm)
        if found:
            result = simulation.result(
                added([measure.last for measure in found]), measures=found, apart=simulation.apart()
            )
        else:
            result = simulation.report(flops=outcome.flops, gemm=outcome.gemm)
        if trace is not None:
            simulation.write_trace(Path(trace))
        tell("checking")
        check = Check.none("mode timing computes no values") if mode == "timing" else judged(outcome, results)
        return replace(
            result,
            bench=bench.name,
            params=values,
            topology=str(topology),
            iterations=i + 1,
            check=check,
            cpu=cpu.parts(),
            peak_mb=peak_mb(),
        )


def _plugins(plugins: Any) -> list[str | Path]:
    """Files to load, before any name is looked up."""
    files = list(plugins) if isinstance(plugins, Iterable) and not isinstance(plugins, str) else [plugins]
    if isinstance(plugins, str) or not all(isinstance(file, (str, Path)) for file in files):
        raise UsageError(
            f"plugins must be a list of Python files, as in plugins=['mine.py'], not {quoted(plugins)}"
        )
    return files


def _given(bench: Bench, params: Mapping[str, Any] | None, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of ``bench`` that a call of :func:`run` sets, each in one way."""
    if params is not None and not isinstance(params, Mapping):
        raise UsageError(
            f"params must be a dict of parameters of bench {bench.name!r}, not {type(params).__name__}"
        )
    for name in parameters:
        if name not in bench.parameters:
            options = inspect.signature(run).parameters.values()
            known = (
                *bench.parameters,
                *(option.name for option in options if option.kind is option.KEYWORD_ONLY),
            )
            raise UnknownNameError(
                f"run(): {quoted(name)} is no option, and no parameter of bench {bench.name!r}; "
                f"{did_you_mean(name, known)}"
            )
        if params is not None and name in params:
            raise UsageError(f"run(): parameter {quoted(name)} is in params and a keyword too; give it once")
    return {**(params or {}), **parameters}


@contextmanager
def _naming_negative(values: Mapping[str, Any]) -> Iterator[None]:
    """A shape that cannot be is told with the parameters below zero, one of which it may come from."""
    try:
        yield
    except ShapeError as error:
        below = [f"{name}={value}" for name, value in values.items() if isinstance(value, int) and value < 0]
        if below:
            error.args = (f"{', '.join(below)}: {error}",)
        raise


def _outcome_of(bench: Bench, returned: Any) -> Outcome:
    """What ``bench.run`` returned; UsageError if it is nothing that can be judged."""
    if not isinstance(returned, Outcome):
        raise UsageError(f"bench {bench.name!r}: run() must return an Outcome, not {type(returned).__name__}")
    return returned


def _read_back(tensor: DeviceTensor, mode: str, line: SourceLine) -> Any:
    return tensor.fetch() if mode == "timing" else tensor.read(line=line)
