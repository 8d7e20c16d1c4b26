"""Point to point: any number of transfers between pairs of PEs as one kernel, over a queue for each pair."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from kernbench.ccl.communicator import Constant, usable_slots
from kernbench.ccl.parts import Span, read, receive, whole, write
from kernbench.ccl.wiring import QueuePair, coords_of, install_queues
from kernbench.errors import CapacityError
from kernbench.lang import tl
from kernbench.lang.program import PerProgram
from kernbench.messages.ipcq import QueueEnd, RankSite, Wiring
from kernbench.runtime.context import Context
from kernbench.runtime.tensor import DeviceTensor


class Pair(NamedTuple):
    """``source`` goes from PE number ``sender`` to ``receiver``, into ``target``; both may be the same PE."""

    sender: int
    receiver: int
    source: DeviceTensor
    target: DeviceTensor


class Step(NamedTuple):
    """One slice for one program: elements ``part`` of its tensor ``tensor``; of a copy, from ``source`` there."""

    act: str  # "send", "recv" or "copy"
    queue: str
    tensor: int
    part: Span
    source: int = -1


class Exchange:
    """Transfers between PEs. A pair's queue is installed at its first use, and removed when its room is needed."""

    def __init__(self, torch: Context) -> None:
        self.torch = torch
        self._queues: dict[tuple[int, int], Wiring] = {}  # the one that was used last is last

    def run(self, pairs: Sequence[Pair]) -> None:
        """Launch all ``pairs`` as one kernel: messages of one pair of PEs in the order given, all else at once."""
        pairs = [pair for pair in pairs if pair.source.numel()]
        if not pairs:
            return
        pes = sorted({pe for pair in pairs for pe in (pair.sender, pair.receiver)})
        wanted = dict.fromkeys(_joined(pair) for pair in pairs if pair.sender != pair.receiver)
        wirings = [self._queue(pair, wanted) for pair in wanted]
        plans = {pe: _Plan() for pe in pes}
        _plan(pairs, wirings, plans)
        self.torch.launch(
            exchange,
            (len(pes),),
            (
                PerProgram([plans[pe].tensors for pe in pes]),
                PerProgram([Constant(plans[pe].steps()) for pe in pes]),
            ),
            place=pes,
            queues=_together(self.torch, pes, wirings) if wirings else None,
        )

    def _queue(self, pair: tuple[int, int], wanted: Iterable[tuple[int, int]]) -> Wiring:
        """The queue of two PEs; those that are not ``wanted`` now make room for it."""
        wiring = self._queues.pop(pair, None)
        while wiring is None:
            try:
                a, b = pair
                wiring = install_queues(
                    self.torch, [QueuePair(_to(b), _to(a), _to_the_second)], pes=pair, directions=()
                )
            except CapacityError:
                if not self.make_room(keep=wanted):
                    raise
        self._queues[pair] = wiring
        return wiring

    def make_room(self, keep: Iterable[tuple[int, int]] = ()) -> bool:
        """Remove the queue that was used longest ago and is not to be kept; False if there is none."""
        kept = set(keep)
        oldest = next((pair for pair in self._queues if pair not in kept), None)
        if oldest is None:
            return False
        self.torch.remove_queues(self._queues.pop(oldest))
        return True

    def remove(self) -> None:
        """Remove all queues."""
        while self.make_room():
            pass


class _Plan:
    """What one program is to do: its tensors, and its slices by queue and direction."""

    def __init__(self) -> None:
        self.tensors: list[DeviceTensor] = []
        self.copies: list[Step] = []
        self.streams: dict[tuple[str, str], list[Step]] = {}
        self.slots = 1

    def add(self, tensor: DeviceTensor) -> int:
        """The number of a tensor among the program's."""
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def steps(self) -> list[Step]:
        """In what order: a ring full of each stream that is sent, then of each that is received, and again.

        So no program receives late because of what it has not sent, and none sends what no slot is left for while its
        peer waits for it: all programs do the k-th ring full of all their streams before the next one.
        """
        found = list(self.copies)
        streams = sorted(self.streams.items(), key=lambda item: item[0][0] == "recv")
        n_most = max((len(stream) for _, stream in streams), default=0)
        for first in range(0, n_most, self.slots):
            for _, stream in streams:
                found += stream[first : first + self.slots]
        return found


def exchange(tensors: Any, plan: Constant) -> None:
    """Do the steps of ``plan.value`` on this program's ``tensors``: one slice each."""
    for act, queue, number, part, source in plan.value:
        if act == "send":
            tl.send_async(queue, read(tensors[number], part))
        elif act == "recv":
            write(tensors[number], part, receive(queue, part, tensors[number]))
        else:
            write(tensors[number], part, read(tensors[source], part))


def _plan(pairs: Sequence[Pair], wirings: Sequence[Wiring], plans: dict[int, _Plan]) -> None:
    """Enter all pairs into the plans of their programs."""
    slot_bytes = min((wiring.ring.slot_bytes for wiring in wirings), default=4096)
    for plan in plans.values():
        plan.slots = min((usable_slots("send and recv", wiring.ring) for wiring in wirings), default=1)
    for sender, receiver, source, target in pairs:
        itemsize = source.dtype.size_bytes
        if slot_bytes < itemsize:
            raise CapacityError(
                f"send and recv: a slot of {slot_bytes} B holds no element of {itemsize} B; make it larger (ccl.yaml)"
            )
        parts = whole(source.numel(), slot_bytes // itemsize)
        here, there = plans[sender], plans[receiver]
        if sender == receiver:
            read_from, written_to = here.add(source), here.add(target)
            here.copies += [Step("copy", "", written_to, part, read_from) for part in parts]
            continue
        for plan, act, peer, tensor in ((here, "send", receiver, source), (there, "recv", sender, target)):
            number, queue = plan.add(tensor), _to(peer)
            plan.streams.setdefault((act, queue), []).extend(Step(act, queue, number, part) for part in parts)


def _together(torch: Context, pes: Sequence[int], wirings: Sequence[Wiring]) -> Wiring:
    """The queues of several wirings as their programs see them at once."""
    spec, names = torch.machine.spec, torch.machine.pes
    ends: dict[int, dict[str, QueueEnd]] = {pe: {} for pe in pes}
    for wiring in wirings:
        for pe in wiring.pes:
            ends[pe].update(wiring.sites[pe].ends)
    sites = {pe: RankSite(i, len(pes), coords_of(spec, names[pe]), ends[pe]) for i, pe in enumerate(pes)}
    return Wiring(pes, wirings[0].ring, sites)


def _joined(pair: Pair) -> tuple[int, int]:
    """Which two PEs a pair joins: one queue serves both ways."""
    return min(pair.sender, pair.receiver), max(pair.sender, pair.receiver)


def _to(pe: int) -> str:
    """The name of a PE's queue that leads to PE number ``pe``."""
    return f"pe{pe}"


def _to_the_second(rank: int, n_ranks: int) -> int | None:
    return 1 if rank == 0 else None
