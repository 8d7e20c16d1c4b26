"""Processes in one process: a greenlet for each rank's worker, and a hub that alone lets simulated time pass."""

from __future__ import annotations

import contextvars
import inspect
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import Any, TypeVar

from greenlet import GreenletExit, getcurrent, greenlet

from kernbench.device.placement import DPPolicy
from kernbench.dist.environment import Environment, enter, of_worker, seen
from kernbench.dist.worker_device import WorkerDevice
from kernbench.errors import DeadlockError, InvalidTypeError, InvalidValueError, UsageError
from kernbench.given import MOST_COUNT, whole
from kernbench.lang.turn import Turn, in_turn
from kernbench.torch.context import Context
from kernbench.torch.generator import Generator
from kernbench.wording import plural, quoted

T = TypeVar("T")
MOST_POLLS = 100_000  # questions in a row to which nobody has another answer; beyond that all poll for ever


class RankProcess:
    """What is a process's own under PyTorch: default device, random numbers, groups, what its launcher told it.

    ``index`` -1 is the host. The context is one and the same; the hub gives it what is a process's own while that
    process runs.
    """

    def __init__(self, index: int, policy: DPPolicy, generator: Generator, environment: Environment) -> None:
        self.index = index
        self.policy = policy
        self.generator = generator
        self.environment = environment
        self.own: Any = None  # of torch.distributed
        self.waits_for: Callable[[], str] | None = None
        self.worker: greenlet | None = None

    @property
    def is_host(self) -> bool:
        """Whether it is the program outside of all workers, which speaks for all ranks at once."""
        return self.index < 0

    @property
    def has_ended(self) -> bool:
        """Whether its worker has returned."""
        return self.worker is None or self.worker.dead


