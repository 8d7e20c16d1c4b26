"""The host's view of one device, with PyTorch's names: call it ``torch``."""

from __future__ import annotations

import math
import types
import weakref
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from kernbench import dtypes
from kernbench.dtypes import DType, as_dtype
from kernbench.errors import CapacityError, DTypeError, ShapeError, UnknownAttributeError, UsageError
from kernbench.lang.jit import GPU_HINTS, LAUNCHER, as_kernel, grid_of
from kernbench.memory.page_table import Pieces
from kernbench.memory.store import Bytes
from kernbench.messages.commands import SourceLine
from kernbench.messages.ipcq import QueueEnd, Wiring
from kernbench.ops.numerics import as_array, convert
from kernbench.registry import did_you_mean
from kernbench.runtime.device import Device
from kernbench.runtime.event import Event
from kernbench.runtime.heap import Heap
from kernbench.runtime.launch import (
    Place,
    check_arg,
    kernel_arg,
    launch_beside_data,
    place_programs,
    tensors_in,
)
from kernbench.runtime.placement import ROW_WISE, DPPolicy
from kernbench.runtime.storage import Storage, user_line
from kernbench.runtime.tensor import DEVICE, HOST, Array, DeviceTensor, HostTensor, Tensor
from kernbench.units import ceil_div

MOST_ELEMENTS = 1 << 59  # of 8 bytes, which 63 bits can count
DTypeLike = DType | str | np.dtype[Any] | type


class Generator:
    """A stream of random numbers of its own."""

    def __init__(self, seed: int = 0) -> None:
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> Generator:
        """Begin the stream of ``seed``."""
        self.stream = np.random.Generator(np.random.PCG64(seed))
        return self


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


