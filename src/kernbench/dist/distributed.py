"""``torch.distributed`` of a simulated machine: PyTorch 2.13's names, signatures and texts, each rank one PE."""

from __future__ import annotations

from functools import partial
from typing import Any

from kernbench.dist.backend import AhbmCCLBackend
from kernbench.dist.groups import ProcessGroup
from kernbench.dist.object_collectives import ObjectCollectives
from kernbench.dist.point_to_point import P2POp
from kernbench.dist.process_groups import GroupMember
from kernbench.dist.ranks import Hub
from kernbench.dist.reduce_op import ReduceOp
from kernbench.dist.unwaited import Unwaited
from kernbench.dist.work import Work
from kernbench.dist.world import GroupTable
from kernbench.errors import UnknownAttributeError
from kernbench.registry import did_you_mean
from kernbench.torch.context import Context


class Distributed(ObjectCollectives):
    """What ``torch.distributed`` is: in a worker that rank's, on the host that of all ranks at once.

    A host's call stands for one of every rank: a tensor is then one with a shard or a copy for each, and
    ``get_rank()`` is 0. Collectives return when all ranks have made the call and its kernel is launched; whatever uses
    their tensors afterwards comes after it in simulated time.

    >>> import kernbench as kb
    >>> torch = kb.simulate("tiny").torch
    >>> def worker(rank):
    ...     torch.distributed.init_process_group("ahbm", rank=rank, world_size=4)
    ...     x = torch.full((8,), float(rank), device="ahbm")
    ...     torch.distributed.all_reduce(x)
    ...     if rank == 3:
    ...         print(x.tolist())
    >>> torch.multiprocessing.spawn(worker, nprocs=4)
    [6.0, 6.0, 6.0, 6.0, 6.0, 6.0, 6.0, 6.0]
    """

    def __init__(self, torch: Context, hub: Hub) -> None:
        self._hub = hub
        self._backend = AhbmCCLBackend(torch)
        self._table = GroupTable(hub, self._backend)
        self._unwaited = torch.ahbm.uses = Unwaited(hub)
        self.ReduceOp = ReduceOp
        self.ProcessGroup = ProcessGroup
        self.Work = Work
        self.group = GroupMember(self._table)
        self.GroupMember = self.group
        self.P2POp = partial(P2POp, self)
        hub.when_idle.append(self._launch_transfers)

    def __getattr__(self, name: str) -> Any:
        known = [name for name in (*dir(type(self)), *vars(self)) if not name.startswith("_")]
        raise UnknownAttributeError(f"torch.distributed has no {name!r} here; {did_you_mean(name, known)}")
