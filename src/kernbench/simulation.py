"""Configuration -> graph -> machine -> host API: the one place that knows all of them, and reports on them."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from kernbench import limits
from kernbench.analysis.breakdown import Table, kernel_spans
from kernbench.analysis.measured import Measured
from kernbench.analysis.measures import Measure, added
from kernbench.compiled import running
from kernbench.components import load_components
from kernbench.config.load import Overrides, config_sha256, load_config
from kernbench.config.schema import Config
from kernbench.cpu_time import CONFIGURATION, REPORT, START, booked
from kernbench.device.measures import Measures
from kernbench.device.open_device import OpenDevice
from kernbench.dist.facade import NAMES, distributed
from kernbench.dtypes import DType, as_dtype
from kernbench.errors import UsageError, is_of_a_program
from kernbench.given import whole
from kernbench.lang.turn import Turn, in_turn
from kernbench.limits import limited
from kernbench.machine.assemble import require_registered
from kernbench.machine.data_machine import DataMachine
from kernbench.machine.ideal_machine import IdealMachine
from kernbench.machine.machine import Machine
from kernbench.machine.window import NO_TIME, NoTime, Window, measured_launches
from kernbench.memory.watch import watch_of
from kernbench.messages.oplog import added_ops
from kernbench.registry import did_you_mean, mistake_in, registering_from, require_listed
from kernbench.reports import pages  # noqa: F401 (its import enters what print of a result shows)
from kernbench.reports.tables import machine as machine_in_words
from kernbench.reports.trace import HostSlice, launch_slice, write_trace
from kernbench.runs.result import Check, RunResult, peak_mb
from kernbench.theory.ideal import IdealModel
from kernbench.topology.builder import build_graph
from kernbench.torch.context import Context
from kernbench.wording import quoted

MODES = ("timed", "data", "timing")


class Simulation:
    """One machine, its ``device``, and ``torch`` on it. Two of them in one process do not see each other.

    ``mode`` is ``timed`` (times and values), ``data`` (values) or ``timing`` (times); ``seed`` is that of
    ``torch.randn``; ``say`` gets what kernels print; ``strict`` asks for the Triton compiler's shape checks; ``ideal``
    gives mode ``data`` the times of a model, and mode ``timing`` those alone. ``keep_log`` keeps the op log of the
    present window for reports (without it, a run of any length has flat memory). ``max_time``, as in "10ms", ends it
    after so much simulated time in a LimitError. At the end of a ``with`` block, ``torch`` is closed.

    Where values exist, ``races`` says what is done where two programs touch a byte, one stores other bits than are
    there, and nothing orders them: "warn" (a RaceWarning, and a row of the report), "error" (a RaceError when the
    launch is waited for) or "off"; ``uninitialised`` what is done about reads of bytes that nobody wrote: "warn",
    "error" or "ignore".
    """

    def __init__(
        self,
        config: Config,
        *,
        mode: str = "timed",
        seed: int = 0,
        say: Callable[[str], None] = print,
        strict: bool = True,
        keep_log: bool = True,
        tie_seed: int | None = None,
        ideal: IdealModel | None = None,
        races: str = "warn",
        uninitialised: str = "warn",
        max_time: str | None = None,
    ) -> None:
        if not isinstance(config, Config):
            raise UsageError(
                f"Simulation({quoted(config)}): give a Config; kb.simulate('tiny') makes one by name"
            )
        if not callable(say):
            raise UsageError(f"say must be a function that gets what kernels print, not {quoted(say)}")
        if tie_seed is not None:
            whole(tie_seed, "tie_seed")
        require_listed("mode", mode, MODES)
        self.name = ""
        self.config = config
        self.mode = mode
        self.machine: Machine | DataMachine
        with booked(CONFIGURATION) as self.cpu, limited(max_time=max_time):
            with self.cpu.on(START):
                load_components()
            self.graph = build_graph(config.topology)
            require_registered(config)
            watch = watch_of(races, uninitialised)
            if ideal is not None:
                self.machine = IdealMachine(
                    config,
                    self.graph,
                    ideal,
                    say=say,
                    strict=strict,
                    watch=watch,
                    has_values=mode != "timing",
                )
            elif mode == "data":
                limits.require_unlimited_time()
                self.machine = DataMachine(config, self.graph, say=say, strict=strict, watch=watch)
            else:
                self.machine = Machine(
                    config,
                    self.graph,
                    mode=mode,
                    say=say,
                    strict=strict,
                    keep_log=keep_log,
                    tie_seed=tie_seed,
                    watch=watch,
                )
        self.device = OpenDevice(self.machine)
        later = dict.fromkeys(NAMES, partial(distributed, seed=seed))
        self.torch = Context(self.device, seed=seed, later=later)
        self.device.measures = Measures(self.machine, self._open_part)
        self.keeps_rows = (
            True  # of the op log from before a measure, for reports and traces of the whole window
        )
        self._part: Window | NoTime = NO_TIME
        self.begin_window()

    @classmethod
    def of(
        cls,
        topology: str | Path = "default",
        *,
        overrides: Overrides = (),
        **options: Any,
    ) -> Simulation:
        """The simulation of a preset or a file; ``options`` as for the class."""
        known = [name for name in inspect.signature(cls).parameters if name != "config"]
        for name in options:
            if name not in known:
                raise UsageError(
                    f"a simulation has no option {quoted(name)}; {did_you_mean(name, (*known, 'overrides'))}"
                )
        with booked(CONFIGURATION):
            simulation = cls(load_config(topology, overrides), **options)
        simulation.name = str(topology)
        return simulation

    def __repr__(self) -> str:
        return f"<Simulation of {self.title}, mode {self.mode}>"

    @property
    def title(self) -> str:
        """The machine's name and size in words."""
        size = machine_in_words(self.config.topology)
        return f"{self.name}: {size}" if self.name else size

    @property
    def turn(self) -> Turn:
        """Which thread uses it."""
        return self.device.turn

    def close(self) -> None:
        """Close ``torch``: see :meth:`OpenDevice.close`. Reports can still be made."""
        self.device.close()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.device.__reduce_ex__(protocol)

    def __enter__(self) -> Simulation:
        self.device.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.device.__exit__(kind, error, trace)

    @in_turn
    def begin_window(self) -> None:
        """Measure from now on, when all that was launched is complete; the first window is open from the beginning.

        Mode ``data`` has no times.
        """
        self.device.complete_launches()
        if isinstance(self.machine, Machine):
            self._part = Window(self.machine)
        else:
            self.machine.failure = ""
        if self.machine.watch is not None:
            self.machine.watch.begin_window()
        self.device.measures.begin(self._part)

    @in_turn
    def report(self, *, flops: int = 0, gemm: DType | str | None = None) -> RunResult:
        """What happened since :meth:`begin_window`, once all that was launched is complete.

        ``flops`` are the operations of it and ``gemm`` the dtype whose peak bounds them (None: no roofline). Raises
        what a kernel raised.

        Raises:
            UsageError: an error stopped the simulation in this window, or before; says where. Or there is no op log.
        """
        flops = whole(flops, "report(): flops")
        self._require_complete("report()")
        kind = None if gemm is None else as_dtype(gemm)
        return self.result(replace(self._part.close(), flops=flops, bound=self._part.bound(flops, kind)))

    @in_turn
    def measures(self, *, flops: int = 0, gemm: DType | str | None = None) -> tuple[Measure, ...]:
        """What ``torch.measure`` measured since :meth:`begin_window`, by name, in the order of their first rounds.

        If there is one measure and it was not given a count of its own, ``flops`` and ``gemm`` are of one round of it.
        Raises what a kernel raised.

        Raises:
            UsageError: as for :meth:`report`; or a measure has not come to its end.
        """
        flops = whole(flops, "measures(): flops")
        self._require_complete("measures()")
        return self.device.measures.found(flops, None if gemm is None else as_dtype(gemm))

    @in_turn
    def apart(self) -> Measured:
        """What happened since :meth:`begin_window` before, between and after what was measured."""
        self._require_complete("apart()")
        return added(self.device.measures.apart())

    def _require_complete(self, what: str) -> None:
        """Complete what was launched; UsageError if an error stopped something since the window began."""
        self.device.complete_launches()
        if self.machine.failure:
            raise UsageError(
                f"{what}: a launch failed {self.machine.failure}, and what came before it says nothing about it; "
                "begin_window() measures from then on"
            )

    def result(
        self, window: Measured, *, measures: tuple[Measure, ...] = (), apart: Measured | None = None
    ) -> RunResult:
        """``window`` as the result of a run: with what was found since :meth:`begin_window`, and not checked."""
        with self.cpu.on(REPORT):
            return self._result(window, measures, apart)

    def _result(self, window: Measured, measures: tuple[Measure, ...], apart: Measured | None) -> RunResult:
        watch, machine = self.machine.watch, self.machine
        engine, because = running() if isinstance(machine, Machine) else (None, "")
        return RunResult.of(
            window,
            topology=self.name,
            mode=self.mode,
            check=Check.none("no bench says what is right"),
            races=() if watch is None else tuple(watch.found_races.values()),
            unwritten=() if watch is None else tuple(watch.found_unwritten.values()),
            early_uses=() if watch is None else tuple(watch.found_early.values()),
            measures=measures,
            apart=apart,
            config_sha256=self.config_sha256,
            engine=engine,
            engine_because=because,
            cpu=self.cpu.parts(),
            peak_mb=peak_mb(),
            oplog_sha256=machine.log.sha256() if isinstance(machine, Machine) else "",
            added_ops=added_ops(self.config.topology.pe),
            machine=self.title,
        )

    @in_turn
    def _open_part(self) -> Window | NoTime:
        """A part of the present window that begins now."""
        machine = self.machine
        return Window(machine, forgets=not self.keeps_rows) if isinstance(machine, Machine) else NO_TIME

    @in_turn
    def write_trace(self, path: Path) -> None:
        """Write the op log of the present window, its launches and what was measured, as a Chrome trace.

        All that was launched is complete first. Where an error stopped the simulation, the trace ends there.
        """
        if not isinstance(path, (str, Path)):
            raise UsageError(f"write_trace: {quoted(path)} is no path of a file")
        if not isinstance(self.machine, Machine):
            raise UsageError("--trace: mode 'data' has no times to trace; use mode 'timed' or 'timing'")
        if not self.machine.is_stopped:
            self.device.complete_launches()
        rounds = [
            HostSlice(
                name,
                one.opened_ps,
                one.opened_ps + one.device_time_ps,
                {"kernel_time_ps": one.kernel_time_ps},
            )
            for name, one in self.device.measures.rounds().items()
        ]
        with self.cpu.on(REPORT):
            table = self.machine.log.table()
            write_trace(path, table, self.graph, _launch_slices(self.machine, table), rounds)

    @cached_property
    def config_sha256(self) -> str:
        """Hash of the resolved configuration."""
        return config_sha256(self.config)


