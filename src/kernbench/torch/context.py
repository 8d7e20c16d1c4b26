"""The host's view of one device, with PyTorch's names: call it ``torch``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ContextDecorator, nullcontext
from types import TracebackType
from typing import Any, NoReturn, Self, SupportsIndex

import numpy as np

from kernbench import dtypes
from kernbench.device.open_device import OpenDevice
from kernbench.device.placement import DPPolicy
from kernbench.dtypes import DTYPES, DType, DTypeLike, as_dtype
from kernbench.errors import DTypeError, InvalidTypeError, ShapeError, UnknownAttributeError, UsageError
from kernbench.given import told
from kernbench.registry import C_TYPES, MUCH_ALIKE, did_you_mean
from kernbench.torch import host_elementwise, host_reductions, host_shapes  # noqa: F401  # register
from kernbench.torch.device_name import DEVICE, HOST, DeviceName
from kernbench.torch.event import Event
from kernbench.torch.generator import Generator
from kernbench.torch.names import FUNCTIONS
from kernbench.torch.promotion import is_castable, number_type, promote_types, result_type, scalar_type
from kernbench.torch.tensor import Array, DeviceTensor, HostTensor, Tensor
from kernbench.torch.values import (
    MOST_ELEMENTS,
    TypeInfo,
    cast,
    filling,
    float_info,
    int_info,
    number_of,
    plain,
    ranged,
    require_in_range,
    room_for,
    values_of,
)
from kernbench.units import ceil_div
from kernbench.wording import is_name, quoted

# Each dtype by numpy's name and by that of its scalars; PyTorch has no torch.char and no torch.byte.
_DTYPES = {name: dtype for dtype in DTYPES for name in (dtype.numpy.name, scalar_type(dtype).lower())}
# Names of PyTorch that are no methods.
NAMES: dict[str, Any] = {
    "DPPolicy": DPPolicy,
    "Generator": Generator,
    "Tensor": Tensor,
    "device": DeviceName,
    **{name: dtype for name, dtype in _DTYPES.items() if name not in ("char", "byte")},
}

# What PyTorch has not. A real backend of PyTorch has its own names in `torch.ahbm`, as CUDA in `torch.cuda`.
EXTENSIONS = frozenset({"DPPolicy", "ahbm", "cdiv", "close", "launch", "measure", "synchronize"})
_NOT_MEANT = {"ahbm", "close"}  # by who misspells a name of PyTorch


class Context:
    """PyTorch's ways to make tensors, on the device ``ahbm``; the dtypes are attributes (``torch.float16``).

    A tensor is made on the device ("ahbm") unless ``device="cpu"`` is said, and placed by ``policy``; without one by
    the device's: row-wise at every level, in shards of a row of HBM or more (1 KiB), or all of it on the own PE in a
    worker that was spawned. ``empty`` costs no simulated time; what has values is filled on the host and copied over.
    Random numbers follow from ``seed`` alone. Further functions, as ``torch.cat``, are those of
    :data:`~kernbench.torch.names.FUNCTIONS`. ``launch``, ``measure``, ``synchronize`` and ``close`` are the device's
    own: see :class:`OpenDevice`.

    >>> import kernbench as kb
    >>> torch = kb.simulate("tiny").torch
    >>> torch.full((2,), 7).tolist()
    [7, 7]
    """

    distributed: Any
    multiprocessing: Any

    def __init__(
        self, device: OpenDevice, seed: int, later: Mapping[str, Callable[[Context], Mapping[str, Any]]] = {}
    ) -> None:
        self.ahbm = device
        self.launch = device.launch
        self.measure = device.measure
        self.synchronize = device.synchronize
        self.close = device.close
        self.default_generator = Generator(seed)
        self._n_named = 0
        self._later = later  # what to ask for names which most programs do not use

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._later, *NAMES, *FUNCTIONS})

    def __getattr__(self, name: str) -> Any:
        if name in NAMES:
            return NAMES[name]
        if name in vars(self).get("_later", ()):
            vars(self).update(self._later[name](self))
            return vars(self)[name]
        if name in FUNCTIONS:
            return FUNCTIONS[name]
        if name.startswith("_"):  # as copy and pickle ask, of an object that is not made yet
            raise AttributeError(name)
        if name in dir(self.ahbm):
            raise UnknownAttributeError(
                f"torch has no attribute {quoted(name)}; the device has: torch.ahbm.{name}"
            )
        known = {known for known in dir(self) if not known.startswith("_")} - _NOT_MEANT - {*C_TYPES}
        cure = did_you_mean(name, known, least_alike=MUCH_ALIKE)
        raise UnknownAttributeError(f"torch has no attribute {quoted(name)} here; {cure}")

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        self.ahbm.__reduce_ex__(protocol)

    def __enter__(self) -> Self:
        self.ahbm.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ahbm.__exit__(kind, error, trace)

    @staticmethod
    @told()
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
        self.ahbm.require_open()
        extents, element, where = _shape_of(shape), as_dtype(dtype), DeviceName(device)
        label = self._named(name)
        if where == HOST:
            _require_no_policy(policy, label)
            with room_for(extents, element):
                return HostTensor(self, np.empty(extents, element.numpy), label)
        policy = policy or self.ahbm.default_policy
        return DeviceTensor(self, self.ahbm.new_storage(label, extents, element, policy), extents)

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
        """A tensor of ``value``, which the dtype must hold; without a dtype, int1, int64 or fp32 by its Python type.

        Raises:
            RuntimeError: ``value`` is beyond the dtype's range.
        """
        number = number_of(value, "full(): argument 'fill_value' (position 2)")
        element = number_type(number) if dtype is None else as_dtype(dtype)
        filled = filling(number, element)
        return self._filled(
            _shape_of((shape,)), element, lambda extents: np.full(extents, filled, element.numpy), **where
        )

    @told()
    def arange(self, *bounds: int | float, dtype: DTypeLike | None = None, **where: Any) -> Tensor:
        """``arange(end)``, ``arange(start, end)`` or ``arange(start, end, step)``; integers wrap, as in PyTorch."""
        values, element = ranged(bounds, None if dtype is None else as_dtype(dtype))
        return self._filled(values.shape, element, lambda _: values, **where)

    @told()
    def linspace(
        self, start: float, end: float, steps: int, *, dtype: DTypeLike = dtypes.float32, **where: Any
    ) -> Tensor:
        """``steps`` numbers from ``start`` to ``end``, both included, at even distances."""
        values = np.linspace(start, end, steps)
        return self._filled(values.shape, as_dtype(dtype), lambda _: values, **where)

    def eye(self, n: int, m: int | None = None, *, dtype: DTypeLike = dtypes.float32, **where: Any) -> Tensor:
        """A matrix of ``n`` rows, and as many columns unless ``m`` says otherwise, with ones on the diagonal."""
        return self._filled(
            _shape_of((n, n if m is None else m)),
            as_dtype(dtype),
            lambda shape: np.eye(shape[0], shape[1]),
            **where,
        )

    def empty_like(self, input: Tensor, *, dtype: DTypeLike | None = None, **where: Any) -> Tensor:
        """A tensor without values, of the shape of ``input``, and in its dtype and place unless others are said."""
        return _like(self.empty, input, dtype, where)

    def zeros_like(self, input: Tensor, *, dtype: DTypeLike | None = None, **where: Any) -> Tensor:
        """A tensor of zeros, likewise."""
        return _like(self.zeros, input, dtype, where)

    def ones_like(self, input: Tensor, *, dtype: DTypeLike | None = None, **where: Any) -> Tensor:
        """A tensor of ones, likewise."""
        return _like(self.ones, input, dtype, where)

    def full_like(self, input: Tensor, value: Any, *, dtype: DTypeLike | None = None, **where: Any) -> Tensor:
        """A tensor of ``value``, likewise."""
        return _like(self.full, input, dtype, where, value)

    def rand_like(self, input: Tensor, *, dtype: DTypeLike | None = None, **how: Any) -> Tensor:
        """Random numbers, uniform in [0, 1), likewise."""
        return _like(self.rand, input, dtype, how)

    def randn_like(self, input: Tensor, *, dtype: DTypeLike | None = None, **how: Any) -> Tensor:
        """Normal random numbers, likewise."""
        return _like(self.randn, input, dtype, how)

    def randn(self, *shape: int | Sequence[int], **how: Any) -> Tensor:
        """Normal random numbers; ``how`` is dtype, generator, and policy, name and device as for :meth:`empty`."""
        return self._random("standard_normal", "randn", _shape_of(shape), **how)

    def rand(self, *shape: int | Sequence[int], **how: Any) -> Tensor:
        """Random numbers, uniform in [0, 1); ``how`` as for :meth:`randn`."""
        return self._random("random", "rand", _shape_of(shape), **how)

    def randint(
        self,
        low: int,
        high: int | Sequence[int],
        size: int | Sequence[int] | None = None,
        *,
        dtype: DTypeLike = dtypes.int64,
        generator: Generator | None = None,
        **where: Any,
    ) -> Tensor:
        """Random integers from ``low`` (from 0 in ``randint(high, size)``) to ``high - 1``, which the dtype holds."""
        ends, extents = ((0, low), high) if size is None else ((low, high), size)
        if not all(isinstance(end, (int, np.integer)) for end in ends):
            raise InvalidTypeError(f"torch.randint{ends}: give whole numbers")
        first, end = map(int, ends)  # type: ignore[arg-type]
        if first >= end:
            raise UsageError(f"torch.randint({first}, {end}): no integer is from {first} to {end - 1}")
        element = as_dtype(dtype)
        for name, number in (("from", first), ("to - 1", end - 1)):
            require_in_range(name, number, element)
        stream = (generator or self.default_generator).stream
        return self._filled(
            _shape_of((extents,)), element, lambda shape: stream.integers(first, end, shape), **where
        )

    def manual_seed(self, seed: int) -> Generator:
        """Begin the random numbers of this context anew."""
        return self.default_generator.manual_seed(seed)

    def from_numpy(self, array: Array, *, name: str | None = None) -> HostTensor:
        """A host tensor on the memory of ``array``; ``.to("ahbm", policy=...)`` copies it to the device."""
        self.ahbm.require_open()
        return HostTensor(self, plain(array, "torch.from_numpy"), self._named(name))

    def tensor(self, values: Any, *, dtype: DTypeLike | None = None, **where: Any) -> Tensor:
        """A copy of ``values``: an array or a tensor, or numbers in nested lists, which the dtype must hold.

        Without a dtype, Python floats are fp32 and integers int64; an array's own is kept. Arrays are cast, and wrap.

        Raises:
            RuntimeError: a number is beyond the dtype's range.
        """
        element = None if dtype is None else as_dtype(dtype)
        array = values_of(values.numpy() if isinstance(values, Tensor) else values, element)
        return self._filled(array.shape, as_dtype(array.dtype), lambda _: array, **where)

    def as_tensor(self, values: Any, *, dtype: DTypeLike | None = None, device: Any = None) -> Tensor:
        """``values`` themselves, if they are a tensor in that place and dtype; else a tensor of them."""
        if isinstance(values, Tensor):
            return values.to(device, dtype)
        return self.tensor(values, dtype=dtype, **({} if device is None else {"device": device}))

    @staticmethod
    def promote_types(type1: DType, type2: DType) -> DType:
        """The smallest dtype to which both convert."""
        return promote_types(as_dtype(type1), as_dtype(type2))

    @staticmethod
    def can_cast(from_: DType, to: DType) -> bool:
        """Whether a result of one dtype may be written to a tensor of the other."""
        return is_castable(as_dtype(from_), as_dtype(to))

    @staticmethod
    def finfo(dtype: DTypeLike = dtypes.float32) -> TypeInfo:
        """The limits of a float dtype."""
        return float_info(as_dtype(dtype))

    @staticmethod
    def iinfo(dtype: DTypeLike) -> TypeInfo:
        """The limits of an integer dtype."""
        return int_info(as_dtype(dtype))

    @staticmethod
    def result_type(tensor1: Any, tensor2: Any) -> DType:
        """The dtype in which two tensors or numbers meet."""
        given = (tensor1, tensor2)
        tensors = [(x.dtype, x.ndim) for x in given if isinstance(x, Tensor)]
        return result_type(
            tensors, [number_of(x, "result_type()") for x in given if not isinstance(x, Tensor)]
        )

    @staticmethod
    def no_grad() -> ContextDecorator:
        """Nothing to switch off: there are no gradients here."""
        return _NoGrad()

    def Event(self, enable_timing: bool = True) -> Event:  # noqa: N802  # PyTorch's name
        """A mark in simulated time."""
        return Event(self.ahbm.completed_ps)

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
        self.ahbm.require_open()
        label, where = self._named(name), DeviceName(device)
        # Room on the device first: who asks for too much need not wait for the values of it.
        there = None if where == HOST else self.empty(shape, dtype=dtype, policy=policy, name=label)
        if there is None:
            _require_no_policy(policy, label)
        with room_for(shape, dtype):
            staged = HostTensor(self, cast(make(shape), dtype), label)
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
        draw = getattr((generator or self.default_generator).stream, distribution)
        return self._filled(shape, element, draw, **where)

    def _named(self, name: str | None) -> str:
        if name is not None:
            if not is_name(name):
                raise UsageError(f"name={quoted(name)}: give a tensor a name of one line, as in name='x'")
            return name
        self._n_named += 1
        return f"tensor{self._n_named}"


def _shape_of(shape: tuple[int | Sequence[int], ...]) -> tuple[int, ...]:
    """The shape that ``zeros(2, 3)`` and ``zeros((2, 3))`` mean."""
    extents: Any = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    if not all(isinstance(n, (int, np.integer)) and n >= 0 for n in extents):
        raise ShapeError(f"shape {quoted(tuple(extents))}: every extent is an integer of 0 or more")
    if math.prod(map(int, extents)) > MOST_ELEMENTS:
        raise ShapeError(f"shape {quoted(tuple(extents))}: more elements than 64 bits can count")
    return tuple(int(n) for n in extents)


def _like(
    make: Callable[..., Tensor], input: Any, dtype: DTypeLike | None, where: Mapping[str, Any], *values: Any
) -> Tensor:
    """What ``make`` makes of ``values`` by the shape of ``input``, in its dtype and place where others are not said."""
    if not isinstance(input, Tensor):
        raise InvalidTypeError(
            f"{make.__name__}_like(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}"
        )
    how: dict[str, Any] = {"dtype": dtype or input.dtype, "device": input.device}
    if isinstance(input, DeviceTensor) and DeviceName(where.get("device", DEVICE)) == DEVICE:
        how["policy"] = input.policy
    return make(input.shape, *values, **{**how, **where})


def _require_no_policy(policy: DPPolicy | None, name: str) -> None:
    if policy is not None:
        raise UsageError(
            f"{quoted(name)} is to be on the host, and {policy} places tensors on the device; give one of both"
        )


class _NoGrad(nullcontext[None], ContextDecorator):
    """What ``torch.no_grad()`` gives."""
