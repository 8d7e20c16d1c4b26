"""``torch.distributed`` of process groups: made, asked, found and destroyed."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from kernbench.dist.environment import rendezvous, world_size_on_host
from kernbench.dist.errors import NOT_INITIALIZED, BackendError, StateError, is_rank
from kernbench.dist.groups import NON_GROUP_MEMBER, ProcessGroup
from kernbench.dist.ranks import Hub
from kernbench.dist.world import GroupTable, World
from kernbench.errors import InvalidTypeError, InvalidValueError
from kernbench.given import MOST_COUNT, whole
from kernbench.lang.source import user_line
from kernbench.wording import quoted, shortened

GroupLike = ProcessGroup | int | None


class ProcessGroups:
    """The part of ``torch.distributed`` that needs no tensors."""

    _table: GroupTable
    _hub: Hub

    def is_available(self) -> bool:
        """True."""
        return True

    def is_backend_available(self, backend: str) -> bool:
        """Whether ``backend`` is "ahbm", the only one there is."""
        return str(backend).lower() == "ahbm"

    def is_gloo_available(self) -> bool:
        """False, as of all backends of PyTorch: ranks are PEs, and meet through the machine."""
        return False

    is_mpi_available = is_nccl_available = is_ucc_available = is_xccl_available = is_gloo_available

    def is_torchelastic_launched(self) -> bool:
        """Whether torchrun started the program."""
        return "TORCHELASTIC_RUN_ID" in os.environ

    def get_node_local_rank(self, fallback_rank: int | None = None) -> int:
        """What LOCAL_RANK says: in a worker, its place."""
        if "LOCAL_RANK" in os.environ:
            return int(os.environ["LOCAL_RANK"])
        if fallback_rank is not None:
            return int(fallback_rank)
        raise BackendError(
            "LOCAL_RANK is not in the environment. Consider passing fallback_rank to allow `get_node_local_rank` to "
            "work, assuming you are not running in a multi-device context and want the code to run locally instead."
        )

    def is_initialized(self) -> bool:
        """Whether this process has a default group."""
        return self._world.default is not None

    def init_process_group(
        self,
        backend: str | None = None,
        init_method: str | None = None,
        timeout: timedelta | None = None,
        world_size: int = -1,
        rank: int = -1,
        store: Any = None,
        group_name: str = "",
        pg_options: Any = None,
        device_id: Any = None,
    ) -> None:
        """Make the default group, when ``world_size`` ranks have called this.

        Left out, they are what RANK and WORLD_SIZE say: in a worker, its place and the number of workers. The host,
        where they are not set, speaks for as many ranks as given, as ``ccl.yaml`` says, or for all PEs. ``store``,
        ``group_name``, ``pg_options`` and ``device_id`` say nothing here, nor where an ``init_method`` leads: there is
        nobody to find. Of ``timeout``, see :meth:`Work.wait`.

        Raises:
            ValueError: the host is to be one rank of several, by ``rank`` or by its environment.
        """
        if self._world.default is not None:
            raise InvalidValueError("trying to initialize the default process group twice!")
        if store is not None and init_method is not None:
            raise StateError("Cannot specify both init_method and store.")
        _require_backend(backend)
        require_timeout(timeout)
        rank = whole(rank, "init_process_group: rank", least=-1)
        world_size = whole(world_size, "init_process_group: world_size", least=-1)
        if store is not None and world_size <= 0:
            raise StateError("world_size must be positive if using store")
        if store is not None and rank < 0:
            raise StateError("rank must be non-negative if using store")
        line = user_line()
        if self._hub.current.is_host:
            rank, world_size = 0, world_size_on_host(init_method, rank, world_size, line)
        else:
            rank, world_size = rendezvous(init_method, rank, world_size)
        self._table.init(world_size, rank, line)

    def destroy_process_group(self, group: GroupLike = None) -> None:
        """End ``group``, or the default one and all others of this process. The last rank's call removes the queues."""
        if group == NON_GROUP_MEMBER and not isinstance(group, ProcessGroup):
            return
        world = self._world
        if group is None and world.default is None:
            raise StateError("Process group cannot be None")
        if group is not None and group not in world.groups:
            raise InvalidValueError("Invalid process group specified")
        self._table.destroy(group if isinstance(group, ProcessGroup) else None)

    def new_group(
        self,
        ranks: Sequence[int] | None = None,
        timeout: timedelta | None = None,
        backend: str | None = None,
        pg_options: Any = None,
        use_local_synchronization: bool = False,
        group_desc: str | None = None,
        device_id: Any = None,
        sort_ranks: bool = True,
    ) -> ProcessGroup | int | None:
        """A group of some ranks, in the order of their numbers; all ranks call this, members or not.

        Who is no member gets GroupMember.NON_GROUP_MEMBER. With ``use_local_synchronization``, only members call it.
        """
        self._default()
        if backend is not None:
            _require_backend(backend)
        require_timeout(timeout)
        return self._table.new_group(
            ranks, use_local_synchronization, group_desc or "undefined", sort_ranks, user_line()
        )

    def new_subgroups(
        self,
        group_size: int | None = None,
        group: GroupLike = None,
        timeout: timedelta | None = None,
        backend: str | None = None,
        pg_options: Any = None,
        group_desc: str | None = None,
    ) -> tuple[ProcessGroup | None, list[ProcessGroup | int | None]]:
        """Groups of ``group_size`` ranks that follow each other: this rank's, and all of them."""
        if group_size is None:
            raise InvalidValueError(
                "Default group size only takes effect when CUDA is available."
                "If your subgroup using a backend that does not depend on CUDA,"
                "please pass in 'group_size' correctly."
            )
        if whole(group_size, "new_subgroups: group_size", least=-MOST_COUNT) <= 0:
            raise InvalidValueError(f"The arg 'group_size' ({group_size}) must be positive")
        n = self.get_world_size(group)
        if n < group_size:
            raise InvalidValueError(
                f"The arg 'group_size' ({group_size}) must not exceed the world size ({n})"
            )
        if n % group_size:
            raise InvalidValueError(f"The world size ({n}) must be divisible by '{group_size=}'")
        ranks = self.get_process_group_ranks(group)
        parts = [ranks[first : first + group_size] for first in range(0, n, group_size)]
        return self.new_subgroups_by_enumeration(parts, timeout, backend, pg_options, group_desc)

    def new_subgroups_by_enumeration(
        self,
        ranks_per_subgroup_list: Sequence[Sequence[int]],
        timeout: timedelta | None = None,
        backend: str | None = None,
        pg_options: Any = None,
        group_desc: str | None = None,
    ) -> tuple[ProcessGroup | None, list[ProcessGroup | int | None]]:
        """Groups of the listed ranks, which have none in common: this rank's, and all of them."""
        if isinstance(ranks_per_subgroup_list, str) or not isinstance(ranks_per_subgroup_list, Iterable):
            raise InvalidTypeError(
                f"ranks_per_subgroup_list={quoted(ranks_per_subgroup_list)}; give a list of lists of ranks"
            )
        if not ranks_per_subgroup_list:
            raise InvalidValueError("The arg 'ranks_per_subgroup_list' cannot be empty")
        groups: list[ProcessGroup | int | None] = []
        own: ProcessGroup | None = None
        seen: dict[int, Sequence[int]] = {}
        for ranks in ranks_per_subgroup_list:
            made = self.new_group(ranks, timeout, backend, pg_options, group_desc=group_desc)
            groups.append(made)
            for rank in ranks:
                if rank in seen:
                    raise InvalidValueError(
                        f"Rank {rank} has appeared in both subgroup {seen[rank]} and {ranks}"
                    )
                seen[rank] = ranks
            if isinstance(made, ProcessGroup) and self.get_rank() in ranks:
                own = made
        return own, groups

    def get_rank(self, group: GroupLike = None) -> int:
        """This process's rank in ``group``; -1 outside of it."""
        if is_outside(group):
            return -1
        default = self._default()
        if group is None or group is default:
            return default.rank()
        return self.get_group_rank(group, default.rank())

    def get_world_size(self, group: GroupLike = None) -> int:
        """Ranks of ``group``; -1 outside of it."""
        return -1 if is_outside(group) else self._group(group).size()

    def get_backend(self, group: GroupLike = None) -> str:
        """The name of the backend."""
        if is_outside(group):
            raise InvalidValueError("Invalid process group specified")
        return self._group(group).name()

    def get_process_group_ranks(self, group: GroupLike) -> list[int]:
        """The ranks of the members of ``group``, in their order."""
        return list(self._group(group).group.ranks)

    def get_group_rank(self, group: GroupLike, global_rank: int) -> int:
        """What ``global_rank`` is in ``group``."""
        found = self._registered(group)
        if global_rank not in found.group.ranks:
            raise InvalidValueError(f"Global rank {quoted(global_rank)} is not part of group {found}")
        return found.group.ranks.index(global_rank)

    def get_global_rank(self, group: GroupLike, group_rank: int) -> int:
        """Which rank ``group_rank`` of ``group`` is."""
        found = self._registered(group)
        if not is_rank(group_rank, found.size()):
            raise InvalidValueError(f"Group rank {quoted(group_rank)} is not part of group {found}")
        return found.group.ranks[group_rank]

    @property
    def _world(self) -> World:
        return self._table.own

    def _default(self) -> ProcessGroup:
        default = self._world.default
        if default is None:
            raise InvalidValueError(NOT_INITIALIZED)
        return default

    def _group(self, group: GroupLike) -> ProcessGroup:
        """``group`` or the default one, of this process."""
        default = self._default()
        if group is None:
            return default
        if group not in self._world.groups or not isinstance(group, ProcessGroup):
            named = shortened(group) if isinstance(group, str) else quoted(group)
            raise InvalidValueError(
                f"Process group {named} is not initialized in the world group map. Please initialize the "
                "group first."
            )
        return group

    def _registered(self, group: GroupLike) -> ProcessGroup:
        """A group that is registered; else an error in the words of those who ask for a rank."""
        if group is not None and group not in self._world.groups:
            self._default()
            raise InvalidValueError(
                f"Group {group} is not registered, please create group with torch.distributed.new_group API"
            )
        return self._group(group)

    def _member(self, name: str, group: GroupLike, stacklevel: int = 3) -> ProcessGroup | None:
        """``group`` or the default one; None, with a warning at the caller's line, if this process is no member."""
        if not is_outside(group):
            return self._group(group)
        warnings.warn(
            f"Running {name} on global rank {self.get_rank()} which does not belong to the given group.",
            stacklevel=stacklevel,
        )
        return None

    def _rank_in(self, group: GroupLike, global_rank: int | None, group_rank: int | None) -> int:
        """Which rank of ``group`` is meant: one of the two names it."""
        found = self._group(group)
        if group_rank is not None:
            if global_rank is not None:
                raise InvalidValueError("Can't specify both group_rank and global_rank")
            return group_rank
        if global_rank is None:
            raise InvalidValueError("Must specify global_rank or group_rank")
        if found is self._world.default:
            return global_rank
        return self.get_group_rank(group, global_rank)