def _launch_slices(machine: Machine, table: Table) -> list[HostSlice]:
    """The launches of ``machine`` for a trace; those that an error stopped end at it, and say so."""
    spans = kernel_spans(table, machine.graph, machine.spans)
    complete = measured_launches(machine, table, machine.spans, spans)
    return [
        *map(launch_slice, complete),
        *(
            HostSlice(
                launch.name,
                launch.sent_ps,
                machine.now_ps,
                {"grid": launch.grid, "stopped": machine.failure},
            )
            for launch in machine.launches
        ),
    ]


def simulate(topology: str | Path = "default", **options: Any) -> Simulation:
    """A fresh machine and its host context, of a preset or a YAML file; options as for :class:`Simulation`.

    ``overrides`` change its configuration: a dict, or texts as after ``--set``.

    >>> torch = simulate("tiny", overrides={"pe.clock_ghz": 2, "pe.tcm.size": "256 KiB"}).torch
    >>> torch.arange(4).tolist()
    [0, 1, 2, 3]

    Raises:
        KernBenchError: there is no such machine, or it cannot be; one line says what to do.
    """
    return Simulation.of(topology, **options)


def load_plugin(path: str | Path) -> None:
    """Run a user's Python file, which registers its components, ops or benches; it may be run again.

    It may import the files beside it. Nothing is written there.

    Raises:
        UsageError: there is no such file, or running it raised something; names its line.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"{path}: {'is a folder; name a file in it' if path.is_dir() else 'no such file'}")
    absolute = path.absolute()
    module = ModuleType(f"kernbench_plugin_{path.stem}")
    module.__file__ = str(absolute)
    try:
        code = compile(path.read_bytes(), str(absolute), "exec", dont_inherit=True)
        with registering_from(str(path.resolve())), _importing_from(str(absolute.parent)):
            exec(code, module.__dict__)
    # Whatever a file of the user raises while it is loaded, sys.exit included, is a mistake in it.
    except BaseException as error:
        if not is_of_a_program(error):
            raise
        raise UsageError(mistake_in(path, error)) from error


@contextmanager
def _importing_from(folder: str) -> Iterator[None]:
    """``folder`` is where Python looks first for modules, and no bytecode is written."""
    writes_none, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
        sys.dont_write_bytecode = writes_none
