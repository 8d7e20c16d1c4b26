"""``torch.distributed`` of tensors: the collectives with PyTorch 2.13's names, signatures and texts."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from kernbench.dist import collectives
from kernbench.dist.backend import parts_of
from kernbench.dist.collectives import Collective
from kernbench.dist.errors import require_one_dtype, require_tensor, require_tensors
from kernbench.dist.groups import ProcessGroup
from kernbench.dist.point_to_point import PointToPoint
from kernbench.dist.process_groups import GroupLike, is_outside, require_timeout
from kernbench.dist.reduce_op import ReduceOp
from kernbench.dist.work import Work
from kernbench.errors import InvalidValueError
from kernbench.lang.source import user_line
from kernbench.torch.tensor import DeviceTensor

SUM = ReduceOp.SUM


class TensorCollectives(PointToPoint):
    """The part of ``torch.distributed`` in which all ranks of a group take part."""

    def all_reduce(
        self, tensor: Any, op: ReduceOp = SUM, group: GroupLike = None, async_op: bool = False
    ) -> Work | None:
        """Replace ``tensor`` of every rank by the reduction over all: bit for bit the same everywhere."""
        given = require_tensor(tensor, "tensor")
        return self._collective(collectives.AllReduce, group, (given,), async_op, op=op)

    def broadcast(
        self,
        tensor: Any,
        src: int | None = None,
        group: GroupLike = None,
        async_op: bool = False,
        group_src: int | None = None,
    ) -> Work | None:
        """Replace ``tensor`` of every rank by that of one."""
        root = None if is_outside(group) else self._rank_in(group, src, group_src)
        given = require_tensor(tensor, "tensor")
        return self._collective(collectives.Broadcast, group, (given,), async_op, root=root)

    def reduce(
        self,
        tensor: Any,
        dst: int | None = None,
        op: ReduceOp = SUM,
        group: GroupLike = None,
        async_op: bool = False,
        group_dst: int | None = None,
    ) -> Work | None:
        """Replace ``tensor`` of one rank by the reduction over all; of the others it is undefined in PyTorch."""
        root = None if is_outside(group) else self._rank_in(group, dst, group_dst)
        given = require_tensor(tensor, "tensor")
        return self._collective(collectives.Reduce, group, (given,), async_op, op=op, root=root)

    def all_gather(
        self, tensor_list: Any, tensor: Any, group: GroupLike = None, async_op: bool = False
    ) -> Work | None:
        """Put ``tensor`` of rank r in ``tensor_list[r]`` of every rank: an all-gather into one tensor, and a copy."""
        given = (*require_tensors(tensor_list, "tensor_list"), require_tensor(tensor, "tensor"))
        return self._collective(collectives.AllGather, group, given, async_op)

    def all_gather_single(
        self, output_tensor: Any, input_tensor: Any, group: GroupLike = None, async_op: bool = False
    ) -> Work | None:
        """Put ``input_tensor`` of rank r in the r-th part of ``output_tensor`` of every rank."""
        source = require_tensor(input_tensor, "input_tensor")
        given = (require_tensor(output_tensor, "output_tensor"), source)
        return self._collective(collectives.AllGatherSingle, group, given, async_op)

    def all_gather_into_tensor(
        self, output_tensor: Any, input_tensor: Any, group: GroupLike = None, async_op: bool = False
    ) -> Work | None:
        """The former name of :meth:`all_gather_single`."""
        _warn_of_former("all_gather_into_tensor", "all_gather_single")
        return self.all_gather_single(output_tensor, input_tensor, group, async_op)

    def reduce_scatter(
        self,
        output: Any,
        input_list: Any,
        op: ReduceOp = SUM,
        group: GroupLike = None,
        async_op: bool = False,
    ) -> Work | None:
        """Make ``output`` of rank r the reduction of ``input_list[r]`` over all ranks."""
        given = (require_tensor(output, "output"), *require_tensors(input_list, "input_list"))
        return self._collective(collectives.ReduceScatter, group, given, async_op, op=op)

    def reduce_scatter_single(
        self, output: Any, input: Any, op: ReduceOp = SUM, group: GroupLike = None, async_op: bool = False
    ) -> Work | None:
        """Make ``output`` of rank r the reduction of the r-th part of ``input`` over all ranks."""
        given = (require_tensor(output, "output"), require_tensor(input, "input"))
        return self._collective(collectives.ReduceScatterSingle, group, given, async_op, op=op)

    def reduce_scatter_tensor(
        self, output: Any, input: Any, op: ReduceOp = SUM, group: GroupLike = None, async_op: bool = False
    ) -> Work | None:
        """The former name of :meth:`reduce_scatter_single`."""
        _warn_of_former("reduce_scatter_tensor", "reduce_scatter_single")
        return self.reduce_scatter_single(output, input, op, group, async_op)

    def all_to_all_single(
        self,
        output: Any,
        input: Any,
        output_split_sizes: Sequence[int] | None = None,
        input_split_sizes: Sequence[int] | None = None,
        group: GroupLike = None,
        async_op: bool = False,
    ) -> Work | None:
        """Put the s-th part of ``input`` of rank r in the r-th part of ``output`` of rank s.

        Parts are of dimension 0: even, or as the split sizes say; then each goes over a queue of its two ranks.
        """
        # Here PyTorch asks for the member first, elsewhere for the tensors: so it decides which error is told.
        found = self._member("all_to_all_single", group)
        if found is None:
            return None
        given = (require_tensor(output, "output"), require_tensor(input, "input"))
        if not output_split_sizes and not input_split_sizes:
            return self._start(found, collectives.AllToAllSingle, given, async_op)
        splits = (list(output_split_sizes or ()), list(input_split_sizes or ()))
        return self._start(found, collectives.AllToAllSplit, given, async_op, splits=splits)

    def all_to_all(
        self,
        output_tensor_list: Any,
        input_tensor_list: Any,
        group: GroupLike = None,
        async_op: bool = False,
    ) -> Work | None:
        """Put ``input_tensor_list[s]`` of rank r in ``output_tensor_list[r]`` of rank s: a transfer for each pair."""
        found = self._member("all_to_all", group)
        if found is None:
            return None
        outputs = require_tensors(output_tensor_list, "output_tensor_list")
        given = (*outputs, *require_tensors(input_tensor_list, "input_tensor_list"))
        require_one_dtype(given)
        return self._start(found, collectives.AllToAll, given, async_op, n_outputs=len(outputs))

    def gather(
        self,
        tensor: Any,
        gather_list: Any = None,
        dst: int | None = None,
        group: GroupLike = None,
        async_op: bool = False,
        group_dst: int | None = None,
    ) -> Work | None:
        """Put ``tensor`` of rank r in ``gather_list[r]`` of one rank, which alone gives a list."""
        given = require_tensor(tensor, "tensor")
        into = require_tensors(gather_list, "gather_list") if gather_list else []
        require_one_dtype((given, *into))
        found = self._member("gather", group)
        if found is None:
            return None
        root = self._root_in(group, dst, group_dst)
        self._require_list_at("gather_list", "destination", found, root, into)
        return self._start(found, collectives.Gather, (given, *into), async_op, root=root)

    def scatter(
        self,
        tensor: Any,
        scatter_list: Any = None,
        src: int | None = None,
        group: GroupLike = None,
        async_op: bool = False,
        group_src: int | None = None,
    ) -> Work | None:
        """Put ``scatter_list[r]`` of one rank, which alone gives a list, in ``tensor`` of rank r."""
        into = require_tensor(tensor, "tensor")
        given = require_tensors(scatter_list, "scatter_list") if scatter_list else []
        require_one_dtype((into, *given))
        found = self._member("scatter", group)
        if found is None:
            return None
        root = self._root_in(group, src, group_src)
        self._require_list_at("scatter_list", "source", found, root, given)
        return self._start(found, collectives.Scatter, (into, *given), async_op, root=root)

    def barrier(
        self,
        group: GroupLike = None,
        async_op: bool = False,
        device_ids: Any = None,
        timeout: timedelta | None = None,
    ) -> Work | None:
        """Wait until every rank has called this."""
        if group is None:
            self._default()
        require_timeout(timeout)
        return self._collective(collectives.Barrier, group, (), async_op)

    def monitored_barrier(
        self,
        group: GroupLike = None,
        timeout: timedelta | float | None = None,
        wait_all_ranks: bool = False,
    ) -> None:
        """Wait until every rank has called this. Who never does is always named, in the error of a wait without end."""
        found = self._member("monitored_barrier", group)
        if found is None:
            return
        if isinstance(timeout, float):
            warnings.warn(
                "Please specify timeout arg as a timedelta. "
                f"Converting current value of {timeout} assuming it represents seconds",
                stacklevel=2,
            )
            try:
                timeout = timedelta(seconds=timeout)
            except (OverflowError, ValueError):
                raise InvalidValueError(f"monitored_barrier: timeout={timeout}; give a timedelta") from None
        require_timeout(timeout)
        self._start(found, collectives.MonitoredBarrier, (), False)

    def _root_in(self, group: GroupLike, global_rank: int | None, group_rank: int | None) -> int:
        """Which rank of ``group`` is meant: rank 0 of all, where neither is given."""
        is_given = global_rank is not None or group_rank is not None
        return self._rank_in(group, global_rank if is_given else 0, group_rank)

    def _require_list_at(
        self, name: str, kind: str, found: ProcessGroup, root: int, tensors: Sequence[DeviceTensor]
    ) -> None:
        """Refuse a root without a list, and a list on another rank; the host is the root too."""
        is_root = self._hub.current.is_host or found.rank() == root
        if is_root and not tensors:
            raise InvalidValueError(f"Argument ``{name}`` must be specified on {kind} rank.")
        if tensors and not is_root:
            raise InvalidValueError(f"Argument ``{name}`` must NOT be specified on non-{kind} ranks.")

    def _collective(
        self,
        kind: type[Collective],
        group: GroupLike,
        tensors: tuple[DeviceTensor, ...],
        async_op: bool,
        **how: Any,
    ) -> Work | None:
        """Start a collective of ``group``; nothing, with a warning, if this process is no member."""
        found = self._member(kind.name, group, stacklevel=4)
        return None if found is None else self._start(found, kind, tensors, async_op, **how)

    def _start(
        self,
        found: ProcessGroup,
        kind: type[Collective],
        tensors: tuple[DeviceTensor, ...],
        async_op: bool,
        **how: Any,
    ) -> Work | None:
        """Make this rank's call, or on the host that of every rank."""
        line, group = user_line(), found.group
        made = kind(self._backend, group, **how)
        outputs = made.outputs(tensors)
        # The host's one call stands for all ranks: each has its shard of every tensor, or its copy.
        if self._hub.current.is_host:
            parts = [parts_of(tensor, group.pes, made.name) for tensor in tensors]
            made.run([made.call(tuple(part[m] for part in parts), line) for m in range(found.size())])
            work = Work(self._hub, str, outputs)
            work.finish()
        else:
            work = group.post(found.rank(), made.call(tensors, line), made.run, outputs)
        if async_op:
            written = list(tensors[:1]) if outputs is None else outputs
            read = [x for x in tensors if not any(x is y for y in written)]
            self._unwaited.add(work, made.name, line, written, read)
            return work
        work.wait()
        return None


def _warn_of_former(name: str, now: str) -> None:
    warnings.warn(
        f"`torch.distributed.{name}` is deprecated. Please use `torch.distributed.{now}` instead.",
        FutureWarning,
        stacklevel=3,
    )
