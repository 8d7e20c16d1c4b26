"""Point to point: any number of transfers between PEs in one kernel, over a queue for each pair of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

from kernbench.ccl.kernel_call import Constant, usable_slots
from kernbench.ccl.kernels.spans import Span, read, receive, whole, write
from kernbench.ccl.wiring import QueuePair, install_queues, ring_of
from kernbench.device.array import DeviceArray
from kernbench.device.open_device import OpenDevice
from kernbench.dist.queue_cache import Key, QueueCache
from kernbench.errors import CapacityError
from kernbench.lang import tl
from kernbench.lang.program import PerProgram
from kernbench.messages.ipcq import QueueEnd, RankSite, RingSpec, Wiring
from kernbench.topology.levels import coords_of


class Pair(NamedTuple):
    """``source`` goes from PE number ``sender`` to ``receiver``, into ``target``; both may be the same PE."""

    sender: int
    receiver: int
    source: DeviceArray
    target: DeviceArray


class Step(NamedTuple):
    """One slice for one program: elements ``part`` of its tensor ``tensor``; of a copy, from ``source`` there."""

    act: str  # "send", "recv" or "copy"
    queue: str
    tensor: int
    part: Span
    source: int = -1


class Exchange:
    """Transfers between PEs. A pair's queue is installed at its first use, and removed when others need its room."""

    def __init__(self, device: OpenDevice, queue_cache: QueueCache) -> None:
        self.device = device
        self._queue_cache = queue_cache

    def run(self, pairs: Sequence[Pair]) -> None:
        """Launch all ``pairs``: messages of one pair of PEs in the order given, all else at once.

        They are one kernel; or several in turn, where queues for all would not leave half of a TCM to kernels.
        """
        pairs = [pair for pair in pairs if pair.source.n_elem]
        ring = self._ring()
        for together in _kernels(pairs, lambda pe: self._queue_cache.n_rings(pe, ring)):
            self._launch(together)

    def _ring(self) -> RingSpec:
        return ring_of(self.device.spec, self.device.config.ccl.defaults, None, {}, 0)

    def _launch(self, pairs: Sequence[Pair]) -> None:
        """Launch ``pairs`` as one kernel."""
        pes = sorted({pe for pair in pairs for pe in (pair.sender, pair.receiver)})
        wanted = dict.fromkeys(_joined(pair) for pair in pairs if pair.sender != pair.receiver)
        keys = [_key(pair) for pair in wanted]
        wirings = [self._queue(pair, keep=keys) for pair in wanted]
        plans = {pe: _Plan() for pe in pes}
        _plan(pairs, wirings, plans)
        self.device.launch(
            exchange,
            (len(pes),),
            (
                PerProgram([plans[pe].tensors for pe in pes]),
                PerProgram([Constant(plans[pe].steps()) for pe in pes]),
            ),
            place=pes,
            queues=_together(self.device, pes, wirings) if wirings else None,
            stream=tuple(pes),
        )

    def _queue(self, pair: tuple[int, int], keep: Collection[Key]) -> Wiring:
        """The queue of two PEs; those of ``keep`` stay beside it."""
        a, b = pair
        queues = [QueuePair(_to(b), _to(a), _to_the_second)]
        install = partial(install_queues, self.device, queues, pes=pair, directions=())
        return self._queue_cache.install(_key(pair), install, self.device.remove_queues, keep)


class _Plan:
    """What one program is to do: its tensors, and its slices by queue and direction."""

    def __init__(self) -> None:
        self.tensors: list[DeviceArray] = []
        self.copies: list[Step] = []
        self.streams: dict[tuple[str, str], list[Step]] = {}
        self.slots = 1

    def add(self, tensor: DeviceArray) -> int:
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
        parts = whole(source.n_elem, slot_bytes // itemsize)
        here, there = plans[sender], plans[receiver]
        if sender == receiver:
            read_from, written_to = here.add(source), here.add(target)
            here.copies += [Step("copy", "", written_to, part, read_from) for part in parts]
            continue
        for plan, act, peer, tensor in ((here, "send", receiver, source), (there, "recv", sender, target)):
            number, queue = plan.add(tensor), _to(peer)
            plan.streams.setdefault((act, queue), []).extend(Step(act, queue, number, part) for part in parts)


def _kernels(pairs: Sequence[Pair], n_most: Callable[[int], int]) -> list[list[Pair]]:
    """``pairs`` in kernels that give no PE more than ``n_most(pe)`` queues at once: each in the first that fits.

    What goes between the same two PEs stays together, in its order.
    """
    kernels: list[list[Pair]] = []
    loads: list[Counter[int]] = []  # queues by PE, of each kernel
    places: dict[tuple[int, int], int] = {}
    most = cache(n_most)
    for pair in pairs:
        ends = _joined(pair)
        if ends not in places:
            queue = ends if pair.sender != pair.receiver else ()
            free = (i for i, load in enumerate(loads) if all(load[pe] < most(pe) for pe in queue))
            places[ends] = next(free, len(kernels))
            if places[ends] == len(kernels):
                kernels.append([])
                loads.append(Counter())
            loads[places[ends]].update(queue)
        kernels[places[ends]].append(pair)
    return kernels


def _together(device: OpenDevice, pes: Sequence[int], wirings: Sequence[Wiring]) -> Wiring:
    """The queues of several wirings as their programs see them at once."""
    spec, names = device.spec, device.pes
    ends: dict[int, dict[str, QueueEnd]] = {pe: {} for pe in pes}
    for wiring in wirings:
        for pe in wiring.pes:
            ends[pe].update(wiring.sites[pe].ends)
    sites = {pe: RankSite(i, len(pes), coords_of(spec, names[pe]), ends[pe]) for i, pe in enumerate(pes)}
    return Wiring(pes, wirings[0].ring, sites)


def _joined(pair: Pair) -> tuple[int, int]:
    """Which two PEs a pair joins: one queue serves both ways."""
    return min(pair.sender, pair.receiver), max(pair.sender, pair.receiver)


def _key(pair: tuple[int, int]) -> Key:
    """By what the cache knows the queue of two PEs."""
    return pair, "send and recv"


def _to(pe: int) -> str:
    """The name of a PE's queue that leads to PE number ``pe``."""
    return f"pe{pe}"


def _to_the_second(rank: int, n_ranks: int) -> int | None:
    return 1 if rank == 0 else None
