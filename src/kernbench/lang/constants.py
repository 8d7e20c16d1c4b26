"""``tl.constexpr``: a value fixed when the kernel is compiled. It is the Python value itself, with ``.value``.

An int stays an int (so it costs nothing in a loop bound or a shape), and ``X is None`` or ``if FLAG`` mean what they
say. Only bool and None, which Python lets nobody extend, have no ``.value``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    _Value = Any  # a marked parameter is whatever it was given: a type checker must not miss its operators
else:
    _Value = object


class _Recognises(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, (IntConstant, FloatConstant, StrConstant))


class constexpr(_Value, metaclass=_Recognises):  # type: ignore[misc]  # noqa: N801 - Triton's name
    """Marks a kernel parameter as constant; called, it gives a constant carrying ``.value``.

    >>> constexpr(128).value, constexpr(128) * 2, isinstance(constexpr("relu"), constexpr)
    (128, 256, True)
    """

    def __new__(cls, value: Any) -> Any:
        for plain, constant in _CONSTANTS:
            if type(value) is plain:
                return constant(value)
        return value


class IntConstant(int):
    """An int with ``.value``."""

    @property
    def value(self) -> int:
        """The plain int."""
        return int(self)


class FloatConstant(float):
    """A float with ``.value``."""

    @property
    def value(self) -> float:
        """The plain float."""
        return float(self)


class StrConstant(str):
    """A str with ``.value``."""

    __slots__ = ()

    @property
    def value(self) -> str:
        """The plain str."""
        return str(self)


_CONSTANTS: tuple[tuple[type, type], ...] = ((int, IntConstant), (float, FloatConstant), (str, StrConstant))


def is_constexpr(annotation: Any) -> bool:
    """Whether a parameter's annotation says constexpr, as a class or (``from __future__``) as text."""
    if isinstance(annotation, str):
        return annotation.strip("'\"").rsplit(".", 1)[-1] == "constexpr"
    return annotation is constexpr
