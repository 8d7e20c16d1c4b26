"""PyTorch's names on a simulated device: the package behind the ``torch`` of a simulation, which is no module."""

from __future__ import annotations

from typing import NoReturn

from kernbench.errors import UnknownAttributeError


def __getattr__(name: str) -> NoReturn:
    if name.startswith("_"):
        raise AttributeError(name)
    raise UnknownAttributeError(
        f"kernbench.torch has no {name!r}: each simulation has a torch of its own; "
        "write torch = kb.simulate('tiny').torch"
    )
