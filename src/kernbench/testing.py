"""For tests of kernels: arrays in, arrays and times out, in one call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kernbench.analysis.measured import Measured
from kernbench.ccl.algorithm import load_algorithms
from kernbench.ccl.communicator import Communicator
from kernbench.ccl.wiring import QueuePair, install_queues
from kernbench.config.load import Overrides, load_config
from kernbench.device.placement import DPPolicy
from kernbench.errors import UsageError
from kernbench.given import whole
from kernbench.lang.program import PerProgram
from kernbench.registry import did_you_mean
from kernbench.simulation import Simulation
from kernbench.torch.tensor import DeviceTensor
from kernbench.wording import quoted

MOST_RANKS = 1 << 17  # as many as a machine has PEs


@dataclass(frozen=True, slots=True)
class KernelRun:
    """What a kernel left: ``args`` as they were given, arrays with the values they have afterwards; and its times.

    In mode ``timing`` there are no values, and the arrays are those that were given.
    """

    args: tuple[Any, ...]
    report: Measured

    @property
    def kernel_time_ps(self) -> int:
        """From the first PE's start to the last one's end; 0 in mode ``data``."""
        return self.report.kernel_time_ps


def run(
    kernel: Callable[..., Any],
    grid: Any,
    args: Sequence[Any],
    *,
    topology: str | Path = "tiny",
    overrides: Overrides = (),
    mode: str = "timed",
    policy: DPPolicy | None = None,
    place: Any = None,
    strict: bool = True,
    races: str = "warn",
    uninitialised: str = "warn",
    **meta: Any,
) -> KernelRun:
    """Run ``kernel`` once on a fresh machine; ``races`` and ``uninitialised`` as for :class:`Simulation`.

    Every numpy array among ``args`` becomes a tensor on the device, placed by ``policy`` (row-wise without one), and is
    read back afterwards; the arrays given are not changed. ``meta`` are keyword arguments (constexprs). Raises
    what the kernel's failure raises.

    >>> from kernbench.lang import jit, tl
    >>> @jit
    ... def double(x_ptr, N: tl.constexpr):
    ...     at = tl.arange(0, N)
    ...     tl.store(x_ptr + at, 2 * tl.load(x_ptr + at))
    >>> done = run(double, (1,), [np.arange(4, dtype=np.float32)], N=4)
    >>> done.args[0].tolist(), done.kernel_time_ps
    ([0.0, 2.0, 4.0, 6.0], 340375)
    """
    _require_list("run", args)
    simulation = Simulation.of(
        topology, overrides=overrides, mode=mode, strict=strict, races=races, uninitialised=uninitialised
    )
    torch = simulation.torch
    given = [
        torch.from_numpy(arg, name=f"arg{i}").to("ahbm", policy=policy)
        if isinstance(arg, np.ndarray)
        else arg
        for i, arg in enumerate(args)
    ]
    torch.launch(kernel, grid, given, meta, place=place)
    torch.synchronize()
    return _ended(simulation, args, given)


def run_ranks(
    kernel: Callable[..., Any],
    ranks: int | tuple[int, int],
    args: Sequence[Any],
    *,
    queues: Iterable[QueuePair] = (),
    rings: Mapping[str, Any] | None = None,
    overrides: Overrides = (),
    mode: str = "data",
    strict: bool = True,
    races: str = "warn",
    uninitialised: str = "warn",
    **meta: Any,
) -> KernelRun:
    """Run ``kernel`` once on each of ``ranks`` PEs that are joined by queues: a fake machine for authors of kernels.

    No topology is needed: the machine is one cube of as many PEs, in a line or in ``(columns, rows)``, otherwise as the
    preset ``tiny``, in mode ``data`` (no times) unless another is asked for. N, S, E and W are there, and ``queues``
    are declared; ``rings`` are settings of :func:`~kernbench.ccl.install_queues` (slots=, slot_bytes= ...). A list
    among ``args`` holds an array for each rank, which lies on the rank's PE and comes back in the same way; an array is
    spread over all PEs. ``races`` and ``uninitialised`` as for :class:`Simulation`. Raises what the kernels' failure
    raises.

    >>> from kernbench.lang import jit, tl
    >>> @jit
    ... def pass_on(x_ptr):
    ...     if tl.rank() == 0:
    ...         tl.send("E", tl.load(x_ptr, shape=(4,)))
    ...     else:
    ...         tl.store(x_ptr, tl.recv("W", (4,), tl.float32))
    >>> done = run_ranks(pass_on, 2, [[np.ones(4, np.float32), np.zeros(4, np.float32)]])
    >>> done.args[0][1].tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    _require_list("run_ranks", args)
    simulation = _machine(
        ranks, overrides, mode=mode, strict=strict, races=races, uninitialised=uninitialised
    )
    torch = simulation.torch
    wiring = install_queues(torch, queues, **_settings(rings))
    given = [_placed(torch, f"arg{i}", arg) for i, arg in enumerate(args)]
    torch.launch(kernel, (len(wiring.pes),), given, meta, queues=wiring)
    torch.synchronize()
    return _ended(simulation, args, given)


