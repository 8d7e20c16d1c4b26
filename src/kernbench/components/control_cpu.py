"""What IO_CPU and M_CPU have in common: they pass messages down and gather completions on the way up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from kernbench.components.base import Component, Request, Site
from kernbench.components.pipeline import StationUnit
from kernbench.config.machine import ControlCpuSpec
from kernbench.engine.api import ProcessBody
from kernbench.memory.mapping import RANGE_BYTES, TensorMapping
from kernbench.messages.fabric import Chunk, DoneMsg, LaunchMsg, MmuMapMsg, MmuUnmapMsg, Vc
from kernbench.messages.ipcq import END_BYTES, QueuesMsg, Wiring
from kernbench.messages.oplog import CONTROL


def map_bytes(kind: type[MmuMapMsg], mapping: TensorMapping, pes: Iterable[int]) -> int:
    """The size of a message of ``kind`` for ``pes``: the pages, and of a map every segment that they use."""
    is_unmap = issubclass(kind, MmuUnmapMsg)
    return RANGE_BYTES if is_unmap else RANGE_BYTES + mapping.segment_bytes(pes)


def queue_bytes(wiring: Wiring, pes: Iterable[int]) -> int:
    """The size of a message that installs or removes the queues of ``pes``: each end of each."""
    return END_BYTES * sum(len(wiring.sites[pe].ends) for pe in pes)


class Dispatcher(Component):
    """Splits requests among those below that serve their PEs, by :meth:`share_of`."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self._below: dict[int, int] = {}  # share_of each PE that was asked for: every message asks for all

    def share_of(self, pe: int) -> int:
        """The node index of the one below that serves PE number ``pe``."""
        raise AssertionError(f"{self.node.name} serves no PE")

    def message_bytes(self, message: MmuMapMsg, pes: Sequence[int]) -> int:
        """The size of the share of ``message`` for ``pes``: a map carries every segment that they use."""
        return map_bytes(type(message), message.mapping, pes)

    def split(self, message: Request) -> dict[int, Request]:
        """The share of each one below, by node index."""
        groups: defaultdict[int, list[int]] = defaultdict(list)
        below = self._below
        for pe in message.pes:
            if pe not in below:
                below[pe] = self.share_of(pe)
            groups[below[pe]].append(pe)
        return {node: self._share(message, pes) for node, pes in groups.items()}

    def _share(self, message: Request, pes: list[int]) -> Request:
        me = self.address
        if isinstance(message, QueuesMsg):
            size_bytes = queue_bytes(message.wiring, pes)
            return type(message)(
                job=message.job, wiring=message.wiring, pes=pes, reply_to=me, size_bytes=size_bytes
            )
        if isinstance(message, LaunchMsg):
            programs = {pe: message.programs[pe] for pe in pes}
            return LaunchMsg(job=message.job, programs=programs, reply_to=me, size_bytes=message.size_bytes)
        size_bytes = self.message_bytes(message, pes)
        return type(message)(
            job=message.job, mapping=message.mapping, pes=pes, reply_to=me, size_bytes=size_bytes
        )


class ControlCpu(StationUnit, Dispatcher):
    """Handles one message at a time, ``cmd_ps`` each.

    A launch, a map or queues are split, sent down, and answered upward once all that were told have
    reported. Counting a completion is done by hardware and is free; passing the sum on costs one command.
    """

    sinks: frozenset[Vc] = frozenset()

    def inbox_depth(self) -> int | None:
        """``queue_depth`` messages; more wait in the fabric."""
        return self.params.queue_depth

    @property
    def params(self) -> ControlCpuSpec:
        """The node's spec."""
        spec: ControlCpuSpec = self.node.spec
        return spec

    def prepare(self, message: MmuMapMsg) -> ProcessBody:
        """What is done about a map or unmap before it is passed down: nothing."""
        yield from ()

    def conclude(self, message: Request) -> None:
        """What is done when all below have reported: nothing."""

    def receive(self, chunk: Chunk) -> bool:
        """Queue a message, if there is a place."""
        return not chunk.is_last or self.inbox.try_put(chunk.body)

    def processes(self) -> Iterator[tuple[str, ProcessBody]]:
        """The one process of the unit."""
        yield "commands", self.run()

    def run(self) -> ProcessBody:
        """Take, spend, pass on."""
        waiting: dict[int, tuple[Request, int, int]] = {}
        while True:
            message = yield self.inbox.get()
            self.fabric.resume(self.node.index)
            if not isinstance(message, DoneMsg):
                yield from self._spend(message.job)
                if isinstance(message, MmuMapMsg):
                    yield from self.prepare(message)
                shares = self.split(message)
                for node, share in shares.items():
                    self.send_control(share, node)
                waiting[message.job] = (message, len(shares), 0)
                continue
            request, n_left, n_pes = waiting[message.job]
            waiting[message.job] = (request, n_left - 1, n_pes + message.n_pes)
            if n_left == 1:
                del waiting[message.job]
                yield from self._spend(message.job)
                self.conclude(request)
                done = DoneMsg(job=message.job, n_pes=n_pes + message.n_pes, size_bytes=0)
                self.send_control(done, request.reply_to)

    def _spend(self, job: int) -> ProcessBody:
        start_ps = self.engine.now_ps
        self.station.begin(start_ps)
        yield self.params.cmd_ps
        now_ps = self.engine.now_ps
        self.meter.busy_ps += now_ps - start_ps
        record = self.note(CONTROL, start_ps, job)
        self.station.free(now_ps, record)
