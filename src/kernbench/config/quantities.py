"""Numbers of a configuration, read exactly: sizes, rates, times; and the base of all specs.

YAML keys are short (``link_bw``, ``latency_ns``); a spec's fields carry their unit (``link_rate``, ``latency_ps``).
There are no defaults here: every default lives in ``presets/``.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Literal, NamedTuple, Self

from kernbench.config.model import Exact, Parsed, model_of
from kernbench.config.tree import shown
from kernbench.units import PS_PER_NS, Rate, parse_bytes

MOST_DECADES = 18  # of a number, up or down; machines have about six of either


def _number(value: Any, unit: str) -> Fraction:
    if value is None:
        raise ValueError(f"nothing is not a number; write {unit}")
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise ValueError(f"{shown(value)} is not a number; write {unit}")
    if isinstance(value, Decimal) and not value.is_finite():
        raise ValueError(f"{value} is not a finite number")
    if value and abs(Decimal(value).adjusted()) > MOST_DECADES:
        raise ValueError(
            f"{value} is out of all proportion; write {unit}, from 1e-{MOST_DECADES} to 1e{MOST_DECADES}"
        )
    return Fraction(value)


def parse_size(value: Any) -> int:
    """Bytes from ``4096``, or a text that :func:`kernbench.units.parse_bytes` understands; zero or more."""
    if isinstance(value, str):
        return parse_bytes(value)
    size = _number(value, "bytes, or a number with KiB, MiB or GiB")
    if size.denominator != 1 or size < 0:
        raise ValueError(f"{value} is not a whole number of bytes, zero or more")
    return int(size)


def parse_extent(value: Any) -> int:
    """A size that holds something: one byte or more."""
    size = parse_size(value)
    if size == 0:
        raise ValueError("must hold at least one byte")
    return size


def _above_zero(value: Any, unit: str, wrong: str) -> Fraction:
    number = _number(value, unit)
    if number <= 0:
        raise ValueError(f"{value} {wrong}")
    return number


def parse_rate(value: Any) -> Rate:
    """A rate in GB/s (bytes per ns), above zero, read exactly."""
    return Rate.of(_above_zero(value, "GB/s without a unit", "is not a rate; it must be above 0 GB/s"))


def parse_ns(value: Any) -> int:
    """Picoseconds from a time in ns, zero or more; at most three decimals."""
    ps = _number(value, "ns without a unit") * PS_PER_NS
    if ps < 0 or ps.denominator != 1:
        raise ValueError(f"{value} ns is not a whole number of picoseconds, zero or more")
    return int(ps)


def parse_mhz(value: Any) -> int:
    """MHz from GHz, above zero."""
    mhz = _number(value, "GHz without a unit") * 1000
    if mhz <= 0 or mhz.denominator != 1:
        raise ValueError(f"{value} GHz is not a whole number of MHz above zero")
    return int(mhz)


def parse_share(value: Any) -> Fraction:
    """An exact fraction above 0 and at most 1."""
    share = _number(value, "a share above 0 and at most 1")
    if not 0 < share <= 1:
        raise ValueError(f"{value} is not a share above 0 and at most 1")
    return share


def parse_factor(value: Any) -> Fraction:
    """An exact number above zero."""
    return _above_zero(value, "a number above 0", "is not above 0")


def parse_mm(value: Any) -> Fraction:
    """A length in mm, above zero."""
    return _above_zero(value, "mm without a unit", "mm is not a length above 0")


def _json(unit: str, **bounds: Any) -> dict[str, Any]:
    return {"type": "number", "description": unit, **bounds}


_SIZE_TEXT = {
    "description": "bytes, or a number with KiB, MiB or GiB",
    "anyOf": [
        {"type": "integer", "minimum": 0},
        {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*([KkMmGg]([Ii][Bb])?|[Bb])?\s*$"},
    ],
}


Size = Annotated[int, Parsed(parse_extent, _SIZE_TEXT)]
SizeOrZero = Annotated[int, Parsed(parse_size, _SIZE_TEXT)]
GBps = Annotated[Rate, Parsed(parse_rate, _json("GB/s", exclusiveMinimum=0))]
Ns = Annotated[int, Parsed(parse_ns, _json("ns", minimum=0))]
Ghz = Annotated[int, Parsed(parse_mhz, _json("GHz", exclusiveMinimum=0))]
Share = Annotated[Fraction, Parsed(parse_share, _json("share", exclusiveMinimum=0, maximum=1))]
Factor = Annotated[Fraction, Parsed(parse_factor, _json("relative rate", exclusiveMinimum=0))]
Mm = Annotated[Fraction, Parsed(parse_mm, _json("mm", exclusiveMinimum=0))]
Count = Annotated[int, Exact(1)]
Cycles = Annotated[int, Exact(0)]
Grid = tuple[Count, Count]
At = tuple[Annotated[int, Exact(0)], Annotated[int, Exact(0)]]
Text = Annotated[str, Exact()]
Flag = Annotated[bool, Exact()]
Side = Literal["N", "S", "E", "W"]
Fit = Literal["first", "best"]


class Key(NamedTuple):
    """A field's key in YAML, and its value where the file leaves it out; ``...``: it must not."""

    name: str
    default: Any = ...


