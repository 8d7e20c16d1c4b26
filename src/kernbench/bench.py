"""A bench: a host program with a kernel, its parameters and its reference. Found by name or file, run, judged."""

from __future__ import annotations

import importlib.util
import inspect
import math
import pkgutil
import resource
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

import ml_dtypes
import numpy as np
import numpy.typing as npt

from kernbench.config.load import Overrides
from kernbench.dtypes import DType
from kernbench.errors import CapacityError, UnknownNameError, UsageError
from kernbench.registry import Registry, did_you_mean
from kernbench.reports.run_result import Check, RunResult
from kernbench.runtime.tensor import DeviceTensor, Tensor
from kernbench.simulation import MODES, Simulation, load_plugin
from kernbench.units import format_bytes

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What one output should be: float64 (or integer) values, and how far each may be off (0: not at all)."""

    values: Array
    tolerance: Array | float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a bench's ``run(torch, ...)`` gives back: its results, and how to judge them.

    ``outputs`` are the device tensors to check; ``expected`` computes, on the host and only when values exist, what
    each should be. ``reference`` says in words what the expectation is. ``flops`` counts floating-point
    operations of the whole problem; ``gemm`` (None: no matrix product) names the dtype whose peak bounds it.
    """

    outputs: tuple[DeviceTensor, ...]
    expected: Callable[[], tuple[Expected, ...]]
    reference: str
    flops: int
    gemm: DType | None = None


def random_values(torch: Any, *shape: int, dtype: DType, name: str) -> Tensor:
    """A host tensor of normal random numbers; for integers, of whole numbers from -8 to 7.

    Raises:
        CapacityError: it is more than the whole device holds.
    """
    size_bytes = math.prod(shape) * dtype.size_bytes
    if size_bytes > torch.memory_bytes():
        raise CapacityError(
            f"{name!r} {list(shape)} {dtype} is {format_bytes(size_bytes)}, and the device has "
            f"{format_bytes(torch.memory_bytes())} of HBM in all; make it smaller"
        )
    if dtype.is_float:
        floats: Tensor = torch.randn(*shape, dtype=dtype, name=name, device="host")
        return floats
    integers: Tensor = torch.randint(-8, 8, shape, dtype=dtype, name=name, device="host")
    return integers


def rounding(values: Array, dtype: DType) -> Array:
    """How far rounding ``values`` to ``dtype`` may move each: half a unit in the last place, or of the smallest.

    float64, of the values' shape; 0 for integers.
    """
    if not dtype.is_float:
        return np.zeros(values.shape)
    info = _finfo(dtype)
    half: Array = np.maximum(np.abs(values) * float(info.eps), float(info.smallest_subnormal)) / 2
    return half


def dot_tolerance(a: Array, b: Array, accumulator: DType, out: DType) -> Array:
    """How far ``a @ b``, summed in ``accumulator`` in any order and rounded to ``out``, may be off: ``[m, n]``.

    A sum of k products is off by at most ``k u (|a| @ |b|)``, u the accumulator's unit roundoff (Higham, Accuracy
    and Stability of Numerical Algorithms, section 3.1); the result is rounded once.
    """
    if not accumulator.is_float:
        return np.zeros((a.shape[0], b.shape[1]))
    u = float(_finfo(accumulator).eps) / 2
    summing: Array = a.shape[1] * u * (np.abs(a) @ np.abs(b))
    return summing + rounding(np.abs(a @ b) + summing, out)