class Hub:
    """Runs the processes of one context in turn: each until it waits for another, in the order of their ranks.

    ``when_idle`` are asked in turn when every process waits: whether there was something to do, after which one of them
    may go on.
    """

    def __init__(self, torch: Context, first_state: Mapping[str, Any]) -> None:
        self.torch = torch
        self.host = RankProcess(-1, torch.ahbm.default_policy, torch.default_generator, seen())
        self.current = self.host
        self.processes: list[RankProcess] = []
        self.when_idle: list[Callable[[], bool]] = []
        self.when_over: list[Callable[[Sequence[RankProcess], bool], None]] = []
        self._ready: deque[RankProcess] = deque()
        self._polling: list[RankProcess] = []
        self._first_state = first_state
        self._main: greenlet | None = None
        self._is_ending = False
        self._n_polls = 0

    @property
    def turn(self) -> Turn:
        """Which thread uses the context: while workers run, theirs."""
        return self.torch.ahbm.turn

    # -- a worker's side ----------------------------------------------------------------------------------

    @property
    def is_in_worker(self) -> bool:
        """Whether a worker runs, and not what it has the hub do."""
        return self._main is not None and not self._is_ending and getcurrent() is not self._main

    def do(self, what: Callable[..., T], *args: Any) -> T:
        """Have the hub call ``what``; for what lets time pass."""
        # A kernel is a greenlet, and where it ends who began it goes on: that must be the hub, and no worker.
        if self._main is None or getcurrent() is self._main:
            return what(*args)
        if self._is_ending:
            raise GreenletExit
        answer: T = self._main.switch(lambda: what(*args))
        return answer

    def park(self, waits_for: Callable[[], str]) -> None:
        """Let the others run until somebody wakes this process; ``waits_for`` says what it waits for, in an error."""
        assert self._main is not None
        if self._is_ending:
            raise GreenletExit
        self.current.waits_for = waits_for
        self._main.switch(None)

    def moved(self) -> None:
        """Note that something happened that a process may have asked for."""
        self._n_polls = 0

    def wake(self, process: RankProcess) -> None:
        """Let ``process`` go on, if it is parked."""
        if process.waits_for is not None:
            process.waits_for = None
            self._ready.append(process)

    def poll(self, asks: Callable[[], str]) -> None:
        """Let the others have a turn, for a process that only asked whether something has happened."""
        if self._main is None or self._is_ending:
            return
        self._n_polls += 1
        if self._n_polls > MOST_POLLS:
            raise DeadlockError(
                f"rank {self.current.index} asked {MOST_POLLS} times in a row and nobody does anything else: {asks()}; "
                "call wait() instead, so that a deadlock is found and mapped"
            )
        self._polling.append(self.current)
        self._main.switch(None)

    # -- the hub ------------------------------------------------------------------------------------------

    @in_turn
    def run(self, fn: Callable[..., Any], args: Sequence[Any], nprocs: int) -> None:
        """Run ``fn(rank, *args)`` for each rank, to the end of all.

        Raises:
            DeadlockError: those that have not ended wait for each other; says for what.
        """
        if self._main is not None:
            raise UsageError(
                "torch.multiprocessing.spawn: a worker cannot spawn workers; spawn them all on the host"
            )
        _require_takes_a_rank(fn, args)
        self._main = getcurrent()
        self.processes = [self._process(i, nprocs) for i in range(nprocs)]
        for process in self.processes:
            process.worker = self._worker(fn, process, args)
        self._ready.extend(self.processes)
        device, has_failed = self.torch.ahbm, True
        try:
            with device.driven_through(WorkerDevice(device.machine, self.do)):
                try:
                    self._run_all()
                    has_failed = False
                finally:
                    self._end()
        finally:
            self._main = None
            processes, self.processes = self.processes, []
            # What went wrong first is what the user needs to see.
            with suppress(Exception) if has_failed else nullcontext():
                for over in self.when_over:
                    over(processes, has_failed)

    def _process(self, index: int, nprocs: int) -> RankProcess:
        """A process as PyTorch starts one: with the first random numbers of all, whatever the host has drawn."""
        generator = Generator()
        generator.stream.bit_generator.state = self._first_state
        return RankProcess(index, DPPolicy(only=index), generator, of_worker(index, nprocs))

    def _worker(self, fn: Callable[..., Any], process: RankProcess, args: Sequence[Any]) -> greenlet:
        worker = greenlet(lambda: fn(process.index, *args))
        # A greenlet begins with an empty context: what the program has set would be lost to its workers.
        worker.gr_context = contextvars.copy_context()
        return worker

    def _run_all(self) -> None:
        while True:
            while self._ready:
                self._resume(self._ready.popleft())
            has_acted = sum(act() for act in self.when_idle) > 0  # all of them
            # Who polls goes on last, so that asking again and again lets everything happen that can.
            self._ready.extend(self._polling)
            self._polling.clear()
            if all(process.has_ended for process in self.processes):
                return
            if not has_acted and not self._ready:
                raise DeadlockError(self._stuck())

    def _resume(self, process: RankProcess) -> None:
        """Let ``process`` run until it waits, ends or raises; meanwhile do what it asks for."""
        assert process.worker is not None
        with _OwnState(self, process):
            asks = process.worker.switch()
            while not process.worker.dead and asks is not None:
                try:
                    answer = asks()
                except BaseException as error:  # is the worker's, whatever it is
                    asks = process.worker.throw(type(error), error, error.__traceback__)
                else:
                    asks = process.worker.switch(answer)

    def _stuck(self) -> str:
        """The map of a run in which every rank waits."""
        waiting = [process for process in self.processes if not process.has_ended]
        lines = [f"rank {p.index}  {p.waits_for() if p.waits_for else 'runs'}" for p in waiting]
        ended = ", ".join(str(p.index) for p in self.processes if p.has_ended)
        head = f"{len(waiting)} of {len(self.processes)} workers wait and nothing is left to happen:"
        return "\n  ".join([head, *lines, *([f"ended: {ended}"] if ended else [])])

    def _end(self) -> None:
        """End the workers that are left: their `finally` runs, and may wait for nobody."""
        self._is_ending = True
        try:
            for process in self.processes:
                # Again and again: a worker may catch the exit, and wait for somebody.
                while process.worker is not None and not process.worker.dead:
                    # Whatever a worker raises on its way out, what went wrong before is what the user needs to see.
                    with _OwnState(self, process), suppress(Exception):
                        process.worker.throw(GreenletExit)
        finally:
            self._is_ending = False
            self._ready.clear()
            self._polling.clear()


