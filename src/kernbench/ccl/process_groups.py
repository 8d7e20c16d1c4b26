"""``torch.distributed`` of process groups: made, asked, found and destroyed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from kernbench.ccl.groups import NON_GROUP_MEMBER, ProcessGroup
from kernbench.ccl.misuse import (
    NOT_INITIALIZED,
    BackendError,
    InvalidTypeError,
    InvalidValueError,
    StateError,
)
from kernbench.ccl.world import World, Worlds
from kernbench.runtime.storage import user_line

GroupLike = ProcessGroup | int | None


class ProcessGroups:
    """The part of ``torch.distributed`` that needs no tensors."""

    _worlds: Worlds

    def is_available(self) -> bool:
        """True."""
        return True

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

        Left out, ``rank`` is the worker's and ``world_size`` the number of workers, as torchrun's environment would
        say; on the host, all PEs or what ``ccl.yaml`` says. ``init_method``, ``store``, ``group_name``, ``pg_options``
        and ``device_id`` say nothing here: there is nobody to find. Of ``timeout``, see :meth:`Work.wait`.
        """
        if self._world.default is not None:
            raise InvalidValueError("trying to initialize the default process group twice!")
        if store is not None and init_method is not None:
            raise StateError("Cannot specify both init_method and store.")
        _require_backend(backend)
        require_timeout(timeout)
        self._worlds.init(world_size, rank, user_line())

    def destroy_process_group(self, group: GroupLike = None) -> None:
        """End ``group``, or the default one and all others of this process. The last rank's call removes the queues."""
        if group == NON_GROUP_MEMBER and not isinstance(group, ProcessGroup):
            return
        world = self._world
        if group is None and world.default is None:
            raise StateError("Process group cannot be None")
        if group is not None and group not in world.groups:
            raise InvalidValueError("Invalid process group specified")
        self._worlds.destroy(group if isinstance(group, ProcessGroup) else None)

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
        return self._worlds.new_group(
            ranks, use_local_synchronization, group_desc or "undefined", sort_ranks, user_line()
        )

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
            raise InvalidValueError(f"Global rank {global_rank} is not part of group {found}")
        return found.group.ranks.index(global_rank)

    def get_global_rank(self, group: GroupLike, group_rank: int) -> int:
        """Which rank ``group_rank`` of ``group`` is."""
        found = self._registered(group)
        if not 0 <= group_rank < found.size():
            raise InvalidValueError(f"Group rank {group_rank} is not part of group {found}")
        return found.group.ranks[group_rank]

    @property
    def _world(self) -> World:
        return self._worlds.own

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
            raise InvalidValueError(
                f"Process group {group} is not initialized in the world group map. Please initialize the group first."
            )
        return group

    def _registered(self, group: GroupLike) -> ProcessGroup:
        """The same, in the words of those who ask for a rank."""
        if group is not None and group not in self._world.groups:
            self._default()
            raise InvalidValueError(
                f"Group {group} is not registered, please create group with torch.distributed.new_group API"
            )
        return self._group(group)

    def _member(self, name: str, group: GroupLike) -> ProcessGroup | None:
        """``group`` or the default one; None, with a warning, if this process is no member."""
        if not is_outside(group):
            return self._group(group)
        warnings.warn(
            f"Running {name} on global rank {self.get_rank()} which does not belong to the given group.",
            stacklevel=3,
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

    def __init__(self, worlds: Worlds) -> None:
        self._worlds = worlds

    @property
    def WORLD(self) -> ProcessGroup | None:  # noqa: N802  # PyTorch's name
        """The default group of this process."""
        return self._worlds.own.default


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
