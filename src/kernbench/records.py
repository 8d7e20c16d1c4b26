"""Records whose JSON follows from their class: a member for each field of a dataclass, in order, unless hidden."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import Field, TypeAdapter

T = TypeVar("T")
Hidden = Annotated[T, Field(exclude=True)]
"""The type of a field that JSON does not have."""

_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}  # made when first asked for: one takes 0.1 s


def derive(record: object, **values: object) -> None:
    """Set fields of a frozen ``record`` that follow from its others; its ``__post_init__`` calls this."""
    for name, value in values.items():
        object.__setattr__(record, name, value)


def as_json(record: Any) -> dict[str, Any]:
    """The members of a record, with values that JSON has; integers of any size stay what they are.

    >>> from dataclasses import dataclass, field
    >>> @dataclass(frozen=True)
    ... class Copy:
    ...     bytes: int
    ...     kind: Hidden[str]
    >>> as_json(Copy(1 << 70, "pcie"))
    {'bytes': 1180591620717411303424}
    """
    members: dict[str, Any] = _adapter(record.__class__).dump_python(record, mode="json", by_alias=True)
    return members


def schema_of(kind: type[Any]) -> dict[str, Any]:
    """The JSON Schema of what :func:`as_json` gives for records of ``kind``."""
    return _adapter(kind).json_schema(mode="serialization", by_alias=True)


def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]
