"""``torch.distributed`` of a simulated machine: PyTorch 2.13's names, signatures and texts, each rank one PE."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from kernbench.ccl.backend import AhbmCCLBackend, parts_of
from kernbench.ccl.collectives import Collectives
from kernbench.ccl.groups import Call, ProcessGroup
from kernbench.ccl.misuse import require_tensor, require_tensors
from kernbench.ccl.point_to_point import P2POp, PointToPoint
from kernbench.ccl.process_groups import GroupLike, GroupMember, is_outside, require_timeout
from kernbench.ccl.ranks import Hub
from kernbench.ccl.reduce_op import ReduceOp
from kernbench.ccl.work import Work
from kernbench.ccl.world import Worlds
from kernbench.errors import UnknownAttributeError
from kernbench.registry import did_you_mean
from kernbench.runtime.context import Context
from kernbench.runtime.storage import user_line
from kernbench.runtime.tensor import DeviceTensor


class Distributed(PointToPoint):
    """What ``torch.distributed`` is: in a worker that rank's, on the host that of all ranks at once.

    A host's call stands for one of every rank: a tensor is then one with a shard or a copy for each, and
    ``get_rank()`` is 0. Collectives return when all ranks have made the call and its kernel is launched; whatever uses
    their tensors afterwards comes after it in simulated time.
    """

    def __init__(self, torch: Context, hub: Hub) -> None:
        self._hub = hub
        self._backend = AhbmCCLBackend(torch)
        self._worlds = Worlds(hub, self._backend)
        self._collectives = Collectives(self._backend)
        self.ReduceOp = ReduceOp
        self.ProcessGroup = ProcessGroup
        self.Work = Work
        self.group = GroupMember(self._worlds)
        self.GroupMember = self.group
        self.P2POp = partial(P2POp, self)
        hub.when_idle.append(self._launch_transfers)

    def __getattr__(self, name: str) -> Any:
        known = [name for name in (*dir(type(self)), *vars(self)) if not name.startswith("_")]
        raise UnknownAttributeError(f"torch.distributed has no {name!r} here; {did_you_mean(name, known)}")

    # -- collectives --------------------------------------------------------------------------------------

    def all_reduce(
        self, tensor: Any, op: ReduceOp = ReduceOp.SUM, group: GroupLike = None, async_op: bool = False
    ) -> Work | None:
        """Replace ``tensor`` of every rank by the reduction over all: bit for bit the same everywhere."""
        given = require_tensor(tensor, "tensor")
        found = self._member("all_reduce", group)
        if found is None:
            return None
        return self._start(found, self._collectives.all_reduce, (given,), async_op, op=op)

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
        found = self._member("broadcast", group)
        if found is None:
            return None
        return self._start(found, self._collectives.broadcast, (given,), async_op, root=root)

    def reduce(
        self,
        tensor: Any,
        dst: int | None = None,
        op: ReduceOp = ReduceOp.SUM,
        group: GroupLike = None,
        async_op: bool = False,
        group_dst: int | None = None,
    ) -> Work | None:
        """Replace ``tensor`` of one rank by the reduction over all; of the others it is undefined in PyTorch."""
        root = None if is_outside(group) else self._rank_in(group, dst, group_dst)
        given = require_tensor(tensor, "tensor")
        found = self._member("reduce", group)
        if found is None:
            return None
        return self._start(found, self._collectives.reduce, (given,), async_op, op=op, root=root)

    def all_gather(
        self, tensor_list: Any, tensor: Any, group: GroupLike = None, async_op: bool = False
    ) -> Work | None:
        """Put ``tensor`` of rank r in ``tensor_list[r]`` of every rank: an all-gather into one tensor, and a copy."""
        given = (*require_tensors(tensor_list, "tensor_list"), require_tensor(tensor, "tensor"))
        found = self._member("all_gather", group)
        if found is None:
            return None
        return self._start(found, self._collectives.all_gather, given, async_op)

    def all_gather_single(
        self, output_tensor: Any, input_tensor: Any, group: GroupLike = None, async_op: bool = False
    ) -> Work | None:
        """Put ``input_tensor`` of rank r in the r-th part of ``output_tensor`` of every rank."""
        source = require_tensor(input_tensor, "input_tensor")
        target = require_tensor(output_tensor, "output_tensor")
        found = self._member("all_gather_single", group)
        if found is None:
            return None
        return self._start(found, self._collectives.all_gather_single, (target, source), async_op)

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
        op: ReduceOp = ReduceOp.SUM,
        group: GroupLike = None,
        async_op: bool = False,
    ) -> Work | None:
        """Make ``output`` of rank r the reduction of ``input_list[r]`` over all ranks."""
        given = (require_tensor(output, "output"), *require_tensors(input_list, "input_list"))
        found = self._member("reduce_scatter", group)
        if found is None:
            return None
        return self._start(found, self._collectives.reduce_scatter, given, async_op, op=op)

    def reduce_scatter_single(
        self,
        output: Any,
        input: Any,
        op: ReduceOp = ReduceOp.SUM,
        group: GroupLike = None,
        async_op: bool = False,
    ) -> Work | None:
        """Make ``output`` of rank r the reduction of the r-th part of ``input`` over all ranks."""
        given = (require_tensor(output, "output"), require_tensor(input, "input"))
        found = self._member("reduce_scatter_single", group)
        if found is None:
            return None
        return self._start(found, self._collectives.reduce_scatter_single, given, async_op, op=op)

    def reduce_scatter_tensor(
        self,
        output: Any,
        input: Any,
        op: ReduceOp = ReduceOp.SUM,
        group: GroupLike = None,
        async_op: bool = False,
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
        found = self._member("all_to_all_single", group)
        if found is None:
            return None
        given = (require_tensor(output, "output"), require_tensor(input, "input"))
        if not output_split_sizes and not input_split_sizes:
            return self._start(found, self._collectives.all_to_all_single, given, async_op)
        splits = (list(output_split_sizes or ()), list(input_split_sizes or ()))
        return self._start(found, self._collectives.all_to_all_split, given, async_op, splits=splits)

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
        found = self._member("barrier", group)
        if found is None:
            return None
        return self._start(found, self._collectives.barrier, (), async_op)

    def _start(
        self,
        found: ProcessGroup,
        collective: Callable[..., Any],
        tensors: tuple[DeviceTensor, ...],
        async_op: bool,
        **how: Any,
    ) -> Work | None:
        """Make this rank's call, or on the host that of every rank."""
        line, group = user_line(), found.group
        plan = collective(group, **how)
        if self._hub.current.is_host:
            parts = [parts_of(tensor, group.pes, plan.name) for tensor in tensors]
            calls = [plan.call(tuple(part[m] for part in parts), line) for m in range(found.size())]
            plan.run(calls)
            work = Work(self._hub, str, plan.outputs(tensors))
            work.finish()
        else:
            call: Call = plan.call(tensors, line)
            work = group.post(found.rank(), call, plan.run, plan.outputs(tensors))
        if async_op:
            return work
        work.wait()
        return None


def _warn_of_former(name: str, now: str) -> None:
    warnings.warn(
        f"`torch.distributed.{name}` is deprecated. Please use `torch.distributed.{now}` instead.",
        FutureWarning,
        stacklevel=3,
    )