class GroupMember:
    """``torch.distributed.group`` and ``GroupMember``."""

    NON_GROUP_MEMBER = NON_GROUP_MEMBER

    def __init__(self, table: GroupTable) -> None:
        self._table = table

    @property
    def WORLD(self) -> ProcessGroup | None:  # noqa: N802  # PyTorch's name
        """The default group of this process."""
        return self._table.own.default


def is_outside(group: GroupLike) -> bool:
    """Whether ``group`` is what ``new_group`` gives those who are no members."""
    return isinstance(group, int) and group == NON_GROUP_MEMBER


def _require_backend(backend: Any) -> None:
    if backend is None:
        return
    if not isinstance(backend, str):
        raise InvalidValueError("Backend constructor parameter must be string-ish")
    name = backend.lower()
    if name in ("gloo", "nccl", "mpi", "xccl"):
        shown = {"gloo": "Gloo"}.get(name, name.upper())
        raise BackendError(f"Distributed package doesn't have {shown} built in; this machine's is 'ahbm'")
    if name not in ("ahbm", "undefined"):
        raise StateError(f"Unknown backend type {name}; this machine's is 'ahbm'")


def require_timeout(timeout: Any) -> None:
    """Refuse a timeout that is no ``datetime.timedelta``."""
    if timeout is not None and not isinstance(timeout, timedelta):
        raise InvalidTypeError(f"Expected timeout argument to be of type datetime.timedelta, got {timeout}")
