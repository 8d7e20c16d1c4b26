"""The names of PyTorch that compute, on host tensors only: functions of ``torch``, and methods of a tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from kernbench.given import told

F = TypeVar("F", bound=Callable[..., Any])

FUNCTIONS: dict[str, Callable[..., Any]] = {}
METHODS: dict[str, Callable[..., Any]] = {}


def function(*names: str, of: str = "torch tensor") -> Callable[[F], F]:
    """Decorator: enters a function under ``names``, of ``torch``, of tensors, or of both."""

    def enter(call: F) -> F:
        for name in names:
            called = told(name)(call)
            if "torch" in of:
                FUNCTIONS[name] = called
            if "tensor" in of:
                METHODS[name] = called
        return call

    return enter
