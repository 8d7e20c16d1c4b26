"""A window of simulated time on a machine: what was copied, launched, moved and worked in it, and why it took so long.

Metrics state their window (ADR-0019): device time is from its opening to its closing, host copies included; kernel
time is from first PE_CPU start to last PE_CPU end of each launch; host software time is apart and never added.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kernbench.analysis.bounds import Bound, gemm_bound, gemm_peak, levels_used
from kernbench.analysis.breakdown import KernelSpan, Table, device_breakdown, kernel_breakdown, kernel_spans
from kernbench.analysis.causes import total
from kernbench.analysis.launch_span import NOTHING_MOVED, LaunchSpan
from kernbench.analysis.measured import NOTHING_MEASURED, Measured, MeasuredLaunch
from kernbench.analysis.summary import level_bytes, link_uses, unit_uses
from kernbench.components.gemm_rate import macs_per_cycle
from kernbench.cpu_time import REPORT
from kernbench.dtypes import DType
from kernbench.errors import UsageError
from kernbench.machine.counters import unit_readings
from kernbench.machine.machine import Machine


class Window:
    """Opened now; :meth:`close` says what happened since. ``forgets``: what the op log held before is dropped.

    No launch is under way when it is opened, nor when it is closed.
    """

    def __init__(self, machine: Machine, *, forgets: bool = True) -> None:
        if forgets:
            machine.log.forget()
            machine.spans.clear()
        self.machine = machine
        self.n_before = len(machine.spans)
        self.spans: Sequence[LaunchSpan] = ()  # as of the closing, like the next
        self.kernel_ps = 0
        self.opened_ps = machine.now_ps
        self.host_time_ps = machine.host_time_ps
        self.events = machine.engine.events
        self.chunk_hops = machine.fabric.chunk_hops
        self.units = unit_readings(machine.assembly)
        self.moved = machine.moved()
        self.translations = machine.translations()

    def close(self) -> Measured:
        """Measure up to now; how much work that was is not known.

        Raises:
            UsageError: there is no op log to read.
        """
        if not self.machine.log.keep:
            raise UsageError("report(): the op log was not kept; make the simulation with keep_log=True")
        with self.machine.cpu.on(REPORT):
            return self._closed(self.machine)

    def _closed(self, machine: Machine) -> Measured:
        table, graph = machine.log.table(), machine.graph
        self.spans = machine.spans[self.n_before :]
        spans = kernel_spans(table, graph, self.spans)
        launches = measured_launches(machine, table, self.spans, spans)
        self.kernel_ps = sum(launch.time_ps for launch in launches)
        window_ps = machine.now_ps - self.opened_ps
        moved = machine.moved() - self.moved
        return Measured(
            opened_ps=self.opened_ps,
            device_time_ps=window_ps,
            kernel_time_ps=self.kernel_ps,
            host_time_ps=machine.host_time_ps - self.host_time_ps,
            launches=launches,
            bytes=level_bytes(graph, moved.links, moved.memories, moved.tcm_bytes),
            translations=machine.translations() - self.translations,
            units=unit_uses(self.units, unit_readings(machine.assembly), window_ps),
            links=link_uses(graph, moved.links, window_ps),
            parts=total(launch.parts for launch in launches),
            device_breakdown=device_breakdown(table, spans, self.opened_ps, machine.now_ps),
            events=machine.engine.events - self.events,
            chunk_hops=machine.fabric.chunk_hops - self.chunk_hops,
        )

    def bound(self, flops: int, gemm: DType | None) -> Bound | None:
        """The roofline of all launches that it held when it was closed, over the links and memories that took part.

        ``gemm`` is the dtype whose peak bounds ``flops`` (None: no roofline).
        """
        if gemm is None or not self.kernel_ps:
            return None
        machine, pe = self.machine, self.machine.spec.pe
        moved = sum((launch.moved for launch in self.spans), NOTHING_MOVED)
        n_pes = max(len(launch.pes) for launch in self.spans)
        peak = gemm_peak(macs_per_cycle(gemm, pe.gemm), pe.clock_mhz, n_pes)
        levels = levels_used(machine.graph, moved.links, moved.memories)
        return gemm_bound(flops, peak, levels, self.kernel_ps)


class NoTime:
    """A window of a machine on which no time passes: nothing is measured."""

    def close(self) -> Measured:
        """Nothing, whatever ran."""
        return NOTHING_MEASURED

    def bound(self, flops: int, gemm: DType | None) -> None:
        """None: no time has passed that could be near it."""


NO_TIME = NoTime()


def measured_launches(
    machine: Machine, table: Table, launches: Iterable[LaunchSpan], spans: Iterable[KernelSpan]
) -> tuple[MeasuredLaunch, ...]:
    """``launches`` of a machine with their ``spans`` in its op log, in the order in which they left the host."""
    return tuple(
        MeasuredLaunch(
            kernel=launch.name,
            grid=launch.grid,
            pes=tuple(sorted(launch.pes)),
            sent_ps=span.sent_ps,
            start_ps=span.start_ps,
            end_ps=span.end_ps,
            done_ps=span.done_ps,
            parts=kernel_breakdown(table, machine.graph, span, machine.log.lines),
        )
        for launch, span in zip(launches, spans, strict=True)
    )
