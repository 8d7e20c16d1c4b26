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


def _swapped(name: str, symbol: str) -> Callable[[Any, Any], Any]:
    return _binary(name, symbol, is_swapped=True)


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

    __add__, __radd__, __iadd__ = _binary("add", "+"), _swapped("add", "+"), _binary("add_", "+=")
    __sub__, __rsub__, __isub__ = _binary("sub", "-"), _swapped("sub", "-"), _binary("sub_", "-=")
    __mul__, __rmul__, __imul__ = _binary("mul", "*"), _swapped("mul", "*"), _binary("mul_", "*=")
    __truediv__, __rtruediv__, __itruediv__ = _binary("div", "/"), _swapped("div", "/"), _binary("div_", "/=")
    __floordiv__, __rfloordiv__ = _binary("floor_divide", "//"), _swapped("floor_divide", "//")
    __mod__, __rmod__ = _binary("remainder", "%"), _swapped("remainder", "%")
    __pow__, __rpow__ = _binary("pow", "**"), _swapped("pow", "**")
    __matmul__, __rmatmul__ = _binary("matmul", "@"), _swapped("matmul", "@")
    __and__, __rand__ = _binary("bitwise_and", "&"), _swapped("bitwise_and", "&")
    __or__, __ror__ = _binary("bitwise_or", "|"), _swapped("bitwise_or", "|")
    __xor__, __rxor__ = _binary("bitwise_xor", "^"), _swapped("bitwise_xor", "^")
    __lshift__, __rlshift__ = _binary("bitwise_left_shift", "<<"), _swapped("bitwise_left_shift", "<<")
    __rshift__, __rrshift__ = _binary("bitwise_right_shift", ">>"), _swapped("bitwise_right_shift", ">>")
    __ifloordiv__, __imod__, __ipow__ = (
        _binary("floor_divide_", "//="),
        _binary("remainder_", "%="),
        _binary("pow_", "**="),
    )
    __iand__, __ior__, __ixor__ = (
        _binary("bitwise_and_", "&="),
        _binary("bitwise_or_", "|="),
        _binary("bitwise_xor_", "^="),
    )
    __lt__, __le__, __gt__, __ge__ = (
        _binary("lt", "<"),
        _binary("le", "<="),
        _binary("gt", ">"),
        _binary("ge", ">="),
    )
    __eq__, __ne__ = _binary("eq", "=="), _binary("ne", "!=")
    __hash__ = object.__hash__
    __neg__, __abs__, __invert__ = _unary("neg", "-x"), _unary("abs", "abs(x)"), _unary("bitwise_not", "~x")

    def __pos__(self) -> Any:
        return self