def run_collective(
    algorithm: str,
    sources: Sequence[npt.NDArray[Any]],
    *,
    op: str = "sum",
    root: int = 0,
    grid: tuple[int, int] | None = None,
    rings: Mapping[str, Any] | None = None,
    overrides: Overrides = (),
    mode: str = "data",
    races: str = "warn",
    uninitialised: str = "warn",
) -> KernelRun:
    """Run the registered ``algorithm`` on a rank for each of ``sources``, on the same fake machine; out of place.

    ``grid`` is ``(columns, rows)``, a line without it. The result's ``args`` are the arrays the ranks end with, one for
    each: as many elements as PyTorch's collective of that kind gives, and zeros where it gives none. What the
    kernels send is held against the algorithm's ``elems_sent``: a UsageError if they differ. ``races`` and
    ``uninitialised`` as for :class:`Simulation`.

    >>> done = run_collective("ring_allreduce", [np.full(3, r, np.float32) for r in range(4)])
    >>> [x.tolist() for x in done.args][:2]
    [[6.0, 6.0, 6.0], [6.0, 6.0, 6.0]]
    """
    sources = _arrays(sources)
    n_ranks, n_source = len(sources), sources[0].size
    collective = load_algorithms()[algorithm].collective
    is_cut, is_joined = (
        collective in ("reduce_scatter", "all_to_all"),
        collective in ("all_gather", "all_to_all"),
    )
    n_elem = n_source // n_ranks if is_cut else n_source
    simulation = _machine(grid or n_ranks, overrides, mode=mode, races=races, uninitialised=uninitialised)
    torch: Any = simulation.torch
    communicator = Communicator(simulation.device, range(n_ranks), **_settings(rings))
    given = _placed(torch, "source", list(sources))
    n_made = n_elem * n_ranks if is_joined else n_elem
    made = [torch.zeros(n_made, dtype=sources[0].dtype, policy=DPPolicy(only=r)) for r in range(n_ranks)]
    communicator.install(algorithm)
    torch.synchronize()
    simulation.begin_window()
    communicator.run(algorithm, given, made, n_elem=n_elem, op=op, root=root)
    torch.synchronize()
    communicator.require_claimed(algorithm, n_elem)
    return _ended(simulation, sources, made)


def _require_list(name: str, args: Any) -> None:
    if not isinstance(args, (list, tuple)):
        raise UsageError(f"{name}: args={quoted(args)}; give a list of the kernel's arguments")


def _settings(rings: Any) -> Mapping[str, Any]:
    """``rings`` as keywords of ``install_queues``."""
    if not (rings is None or isinstance(rings, Mapping)):
        raise UsageError(f"rings={quoted(rings)}; give a dict of settings, as in {{'slots': 4}}")
    known = [name for name in inspect.signature(install_queues).parameters if name not in ("torch", "queues")]
    for name in rings or ():
        if name not in known:
            raise UsageError(f"rings: no setting {quoted(name)}; {did_you_mean(name, known)}")
    return rings or {}


def _machine(ranks: int | tuple[int, int], overrides: Overrides, **options: Any) -> Simulation:
    """One cube of as many PEs, otherwise the preset ``tiny``."""
    extents = (ranks, 1) if not isinstance(ranks, (tuple, list)) else tuple(ranks)
    if len(extents) != 2:
        raise UsageError(f"ranks={quoted(ranks)}; give how many, or (columns, rows)")
    columns, rows = (whole(extent, "ranks", least=1, most=MOST_RANKS) for extent in extents)
    n_ranks = columns * rows
    machine = {
        "cube.pes": {"count": n_ranks, "grid": (columns, rows)},
        "cube.hbm.channels": n_ranks,
        "cube.hbm.capacity": f"{16 * n_ranks} MiB",
    }
    return Simulation(load_config("tiny", overrides, below=machine), **options)


def _arrays(sources: Any) -> list[npt.NDArray[Any]]:
    """A rank's source each; UsageError where they are something else."""
    arrays = list(sources) if isinstance(sources, (list, tuple)) else []
    if not arrays or not all(isinstance(array, np.ndarray) for array in arrays):
        raise UsageError(
            f"run_collective: sources={quoted(sources)}; give an array for each rank, as in [np.ones(4), np.ones(4)]"
        )
    first, *others = arrays
    for rank, array in enumerate(others, start=1):
        if (array.size, array.dtype) != (first.size, first.dtype):
            raise UsageError(
                f"run_collective: rank 0 has {first.size} elements of {first.dtype}, and rank {rank} {array.size} of "
                f"{array.dtype}; give each rank as many of one dtype"
            )
    return arrays


def _placed(torch: Any, name: str, arg: Any) -> Any:
    """An array as a tensor, a list of arrays as one for each rank on its PE, all else as it is."""
    if isinstance(arg, np.ndarray):
        return torch.from_numpy(arg, name=name).to("ahbm")
    if isinstance(arg, list):
        own = (
            torch.from_numpy(x, name=f"{name}[{r}]").to("ahbm", policy=DPPolicy(only=r))
            for r, x in enumerate(arg)
        )
        return PerProgram(own)
    return arg


def _ended(simulation: Simulation, args: Sequence[Any], given: Sequence[Any]) -> KernelRun:
    """What is left: values where they exist, else ``args`` as they were."""
    report = simulation.report()
    return KernelRun(tuple(args if simulation.mode == "timing" else map(_read, given)), report)


def _read(arg: Any) -> Any:
    if isinstance(arg, PerProgram):
        return [tensor.numpy() for tensor in arg]
    return arg.numpy() if isinstance(arg, DeviceTensor) else arg
