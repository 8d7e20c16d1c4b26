"""What IO_CPU and M_CPU have in common: they pass launches down and gather completions on the way up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kernbench.components.base import Component, Meter, Site
from kernbench.components.pipeline import Station
from kernbench.config.schema import ControlCpuSpec
from kernbench.engine import ProcessBody
from kernbench.engine.channel import Chunk
from kernbench.messages.fabric import DoneMsg, LaunchMsg, PacketKind, Vc
from kernbench.messages.oplog import OpCode


class ControlCpu(Component):
    """Handles one message at a time, ``cmd_ps`` each.

    A launch is split by :meth:`share_of`, sent down, and answered upward once all that were started have
    reported. Counting a completion is done by hardware and is free; passing the sum on costs one command.
    """

    always_sinks = False

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.station = Station(self.meter)

    def inbox_depth(self) -> int | None:
        """``queue_depth`` messages; more wait in the fabric."""
        return self.params.queue_depth

    def meters(self) -> Iterator[tuple[str, Meter]]:
        """The only one, brought up to the present instant."""
        self.station.settle(self.engine.now_ps)
        yield "", self.meter

    @property
    def params(self) -> ControlCpuSpec:
        """The node's spec."""
        spec: ControlCpuSpec = self.node.spec
        return spec

    def share_of(self, pe: int) -> int:
        """The node index of the one below that serves PE number ``pe``."""
        raise AssertionError(f"{self.node.name} serves no PE")

    def receive(self, chunk: Chunk) -> bool:
        """Queue a message, if there is a place."""
        return not chunk.is_last or self.inbox.try_put(chunk.body)

    def processes(self) -> Iterator[tuple[str, ProcessBody]]:
        """One."""
        yield "commands", self.run()

    def run(self) -> ProcessBody:
        """Take, spend, pass on."""
        waiting: dict[int, tuple[LaunchMsg, int, int]] = {}
        while True:
            message = yield self.inbox.get()
            self.fabric.resume(self.node.index)
            if isinstance(message, LaunchMsg):
                yield from self._spend(message.launch)
                shares = self._split(message)
                for node, programs in shares.items():
                    self._send(
                        node,
                        LaunchMsg(
                            launch=message.launch,
                            programs=programs,
                            reply_to=self.node.index,
                            size_bytes=message.size_bytes,
                        ),
                    )
                waiting[message.launch] = (message, len(shares), 0)
            else:
                launch, n_left, n_pes = waiting[message.launch]
                waiting[message.launch] = (launch, n_left - 1, n_pes + message.n_pes)
                if n_left == 1:
                    del waiting[message.launch]
                    yield from self._spend(message.launch)
                    done = DoneMsg(launch=message.launch, n_pes=n_pes + message.n_pes, size_bytes=0)
                    self._send(launch.reply_to, done)

    def _spend(self, launch: int) -> ProcessBody:
        start_ps = self.engine.now_ps
        self.station.begin(start_ps)
        yield self.params.cmd_ps
        now_ps = self.engine.now_ps
        self.meter.busy_ps += now_ps - start_ps
        record = self.log.append(self.node.index, OpCode.CONTROL, launch, -1, -1, start_ps, start_ps, now_ps)
        self.station.free(now_ps, record)

    def _split(self, message: LaunchMsg) -> dict[int, dict[int, Any]]:
        shares: dict[int, dict[int, Any]] = {}
        for pe, programs in message.programs.items():
            shares.setdefault(self.share_of(pe), {})[pe] = programs
        return shares

    def _send(self, node: int, message: LaunchMsg | DoneMsg) -> None:
        for chunk in self.fabric.packet(PacketKind.CONTROL, message, message.size_bytes):
            self.fabric.post(chunk, self.node.index, node, Vc.CTL, self.engine.now_ps, 0)
