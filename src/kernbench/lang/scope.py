"""What a kernel reads beside its arguments, as it was at the launch.

A kernel runs when simulated time comes to it, later than the host launches it, and the host may have given the names
other values by then. Those of the launch are put in place for as long as the kernel runs. Nothing is copied for that:
a kernel may compare functions with ``is``, or find them in a table.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import chain, repeat
from typing import Any

from kernbench.errors import UsageError
from kernbench.lang.held import Held, State, held_in, is_kept, is_object, is_opaque, is_plain, state_of
from kernbench.lang.jit import JITFunction
from kernbench.lang.reach import MISSING, Binding, Reach, is_number, reach_of
from kernbench.lang.source import defined_at
from kernbench.lang.turn import Turn

# Of all simulations: a module's namespace is the process's, so the names of one kernel at a time are in place.
KERNELS = Turn()


class Scope:
    """The values that a kernel's names had at its launch; the programs of the launch share it, and run in turn.

    A program runs within a ``with``, in which no kernel runs in another thread. What it assigns to a name, the next one
    finds; but where the host has assigned after the launch, the host keeps its own. A container is the host's own, and
    is watched from the launch, and from each :meth:`pause`, to the next :meth:`resume`.
    """

    def __init__(
        self, kernel: JITFunction, args: Sequence[Any] = (), meta: Mapping[str, Any] | None = None
    ) -> None:
        self.kernel = kernel
        reach, values = reach_of(kernel)
        given = _held_by(kernel, args, meta or {})
        if any(is_object(thing) for _, thing in given):
            reach = Reach((), given, reach)
            values += [slot.get() for slot in reach.slots[len(values) :]]
        self._reach = reach
        self._slots = list(reach.slots)
        # An array of no dimensions is a number that may change in place: identity would not tell.
        self._values = [value.copy() if is_number(value) else value for value in values]
        self._is_written = any(slot.is_written for slot in self._slots)
        self._spaces = list(reach.spaces.values())
        self._watched = [
            Watched(path, thing, state)
            for path, thing in chain(given, reach.watched)
            if (state := state_of(thing)) is not None
        ]
        self._added: list[Watched] = []
        self._replaced: list[tuple[Binding, Any]] = []

    def resume(self) -> None:
        """Note what the host has done since the launch, or since the last :meth:`pause`.

        Raises:
            UsageError: it has replaced or removed a part of a container.
        """
        for watched in self._watched:
            if not watched.note():
                reads = "reads, or may look up," if self._reach.looks_up else "reads"
                raise UsageError(
                    f"{defined_at(self.kernel.fn)}: kernel {self.kernel.__name__!r} {reads} {watched.path!r}, a "
                    f"{type(watched.thing).__name__} that the host has changed between the launch and its end; wait "
                    "before you change it (torch.synchronize()), or give each launch one of its own"
                )
        self._added = [watched for watched in self._watched if watched.added]
        for space in self._spaces:
            if space.names != space.now.keys():
                self._slots += [
                    space.kind(space.place, name, is_written=False)
                    for name in space.now
                    if name not in space.names and self._reach.may_read(name)
                ]
        # What the host has named since the launch did not exist for the kernel, and is taken away while it runs.
        self._values += [MISSING] * (len(self._slots) - len(self._values))

    def pause(self) -> None:
        """Take what is there now for the kernels' own work: the host has its turn."""
        for watched in self._watched:
            watched.state = state_of(watched.thing)
        self._spaces = [space._replace(names=frozenset(space.now)) for space in self._spaces]

    def __enter__(self) -> None:
        """Put the values of the launch in place."""
        KERNELS.__enter__()
        for watched in self._added:
            watched.put_aside()
        for slot, value in zip(self._slots, self._values, strict=True):
            host_value = slot.get()
            if host_value is not value:  # hardly ever: a host that waits for its launches has changed nothing
                self._replaced.append((slot, host_value))
                slot.set(value)

    def __exit__(self, *_: object) -> None:
        """Put the host's values back."""
        if self._is_written:  # before the host's values are back in the same places
            self._values = [slot.get() for slot in self._slots]
        while self._replaced:
            slot, host_value = self._replaced.pop()
            slot.set(host_value)
        for watched in self._added:
            watched.put_back()
        KERNELS.__exit__()


class Watched:
    """A container that a kernel reads: its ``state`` when the host got its turn, and what the host has ``added``.

    ``added`` are elements at the end of a list, keys of a dict, or members of a set.
    """

    __slots__ = ("_aside", "_body", "added", "path", "state", "thing")

    def __init__(self, path: str, thing: Any, state: State) -> None:
        self.path = path
        self.thing = thing
        self._body = vars(thing) if is_opaque(thing) else thing
        self.state: State | None = state
        self.added: list[Any] = []
        self._aside: list[Any] = []

    def note(self) -> bool:
        """Note what the host has added; whether it has done nothing else."""
        before, now = self.state, state_of(self.thing)
        if before is None or not is_kept(before, now):
            return before is None
        self.state = now
        if isinstance(now, list):
            self.added += now[len(before) :]
        elif isinstance(now, (dict, set)):
            self.added += [key for key in now if key not in before]
        return not self.added or isinstance(self._body, (list, deque, dict, set))

    def put_aside(self) -> None:
        """Take out what the host has added."""
        if isinstance(self._body, (list, deque)):
            self._aside = [self._body.pop() for _ in self.added if self._body]
        elif isinstance(self._body, dict):
            self._aside = [(key, self._body.pop(key)) for key in self.added if key in self._body]
        else:
            self._body.difference_update(self.added)

    def put_back(self) -> None:
        """Put it in again, behind what the kernel has added."""
        if isinstance(self._body, (list, deque)):
            self._body.extend(reversed(self._aside))
        elif isinstance(self._body, dict):
            self._body.update(self._aside)
        else:
            self._body.update(self.added)


def _held_by(kernel: JITFunction, args: Sequence[Any], meta: Mapping[str, Any]) -> Held:
    """What the arguments hold; that which lies beyond the last parameter bears the name of that."""
    names = chain(kernel.signature.parameters, repeat("args"))
    return [
        pair
        for name, given in chain(zip(names, args, strict=False), meta.items())
        if not is_plain(type(given))
        for pair in held_in(given, name)
    ]
