"""Where a tensor is: ``torch.device``."""

from __future__ import annotations

from typing import Any

from kernbench.errors import InvalidTypeError, RefusedError
from kernbench.registry import did_you_mean
from kernbench.wording import quoted

_NAMES = {"ahbm": "ahbm", "cpu": "cpu", "host": "cpu"}


class DeviceName(str):
    """A device by its name: "ahbm", the simulated machine, or "cpu", the host, which may be called "host" too.

    >>> DeviceName("host"), str(DeviceName("ahbm"))
    (device(type='cpu'), 'ahbm')

    Raises:
        RuntimeError: there is no such device here.
    """

    __slots__ = ()

    def __new__(cls, device: Any) -> DeviceName:
        if not isinstance(device, str):
            raise InvalidTypeError(f"device {quoted(device)} is no name of a device; give 'ahbm' or 'cpu'")
        if device not in _NAMES:
            raise RefusedError(f"unknown device {quoted(device)}; {did_you_mean(device, ('ahbm', 'cpu'))}")
        return super().__new__(cls, _NAMES[device])

    @property
    def type(self) -> str:
        """The name of the kind of device."""
        return str(self)

    def __repr__(self) -> str:
        return f"device(type={str(self)!r})"

    def __str__(self) -> str:
        return str.__str__(self)


DEVICE, HOST = DeviceName("ahbm"), DeviceName("cpu")
