"""The host's view of one device, with PyTorch's names: call it ``torch``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kernbench import dtypes
from kernbench.components.gemm_rate import macs_per_cycle
from kernbench.dtypes import DType, as_dtype
from kernbench.errors import DTypeError, ShapeError, UnknownAttributeError, UsageError
from kernbench.ops.numerics import as_array, convert
from kernbench.registry import did_you_mean
from kernbench.runtime.device import Device
from kernbench.runtime.event import Event
from kernbench.runtime.generator import Generator
from kernbench.runtime.measures import Measures
from kernbench.runtime.measuring import Measuring
from kernbench.runtime.open_device import OpenDevice
from kernbench.runtime.placement import DPPolicy
from kernbench.runtime.storage import user_line
from kernbench.runtime.tensor import DEVICE, HOST, Array, DeviceTensor, HostTensor, Tensor
from kernbench.topology.hbm import HbmLayout
from kernbench.units import ceil_div

MOST_ELEMENTS = 1 << 59  # of 8 bytes, which 63 bits can count
DTypeLike = DType | str | np.dtype[Any] | type

# Names of PyTorch that are no methods: dtypes (where `int` is int32) and types.
NAMES: dict[str, Any] = {
    "DPPolicy": DPPolicy,
    "Generator": Generator,
    "Tensor": Tensor,
    "float64": dtypes.float64,
    "double": dtypes.float64,
    "float32": dtypes.float32,
    "float": dtypes.float32,
    "float16": dtypes.float16,
    "half": dtypes.float16,
    "bfloat16": dtypes.bfloat16,
    "float8_e4m3fn": dtypes.float8e4nv,
    "float8_e5m2": dtypes.float8e5,
    "bool": dtypes.int1,
    "int8": dtypes.int8,
    "int16": dtypes.int16,
    "short": dtypes.int16,
    "int32": dtypes.int32,
    "int": dtypes.int32,
    "int64": dtypes.int64,
    "long": dtypes.int64,
    "uint8": dtypes.uint8,
    "uint16": dtypes.uint16,
    "uint32": dtypes.uint32,
    "uint64": dtypes.uint64,
}


class Context(OpenDevice):
    """An open device with PyTorch's ways to make tensors on it; the dtypes are attributes (``torch.float16``).

    A tensor is made on the device ("ahbm") unless ``device="host"`` is said, and placed by ``policy``; without one by
    ``default_policy``: row-wise at every level, or all of it on the own PE in a worker that was spawned. ``empty``
    costs no simulated time; what has values is filled on the host and copied over. Random numbers follow from ``seed``
    alone.
    """

    distributed: Any
    multiprocessing: Any
    measures: Measures

    def __init__(self, machine: Device, seed: int) -> None:
        super().__init__(machine)
        self.generator = Generator(seed)
        self._n_named = 0

    def __getattr__(self, name: str) -> Any:
        if name in NAMES:
            return NAMES[name]
        known = [*NAMES, *(known for known in dir(type(self)) if not known.startswith("_"))]
        raise UnknownAttributeError(f"torch has no attribute {name!r} here; {did_you_mean(name, known)}")

    @staticmethod
    def cdiv(a: int, b: int) -> int:
        """``a / b`` rounded up: how many blocks of ``b`` cover ``a``."""
        if b < 1:
            raise UsageError(f"torch.cdiv({a}, {b}): a block holds 1 or more, not {b}")
        return ceil_div(a, b)

    def empty(
        self,
        *shape: int | Sequence[int],
        dtype: DTypeLike = dtypes.float32,
        policy: DPPolicy | None = None,
        name: str | None = None,
        device: str = DEVICE,
    ) -> Tensor:
        """A tensor without values: what is read before it is written is NaN, or -1 for integers."""
        self._require_open()
        extents, element = _shape_of(shape), as_dtype(dtype)
        if device == HOST:
            return HostTensor(self, np.empty(extents, element.numpy), self._named(name))
        if device != DEVICE:
            raise UsageError(f"unknown device {device!r}; {did_you_mean(device, (DEVICE, HOST))}")
        policy, label = policy or self.default_policy, self._named(name)
        return DeviceTensor(self, self._new_storage(label, extents, element, policy), extents)

    def zeros(self, *shape: int | Sequence[int], dtype: DTypeLike = dtypes.float32, **where: Any) -> Tensor:
        """A tensor of zeros; ``where`` is policy, name and device, as for :meth:`empty`."""
        return self.full(_shape_of(shape), 0, dtype=dtype, **where)

    def ones(self, *shape: int | Sequence[int], dtype: DTypeLike = dtypes.float32, **where: Any) -> Tensor:
        """A tensor of ones."""
        return self.full(_shape_of(shape), 1, dtype=dtype, **where)

    def full(
        self,
        shape: int | Sequence[int],
        value: bool | int | float,
        *,
        dtype: DTypeLike | None = None,
        **where: Any,
    ) -> Tensor:
        """A tensor of ``value``; without a dtype, int1, int64 or fp32 by its Python type."""
        element = _dtype_of_number(value) if dtype is None else as_dtype(dtype)
        return self._filled(
            _shape_of((shape,)),
            element,
            lambda extents: np.full(extents, as_array(value, element), element.numpy),
            **where,
        )

    def arange(self, *bounds: int | float, dtype: DTypeLike | None = None, **where: Any) -> Tensor:
        """``arange(end)``, ``arange(start, end)`` or ``arange(start, end, step)``, as in PyTorch."""
        if not 1 <= len(bounds) <= 3 or (len(bounds) == 3 and not bounds[2]):
            raise UsageError(
                f"torch.arange{bounds}: give an end; a start and an end; or those and a step, not 0"
            )
        whole = all(isinstance(bound, int) for bound in bounds)
        values = np.arange(*bounds, dtype=np.int64 if whole else np.float64)
        element = (dtypes.int64 if whole else dtypes.float32) if dtype is None else as_dtype(dtype)
        return self._filled(values.shape, element, lambda _: values, **where)

    def randn(self, *shape: int | Sequence[int], **how: Any) -> Tensor:
        """Normal random numbers; ``how`` is dtype, generator, and policy, name and device as for :meth:`empty`."""
        return self._random("standard_normal", "randn", _shape_of(shape), **how)

    def rand(self, *shape: int | Sequence[int], **how: Any) -> Tensor:
        """Random numbers, uniform in [0, 1); ``how`` as for :meth:`randn`."""
        return self._random("random", "rand", _shape_of(shape), **how)

    def randint(
        self,
        low: int,
        high: int,
        size: int | Sequence[int],
        *,
        dtype: DTypeLike = dtypes.int64,
        generator: Generator | None = None,
        **where: Any,
    ) -> Tensor:
        """Random integers from ``low`` to ``high - 1``."""
        if low >= high:
            raise UsageError(f"torch.randint({low}, {high}): no integer is from {low} to {high - 1}")
        stream = (generator or self.generator).stream
        return self._filled(
            _shape_of((size,)), as_dtype(dtype), lambda extents: stream.integers(low, high, extents), **where
        )

    def manual_seed(self, seed: int) -> Generator:
        """Begin the random numbers of this context anew."""
        return self.generator.manual_seed(seed)

    def from_numpy(self, array: Array, *, name: str | None = None) -> HostTensor:
        """A host tensor on the memory of ``array``; ``.to("ahbm", policy=...)`` copies it to the device."""
        self._require_open()
        return HostTensor(self, array, self._named(name))

    def tensor(self, values: Any, *, dtype: DTypeLike | None = None, **where: Any) -> Tensor:
        """A copy of ``values``: an array, a number or nested lists; Python floats become fp32."""
        try:
            array = np.array(values)
        except ValueError:
            raise ShapeError(
                "torch.tensor: the nested lists differ in length; give rows of one length"
            ) from None
        if dtype is None and not isinstance(values, (np.ndarray, np.generic)) and array.dtype == np.float64:
            dtype = dtypes.float32
        element = as_dtype(array.dtype if dtype is None else dtype)
        return self._filled(array.shape, element, lambda _: array, **where)

    def Event(self, enable_timing: bool = True) -> Event:  # noqa: N802  # PyTorch's name
        """A mark in simulated time."""
        return Event(self)

    def measure(
        self,
        name: str,
        *,
        iters: int | None = None,
        flops: int = 0,
        gemm: DTypeLike | None = None,
    ) -> Measuring:
        """A part of the program whose time is told by ``name``, apart from all else: copies to the device, set-up.

        ``with torch.measure("decode"): ...`` measures once; ``for i in torch.measure("decode"): ...`` as often as
        ``iters`` says, or ``--iters`` if it says nothing: the same tensors, with cold TLBs first. A round waits for
        what was launched before it, and ends when what was launched in it is complete. Measures do not overlap.
        ``flops`` counts the operations of one round and ``gemm`` names the dtype whose peak bounds them, as in
        ``Outcome``.

        Raises:
            UsageError: within another measure, in a worker, or something is no name or no number.
        """
        self._require_open()
        if self.machine is not self.measures.machine:
            raise UsageError(
                f"torch.measure({name!r}): a worker has no time of its own to measure; measure "
                "torch.multiprocessing.spawn(...) on the host"
            )
        if not isinstance(name, str) or not name:
            raise UsageError(f"torch.measure({name!r}): give it a name, as in torch.measure('decode')")
        for what, count, least in (("iters", iters, 1), ("flops", flops, 0)):
            if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < least):
                raise UsageError(
                    f"torch.measure({name!r}): {what}={count!r}; give a whole number, {least} or more"
                )
        kind = None if gemm is None else as_dtype(gemm)
        if kind is not None:
            macs_per_cycle(kind, self.machine.spec.pe.gemm, user_line())
        return Measuring(name, self.measures, self.synchronize, iters=iters, flops=flops, gemm=kind)

    def device_count(self) -> int:
        """SIPs of the machine."""
        return self.machine.spec.system.sips.count

    def memory_bytes(self) -> int:
        """HBM of the whole device that tensors and their tables can have."""
        spec = self.machine.spec
        return HbmLayout.of(spec.cube).used_bytes * spec.sip.cubes.count * spec.system.sips.count

    def _filled(
        self,
        shape: tuple[int, ...],
        dtype: DType,
        make: Callable[[tuple[int, ...]], Array],
        *,
        policy: DPPolicy | None = None,
        name: str | None = None,
        device: str = DEVICE,
    ) -> Tensor:
        """A tensor with the values that ``make(shape)`` gives, once there is room for it."""
        self._require_open()
        label = self._named(name)
        there = (
            None
            if device == HOST
            else self.empty(shape, dtype=dtype, policy=policy, name=label, device=device)
        )
        staged = HostTensor(self, convert(make(shape), dtype), label)
        return staged if there is None else there.copy_(staged)

    def _random(
        self,
        distribution: str,
        function: str,
        shape: tuple[int, ...],
        dtype: DTypeLike = dtypes.float32,
        generator: Generator | None = None,
        **where: Any,
    ) -> Tensor:
        element = as_dtype(dtype)
        if not element.is_float:
            raise DTypeError(f"{function}: {element} is no float dtype; draw fp32 and convert")
        draw = getattr((generator or self.generator).stream, distribution)
        return self._filled(shape, element, draw, **where)

    def _named(self, name: str | None) -> str:
        if name is not None:
            return name
        self._n_named += 1
        return f"tensor{self._n_named}"


def _shape_of(shape: tuple[int | Sequence[int], ...]) -> tuple[int, ...]:
    """The shape that ``zeros(2, 3)`` and ``zeros((2, 3))`` mean."""
    extents: Any = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    if not all(isinstance(n, (int, np.integer)) and n >= 0 for n in extents):
        raise ShapeError(f"shape {tuple(extents)}: every extent is an integer of 0 or more")
    if math.prod(map(int, extents)) > MOST_ELEMENTS:
        raise ShapeError(f"shape {tuple(extents)}: more elements than 64 bits can count")
    return tuple(int(n) for n in extents)


def _dtype_of_number(value: bool | int | float) -> DType:
    """What PyTorch takes for a Python number."""
    if isinstance(value, bool):
        return dtypes.int1
    return dtypes.int64 if isinstance(value, int) else dtypes.float32
