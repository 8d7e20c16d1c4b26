"""Groups of ranks: which calls belong together, and whether those who make them agree."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kernbench.dist.errors import BackendError
from kernbench.dist.exchange import Pair
from kernbench.dist.ranks import Hub
from kernbench.dist.work import Work
from kernbench.messages.source_line import SourceLine
from kernbench.torch.tensor import DeviceTensor

NON_GROUP_MEMBER = -100  # PyTorch's
Tensors = tuple[DeviceTensor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What one rank asks for: a collective of that name on its ``tensors``.

    ``agreed`` is what all ranks of the group must say alike; ``own`` what they need not. ``line`` is the worker's.
    """

    name: str
    agreed: Mapping[str, object]
    tensors: Tensors = ()
    own: Any = None
    line: SourceLine

    def __str__(self) -> str:
        said = ", ".join(f"{key}={value}" for key, value in self.agreed.items())
        return f"{self.name}({said}) at {self.line}"


@dataclass(slots=True)
class _Slot:
    """The calls with one number: by member, those that were made."""

    calls: dict[int, Call]
    works: dict[int, Work]
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class _Transfer:
    """A send or a receive that waits for its other side; ``peer`` None receives from anybody."""

    order: int
    member: int
    peer: int | None
    tag: int
    call: Call
    work: Work


class Rendezvous:
    """Where the calls of the ranks of a group meet.

    Its members are 0 ... n - 1; member m is rank ``ranks[m]``, on PE ``pes[m]``.

    Each member's calls are numbered; those of one number belong together, and run when the last member has made its.
    """

    def __init__(self, hub: Hub, name: str, ranks: Sequence[int], pes: Sequence[int], desc: str) -> None:
        self.hub = hub
        self.name = name
        self.ranks = tuple(ranks)
        self.pes = tuple(pes)
        self.desc = desc
        self._matched: list[tuple[Pair, Work, Work]] = []
        self.left: set[int] = set()  # members that destroyed it
        self._n_calls = [0] * len(self.ranks)
        self._slots: dict[int, _Slot] = {}
        self._sends: deque[_Transfer] = deque()
        self._recvs: deque[_Transfer] = deque()
        self._n_transfers = 0

    def __str__(self) -> str:
        return f"group {self.name!r} (ranks {_listed(self.ranks)})"

    # -- collectives --------------------------------------------------------------------------------------

    def post(
        self,
        member: int,
        call: Call,
        run: Callable[[Sequence[Call]], Sequence[Any] | None],
        outputs: Sequence[DeviceTensor] | None = None,
    ) -> Work:
        """Make ``call`` for ``member``; ``run(calls of all, by member)`` may give the value of each.

        Raises:
            RuntimeError: another member's call of this number is another one. All of them get this error.
        """
        # Calls meet by their number, not by name: ranks that make different calls must meet to be told so.
        number = self._n_calls[member]
        self._n_calls[member] += 1
        slot = self._slots.setdefault(number, _Slot({}, {}))
        work = Work(self.hub, lambda: self._waits_for(call, number), outputs)
        slot.calls[member], slot.works[member] = call, work
        is_full = len(slot.calls) == len(self.ranks)
        if slot.error is None:
            slot.error = self._disagreement(number, slot)
        if slot.error is None and not is_full:
            return work
        if is_full:
            del self._slots[number]
        if slot.error is None:
            calls = [slot.calls[m] for m in range(len(self.ranks))]
            try:
                values = self.hub.do(run, calls)
            except BaseException as error:  # is that of all who wait for it, whatever it is
                slot.error = error
            else:
                for m in range(len(self.ranks)):  # in this order they go on
                    slot.works[m].finish(None if values is None else values[m])
                return work
        for waiting in slot.works.values():
            waiting.finish(error=slot.error)
        raise slot.error

    def _disagreement(self, number: int, slot: _Slot) -> BaseException | None:
        """The error about two calls of one number that are not the same; None if all are."""
        first, *others = sorted(slot.calls)
        a = slot.calls[first]
        for member in others:
            b = slot.calls[member]
            if (a.name, a.agreed) != (b.name, b.agreed):
                return BackendError(
                    f"Detected mismatch between collectives on ranks. Rank {self.ranks[member]} is running collective: "
                    f"{b}, but Rank {self.ranks[first]} is running collective: {a}. They are call {number + 1} of "
                    f"{self}; its ranks make the same calls in the same order, with the same sizes, dtypes and ops"
                )
        return None

    def _waits_for(self, call: Call, number: int) -> str:
        slot = self._slots.get(number)
        missing = [m for m in range(len(self.ranks)) if slot is None or m not in slot.calls]
        gone = [m for m in missing if m in self.left]
        ranks = _listed(self.ranks[m] for m in missing)
        also = f"; it was destroyed by ranks {_listed(self.ranks[m] for m in gone)}" if gone else ""
        return f"{call}: waits for ranks {ranks} of {self}{also}"

    # -- sends and receives -------------------------------------------------------------------------------

    def send(self, member: int, peer: int, tag: int, call: Call) -> Work:
        """Offer a tensor to member ``peer``; complete when it is received."""
        return self._transfer(self._sends, self._recvs, _is_answer, member, peer, tag, call)

    def recv(self, member: int, peer: int | None, tag: int, call: Call) -> Work:
        """Ask for a tensor of ``peer``, or of whoever sends first; complete when it is here."""
        return self._transfer(
            self._recvs, self._sends, lambda a, b: _is_answer(b, a), member, peer, tag, call
        )

    def _transfer(
        self,
        mine: deque[_Transfer],
        theirs: deque[_Transfer],
        fits: Callable[[_Transfer, _Transfer], bool],
        member: int,
        peer: int | None,
        tag: int,
        call: Call,
    ) -> Work:
        work = Work(self.hub, lambda: f"{call}: waits for {self._peer_named(peer)} of {self}")
        transfer = _Transfer(self._n_transfers, member, peer, tag, call, work)
        self._n_transfers += 1
        other = next((other for other in theirs if fits(transfer, other)), None)
        if other is None:
            mine.append(transfer)
            return work
        theirs.remove(other)
        sent, received = (transfer, other) if mine is self._sends else (other, transfer)
        self._match(sent, received)
        return work

    def _peer_named(self, peer: int | None) -> str:
        return "any rank" if peer is None else f"rank {self.ranks[peer]}"

    def _match(self, sent: _Transfer, received: _Transfer) -> None:
        (source,), (target,) = sent.call.tensors, received.call.tensors
        if source.numel() != target.numel() or source.dtype is not target.dtype:
            error = BackendError(
                f"Detected mismatch between a send and its receive. Rank {self.ranks[sent.member]} is running: "
                f"{sent.call}, but Rank {self.ranks[received.member]} is running: {received.call}; give both as many "
                "elements, of one dtype"
            )
            sent.work.finish(error=error)
            received.work.finish(error=error)
            return
        received.work.source = sent.member
        pair = Pair(self.pes[sent.member], self.pes[received.member], source, target)
        self._matched.append((pair, sent.work, received.work))

    def take_matched(self) -> list[tuple[Pair, Work, Work]]:
        """Sends that have found their receives, with the works of both; once."""
        matched, self._matched = self._matched, []
        return matched

    # -- the end ------------------------------------------------------------------------------------------

    def unfinished(self) -> Iterator[str]:
        """Calls that wait for others."""
        for number, slot in self._slots.items():
            for call in slot.calls.values():
                yield self._waits_for(call, number)
        for transfer in (*self._sends, *self._recvs):
            yield f"{transfer.call}: waits for {self._peer_named(transfer.peer)} of {self}"


