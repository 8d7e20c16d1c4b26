"""A bench: a host program with a kernel, its parameters and its reference. Found by name or file, run, judged."""

from __future__ import annotations

import importlib.util
import inspect
import pkgutil
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import numpy as np

from kernbench.components.gemm_rate import macs_per_cycle
from kernbench.config.load import Overrides
from kernbench.dtypes import as_dtype
from kernbench.errors import ShapeError, UnknownNameError, UsageError
from kernbench.fit import Room, block_of, on_first, side
from kernbench.given import whole
from kernbench.limits import limited
from kernbench.messages.commands import SourceLine
from kernbench.outcome import Array, Expected, Outcome, dot_tolerance, random_values, rounding
from kernbench.registry import Registry, did_you_mean
from kernbench.reports.measured import Measured
from kernbench.reports.measures import added
from kernbench.reports.run_result import Check, RunResult
from kernbench.runtime.tensor import DeviceTensor
from kernbench.simulation import MODES, Simulation, load_plugin
from kernbench.topology.graph import TopologyGraph
from kernbench.wording import is_name, plural, quoted

Fit = Callable[[Room, dict[str, Any]], Mapping[str, Any]]
FOLLOWS = "auto"  # the value of a parameter that follows from the machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A registered ``run(torch, name: type = default, ...)``.

    ``fit(room, given)`` gives the parameters that have no default, from the machine's room and what is known of the
    others; ``small`` are sizes at which tests run it; it needs a machine of ``least_pes``.
    """

    name: str
    run: Callable[..., Outcome]
    fit: Fit | None = None
    least_pes: int = 1
    small: Mapping[str, Any] | None = None

    @property
    def doc(self) -> str:
        """The first line of its docstring."""
        return (inspect.getdoc(self.run) or "").split("\n")[0]

    @property
    def parameters(self) -> dict[str, tuple[type, Any]]:
        """``name -> (type, default)`` of what ``-p`` may set; a default of None follows from the machine.

        Raises:
            UsageError: ``run`` has parameters that nothing gives a value.
        """
        try:
            hints = get_type_hints(self.run)
        except (AttributeError, NameError, SyntaxError, TypeError) as error:
            raise UsageError(f"bench {self.name!r}: annotation: {error}") from None
        _, *named = inspect.signature(self.run).parameters.values()
        for parameter in named:
            wanted, has_default = hints.get(parameter.name), parameter.default is not parameter.empty
            is_alone = parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            follows = self.fit is not None and not has_default and is_alone
            if wanted not in (int, float, bool, str) or not (follows or type(parameter.default) is wanted):
                raise UsageError(
                    f"bench {self.name!r}: parameter {parameter} must be an int, float, bool or str with a "
                    "default of that type, as in m: int = 64, or with none if fit= gives it"
                )
        return {
            parameter.name: (
                hints[parameter.name],
                None if parameter.default is parameter.empty else parameter.default,
            )
            for parameter in named
        }

    def bind(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters known without a machine: the defaults, with ``given`` (texts are converted) over them."""
        known = {name: default for name, (_, default) in self.parameters.items() if default is not None}
        for name, value in given.items():
            if name not in self.parameters:
                raise UnknownNameError(
                    f"bench {self.name!r} has no parameter {quoted(name)}; {did_you_mean(name, self.parameters)}"
                )
            if value != FOLLOWS or name in known:
                known[name] = _converted(self, name, value, self.parameters[name][0])
        return known

    def fitted(self, known: Mapping[str, Any], room: Room) -> dict[str, Any]:
        """All parameters, in the order of ``run``'s: those of :meth:`bind`, and what follows from the machine.

        Raises:
            UsageError: the machine has too few PEs, or ``fit`` leaves a parameter out.
        """
        if room.n_pes < self.least_pes:
            raise UsageError(
                f"bench {self.name!r} needs {plural(self.least_pes, 'PE')}, and this machine has {room.n_pes}; choose "
                "another one"
            )
        found = dict(self.fit(room, dict(known))) if self.fit is not None else {}
        for name, (wanted, _) in self.parameters.items():
            if name not in known and type(found.get(name)) is not wanted:
                raise UsageError(
                    f"bench {self.name!r}: fit() gives {name}={found.get(name)!r}; parameter {quoted(name)} wants "
                    f"{wanted.__name__}"
                )
        return {name: known[name] if name in known else found[name] for name in self.parameters}

    def params_on(self, graph: TopologyGraph, given: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters on a machine: what is ``given``, the defaults, and what follows."""
        return self.fitted(self.bind(given), Room.of(graph))

    @property
    def small_params(self) -> dict[str, Any]:
        """What is known of its parameters at its small sizes; UsageError if it has none."""
        if self.small is None:
            sizes = ", ".join(f'"{name}": ...' for name in self.parameters)
            raise UsageError(
                f"bench {self.name!r} has no small sizes; write @bench({self.name!r}, small={{{sizes}}}) with those "
                "at which it runs in less than a second"
            )
        return self.bind(self.small)


def _converted(bench: Bench, name: str, value: Any, wanted: type) -> Any:
    if isinstance(value, wanted) and not (wanted is int and isinstance(value, bool)):
        return value
    if wanted is bool and str(value).lower() in {"true", "false"}:
        return str(value).lower() == "true"
    try:
        if wanted in {int, float} and isinstance(value, str):
            return wanted(value)
    except ValueError:
        pass
    raise UsageError(
        f"bench {bench.name!r}: parameter {quoted(name)} wants {wanted.__name__}, not {quoted(value)}"
    )


BENCHES: Registry[Bench] = Registry("bench", "a Bench", lambda thing: isinstance(thing, Bench))


def bench(
    name: str, *, fit: Fit | None = None, small: Mapping[str, Any] | None = None, least_pes: int = 1
) -> Callable[[Callable[..., Outcome]], Callable[..., Outcome]]:
    """Decorator: registers ``run`` as bench ``name``.

    A parameter of ``run`` without a default follows from the machine: ``fit(room, given)`` gives it, from the
    :class:`Room` of the machine and the values of those that are known. ``small`` are sizes for tests; ``least_pes``
    says how many PEs there must be.

    Raises:
        UsageError: it is no ``run(torch, name: type = default, ...)``, or the name is taken.
    """

    if not is_name(name):
        raise UsageError("@bench needs a name, as in @bench('mine')")

    def enter(run: Callable[..., Outcome]) -> Callable[..., Outcome]:
        if not (fit is None or callable(fit)):
            raise UsageError(f"bench {name!r}: fit must be a function of room and given, not {quoted(fit)}")
        if not (small is None or isinstance(small, Mapping)):
            raise UsageError(f"bench {name!r}: small must be a dict of parameters, not {quoted(small)}")
        whole(least_pes, f"bench {name!r}: least_pes", least=1)
        first = (
            next(iter(inspect.signature(run).parameters.values()), None) if inspect.isfunction(run) else None
        )
        if first is None or first.default is not first.empty:
            raise UsageError(f"bench {quoted(name)}: must be a function whose first parameter is torch")
        entry = Bench(name=name, run=run, fit=fit, small=small, least_pes=least_pes)
        _ = (
            entry.parameters if small is None else entry.small_params
        )  # refused here, where the user's line is
        BENCHES.register(name)(entry)
        return run

    return enter


def load_benches() -> Registry[Bench]:
    """The registry with every bench of the package in it."""
    package = importlib.import_module("kernbench.benches")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"kernbench.benches.{module.name}")
    return BENCHES


def load_bench(wanted: str | Path | Bench) -> Bench:
    """The bench registered as ``wanted``, or the one that the file of that path registers; a bench is itself."""
    if isinstance(wanted, Bench):
        return wanted
    if not isinstance(wanted, (str, Path)):
        raise UsageError(f"{quoted(wanted)} is no bench; give a bench's name or the path of a Python file")
    path = Path(wanted)
    if path.suffix != ".py":
        return load_benches()[str(wanted)]
    if not path.is_file():
        raise UsageError(f"{path}: no such file; give a bench's name or the path of a Python file")
    load_benches()  # whose names are taken
    source = str(path.resolve())
    try:
        load_plugin(path)
        found = [BENCHES[name] for name in BENCHES.names_from(source)]
    finally:
        BENCHES.forget(source)  # who gives a path needs no name; another file may use it
    if len(found) != 1:
        raise UsageError(f"{path}: registers {len(found)} benches; it must register one with @bench(name)")
    return found[0]


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
    with limited(max_time=max_time, max_cpu=max_cpu):
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
        cpu_from = time.process_time()
        tell(f"building {topology if isinstance(topology, (str, Path)) else '...'}")
        simulation = Simulation.of(
            topology, overrides=overrides, mode=mode, seed=seed, races=races, uninitialised=uninitialised
        )
        values = bench.fitted(known, Room.of(simulation.graph))
        simulation.keeps_rows = trace is not None
        measures = simulation.torch.measures
        measures.iters, measures.tell = iters, lambda what: tell(f"{bench.name}: {what}")
        outcome: Outcome
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
        if outcome.gemm is not None:
            macs_per_cycle(as_dtype(outcome.gemm), simulation.config.topology.pe.gemm, outcome.line)
        found = simulation.measures(flops=outcome.flops, gemm=outcome.gemm)
        if found:
            report = simulation.noted(added([measure.last for measure in found]))
            apart: Measured | None = simulation.apart()
        else:
            report, apart = simulation.report(flops=outcome.flops, gemm=outcome.gemm), None
        if trace is not None:
            simulation.write_trace(Path(trace))
        tell("checking")
        check = Check.none("mode timing computes no values") if mode == "timing" else _judge(outcome, results)
        return RunResult(
            bench=bench.name,
            params=values,
            topology=str(topology),
            check=check,
            cpu_s=time.process_time() - cpu_from,
            peak_mb=_peak_mb(),
            iterations=i + 1,
            measures=found,
            apart=apart,
            **{part.name: getattr(report, part.name) for part in fields(report)},
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
    return tensor.fetch() if mode == "timing" else tensor.numpy_for(line)


def _judge(outcome: Outcome, results: list[Array]) -> Check:
    if outcome.unchecked:
        return Check.none(outcome.unchecked)
    worst, ok = 0.0, True
    references = outcome.references()
    for result, expected in zip(results, references, strict=bool(references)):
        if result.size:
            error = np.abs(result.astype(np.float64) - expected.values.astype(np.float64))
            ok = ok and bool((error <= expected.tolerance).all())
            worst = max(worst, float(np.nan_to_num(error, nan=np.inf).max()))
    if not results:
        return Check.none("the Outcome names no outputs")
    if not references:
        return Check.none("the Outcome expects no values")
    if not any(result.size for result in results):
        return Check.none("its outputs have no elements")
    return Check(ok=ok, max_abs_err=worst, reference=outcome.reference)


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / 1024


__all__ = [
    "BENCHES",
    "MODES",
    "Array",
    "Bench",
    "Check",
    "Expected",
    "Outcome",
    "Room",
    "RunResult",
    "bench",
    "block_of",
    "dot_tolerance",
    "load_bench",
    "on_first",
    "random_values",
    "rounding",
    "run",
    "side",
]


class _Decorator(ModuleType):
    """``kb.bench`` is this module, as Python has it, and the decorator: ``@kb.bench("gemm")``."""

    def __call__(
        self, name: str, **options: Any
    ) -> Callable[[Callable[..., Outcome]], Callable[..., Outcome]]:
        return bench(name, **options)


sys.modules[__name__].__class__ = _Decorator