class Context:
    """Tensors and launches on one device; the dtypes are attributes (``torch.float16``).

    A tensor is made on the device ("ahbm") unless ``device="host"`` is said, and placed by ``policy``; without one by
    ``default_policy``: row-wise at every level, or all of it on the own PE in a worker that was spawned. ``empty``
    costs no simulated time; what has values is filled on the host and copied over. Copies and reads wait for the
    kernels launched before. ``kernel[grid](...)`` runs on the device of its first tensor. Random numbers follow from
    ``seed`` alone. :meth:`close`, or the end of a ``with`` block, frees all tensors.
    """

    distributed: Any
    multiprocessing: Any

    def __init__(self, machine: Device, seed: int) -> None:
        self.machine = machine
        self.heap = Heap(machine)
        self.default_policy = ROW_WISE
        self.generator = Generator(seed)
        self.wirings: list[Wiring] = []
        self._n_named = 0
        self._is_busy = False
        self._storages: weakref.WeakSet[Storage] = weakref.WeakSet()
        self._closed_at: SourceLine | None = None
        LAUNCHER.set(launch_beside_data)

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

    # -- tensors ------------------------------------------------------------------------------------------

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
        storage = Storage(self.heap, self._allocate(label, extents, element, policy), policy)
        self._storages.add(storage)
        return DeviceTensor(self, storage, extents)

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

    # -- launches and time --------------------------------------------------------------------------------

    def launch(
        self,
        kernel: Any,
        grid: Any,
        args: Sequence[Any] = (),
        meta: Mapping[str, Any] | None = None,
        *,
        place: Place = None,
        queues: Wiring | None = None,
        stream: Hashable = None,
    ) -> None:
        """Run ``kernel`` on every program of ``grid``; returns at once.

        ``args`` are its positional and ``meta`` its keyword arguments; ``grid`` is one to three extents, or a
        function of all of them by name. :func:`place_programs` says which PE runs which program; several on one
        PE run in turn. Programs see their queues of ``queues``, and program p of G runs on its rank p * n // G; without
        it, they see those that were installed last. ``queues`` may join ends that were installed one by one.

        Launches run in order. Only where two name a ``stream`` each (anything hashable), not the same one, and have no
        PE and no tensor in common, do they run side by side.
        """
        self._require_open()
        function, keywords = as_kernel(kernel), dict(meta or {})
        named = function.bind(tuple(args), keywords)
        for name, argument in named.items():
            check_arg(self, function.__name__, name, argument)
        extents = grid_of(grid, named)
        if queues is not None:
            self._require_ends_installed(queues)
        if queues is not None and place is None:
            n, n_programs = len(queues.pes), math.prod(extents)
            place = [queues.pes[p * n // n_programs] for p in range(n_programs)]
        programs = place_programs(extents, list(named.values()), place, self.machine.pes)
        positional = tuple(map(kernel_arg, args))
        keywords = {
            name: kernel_arg(x) for name, x in keywords.items() if name not in GPU_HINTS or name in named
        }
        tensors = {x.shards.va: None for x in tensors_in(list(named.values())) if isinstance(x, DeviceTensor)}
        operands = [self.heap.mappings[va] for va in tensors if va in self.heap.mappings]
        wiring = queues or (self.wirings[-1] if self.wirings else None)
        self.machine.launch(
            function, positional, keywords, programs, extents, function.__name__, operands, wiring, stream
        )
        self._is_busy = True

    def install_queues(self, wiring: Wiring) -> Wiring:
        """Find room for the rings of ``wiring`` and install its queues, after what was launched; returns when they are.

        Raises:
            UsageError: they are installed already.
            CapacityError: the rings do not fit.
        """
        self._require_open()
        if wiring in self.wirings:
            raise UsageError("these queues are installed already; remove them first, or wire others")
        self._complete_launches()
        self.heap.place_rings(wiring)
        self.machine.install(wiring)
        self.wirings.append(wiring)
        return wiring

    def remove_queues(self, wiring: Wiring) -> None:
        """Remove queues again, likewise, and free their rings."""
        self._complete_launches()
        self._require_installed(wiring)
        self.machine.remove(wiring)
        self._forget_queues(wiring)

    def _forget_queues(self, wiring: Wiring) -> None:
        self.wirings.remove(wiring)
        self.heap.free_rings(wiring)

    def _require_installed(self, wiring: Wiring) -> None:
        if wiring not in self.wirings:
            raise UsageError("these queues are not installed here, or not any more; install them again")

    def _require_ends_installed(self, wiring: Wiring) -> None:
        if wiring not in self.wirings:
            installed = {end for known in self.wirings for end in _ends(known)}
            if not installed.issuperset(_ends(wiring)):
                self._require_installed(wiring)

    def synchronize(self) -> None:
        """Wait until everything launched is complete and its values are computed."""
        self.machine.synchronize()
        self._settle()

    def close(self) -> None:
        """Wait for what was launched and free all tensors; nothing is made, launched or copied afterwards.

        A second time does nothing. Raises what a kernel raised that nobody had waited for; all is freed even then. A
        machine that was stopped by an error before closes without a word.
        """
        if self._closed_at is not None:
            return
        self._closed_at = user_line()
        try:
            if not self.machine.is_stopped:
                self.synchronize()
                for wiring in reversed(self.wirings.copy()):
                    self.remove_queues(wiring)
                self._free_all()
                self.synchronize()
                self.heap.close()
        finally:
            self._free_all()
            for wiring in self.wirings.copy():
                self._forget_queues(wiring)

    def __enter__(self) -> Context:
        self._require_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        try:
            self.close()
        except Exception:  # whatever it is, what went wrong in the block was first
            if error is None:
                raise

    def Event(self, enable_timing: bool = True) -> Event:  # noqa: N802  # PyTorch's name
        """A mark in simulated time."""
        return Event(self)

    def device_count(self) -> int:
        """SIPs of the machine."""
        return self.machine.spec.system.sips.count

    def memory_bytes(self) -> int:
        """HBM of the whole device."""
        spec = self.machine.spec
        return spec.cube.hbm.capacity_bytes * spec.sip.cubes.count * spec.system.sips.count

    # -- for tensors --------------------------------------------------------------------------------------

    def host_write(self, pieces: Pieces, buffer: Bytes) -> None:
        """Copy to the device, after all that was launched."""
        self._complete_launches()
        self.machine.host_write(pieces, buffer)

    def host_read(self, pieces: Pieces, size_bytes: int) -> Bytes:
        """Copy from the device, after all that was launched."""
        self._complete_launches()
        return self.machine.host_read(pieces, size_bytes)

    def _allocate(self, name: str, shape: tuple[int, ...], dtype: DType, policy: DPPolicy) -> Any:
        """Memory for a tensor, waiting for freed tensors that a kernel may still use only if there is no other."""
        if not self._is_busy:
            self._complete_launches()
        try:
            return self.heap.allocate(name, shape, dtype, policy)
        except CapacityError:
            if not self.heap.n_buried:
                raise
        self._complete_launches()
        return self.heap.allocate(name, shape, dtype, policy)

    def _complete_launches(self) -> None:
        """Wait for the kernels launched so far, whatever is still being mapped."""
        self.machine.complete_launches()
        self._settle()

    def _settle(self) -> None:
        """With no kernel under way: compute what they made, and reap the tensors that nobody has any more."""
        self.machine.flush()
        self._is_busy = False
        self.heap.reap()

    def _free_all(self) -> None:
        """Free what is not freed, in the order of addresses."""
        living = [storage for storage in self._storages if not storage.freed]
        for storage in sorted(living, key=lambda storage: storage.shards.va):
            storage.free(f"with its context at {self._closed_at}")

    def _require_open(self) -> None:
        if self._closed_at is not None:
            raise UsageError(
                f"this context is closed (at {self._closed_at}); begin a new simulation, as in kb.simulate('tiny')"
            )

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


def _ends(wiring: Wiring) -> Iterator[QueueEnd]:
    """All queue ends of a wiring."""
    for site in wiring.sites.values():
        yield from site.ends.values()


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