class ProcessGroup:
    """A group as one of its ranks holds it, or as the host does, which speaks for all of them."""

    def __init__(self, group: Rendezvous, member: int) -> None:
        self.group = group
        self._member = member

    def rank(self) -> int:
        """The process's rank in the group."""
        return self._member

    def size(self) -> int:
        """The number of its members."""
        return len(self.group.ranks)

    def name(self) -> str:
        """The backend's name."""
        return "ahbm"

    @property
    def group_name(self) -> str:
        """The group's name: a number, in the order of their making."""
        return self.group.name

    @property
    def group_desc(self) -> str:
        """The description that the group was made with."""
        return self.group.desc


def _is_answer(sent: _Transfer, received: _Transfer) -> bool:
    """Whether ``received`` asks for ``sent``."""
    return sent.peer == received.member and received.peer in (None, sent.member) and sent.tag == received.tag


def _listed(ranks: Any) -> str:
    """Ranks in an error, the first of many.

    >>> _listed([0, 1, 2]), _listed(range(100))
    ('0, 1, 2', '0, 1, 2, 3, 4, 5, 6, 7 ... (100)')
    """
    ranks = list(ranks)
    if len(ranks) <= 8:
        return ", ".join(map(str, ranks))
    return f"{', '.join(map(str, ranks[:8]))} ... ({len(ranks)})"
