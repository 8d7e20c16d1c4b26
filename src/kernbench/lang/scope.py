"""What a kernel reads beside its arguments, as it was at the launch.

A kernel runs when simulated time comes to it, later than the host launches it, and the host may have given the names
other values by then. Those of the launch are put in place for as long as the kernel runs. Nothing is copied for that:
a kernel may compare functions with ``is``, or find them in a table.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from types import FunctionType, MethodType, SimpleNamespace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from kernbench.errors import UsageError
from kernbench.lang.jit import JITFunction
from kernbench.lang.reach import (
    MISSING,
    Slot,
    attribute_slots,
    functions_in,
    is_users_object,
    reach_of,
    walk,
)
from kernbench.lang.source import defined_at
from kernbench.lang.turn import Turn

KERNELS = Turn()  # of all simulations: the names of one kernel at a time are in place

_CONTAINERS = (dict, list, deque, set, np.ndarray)
_FUNCTIONS = (FunctionType, JITFunction, MethodType, partial)
_PLAIN: WeakKeyDictionary[type, bool] = WeakKeyDictionary()  # what is known of each kind


class Scope:
    """The values that a kernel's names had at its launch; the programs of the launch share it, and run in turn.

    A program runs within a ``with``, in which no kernel runs in another thread. What it assigns to a name, the next one
    finds; but where the host has assigned after the launch, the host keeps its own. A container is the host's own, and
    is watched.
    """

    def __init__(self, kernel: JITFunction, args: Sequence[Any] = ()) -> None:
        self.kernel = kernel
        reach = reach_of(kernel)
        self._slots = reach.slots
        for x in args:
            if not _is_plain(x):
                inner = tuple(attribute_slots(x, reach.attributes, reach.attributes))
                self._slots += (*inner, *walk(functions_in(x, depth=0)).slots)
        self._values = [_at_launch(slot.get()) for slot in self._slots]
        self._is_written = any(slot.is_written for slot in self._slots)
        self._watched = [
            (slot.name, x, parts)
            for slot, x in zip(self._slots, self._values, strict=True)
            if not _is_plain(x) and (parts := _parts_of(x)) is not None
        ]
        self._replaced: list[tuple[Slot, Any]] = []

    def __enter__(self) -> None:
        """Put the values of the launch in place.

        Raises:
            UsageError: the host has replaced or removed a part of a container since the launch.
        """
        if self._watched:
            self._require_parts()
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

    def _require_parts(self) -> None:
        """What the host adds after the launch, no program asks for; what it replaces would be read too late."""
        watched, self._watched = self._watched, []
        for name, value, before in watched:
            now = _parts_of(value) or {}
            for key, part in before.items():
                if now.get(key, MISSING) is not part and (type(part) is not bytes or now.get(key) != part):
                    raise UsageError(
                        f"{defined_at(self.kernel.fn)}: kernel {self.kernel.__name__!r} reads {name!r}, a "
                        f"{type(value).__name__} that the host has changed between the launch and its end; wait "
                        "before you change it (torch.synchronize()), or give each launch one of its own"
                    )


def _at_launch(value: Any) -> Any:
    """What a name stands for: an array of no dimensions is a number, which may change in place."""
    return value.copy() if type(value) is np.ndarray and not value.ndim else value


def _is_plain(value: Any) -> bool:
    """Whether ``value`` is of a kind that neither changes in place, as far as a kernel sees, nor leads to functions."""
    kind = type(value)
    known = _PLAIN.get(kind)
    if known is None:
        known = not issubclass(kind, (*_CONTAINERS, *_FUNCTIONS, SimpleNamespace, type))
        known = _PLAIN[kind] = known and not is_users_object(kind)
    return known


def _parts_of(value: Any) -> Mapping[Any, Any] | None:
    """The parts of a container, by where they are."""
    if isinstance(value, dict):
        return dict(value)
    if isinstance(value, (list, deque)):
        return dict(enumerate(value))
    if isinstance(value, set):
        return dict.fromkeys(value)
    return {"": value.tobytes()} if isinstance(value, np.ndarray) else None
