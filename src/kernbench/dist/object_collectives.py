"""``torch.distributed`` of Python objects: pickled, and moved as tensors of bytes, in PyTorch 2.13's steps."""

from __future__ import annotations

import io
import pickle
from itertools import pairwise
from typing import Any

import numpy as np

from kernbench.dist.errors import BackendError
from kernbench.dist.groups import ProcessGroup
from kernbench.dist.process_groups import GroupLike
from kernbench.dist.tensor_collectives import TensorCollectives
from kernbench.dtypes import DType, int64, uint8
from kernbench.errors import ForcedValueError, InvalidTypeError, InvalidValueError, UsageError, in_one_line
from kernbench.torch.context import Context
from kernbench.torch.tensor import Array, DeviceTensor, HostTensor
from kernbench.wording import quoted


class UnpicklableError(UsageError, pickle.PicklingError, AttributeError, TypeError):
    """An object that cannot be pickled: Python raises one of these."""


class ObjectCollectives(TensorCollectives):
    """The part of ``torch.distributed`` that moves objects between ranks: first their sizes, then their bytes.

    An object arrives as a copy, as from another process. Host tensors in it arrive as host tensors.
    """

    def all_gather_object(self, object_list: Any, obj: Any, group: GroupLike = None) -> None:
        """Put ``obj`` of rank r in ``object_list[r]`` of every rank."""
        found = self._worker("all_gather_object", group)
        if found is None:
            return
        given, sizes, most = self._with_sizes(found, group, obj)
        gathered = self._empty(found.size() * most, uint8)
        self.all_gather_single(gathered, self._uploaded(given, most), group)
        for r, buffer in enumerate(gathered.numpy().reshape(found.size(), most)):
            object_list[r] = self._object_of(buffer[: sizes[r]])

    def gather_object(
        self,
        obj: Any,
        object_gather_list: Any = None,
        dst: int | None = None,
        group: GroupLike = None,
        group_dst: int | None = None,
    ) -> None:
        """Put ``obj`` of rank r in ``object_gather_list[r]`` of one rank, which alone gives a list."""
        found = self._worker("gather_object", group)
        if found is None:
            return
        root = self._root_in(group, dst, group_dst)
        self._require_list_at("gather_list", "destination", found, root, object_gather_list)
        given, sizes, most = self._with_sizes(found, group, obj)
        into = [self._empty(most, uint8) for _ in sizes] if found.rank() == root else None
        self.gather(self._uploaded(given, most), into, group=group, group_dst=root)
        for r, buffer in enumerate(into or ()):
            object_gather_list[r] = self._object_of(buffer.numpy()[: sizes[r]])

    def broadcast_object_list(
        self,
        object_list: Any,
        src: int | None = None,
        group: GroupLike = None,
        device: Any = None,
        group_src: int | None = None,
    ) -> None:
        """Replace the objects of ``object_list`` of every rank by those of one; lists are equally long."""
        found = self._worker("broadcast_object_list", group)
        if found is None:
            return
        root = self._root_in(group, src, group_src)
        if found.rank() == root:
            sizes, packed = self._packed(object_list)
            self.broadcast(sizes, group=group, group_src=root)
            self.broadcast(packed, group=group, group_src=root)
            return
        sizes = self._empty(len(object_list), int64)
        self.broadcast(sizes, group=group, group_src=root)
        packed = self._empty(int(sizes.numpy().sum()), uint8)
        self.broadcast(packed, group=group, group_src=root)
        self._unpack(object_list, sizes, packed)

    def scatter_object_list(
        self,
        scatter_object_output_list: Any,
        scatter_object_input_list: Any = None,
        src: int | None = None,
        group: GroupLike = None,
        group_src: int | None = None,
    ) -> None:
        """Put the r-th object of one rank's list in ``scatter_object_output_list[0]`` of rank r."""
        found = self._worker("scatter_object_list", group)
        if found is None:
            return
        root = self._root_in(group, src, group_src)
        if not isinstance(scatter_object_output_list, list) or not scatter_object_output_list:
            raise InvalidValueError(
                "Expected argument scatter_object_output_list to be a list of size at least 1."
            )
        is_root = found.rank() == root
        if is_root and scatter_object_input_list is None:
            raise InvalidValueError("source rank must provide non-None scatter_object_input_list")
        pickled = [self._bytes_of(x) for x in scatter_object_input_list] if is_root else []
        largest = self._number(max(map(len, pickled), default=0))
        self.broadcast(largest, group=group, group_src=root)
        most = int(largest.item())
        received, size = self._empty(most, uint8), self._empty(1, int64)
        parts = [self._uploaded(x, most) for x in pickled]
        self.scatter(received, parts if is_root else None, group=group, group_src=root)
        sizes = [self._number(len(x)) for x in pickled]
        self.scatter(size, sizes if is_root else None, group=group, group_src=root)
        scatter_object_output_list[0] = self._object_of(received.numpy()[: size.item()])

    def send_object_list(
        self,
        object_list: Any,
        dst: int | None = None,
        group: GroupLike = None,
        device: Any = None,
        group_dst: int | None = None,
        use_batch: bool = False,
    ) -> None:
        """Send objects to another rank, which gives :meth:`recv_object_list` a list of the same length."""
        found = self._worker("send_object_list", group)
        if found is None:
            return
        peer = self._rank_in(group, dst, group_dst)
        self._require_other(peer, group, "destination")
        for tensor in self._packed(object_list):
            self.send(tensor, group=group, group_dst=peer)

    def recv_object_list(
        self,
        object_list: Any,
        src: int | None = None,
        group: GroupLike = None,
        device: Any = None,
        group_src: int | None = None,
        use_batch: bool = False,
    ) -> int:
        """Receive the objects of :meth:`send_object_list` into ``object_list``; gives the sender's rank."""
        found = self._worker("recv_object_list", group)
        if found is None:
            return -1
        peer = self._rank_in(group, src, group_src)
        self._require_other(peer, group, "source")
        sizes = self._empty(len(object_list), int64)
        self.recv(sizes, group=group, group_src=peer)
        packed = self._empty(int(sizes.numpy().sum()), uint8)
        sender = self.recv(packed, group=group, group_src=peer)
        self._unpack(object_list, sizes, packed)
        return sender

    # -- objects as tensors -------------------------------------------------------------------------------

    def _worker(self, name: str, group: GroupLike) -> ProcessGroup | None:
        """This worker's ``group``; None, with a warning, if it is no member."""
        found = self._member(name, group, stacklevel=4)
        if found is None:
            return None
        if self._hub.current.is_host:
            raise BackendError(
                f"{name}: the host is no rank; call it in a worker of torch.multiprocessing.spawn"
            )
        if self._torch.ahbm.machine.mode == "timing":
            raise ForcedValueError(
                f"{name}: objects are read where they arrive, and mode 'timing' computes no values; use mode 'timed' "
                "or 'data'"
            )
        return found

    @property
    def _torch(self) -> Context:
        return self._hub.torch

    def _with_sizes(self, found: ProcessGroup, group: GroupLike, obj: Any) -> tuple[Array, Array, int]:
        """The bytes of ``obj``, the sizes of all ranks' objects, and the largest of them."""
        given = self._bytes_of(obj)
        sizes = self._empty(found.size(), int64)
        self.all_gather_single(sizes, self._number(len(given)), group)
        found_sizes = sizes.numpy()
        return given, found_sizes, int(found_sizes.max())

    def _packed(self, objects: Any) -> tuple[DeviceTensor, DeviceTensor]:
        """The sizes of ``objects``, and their bytes one behind the other."""
        if not isinstance(objects, list):
            raise InvalidTypeError(
                f"broadcast_object_list: object_list={quoted(objects)}; give a list of objects"
            )
        pickled = [self._bytes_of(x) for x in objects]
        if not pickled:
            raise InvalidValueError(
                "not enough values to unpack (expected 2, got 0): give a list of one object or more"
            )
        sizes = np.array([len(x) for x in pickled], int64.numpy)
        return self._uploaded(sizes, len(sizes)), self._uploaded(np.concatenate(pickled), int(sizes.sum()))

    def _unpack(self, objects: Any, sizes: DeviceTensor, packed: DeviceTensor) -> None:
        ends = [0, *np.cumsum(sizes.numpy()).tolist()]
        buffer = packed.numpy()
        for i, (start, stop) in enumerate(pairwise(ends)):
            objects[i] = self._object_of(buffer[start:stop])

    def _bytes_of(self, obj: Any) -> Array:
        stream = io.BytesIO()
        try:
            _Pickler(stream, pickle.HIGHEST_PROTOCOL).dump(obj)
        except UsageError:
            raise
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise UnpicklableError(
                f"{in_one_line(error)}; an object goes to another rank pickled, as to another process"
            ) from error
        return np.frombuffer(stream.getvalue(), uint8.numpy)

    def _object_of(self, buffer: Array) -> Any:
        return _Unpickler(io.BytesIO(buffer.tobytes()), self._torch).load()

    def _uploaded(self, array: Array, n_elem: int) -> DeviceTensor:
        """``array`` on this rank's PE, with zeros up to ``n_elem`` elements."""
        made = self._torch.tensor(np.pad(array, (0, n_elem - array.size)), name="objects")
        assert isinstance(made, DeviceTensor)
        return made

    def _number(self, n: int) -> DeviceTensor:
        return self._uploaded(np.array([n], int64.numpy), 1)

    def _empty(self, n: int, dtype: DType) -> DeviceTensor:
        made = self._torch.empty(n, dtype=dtype, name="objects")
        assert isinstance(made, DeviceTensor)
        return made


class _Pickler(pickle.Pickler):
    """Takes host tensors as their arrays, since a context is in one process only."""

    def persistent_id(self, obj: Any) -> tuple[str, Array] | None:
        """What a host tensor is pickled as; None for all else."""
        if isinstance(obj, DeviceTensor):
            raise UnpicklableError(
                f"{obj.name!r} is a tensor on the device; an object holds tensors on the host: give x.cpu(), or "
                "gather the tensor itself, as with all_gather"
            )
        return (obj.name, obj.numpy()) if isinstance(obj, HostTensor) else None


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, torch: Context) -> None:
        super().__init__(stream)
        self._torch = torch

    def persistent_load(self, pid: tuple[str, Array]) -> HostTensor:
        """The host tensor that was pickled."""
        name, array = pid
        return self._torch.from_numpy(array, name=name)
