"""What a kernel reads beside its arguments, as it was at the launch.

A kernel runs when simulated time comes to it, later than the host launches it, and the host may have given the names
other values by then. Those of the launch are put in place for as long as the kernel runs. Nothing is copied for that:
a kernel may compare functions with ``is``, or find them in a table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, repeat
from typing import Any

from kernbench.errors import UsageError
from kernbench.lang.held import Held, State, held_in, is_kept, is_object, is_plain, state_of
from kernbench.lang.jit import JITFunction
from kernbench.lang.reach import Reach, Slot, is_number, reach_of
from kernbench.lang.source import defined_at
from kernbench.lang.turn import Turn

KERNELS = Turn()  # of all simulations: the names of one kernel at a time are in place


class Scope:
    """The values that a kernel's names had at its launch; the programs of the launch share it, and run in turn.

    A program runs within a ``with``, in which no kernel runs in another thread. What it assigns to a name, the next one
    finds; but where the host has assigned after the launch, the host keeps its own. A container is the host's own, and
    is watched.
    """

    def __init__(
        self, kernel: JITFunction, args: Sequence[Any] = (), meta: Mapping[str, Any] | None = None
    ) -> None:
        self.kernel = kernel
        reach, values = reach_of(kernel)
        given = _held_by(kernel, args, meta or {})
        if any(is_object(thing) for _, thing in given):
            reach = Reach((), given, reach)
            values += reach.values[len(values) :]
        self._slots = reach.slots
        self._values = [value.copy() if is_number(value) else value for value in values]
        self._is_written = any(slot.is_written for slot in self._slots)
        self._watched: list[tuple[str, Any, State]] = [
            (path, thing, state)
            for path, thing in chain(given, reach.given, *reach.held.values())
            if (state := state_of(thing)) is not None
        ]
        self._replaced: list[tuple[Slot, Any]] = []

    def __enter__(self) -> None:
        """Put the values of the launch in place.

        Raises:
            UsageError: the host has replaced or removed a part of a container since the launch.
        """
        if self._watched:
            self._require_kept()
        KERNELS.__enter__()
        for slot, value in zip(self._slots, self._values, strict=True):
            host_value = slot.get()
            if host_value is not value:
                self._replaced.append((slot, host_value))
                slot.set(value)

    def __exit__(self, *_: object) -> None:
        """Put the host's values back."""
        if self._is_written:
            self._values = [slot.get() for slot in self._slots]
        while self._replaced:
            slot, host_value = self._replaced.pop()
            slot.set(host_value)
        KERNELS.__exit__()

    def _require_kept(self) -> None:
        """What the host adds after the launch, no program asks for; what it replaces would be read too late."""
        watched, self._watched = self._watched, []
        for path, thing, state in watched:
            if not is_kept(state, thing):
                raise UsageError(
                    f"{defined_at(self.kernel.fn)}: kernel {self.kernel.__name__!r} reads {path!r}, a "
                    f"{type(thing).__name__} that the host has changed between the launch and its end; wait "
                    "before you change it (torch.synchronize()), or give each launch one of its own"
                )


def _held_by(kernel: JITFunction, args: Sequence[Any], meta: Mapping[str, Any]) -> Held:
    """What the arguments hold; that which lies beyond the last parameter bears the name of that."""
    names = chain(kernel.signature.parameters, repeat("args"))
    return [
        pair
        for name, given in chain(zip(names, args, strict=False), meta.items())
        if not is_plain(type(given))
        for pair in held_in(given, name)
    ]
