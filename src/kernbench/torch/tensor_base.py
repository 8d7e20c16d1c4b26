"""What every tensor is, on the device or on the host."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn, Protocol, Self

import numpy as np
import numpy.typing as npt

from kernbench.device.array import Home, KernelOperand
from kernbench.device.placement import DPPolicy
from kernbench.dtypes import DType, as_dtype
from kernbench.errors import (
    DTypeError,
    InvalidIndexError,
    InvalidTypeError,
    InvalidValueError,
    RefusedError,
    ShapeError,
    UnknownAttributeError,
    UsageError,
)
from kernbench.registry import C_TYPES, MUCH_ALIKE, did_you_mean
from kernbench.torch.device_name import DEVICE, HOST, DeviceName
from kernbench.torch.names import METHODS
from kernbench.torch.operators import Operators
from kernbench.torch.promotion import torch_name
from kernbench.torch.views import flattened, squeezed, unsqueezed, viewed
from kernbench.wording import plural, quoted

Array = npt.NDArray[Any]
PROPERTIES = ("T", "mT")


class TensorContext(Protocol):
    """A context as its tensors know it: its device, and new tensors."""

    @property
    def ahbm(self) -> Home:
        """The open device that tensors lie on, or from the host are copied to."""

    def empty(
        self, *shape: Sequence[int], dtype: DType, policy: DPPolicy | None, name: str, device: str
    ) -> Tensor:
        """A tensor without values, placed by ``policy``."""


class Tensor(Operators, KernelOperand):
    """What all tensors have: shape, dtype, a name, and the context they belong to.

    Further methods, and the operators, are those of :data:`~kernbench.torch.names.METHODS`: of host tensors.
    """

    context: TensorContext
    device: DeviceName

    def numel(self) -> int:
        """Elements."""
        return math.prod(self.shape)

    nelement = numel

    def element_size(self) -> int:
        """Bytes of an element."""
        return self.dtype.size_bytes

    def dim(self) -> int:
        """Dimensions."""
        return len(self.shape)

    @property
    def ndim(self) -> int:
        """Dimensions."""
        return len(self.shape)

    def size(self, dim: int | None = None) -> tuple[int, ...] | int:
        """The shape, or the extent of one dimension."""
        return self.shape if dim is None else self.shape[self._dim("size", dim)]

    def stride(self, dim: int | None = None) -> tuple[int, ...] | int:
        """Elements from one index to the next, per dimension or of one."""
        strides = self._strides()
        return strides if dim is None else strides[self._dim("stride", dim)]

    def _dim(self, what: str, dim: int) -> int:
        """A dimension counted from the front, of those that there are."""
        n_dims = len(self.shape)
        try:
            return range(n_dims)[dim]
        except (IndexError, TypeError):
            raise InvalidIndexError(
                f"{what}(): {self._label} has no dimension {quoted(dim)}; "
                + (f"give one from {-n_dims} to {n_dims - 1}" if n_dims else "it has none")
            ) from None

    def is_floating_point(self) -> bool:
        """Whether its dtype is one of floats."""
        return self.dtype.is_float

    @property
    def is_cpu(self) -> bool:
        """Whether it is on the host."""
        return self.device == HOST

    @property
    def requires_grad(self) -> bool:
        """False: there are no gradients here."""
        return False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "context":
            raise AttributeError(name)
        if name in PROPERTIES:
            return self._apply(name, f"x.{name}", self)
        if name in METHODS:
            return lambda *args, **how: self._apply(name, f"x.{name}()", self, *args, **how)
        known = {known for known in (*dir(Tensor), *METHODS) if not known.startswith("_")} - {*C_TYPES}
        cure = did_you_mean(name, known, least_alike=MUCH_ALIKE)
        raise UnknownAttributeError(
            f"a tensor has no {name!r} here; {cure}; all else do with numpy, on x.numpy()"
        )

    def __len__(self) -> int:
        if not self.shape:
            raise InvalidTypeError(f"len() of a 0-d tensor: {self.name!r} has no dimensions, so no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.shape:
            raise InvalidTypeError(f"iteration over a 0-d tensor: {self.name!r} has no dimensions")
        here = self.cpu()
        return (here[i] for i in range(self.shape[0]))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.numpy(), dtype, copy=copy)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return func(*map(_as_arrays, args), **{name: _as_arrays(x) for name, x in kwargs.items()})

    def __bool__(self) -> bool:
        if self.numel() != 1:
            raise RefusedError(f"{self._label} is neither true nor false; read it, as in x.numpy().any()")
        return bool(self.item())

    def __float__(self) -> float:
        return float(self._only("float"))

    def __int__(self) -> int:
        return int(self._only("int"))

    def __index__(self) -> int:
        if self.dtype.is_float or self.numel() != 1:
            raise InvalidTypeError(
                f"only integer tensors of a single element can be converted to an index: {self._label} of "
                f"{self.dtype} is none"
            )
        return int(self.item())

    def __format__(self, spec: str) -> str:
        if not self.shape:
            return format(self.item(), spec)
        if spec:
            raise InvalidTypeError(
                f"unsupported format string passed to Tensor.__format__: {self._label}; read it, as in x.tolist()"
            )
        return repr(self)

    def _only(self, kind: str) -> Any:
        if self.numel() != 1:
            raise InvalidValueError(
                f"only one element tensors can be converted to Python scalars: {kind}({self._label})"
            )
        return self.item()

    @abstractmethod
    def numpy(self) -> Array:
        """The values as an array of the tensor's shape and dtype."""

    @property
    def data(self) -> Array:
        """The elements as :meth:`numpy` gives them."""
        return self.numpy()

    def item(self) -> Any:
        """The value of a tensor with one element, as a Python number."""
        if self.numel() != 1:
            raise ShapeError(f"{self._label} has {plural(self.numel(), 'element')}; item() needs one")
        return self.numpy().reshape(-1)[0].item()

    def tolist(self) -> Any:
        """The values as nested lists."""
        return self.numpy().tolist()

    @abstractmethod
    def __getitem__(self, index: object) -> Tensor:
        """The part at numpy's ``index``, on the host."""

    @abstractmethod
    def cpu(self) -> Tensor:
        """The tensor on the host: itself, or of one on the device a copy."""

    @abstractmethod
    def _converted(self, dtype: DType, *, copy: bool = False) -> Tensor:
        """The tensor in ``dtype``: itself if it has that, unless it is to be copied."""

    def to(
        self,
        device: Any = None,
        dtype: Any = None,
        non_blocking: bool = False,
        copy: bool = False,
        *,
        policy: DPPolicy | None = None,
        name: str | None = None,
    ) -> Tensor:
        """The tensor on a device and in a dtype: itself where it is there already, a copy elsewhere, or with ``copy``.

        ``to(dtype)``, ``to("cpu")``, ``to("ahbm", policy=...)``, ``to("cpu", dtype)`` and ``to(other)``. Values are
        converted on the host, at no simulated time. ``policy`` and ``name`` are those of a copy on the device.
        ``non_blocking`` says nothing here.

        Raises:
            RuntimeError: it is on the device and should be converted there.
        """
        device, dtype = _target(device, dtype)
        where = self.device if device is None else device
        wanted = self.dtype if dtype is None else as_dtype(dtype)
        if where == HOST:
            here = self.cpu()
            return here._converted(wanted, copy=copy and here is self)
        source = self._converted(wanted)
        if self.device == DEVICE and not copy and policy is None and name is None:
            return self
        there = self.context.empty(
            self.shape, dtype=wanted, policy=policy, name=name or self.name, device=DEVICE
        )
        return there.copy_(source)

    def detach(self) -> Self:
        """Itself: there are no gradients here."""
        return self

    @abstractmethod
    def copy_(self, source: Tensor | Array) -> Tensor:
        """Take the values of ``source``, which has the same shape and dtype."""

    def view(self, *shape: int | Sequence[int]) -> Self:
        """A view of the memory by another shape of as many elements; an extent of -1 is what the others leave."""
        return self._reshaped(viewed(f"view of {self._label}", self.numel(), shape))

    def view_as(self, other: Tensor) -> Self:
        """A view of the memory by the shape of ``other``."""
        if not isinstance(other, Tensor):
            raise InvalidTypeError(f"view_as(): argument 'other' must be Tensor, not {quoted(other)}")
        return self.view(other.shape)

    def reshape(self, *shape: int | Sequence[int]) -> Self:
        """As :meth:`view`; of a host array with gaps, a copy where there is no such view."""
        return self._reshaped(viewed(f"reshape of {self._label}", self.numel(), shape))

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Self:
        """The dimensions from ``start_dim`` to ``end_dim``, both included, as one; shares memory as :meth:`reshape`."""
        return self._reshaped(flattened(f"flatten of {self._label}", self.shape, start_dim, end_dim))

    def squeeze(self, dim: int | Sequence[int] | None = None) -> Self:
        """A view of the memory without its dimensions of extent 1, or without those of them that ``dim`` names."""
        return self._reshaped(squeezed(f"squeeze of {self._label}", self.shape, dim))

    def unsqueeze(self, dim: int) -> Self:
        """A view of the memory with a dimension of extent 1 more, which becomes dimension ``dim``."""
        return self._reshaped(unsqueezed(f"unsqueeze of {self._label}", self.shape, dim))

    @abstractmethod
    def narrow(self, dim: int, start: int, length: int) -> Self:
        """The memory of the ``length`` indices of dimension ``dim`` from ``start`` on."""

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise UsageError(
            f"{self._label} belongs to a simulation, and can be neither pickled nor copied by Python; take x.numpy(), "
            "of which torch.from_numpy() makes a tensor again, or copy it with x.to('ahbm', copy=True)"
        )

    @abstractmethod
    def _reshaped(self, shape: tuple[int, ...]) -> Self:
        """The tensor by a shape of as many elements."""

    @abstractmethod
    def _strides(self) -> tuple[int, ...]:
        """Elements from one index to the next, per dimension."""

    @property
    def _label(self) -> str:
        return f"{self.name!r}{list(self.shape)}"

    def _checked(self, source: Tensor | Array) -> Array:
        """The values of ``source`` when shape and dtype are this tensor's."""
        what = f"copy_ into {self.name!r}"
        if not isinstance(source, (Tensor, np.ndarray, np.generic)):
            raise InvalidTypeError(
                f"{what}: give a tensor or an array, not {quoted(source)}; torch.full(x.shape, n) is one"
            )
        shape, dtype = tuple(source.shape), as_dtype(source.dtype)
        if shape != self.shape:
            raise ShapeError(
                f"{what}: it is {list(self.shape)} and the source is {list(shape)}; shapes must be equal"
            )
        if dtype is not self.dtype:
            way = f".to({torch_name(self.dtype)})" if isinstance(source, Tensor) else "astype()"
            raise DTypeError(
                f"{what}: it is {self.dtype} and the source is {dtype}; convert the source with {way}"
            )
        return source.numpy() if isinstance(source, Tensor) else np.asarray(source)


def on_device(tensor: Tensor, said: str, cure: str = "") -> RefusedError:
    """The error of a tensor on the device that the host should compute with, and the cure."""
    cure = cure or "give a copy on the host, as in x.cpu(), or compute it in a kernel"
    return RefusedError(
        f"{said}: {tensor.name!r}{list(tensor.shape)} is on the device, and the host computes nothing there; {cure}"
    )


def _as_arrays(argument: Any) -> Any:
    """An argument of a function of numpy's, with the values of tensors in their place."""
    if isinstance(argument, Tensor):
        return argument.numpy()
    if isinstance(argument, (list, tuple)):
        return type(argument)(map(_as_arrays, argument))
    return argument


def _target(device: Any, dtype: Any) -> tuple[DeviceName | None, Any]:
    """What the arguments of ``to`` name: a device, a dtype, both, or those of another tensor."""
    if isinstance(device, Tensor):
        return device.device, device.dtype
    if device is not None and not isinstance(device, str) and dtype is None:
        return None, device
    return None if device is None else DeviceName(device), dtype
