"""The operators of tensors: each is the function that PyTorch calls for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np


def _binary(name: str, symbol: str, *, is_swapped: bool = False) -> Callable[[Any, Any], Any]:
    """The operator ``symbol``, which is the function ``name``; with the operands exchanged, if ``is_swapped``."""

    def operator(self: Operators, other: Any) -> Any:
        if not isinstance(other, (Operators, bool, int, float, np.generic, np.ndarray)):
            return NotImplemented
        return self._apply(name, f"x {symbol} y", *((other, self) if is_swapped else (self, other)))

    return operator


def _both(name: str, symbol: str) -> tuple[Callable[[Any, Any], Any], ...]:
    """``x + y``, and what Python asks of y if x does not know it."""
    return _binary(name, symbol), _binary(name, symbol, is_swapped=True)


def _all(name: str, symbol: str) -> tuple[Callable[[Any, Any], Any], ...]:
    """``x + y`` both ways, and ``x += y``."""
    return *_both(name, symbol), _binary(f"{name}_", f"{symbol}=")


def _unary(name: str, said: str) -> Callable[[Any], Any]:
    def operator(self: Operators) -> Any:
        return self._apply(name, said, self)

    return operator


class Operators(ABC):
    """``+``, ``==``, ``&`` and so on; :meth:`_apply` computes, or says why it cannot."""

    __array_priority__ = 1000  # numpy's arrays and numbers leave an operation with a tensor to the tensor

    @abstractmethod
    def _apply(self, name: str, said: str, *operands: Any, **how: Any) -> Any:
        """What the function ``name`` gives; ``said`` is what the user wrote, as in "x + y"."""

    __add__, __radd__, __iadd__ = _all("add", "+")
    __sub__, __rsub__, __isub__ = _all("sub", "-")
    __mul__, __rmul__, __imul__ = _all("mul", "*")
    __truediv__, __rtruediv__, __itruediv__ = _all("div", "/")
    __floordiv__, __rfloordiv__, __ifloordiv__ = _all("floor_divide", "//")
    __mod__, __rmod__, __imod__ = _all("remainder", "%")
    __pow__, __rpow__, __ipow__ = _all("pow", "**")
    __matmul__, __rmatmul__ = _both("matmul", "@")
    __and__, __rand__, __iand__ = _all("bitwise_and", "&")
    __or__, __ror__, __ior__ = _all("bitwise_or", "|")
    __xor__, __rxor__, __ixor__ = _all("bitwise_xor", "^")
    __lshift__, __rlshift__ = _both("bitwise_left_shift", "<<")
    __rshift__, __rrshift__ = _both("bitwise_right_shift", ">>")
    __lt__, __le__ = _binary("lt", "<"), _binary("le", "<=")
    __gt__, __ge__ = _binary("gt", ">"), _binary("ge", ">=")
    __eq__, __ne__ = _binary("eq", "=="), _binary("ne", "!=")
    __hash__ = object.__hash__
    __neg__, __abs__, __invert__ = _unary("neg", "-x"), _unary("abs", "abs(x)"), _unary("bitwise_not", "~x")

    def __pos__(self) -> Any:
        return self
