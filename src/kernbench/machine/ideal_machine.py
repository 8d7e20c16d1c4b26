"""The ideal machine: a link to each peer, one math engine for each rank, and nothing else takes time.

It runs the same programs as mode ``data`` and gives every value the time at which it would exist, by the model that
closed forms of collectives assume. Times are exact fractions of a picosecond, and follow from the order of each
program's own commands alone: it needs no calendar.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NoReturn

from kernbench.config.schema import Config
from kernbench.errors import ForcedValueError
from kernbench.machine.data_machine import DataMachine, ImmediateProgram
from kernbench.machine.data_queues import DataQueues, SlotTransfer
from kernbench.machine.launch import Launch
from kernbench.memory.replay import ImmediateExecutor
from kernbench.memory.watch import Watch
from kernbench.messages.commands import Command, DmaReadCmd, GemmCmd, IpcqRecvCmd, IpcqSendCmd, MathCmd
from kernbench.messages.ipcq import QueueEnd
from kernbench.theory.ideal import IdealModel
from kernbench.topology.graph import TopologyGraph
from kernbench.topology.ids import PeId

ZERO = Fraction(0)


class StoredBytes:
    """When each byte that a rank has stored exists: disjoint intervals ``[low, high)`` in order."""

    def __init__(self) -> None:
        self._lows: list[int] = []
        self._spans: list[tuple[int, Fraction]] = []  # (high, when)

    def __setitem__(self, bounds: tuple[int, int], when: Fraction) -> None:
        low, high = bounds
        if low == high:
            return
        first, last = self._overlapping(low, high)
        lows, spans = [low], [(high, when)]
        if first < last and self._lows[first] < low:
            lows.insert(0, self._lows[first])
            spans.insert(0, (low, self._spans[first][1]))
        if first < last and self._spans[last - 1][0] > high:
            lows.append(high)
            spans.append(self._spans[last - 1])
        self._lows[first:last], self._spans[first:last] = lows, spans

    def __getitem__(self, bounds: tuple[int, int]) -> Fraction:
        first, last = self._overlapping(*bounds)
        return max((when for _, when in self._spans[first:last]), default=ZERO)

    def _overlapping(self, low: int, high: int) -> tuple[int, int]:
        first = bisect_right(self._lows, low)
        if first and self._spans[first - 1][0] > low:
            first -= 1
        last = first
        while last < len(self._lows) and self._lows[last] < high:
            last += 1
        return first, last


class RankTimes:
    """One PE's clock, its engine, its links, and when what it has made exists."""

    def __init__(self) -> None:
        self.now = ZERO
        self.math_free = ZERO
        self.memory_done = ZERO
        self.last = ZERO
        self.link_free: defaultdict[QueueEnd | None, Fraction] = defaultdict(Fraction)
        self.done: dict[int, Fraction] = {}
        self.written = StoredBytes()

    def end(self, when: Fraction) -> Fraction:
        """Note that something ends at ``when``."""
        self.last = max(self.last, when)
        return when

    def ready(self, command: Command) -> Fraction:
        """When all that ``command`` reads exists, and its program has come to it."""
        versions = [*(x.version for x in command.operands), *command.depends]
        when = max([self.now, *(self.done[v] for v in versions if v in self.done)])
        for operand in command.operands:
            if operand.access is not None:
                when = max(when, self.written[operand.access.bounds()])
        return when


