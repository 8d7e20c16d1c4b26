"""``torch.distributed`` of sends and receives: between two ranks, matched, and launched together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kernbench.dist.backend import AhbmCCLBackend
from kernbench.dist.errors import BackendError, is_rank, require_tensor
from kernbench.dist.groups import Call, ProcessGroup
from kernbench.dist.process_groups import GroupLike, ProcessGroups, is_outside
from kernbench.dist.unwaited import Unwaited
from kernbench.dist.work import Work
from kernbench.errors import InvalidIndexError, InvalidValueError
from kernbench.lang.source import user_line
from kernbench.torch.tensor import DeviceTensor
from kernbench.wording import quoted


class PointToPoint(ProcessGroups):
    """The part of ``torch.distributed`` that joins two ranks."""

    _backend: AhbmCCLBackend
    _unwaited: Unwaited

    def isend(
        self,
        tensor: Any,
        dst: int | None = None,
        group: GroupLike = None,
        tag: int = 0,
        group_dst: int | None = None,
    ) -> Work | None:
        """Begin to send ``tensor`` to a rank; complete when that rank receives it."""
        peer = None if is_outside(group) else self._rank_in(group, dst, group_dst)
        given = require_tensor(tensor, "tensor")
        found = self._member("isend", group)
        if found is None or peer is None:
            return None
        work = self._transfer(found, "send", peer, tag, given)
        self._unwaited.add(work, "isend", user_line(), (), (given,))
        return work

    def irecv(
        self,
        tensor: Any,
        src: int | None = None,
        group: GroupLike = None,
        tag: int = 0,
        group_src: int | None = None,
    ) -> Work | None:
        """Begin to receive into ``tensor`` from a rank, or from whichever sends first."""
        given = require_tensor(tensor, "tensor")
        found = self._member("irecv", group)
        if found is None:
            return None
        peer = None if src is None and group_src is None else self._rank_in(group, src, group_src)
        work = self._transfer(found, "recv", peer, tag, given)
        self._unwaited.add(work, "irecv", user_line(), (given,), ())
        return work

    def send(
        self,
        tensor: Any,
        dst: int | None = None,
        group: GroupLike = None,
        tag: int = 0,
        group_dst: int | None = None,
    ) -> None:
        """Send ``tensor`` to another rank; returns when that rank receives it, as gloo's does."""
        if is_outside(group):
            raise InvalidValueError("Invalid process group specified")
        peer = self._rank_in(group, dst, group_dst)
        self._require_other(peer, group, "destination")
        work = self.isend(tensor, group=group, tag=tag, group_dst=peer)
        if work is not None:
            work.wait()

    def recv(
        self,
        tensor: Any,
        src: int | None = None,
        group: GroupLike = None,
        tag: int = 0,
        group_src: int | None = None,
    ) -> int:
        """Receive into ``tensor`` from a rank, or from whichever sends first; gives the sender's rank."""
        work = self.irecv(tensor, src=src, group=group, tag=tag, group_src=group_src)
        if work is None:
            return -1
        work.wait()
        return self.get_global_rank(group, work.source_rank())

    def batch_isend_irecv(self, p2p_op_list: list[P2POp]) -> list[Work]:
        """Begin several sends and receives; all ranks' together are one kernel."""
        if not isinstance(p2p_op_list, list) or not all(isinstance(op, P2POp) for op in p2p_op_list):
            raise InvalidValueError(
                "Invalid ``p2p_op_list``. Each op is expected to to be of type ``torch.distributed.P2POp``."
            )
        if not p2p_op_list:
            raise InvalidIndexError("list index out of range")
        if not all(op.group is p2p_op_list[0].group for op in p2p_op_list):
            raise InvalidValueError("All ops need to use the same group.")
        works = [op.start() for op in p2p_op_list]
        return [work for work in works if work is not None]

    def _require_other(self, peer: int, group: GroupLike, kind: str) -> None:
        if peer == self._group(group).rank():
            raise InvalidValueError(
                f"Invalid {kind} rank: {kind} rank should not be the same as the rank of the current process."
            )

    def _transfer(
        self, found: ProcessGroup, kind: str, peer: int | None, tag: int, tensor: DeviceTensor
    ) -> Work:
        group = found.group
        if self._hub.current.is_host:
            raise BackendError(
                f"{kind}: the host is no rank; call it in a worker of torch.multiprocessing.spawn"
            )
        if peer is not None and not is_rank(peer, found.size()):
            raise InvalidValueError(
                f"{kind}: rank {quoted(peer)} of {group}, whose ranks are 0 to {found.size() - 1}"
            )
        other = {} if peer is None else {"dst" if kind == "send" else "src": group.ranks[peer]}
        agreed = {**other, "numel": tensor.numel(), "dtype": tensor.dtype, **({"tag": tag} if tag else {})}
        call = Call(name=kind, agreed=agreed, tensors=(tensor,), line=user_line())
        if kind == "recv":
            return group.recv(found.rank(), peer, tag, call)
        assert peer is not None
        return group.send(found.rank(), peer, tag, call)

    def _launch_transfers(self) -> bool:
        """Launch all sends that have found their receives, as one kernel; False if there are none."""
        matched = [found for group in self._table.groups for found in group.take_matched()]
        if not matched:
            return False
        error: BaseException | None = None
        try:
            self._backend.move([pair for pair, _, _ in matched])
        except Exception as raised:  # is that of all ranks that wait for it
            error = raised
        for _, sent, received in matched:
            sent.finish(error=error)
            received.finish(error=error)
        return True


class P2POp:
    """One send or receive of a batch: ``op`` is ``torch.distributed.isend`` or ``torch.distributed.irecv``."""

    def __init__(
        self,
        dist: PointToPoint,
        op: Callable[..., Any],
        tensor: Any,
        peer: int | None = None,
        group: GroupLike = None,
        tag: int = 0,
        group_peer: int | None = None,
    ) -> None:
        if op not in (dist.isend, dist.irecv):
            raise InvalidValueError(
                "Invalid ``op``. Expected ``op`` to be of type ``torch.distributed.isend`` or "
                "``torch.distributed.irecv``."
            )
        self.op = op
        self.tensor = require_tensor(tensor, "tensor")
        self.group = dist._group(group)
        self.group_peer = dist._rank_in(group, peer, group_peer)
        self.peer = dist.get_global_rank(self.group, self.group_peer)
        self.tag = tag

    def start(self) -> Work | None:
        """Begin it."""
        to = {"group_dst" if self.op.__name__ == "isend" else "group_src": self.group_peer}
        work: Work | None = self.op(self.tensor, group=self.group, tag=self.tag, **to)
        return work

    def __repr__(self) -> str:
        ends = [self.group.rank(), self.group_peer]
        src, dst = ends if self.op.__name__ == "isend" else ends[::-1]
        return (
            f"P2POp({self.op.__name__} pg={self.group.group_name}, group_src={src}, group_dst={dst},  "
            f"{list(self.tensor.shape)}, {self.tensor.dtype})"
        )
