"""Work: what an asynchronous collective gives back, as in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from kernbench.dist.errors import BackendError
from kernbench.dist.ranks import Hub, RankProcess
from kernbench.torch.tensor import DeviceTensor

NO_RESULT = "result() not implemented."
NO_SOURCE = "sourceRank() may only be called on work objects that correspond to a recv or recv-from-any call."


class WorkState:
    """How far a work is; it lives on where the program has dropped the work.

    ``is_done``: its kernel is launched. ``is_waited``: it was waited for, or asked for and found complete.
    """

    __slots__ = ("is_done", "is_waited")

    def __init__(self) -> None:
        self.is_done = False
        self.is_waited = False


class Work:
    """A call of one rank until all ranks it needs have made theirs.

    It is complete when its kernel is launched: what is launched or read afterwards comes after it in simulated time, as
    on a stream of a GPU. ``outputs`` are its tensors, if it has a result; ``waits_for`` says what it waits for.
    """

    def __init__(
        self, hub: Hub, waits_for: Callable[[], str], outputs: Sequence[DeviceTensor] | None = None
    ) -> None:
        self._hub = hub
        self._waits_for = waits_for
        self._outputs = None if outputs is None else list(outputs)
        self.state = WorkState()
        self._error: BaseException | None = None
        self._waiters: list[RankProcess] = []
        self.value: Any = None  # what the call gives back, if it gives back anything
        self.source: int | None = None  # the group rank that a receive was from

    def finish(self, value: Any = None, *, error: BaseException | None = None) -> None:
        """Let those who wait go on, with ``value`` or ``error``."""
        self.value, self._error, self.state.is_done = value, error, True
        self._hub.moved()
        for process in self._waiters:
            self._hub.wake(process)
        self._waiters.clear()

    def wait(self, timeout: timedelta | None = None) -> bool:
        """Wait until it is complete: True. ``timeout`` says nothing: a wait without end is found and raised.

        Raises:
            RuntimeError: the ranks disagree, or its launch failed.
        """
        while not self.state.is_done:
            self._waiters.append(self._hub.current)
            self._hub.park(self._waits_for)
        self.state.is_waited = True
        if self._error is not None:
            raise self._error
        return True

    def synchronize(self) -> None:
        """Wait as :meth:`wait` does."""
        self.wait()

    def is_completed(self) -> bool:
        """Whether it is complete; if it is not, the other ranks get a turn."""
        if not self.state.is_done:
            self._hub.poll(self._waits_for)
        self.state.is_waited = self.state.is_waited or self.state.is_done
        return self.state.is_done

    def is_success(self) -> bool:
        """Whether it is complete and nothing went wrong."""
        return self.state.is_done and self._error is None

    def exception(self) -> BaseException | None:
        """What went wrong."""
        return self._error

    def result(self) -> list[DeviceTensor]:
        """The output tensors, of those collectives for which PyTorch says them."""
        if self._outputs is None:
            raise BackendError(NO_RESULT)
        return self._outputs

    def get_future(self) -> Future:
        """A future of the work's result."""
        return Future(self)

    def source_rank(self) -> int:
        """The rank, in the group, that a completed receive was from."""
        if self.source is None:
            raise BackendError(NO_SOURCE)
        return self.source

    _source_rank = source_rank


class Future:
    """The future of a :class:`Work`; its value are the work's tensors."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def done(self) -> bool:
        """Whether it has a value."""
        return self._work.is_completed()

    def wait(self) -> Any:
        """Wait for the value, and give it."""
        self._work.wait()
        return self.value()

    def value(self) -> Any:
        """The value of the work, which is done."""
        return self._work.result()
