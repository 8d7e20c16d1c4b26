"""The groups of each process: made, found again and destroyed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from kernbench.dist.backend import AhbmCCLBackend
from kernbench.dist.errors import BackendError
from kernbench.dist.groups import NON_GROUP_MEMBER, Call, ProcessGroup, Rendezvous
from kernbench.dist.ranks import Hub, RankProcess
from kernbench.dist.work import Work
from kernbench.errors import DeadlockError, InvalidTypeError, InvalidValueError
from kernbench.given import MOST_COUNT, whole
from kernbench.messages.source_line import SourceLine
from kernbench.wording import plural, quoted


@dataclass(slots=True)
class World:
    """The groups of one process: the default one, and all that it is a member of."""

    default: ProcessGroup | None = None
    groups: list[ProcessGroup] = field(default_factory=list)
    n_made: int = 0


@dataclass(frozen=True, slots=True)
class _Joining:
    """A process that waits for the others of a group to come."""

    process: RankProcess
    world_size: int
    work: Work
    line: SourceLine


class GroupTable:
    """The :class:`World` of every process, and those that wait for each other to make a group."""

    def __init__(self, hub: Hub, backend: AhbmCCLBackend) -> None:
        self._hub = hub
        self._backend = backend
        self._living: dict[Rendezvous, None] = {}
        self._joining: dict[int, _Joining] = {}
        self._local: dict[tuple[int, ...], Rendezvous] = {}
        hub.when_over.append(self._end)

    @property
    def own(self) -> World:
        """The world of the process that runs."""
        process = self._hub.current
        if process.own is None:
            process.own = World()
        world: World = process.own
        return world

    @property
    def groups(self) -> list[Rendezvous]:
        """All that were not destroyed, by age."""
        return list(self._living)

    # -- the default group --------------------------------------------------------------------------------

    def init(self, world_size: int, rank: int, line: SourceLine) -> None:
        """Make the default group of this process, once all its ranks are here."""
        process = self._hub.current
        n_pes = len(self._hub.torch.ahbm.pes)
        if process.is_host:
            world_size = self._backend.world_size(world_size)
            self._require_pes(world_size, n_pes)
            pes = tuple(range(world_size))
            group = self._make("0", pes, pes, "default_pg")
            self._enter(group, 0)
            return
        self._require_pes(world_size, n_pes)
        if rank >= world_size:
            raise InvalidValueError(
                f"init_process_group: rank {rank} of {world_size}; ranks are 0 to {world_size - 1}"
            )
        group = self._join(process, rank, world_size, line)
        self._enter(group, rank)

    def _require_pes(self, world_size: int, n_pes: int) -> None:
        if not 1 <= world_size <= n_pes:
            raise InvalidValueError(
                f"init_process_group: world_size={world_size}; the machine has {plural(n_pes, 'PE')}, and each rank "
                "is one"
            )

    def _join(self, process: RankProcess, rank: int, world_size: int, line: SourceLine) -> Rendezvous:
        joining = self._joining
        work = Work(
            self._hub,
            lambda: (
                f"init_process_group(world_size={world_size}, rank={rank}) at {line}: "
                f"{len(joining)} of {world_size} ranks have called it"
            ),
        )
        mine = _Joining(process, world_size, work, line)
        for other_rank, other in joining.items():
            if other_rank == rank or other.world_size != world_size:
                what = "are rank" if other_rank == rank else "disagree on world_size:"
                said = f"{rank}" if other_rank == rank else f"{other.world_size} and {world_size}"
                error = BackendError(
                    f"init_process_group: workers {other.process.index} ({other.line}) and {process.index} ({line}) "
                    f"{what} {said}; give each its own rank, and all the same world_size"
                )
                for waiting in joining.values():
                    waiting.work.finish(error=error)
                joining.clear()
                raise error
        joining[rank] = mine
        # The last one makes the group for all; by rank, since workers may have any rank.
        if len(joining) == world_size:
            pes = tuple(joining[r].process.index for r in range(world_size))
            members = list(joining.values())
            joining.clear()
            try:
                group = self._hub.do(self._make, "0", range(world_size), pes, "default_pg")
            except BaseException as error:  # is that of all who wait for the group, whatever it is
                for member in members:
                    member.work.finish(error=error)
                raise
            for member in members:
                member.work.finish(group)
        work.wait()
        found: Rendezvous = work.value
        return found

    # -- further groups -----------------------------------------------------------------------------------

    def new_group(
        self, ranks: Sequence[int] | None, is_local: bool, desc: str, sort_ranks: bool, line: SourceLine
    ) -> ProcessGroup | int | None:
        """A group of some ranks of the default one; what PyTorch gives those who are no members."""
        world = self.own
        assert world.default is not None
        default, me = world.default.group, world.default.rank()
        is_host = self._hub.current.is_host
        if is_local and ranks is not None and me not in ranks and not is_host:
            return None
        members = tuple(self._checked(ranks, len(default.ranks), sort_ranks))
        # Counted by each process for itself: all make the same groups in the same order, so the names agree.
        world.n_made += 1
        name, pes = str(world.n_made), tuple(default.pes[rank] for rank in members)
        if is_host:
            return self._enter(self._make(name, members, pes, desc), 0)

        def run(calls: Sequence[Call]) -> Sequence[Rendezvous]:
            return [self._make(name, members, pes, desc)] * len(calls)

        call = Call(name="new_group", agreed={"ranks": list(members)}, line=line)
        # All ranks of the default group meet, members or not; of a local one only members, who have no group yet.
        if is_local:
            meeting = self._local.setdefault(members, Rendezvous(self._hub, "", members, pes, "meeting"))
            work = meeting.post(members.index(me), call, run)
        else:
            work = default.post(me, call, run)
        work.wait()
        return self._enter(work.value, members.index(me)) if me in members else NON_GROUP_MEMBER

    def _checked(self, ranks: Sequence[int] | None, n_ranks: int, sort_ranks: bool) -> Sequence[int]:
        if ranks is None:
            return range(n_ranks)
        if isinstance(ranks, str) or not isinstance(ranks, Iterable):
            raise InvalidTypeError(f"new_group: ranks={quoted(ranks)}; give a list of ranks")
        ranks = list(ranks)
        for rank in ranks:
            whole(rank, "new_group: a rank", least=-MOST_COUNT)
        ranks = sorted(ranks) if sort_ranks else ranks
        if len(set(ranks)) != len(ranks):
            raise InvalidValueError(f"ranks list must not contain duplicate entries, got {quoted(ranks)}")
        if len(ranks) > n_ranks:
            raise InvalidValueError(
                "the new group's world size should be less or equal to the world size set by init_process_group"
            )
        for rank in ranks:
            if not 0 <= rank < n_ranks:
                raise InvalidValueError(
                    f"Rank {quoted(rank)} is out of range. Valid ranks are 0 to {n_ranks - 1} (world_size={n_ranks})"
                )
        if not ranks:
            raise InvalidValueError("new_group: ranks names nobody; a group has one rank or more")
        return ranks

    def _make(self, name: str, ranks: Sequence[int], pes: tuple[int, ...], desc: str) -> Rendezvous:
        group = Rendezvous(self._hub, name, ranks, pes, desc)
        self._backend.join(pes)
        self._living[group] = None
        return group

    def _enter(self, group: Rendezvous, member: int) -> ProcessGroup:
        made, world = ProcessGroup(group, member), self.own
        if world.default is None:
            world.default = made
        world.groups.append(made)
        return made

    # -- the end ------------------------------------------------------------------------------------------

    def destroy(self, group: ProcessGroup | None) -> None:
        """End a group for this process; the default one and all others with None or that."""
        process, world = self._hub.current, self.own
        if group is None or group is world.default:
            leaving, world.groups = world.groups[::-1], []
            world.default, world.n_made = None, 0
        else:
            world.groups.remove(group)
            leaving = [group]
        for each in leaving:
            self._leave(each, is_alone=process.is_host)

    def _leave(self, own: ProcessGroup, *, is_alone: bool) -> None:
        """The last member's leaving takes the queues with it."""
        group = own.group
        group.left.add(own.rank())
        if group in self._living and (is_alone or len(group.left) == len(group.ranks)):
            del self._living[group]
            self._hub.do(self._backend.leave, group.pes)

    def _end(self, processes: Sequence[RankProcess], has_failed: bool) -> None:
        """End what workers have left of groups.

        Raises:
            DeadlockError: they ended well, and one had begun what others have never answered.
        """
        worlds = [process.own for process in processes if process.own is not None]
        open_calls = [line for group in self._living for line in group.unfinished()]
        self._joining.clear()
        self._local.clear()
        for world in worlds:
            # Who has not destroyed its groups leaves them now, so that the next spawn finds no queues of theirs.
            for own in world.groups:
                own.group.left.update(range(own.size()))
                self._leave(own, is_alone=True)
        if open_calls and not has_failed:
            raise DeadlockError(
                "\n  ".join(["all workers have ended, and these calls wait for ever:", *open_calls])
            )
