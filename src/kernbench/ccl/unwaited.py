"""Asynchronous collectives whose work was not waited for, and what a worker does with their tensors meanwhile."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from kernbench.ccl.ranks import Hub, Process
from kernbench.ccl.work import Work
from kernbench.errors import RaceError, RaceWarning
from kernbench.lang.source import user_line
from kernbench.messages.commands import SourceLine
from kernbench.runtime.tensor import DeviceTensor

# What a worker does with a tensor, and whether that is wrong also where a collective only reads it. A launch may.
USES = {"read": False, "written": True, "freed": True, "used in a launch": False}


@dataclass(frozen=True, slots=True)
class _Pending:
    """A work, which call made it where, the tensors that it writes, and those that it only reads."""

    work: Work
    name: str
    line: SourceLine
    written: Sequence[DeviceTensor]
    read: Sequence[DeviceTensor]


class Unwaited:
    """Watches the tensors of works that were not waited for; what the simulation's ``races`` says is done about a use.

    PyTorch leaves open what such a use sees: over gloo a thread works on it, here it depends on whose turn came.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._pending: dict[Process, list[_Pending]] = {}
        self._told: set[tuple[str, SourceLine, SourceLine]] = set()
        hub.when_over.append(lambda *_: self._pending.clear())

    def add(
        self,
        work: Work,
        name: str,
        line: SourceLine,
        written: Sequence[DeviceTensor],
        read: Sequence[DeviceTensor],
    ) -> None:
        """From now on until ``work`` is waited for, this process leaves the tensors alone."""
        if not self._hub.current.is_host and not work.is_waited:
            self._pending.setdefault(self._hub.current, []).append(_Pending(work, name, line, written, read))

    def used(self, tensor: DeviceTensor, how: str) -> None:
        """Say that the running worker uses ``tensor``: one of :data:`USES`.

        Raises:
            RaceError: an asynchronous collective on its bytes was not waited for, and races are errors.
        """
        if not self._pending or not self._hub.is_in_worker:
            return
        pending = [p for p in self._pending.get(self._hub.current, ()) if not p.work.is_waited]
        self._pending[self._hub.current] = pending
        for each in pending:
            if any(_overlap(tensor, x) for x in (*each.written, *(each.read if USES[how] else ()))):
                self._report(each, tensor, how)

    def synchronized(self) -> None:
        """Say that the running worker has waited for all that was launched: also for what its works launched."""
        for each in self._pending.get(self._hub.current, ()):
            if each.work.is_launched:
                each.work.is_waited = True

    def _report(self, pending: _Pending, tensor: DeviceTensor, how: str) -> None:
        watch = self._hub.torch.machine.watch
        level, line = "off" if watch is None else watch.races, user_line()
        if level == "off":
            return
        text = (
            f"rank {self._hub.current.index}: {tensor.name!r}{list(tensor.shape)} is {how} at {line} before "
            f"{pending.name} at {pending.line} was waited for, so that it is open what is there; call wait() on its "
            "work first"
        )
        if level == "error":
            raise RaceError(text)
        key = (tensor.name, pending.line, line)
        if key not in self._told:
            self._told.add(key)
            warnings.warn_explicit(text, RaceWarning, line.file, line.line)


def _overlap(a: DeviceTensor, b: DeviceTensor) -> bool:
    """Whether two tensors have a byte in common."""
    if a.is_freed or b.is_freed or not a.nbytes or not b.nbytes:
        return False
    return a.data_ptr() < b.data_ptr() + b.nbytes and b.data_ptr() < a.data_ptr() + a.nbytes
