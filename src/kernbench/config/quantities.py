"""Numbers of a configuration, read exactly: sizes, rates, times; and the base of all specs.

YAML keys are short (``link_bw``, ``latency_ns``); a spec's fields carry their unit (``link_rate``, ``latency_ps``).
There are no defaults here: every default lives in ``presets/``.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

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


def _json(unit: str, **bounds: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "number", "description": unit, **bounds})


_SIZE_TEXT = WithJsonSchema(
    {
        "description": "bytes, or a number with KiB, MiB or GiB",
        "anyOf": [
            {"type": "integer", "minimum": 0},
            {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*([KkMmGg]([Ii][Bb])?|[Bb])?\s*$"},
        ],
    }
)


Size = Annotated[int, BeforeValidator(parse_extent), _SIZE_TEXT]
SizeOrZero = Annotated[int, BeforeValidator(parse_size), _SIZE_TEXT]
GBps = Annotated[Rate, BeforeValidator(parse_rate), _json("GB/s", exclusiveMinimum=0)]
Ns = Annotated[int, BeforeValidator(parse_ns), _json("ns", minimum=0)]
Ghz = Annotated[int, BeforeValidator(parse_mhz), _json("GHz", exclusiveMinimum=0)]
Share = Annotated[Fraction, BeforeValidator(parse_share), _json("share", exclusiveMinimum=0, maximum=1)]
Factor = Annotated[Fraction, BeforeValidator(parse_factor), _json("relative rate", exclusiveMinimum=0)]
Mm = Annotated[Fraction, BeforeValidator(parse_mm), _json("mm", exclusiveMinimum=0)]
Count = Annotated[int, Field(ge=1, strict=True)]
Cycles = Annotated[int, Field(ge=0, strict=True)]
Grid = tuple[Count, Count]
At = tuple[Annotated[int, Field(ge=0, strict=True)], Annotated[int, Field(ge=0, strict=True)]]
Text = Annotated[str, Field(strict=True)]
Flag = Annotated[bool, Field(strict=True)]
Side = Literal["N", "S", "E", "W"]
Fit = Literal["first", "best"]


class Spec(BaseModel):
    """Base of all specs: frozen, unknown keys are errors, filled by YAML key."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=False,
        arbitrary_types_allowed=True,
        hide_input_in_errors=True,
    )


class Places:
    """Where each dotted path was written (``topology.yaml:41``), for errors that are found later.

    Not part of what a specification *is*: any two are equal.
    """

    def __init__(self, places: dict[str, str]) -> None:
        self._places = places

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Places)

    def of(self, path: str) -> str:
        """The place of ``path``, or of the nearest path above it; empty if none is known."""
        while path and path not in self._places:
            path = path.rpartition(".")[0]
        return self._places.get(path, "")
