"""For tests of kernels: arrays in, arrays and times out, in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kernbench.machine.window import Measured
from kernbench.runtime.placement import DPPolicy
from kernbench.runtime.tensor import DeviceTensor
from kernbench.simulation import Simulation


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
    overrides: Iterable[str] = (),
    mode: str = "timed",
    policy: DPPolicy | None = None,
    place: Any = None,
    strict: bool = True,
    **meta: Any,
) -> KernelRun:
    """Run ``kernel`` once on a fresh machine.

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
    ([0.0, 2.0, 4.0, 6.0], 368815)
    """
    simulation = Simulation.of(topology, overrides=overrides, mode=mode, strict=strict)
    torch = simulation.torch
    given = [
        torch.from_numpy(arg, name=f"arg{i}").to("ahbm", policy=policy)
        if isinstance(arg, np.ndarray)
        else arg
        for i, arg in enumerate(args)
    ]
    torch.launch(kernel, grid, given, meta, place=place)
    torch.synchronize()
    report = simulation.report()
    if mode == "timing":
        return KernelRun(tuple(args), report)
    return KernelRun(tuple(arg.numpy() if isinstance(arg, DeviceTensor) else arg for arg in given), report)
