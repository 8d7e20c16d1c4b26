"""Records whose JSON follows from their class: a member for each field of a dataclass, in order, unless hidden.

Pydantic writes it, and is imported when JSON is first asked for: it reads the types of fields then, which are text
until then, and so are the marks in them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

T = TypeVar("T")

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from pydantic.fields import FieldInfo

    Hidden = Annotated[T, ...]
else:

    class Hidden:
        """The type of a field that JSON does not have."""

        def __class_getitem__(cls, kind: Any) -> Any:
            from pydantic import Field

            return Annotated[kind, Field(exclude=True)]


def named(member: str) -> FieldInfo:
    """Mark of a field's type: the member of JSON is called otherwise than the field."""
    from pydantic import Field

    field: FieldInfo = Field(serialization_alias=member)
    return field


class Written:
    """Mark of a type: JSON has what ``by`` makes of the value, of the type ``kind``."""

    def __init__(self, by: Callable[[Any], Any], kind: Any) -> None:
        self.by = by
        self.kind = kind

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic import PlainSerializer

        return PlainSerializer(self.by, return_type=self.kind).__get_pydantic_core_schema__(source, handler)


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
    from pydantic import TypeAdapter

    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]
