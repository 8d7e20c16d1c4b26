"""Asynchronous collectives whose work was not waited for, and what a worker does with their tensors meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from weakref import ref

from kernbench.device.array import DeviceArray
from kernbench.dist.ranks import Hub, RankProcess
from kernbench.dist.work import Work, WorkState
from kernbench.lang.source import user_line
from kernbench.memory.shards import ShardMap
from kernbench.memory.watch import EarlyUse
from kernbench.messages.source_line import SourceLine

# What a worker does with a tensor, and whether that is wrong also where a collective only reads it. A launch may.
USES = {"read": False, "written": True, "freed": True, "used in a launch": False}


class _Bytes(NamedTuple):
    """Bytes of a tensor, which it does not keep alive; ``is_written`` if a collective writes them."""

    shards: ref[ShardMap]
    start: int
    end: int
    is_written: bool

    @classmethod
    def of(cls, tensor: DeviceArray, *, is_written: bool) -> _Bytes:
        """All bytes of ``tensor``."""
        start = tensor.data_ptr()
        return cls(ref(tensor.shards), start, start + tensor.nbytes, is_written)

    def are_in(self, tensor: DeviceArray) -> bool:
        """Whether ``tensor`` has one of them."""
        if tensor.is_freed or self.shards() is not tensor.shards:
            return False
        start = tensor.data_ptr()
        return start < self.end and self.start < start + tensor.nbytes


class _Pending(NamedTuple):
    """A work that was not waited for, which call made it where, and its bytes."""

    state: WorkState
    name: str
    line: SourceLine
    bytes: tuple[_Bytes, ...]


class Unwaited:
    """Tells the watch what workers do with the tensors of works that they have not waited for.

    PyTorch leaves open what such a use sees: over gloo a thread works on it, here it depends on whose turn came.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._pending: dict[RankProcess, list[_Pending]] = {}
        hub.when_over.append(lambda *_: self._pending.clear())

    def add(
        self,
        work: Work,
        name: str,
        line: SourceLine,
        written: Sequence[DeviceArray],
        read: Sequence[DeviceArray],
    ) -> None:
        """From now on until ``work`` is waited for, this process leaves the tensors alone."""
        if self._hub.current.is_host or work.state.is_waited:
            return
        mine = [_Bytes.of(x, is_written=True) for x in written] + [
            _Bytes.of(x, is_written=False) for x in read
        ]
        others = [p for p in self._pending.get(self._hub.current, ()) if not p.state.is_waited]
        self._pending[self._hub.current] = [*others, _Pending(work.state, name, line, tuple(mine))]

    def used(self, tensor: DeviceArray, how: str) -> None:
        """Say that the running worker uses ``tensor``: one of :data:`USES`.

        Raises:
            RaceError: an asynchronous collective on its bytes was not waited for, and races are errors.
        """
        watch = self._hub.torch.ahbm.machine.watch
        if watch is None or not self._pending or not self._hub.is_in_worker:
            return
        for pending in self._pending.get(self._hub.current, ()):
            if pending.state.is_waited or not any(
                (some.is_written or USES[how]) and some.are_in(tensor) for some in pending.bytes
            ):
                continue
            watch.used_early(
                EarlyUse(
                    tensor=tensor.name,
                    shape=tensor.shape,
                    dtype=str(tensor.dtype),
                    rank=self._hub.current.index,
                    how=how,
                    line=user_line(),
                    call=pending.name,
                    call_line=pending.line,
                )
            )

    def synchronized(self) -> None:
        """Say that the running worker has waited for all that was launched: also for what its works launched."""
        mine = self._pending.get(self._hub.current, ())
        self._pending[self._hub.current] = [pending for pending in mine if not pending.state.is_done]