class _OwnState:
    """While a process runs, the context and the launcher's variables are its own."""

    def __init__(self, hub: Hub, process: RankProcess) -> None:
        self.hub = hub
        self.process = process

    def __enter__(self) -> None:
        self._become(self.process)

    def __exit__(self, *_: object) -> None:
        self._become(self.hub.host)

    def _become(self, process: RankProcess) -> None:
        torch = self.hub.torch
        self.hub.current.environment = seen()
        enter(process.environment)
        self.hub.current = process
        torch.ahbm.default_policy, torch.default_generator = process.policy, process.generator


class Multiprocessing:
    """``torch.multiprocessing``: what of it there is."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def spawn(
        self,
        fn: Callable[..., Any],
        args: Sequence[Any] = (),
        nprocs: int = 1,
        join: bool = True,
        daemon: bool = False,
        start_method: str = "spawn",
    ) -> SpawnContext | None:
        """Run ``fn(rank, *args)`` on ``nprocs`` ranks, in turn in this process; rank r's tensors lie on PE r.

        Arguments are passed as they are, ``torch`` among them: within a worker it is that rank's. What a worker raises
        ends all of them and is raised here, unlike PyTorch as itself. With ``join=False`` nothing runs until the
        result's ``join()``. ``daemon`` says nothing here.
        """
        n_pes = len(self._hub.torch.ahbm.pes)
        if not 1 <= whole(nprocs, "torch.multiprocessing.spawn: nprocs", least=-MOST_COUNT) <= n_pes:
            raise InvalidValueError(
                f"torch.multiprocessing.spawn: nprocs={nprocs}; the machine has {plural(n_pes, 'PE')}, and each "
                "rank is one"
            )
        if start_method != "spawn":
            raise InvalidValueError(
                f"torch.multiprocessing.spawn: start_method={quoted(start_method)}; workers start as with 'spawn'"
            )
        if not isinstance(args, (tuple, list)):
            raise InvalidTypeError(
                f"torch.multiprocessing.spawn: args={quoted(args)}; give a tuple, as in args=(x,)"
            )
        context = SpawnContext(self._hub, fn, args, nprocs)
        if not join:
            return context
        context.join()
        return None


class SpawnContext:
    """Workers that begin when they are joined."""

    def __init__(self, hub: Hub, fn: Callable[..., Any], args: Sequence[Any], nprocs: int) -> None:
        self._run: Callable[[], None] | None = lambda: hub.run(fn, args, nprocs)

    def join(self, timeout: float | None = None, grace_period: float | None = None) -> bool:
        """Run the workers to their end; True, since nothing is then left to join."""
        run, self._run = self._run, None
        if run is not None:
            run()
        return True


def _require_takes_a_rank(fn: Callable[..., Any], args: Sequence[Any]) -> None:
    """Raise UsageError unless ``fn(rank, *args)`` can be called."""
    if not callable(fn):
        raise UsageError(
            f"torch.multiprocessing.spawn: {quoted(fn)} is no function; give one that takes a rank"
        )
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):  # of C, which tells nothing beforehand
        return
    try:
        signature.bind(0, *args)
    except TypeError as error:
        name = getattr(fn, "__name__", repr(fn))
        raise UsageError(
            f"torch.multiprocessing.spawn: {name}{signature} is called with a rank and the args: {error}"
        ) from None