def key(name: str, *, default: Any = ...) -> Any:
    """What a spec's field is set to whose key in YAML has another name; see :class:`Key`."""
    return Key(name, default)


class Spec:
    """Base of all specs: frozen; its fields are its annotations, filled by YAML key. An unknown key is an error.

    >>> class LinkSpec(Spec):
    ...     latency_ps: Ns = key("latency_ns")
    >>> LinkSpec(latency_ns=3)
    LinkSpec(latency_ps=3000)
    """

    def __init__(self, **values: Any) -> None:
        """From values under YAML keys, in YAML's units. Raises pydantic's ValidationError."""
        vars(self).update(vars(self.model_validate(values)))

    @classmethod
    def fields(cls) -> Mapping[str, Key]:
        """The fields by name, in order, each with its key."""
        found: dict[str, Key] = {}
        for base in reversed(cls.__mro__):
            for name in vars(base).get("__annotations__", ()):
                given = vars(base).get(name, ...)
                alias = getattr(given, "alias", None)  # of pydantic's Field, in a user's file
                found[name] = given if isinstance(given, Key) else Key(alias or name, given)
        return found

    @classmethod
    def extended(cls, types: Mapping[str, Any], defaults: Mapping[str, Any] = {}) -> type[Self]:
        """A spec of the same name with further fields, or fields of other types."""
        return type(
            cls.__name__, (cls,), {"__doc__": cls.__doc__, "__annotations__": dict(types), **defaults}
        )

    @classmethod
    def model_construct(cls, **fields: Any) -> Self:
        """A spec with these fields, of which nothing is checked."""
        spec = cls.__new__(cls)
        vars(spec).update(fields)
        return spec

    @classmethod
    def model_validate(cls, values: Any) -> Self:
        """The spec of what a file says. Raises pydantic's ValidationError."""
        return cls.model_construct(**vars(model_of(cls).model_validate(values)))

    @classmethod
    def model_json_schema(cls) -> dict[str, Any]:
        """The JSON Schema of what a file may say."""
        return model_of(cls).model_json_schema(by_alias=True)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """A spec within another one is checked as it is alone."""
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(
            lambda model: cls.model_construct(**vars(model)), handler(model_of(cls))
        )

    def model_copy(self, *, update: Mapping[str, Any]) -> Self:
        """This spec with other values of some fields, of which nothing is checked."""
        return self.model_construct(**self._values() | dict(update))

    def _values(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.fields()}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spec) and type(self) is type(other) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(tuple(self._values().values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._values().items())})"

    def __setattr__(self, name: str, *value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen; model_copy(update=...) makes another")

    __delattr__ = __setattr__


class FileSpec(Spec):
    """Base of what a whole file says: it knows where each of its values was written."""

    def placed(self, places: Mapping[str, str]) -> Self:
        """This spec, of which ``places`` says where each dotted path was written (``topology.yaml:41``)."""
        vars(self)["_places"] = places
        return self

    def model_copy(self, *, update: Mapping[str, Any]) -> Self:
        """As of any spec; the copy was written at the same places."""
        return super().model_copy(update=update).placed(self.places)

    @property
    def places(self) -> Mapping[str, str]:
        """Where each dotted path was written; no part of what the spec *is*."""
        places: Mapping[str, str] = vars(self).get("_places", {})
        return places

    def place_of(self, path: str) -> str:
        """Where ``path``, or the nearest path above it, was written, for an error found later; empty if unknown."""
        while path and path not in self.places:
            path = path.rpartition(".")[0]
        return self.places.get(path, "")