class IdealQueues(DataQueues):
    """Queues that know when a message left and when it arrives. A sender never waits for a credit in time."""

    def __init__(self, executor: ImmediateExecutor, pes: Sequence[PeId], model: IdealModel) -> None:
        super().__init__(executor, pes)
        self.model = model
        self.times: defaultdict[int, RankTimes] = defaultdict(RankTimes)
        self._arrivals: defaultdict[QueueEnd, deque[Fraction]] = defaultdict(deque)

    def send(self, command: IpcqSendCmd) -> None:
        """Begin to send, when the value exists, earlier accesses are done and the link is free."""
        queue, size_bytes = command.queue, command.operands[0].size_bytes
        times, way = self.times[queue.pe], self.model.way(queue.rank, queue.peer.rank)
        start = max(times.ready(command), times.memory_done)
        if self.model.is_crossbar:
            start = max(start, times.link_free[None])
            times.link_free[None] = start + self.model.beta * size_bytes
        start = max(start, times.link_free[queue])
        left = times.link_free[queue] = times.end(start + way.beta * size_bytes)
        assert command.result is not None
        times.done[command.result.version] = left
        self._arrivals[queue.peer].append(left + way.alpha)
        super().send(command)

    def _finish(self, transfer: SlotTransfer) -> None:
        command = transfer.command
        if isinstance(command, IpcqRecvCmd):
            assert command.result is not None
            times = self.times[command.queue.pe]
            times.done[command.result.version] = times.end(self._arrivals[command.queue].popleft())
        super()._finish(transfer)


class IdealProgram(ImmediateProgram):
    """A program with a clock."""

    queues: IdealQueues

    @property
    def times(self) -> RankTimes:
        """The times of its PE."""
        return self.queues.times[self.pe]

    def issue(self, command: Command) -> None:
        """Give what ``command`` makes its time, then let it take effect."""
        self._spend(command)
        super().issue(command)
        for version in command.releases:
            self.times.done.pop(version, None)

    def _spend(self, command: Command) -> None:
        if isinstance(command, (IpcqSendCmd, IpcqRecvCmd)):
            return  # its queue knows
        times = self.times
        when = times.ready(command)
        if isinstance(command, (MathCmd, GemmCmd)):
            out = command.target or command.result
            assert out is not None
            if not (isinstance(command, MathCmd) and command.op == "full"):
                when = max(when, times.math_free) + self.queues.model.gamma * out.size_bytes
                times.math_free = when
        if command.result is not None:
            times.done[command.result.version] = when
        times.end(when)
        written = None if command.target is None else command.target.access
        if written is not None:
            times.written[written.bounds()] = when
        if written is not None or isinstance(command, DmaReadCmd):
            times.memory_done = max(times.memory_done, when)

    def _wait_for(self, versions: tuple[int, ...]) -> None:
        super()._wait_for(versions)
        times = self.times
        times.now = max([times.now, *(times.done[v] for v in versions if v in times.done)])

    def clock_ps(self) -> int:
        """Time on the PE's clock, rounded up."""
        return super().clock_ps() - (-self.times.now.numerator // self.times.now.denominator)


class Valueless(ImmediateExecutor):
    """Evaluates nothing: for programs that look at no value."""

    def execute(self, pe: int, command: Command) -> None:
        """Leave everything as it is."""

    def value(self, version: int) -> NoReturn:
        """ForcedValueError."""
        raise ForcedValueError("this needs a value that mode 'timing' does not compute; use mode 'data'")


class IdealMachine(DataMachine):
    """A device on which only what ``model`` names takes time; ``time`` is what the last launch took, in ps."""

    mode = "ideal"
    program_kind: Callable[..., ImmediateProgram] = IdealProgram
    queues: IdealQueues

    def __init__(
        self,
        config: Config,
        graph: TopologyGraph,
        model: IdealModel,
        *,
        say: Callable[[str], None],
        strict: bool = True,
        watch: Watch | None = None,
        has_values: bool = True,
    ) -> None:
        super().__init__(config, graph, say=say, strict=strict, watch=watch if has_values else None)
        if not has_values:
            self.executor = Valueless(self.store, self.page_tables, None, self.cpu)
        self.queues = IdealQueues(self.executor, graph.pes, model)
        self.time = ZERO

    def launch(self, launch: Launch) -> None:
        """Run all programs from time 0 on."""
        self.queues.times.clear()
        super().launch(launch)
        self.time = max((times.last for times in self.queues.times.values()), default=ZERO)