def _finfo(dtype: DType) -> Any:
    finfo: Callable[[Any], Any] = ml_dtypes.finfo
    return finfo(dtype.numpy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A registered ``run(torch, name: type = default, ...)``."""

    name: str
    run: Callable[..., Outcome]

    @property
    def doc(self) -> str:
        """The first line of its docstring."""
        return (inspect.getdoc(self.run) or "").split("\n")[0]

    @property
    def parameters(self) -> dict[str, tuple[type, Any]]:
        """``name -> (type, default)`` of what ``-p`` may set; UsageError if ``run`` has others."""
        try:
            hints = get_type_hints(self.run)
        except (AttributeError, NameError, SyntaxError, TypeError) as error:
            raise UsageError(f"bench {self.name!r}: annotation: {error}") from None
        _, *named = inspect.signature(self.run).parameters.values()
        for parameter in named:
            wanted = hints.get(parameter.name)
            if wanted not in (int, float, bool, str) or type(parameter.default) is not wanted:
                raise UsageError(
                    f"bench {self.name!r}: parameter {parameter} must be an int, float, bool or str with a "
                    "default of that type, as in m: int = 64"
                )
        return {parameter.name: (hints[parameter.name], parameter.default) for parameter in named}

    def bind(self, given: dict[str, Any]) -> dict[str, Any]:
        """All parameters: the defaults with ``given`` (texts are converted) over them."""
        values = {name: default for name, (_, default) in self.parameters.items()}
        for name, value in given.items():
            if name not in values:
                raise UnknownNameError(
                    f"bench {self.name!r} has no parameter {name!r}; {did_you_mean(name, values)}"
                )
            values[name] = _converted(self, name, value, self.parameters[name][0])
        return values


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
    raise UsageError(f"bench {bench.name!r}: parameter {name!r} wants {wanted.__name__}, not {value!r}")


BENCHES: Registry[Bench] = Registry("bench")


def bench(name: str) -> Callable[[Callable[..., Outcome]], Callable[..., Outcome]]:
    """Decorator: registers ``run`` as bench ``name``.

    Raises:
        UsageError: it is no ``run(torch, name: type = default, ...)``, or the name is taken.
    """

    def enter(run: Callable[..., Outcome]) -> Callable[..., Outcome]:
        if not inspect.isfunction(run) or not inspect.signature(run).parameters:
            raise UsageError(f"bench {name!r}: must be a function whose first parameter is torch")
        entry = Bench(name=name, run=run)
        _ = entry.parameters  # refuses what it does not understand here, where the user's line is
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
        raise UsageError(f"{wanted!r} is no bench; give a bench's name or the path of a Python file")
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
    plugins: Iterable[str | Path] = (),
    trace: str | Path | None = None,
    progress: Callable[[str], None] | None = None,
    **parameters: Any,
) -> RunResult:
    """Run a bench (its name, or a Python file with one) on a fresh machine, as ``kernbench run`` does, and judge it.

    Every other keyword is a parameter of the bench. One that is named as an option of ``run`` goes into ``params``,
    which may hold any. ``overrides`` as for :func:`kernbench.simulate`. ``bench`` runs ``iters`` times, and the last
    result is judged and timed. ``progress`` is told in a few words what is being done. ``print`` of the result is the
    page of the command line, and ``to_json()`` its JSON.

    >>> result = run("gemm", topology="tiny", overrides={"pe.clock_ghz": 2}, m=64, n=64, k=64, block_n=64, block_k=64)
    >>> result.check.ok, result.params["m"], result.kernel_time_ps
    (True, 64, 1689625)

    Raises:
        KernBenchError: its kinds for bad input, and for a simulated program that fails.
    """
    if not isinstance(iters, int) or iters < 1:
        raise UsageError(f"iters must be 1 or more, not {iters!r}")
    bench = load_bench(bench)
    values = bench.bind(_given(bench, params, parameters))
    for plugin in plugins:
        load_plugin(plugin)
    tell = progress or (lambda _: None)
    cpu_from = time.process_time()
    tell(f"building {topology}")
    simulation = Simulation.of(topology, overrides=overrides, mode=mode, seed=seed)
    for i in range(iters):
        tell(f"{bench.name}: iteration {i + 1} of {iters}")
        simulation.begin_window()
        outcome = _outcome_of(bench, bench.run(simulation.torch, **values))
        results = [_read_back(tensor, mode) for tensor in outcome.outputs]
    report = simulation.report(flops=outcome.flops, gemm=outcome.gemm)
    if trace is not None:
        simulation.write_trace(Path(trace))
    tell("checking")
    check = Check(ok=None, max_abs_err=None, reference="") if mode == "timing" else _judge(outcome, results)
    return RunResult(
        bench=bench.name,
        params=values,
        topology=str(topology),
        check=check,
        cpu_s=time.process_time() - cpu_from,
        peak_mb=_peak_mb(),
        **{part.name: getattr(report, part.name) for part in fields(report)},
    )


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
                f"run(): {name!r} is no option, and no parameter of bench {bench.name!r}; {did_you_mean(name, known)}"
            )
        if params is not None and name in params:
            raise UsageError(f"run(): parameter {name!r} is in params and a keyword too; give it once")
    return {**(params or {}), **parameters}


def _outcome_of(bench: Bench, returned: Any) -> Outcome:
    """What ``bench.run`` returned; UsageError if it is nothing that can be judged."""
    what = f"bench {bench.name!r}: run() must return an Outcome"
    if not isinstance(returned, Outcome):
        raise UsageError(f"{what}, not {type(returned).__name__}")
    for output in returned.outputs:
        if not isinstance(output, DeviceTensor):
            raise UsageError(f"{what} whose outputs are tensors on the device, not {type(output).__name__}")
    return returned


def _read_back(tensor: DeviceTensor, mode: str) -> Any:
    return tensor.fetch() if mode == "timing" else tensor.numpy()


def _judge(outcome: Outcome, results: list[Array]) -> Check:
    worst, ok = 0.0, True
    references = outcome.expected()
    if len(references) != len(results):
        raise UsageError(f"the Outcome has {len(results)} outputs and {len(references)} expected values")
    for i, (result, expected) in enumerate(zip(results, references, strict=True)):
        if result.shape != expected.values.shape:
            raise UsageError(
                f"output {i} is {list(result.shape)} and its expected values are {list(expected.values.shape)}"
            )
        if result.size:
            error = np.abs(result.astype(np.float64) - expected.values.astype(np.float64))
            ok = ok and bool((error <= expected.tolerance).all())
            worst = max(worst, float(np.nan_to_num(error, nan=np.inf).max()))
    return Check(ok=ok, max_abs_err=worst, reference=outcome.reference)


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / 1024


__all__ = ["BENCHES", "MODES", "Bench", "Check", "Outcome", "RunResult", "bench", "load_bench", "run"]
