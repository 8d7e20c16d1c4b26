"""The way back: a spec as the YAML values it was read from, as text with units, and as a hash."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

from kernbench.config import quantities
from kernbench.config.model import Parsed, model_of
from kernbench.config.pe import PeSpec
from kernbench.config.quantities import Spec
from kernbench.config.schema import Config
from kernbench.units import GIB, KIB, MIB, PS_PER_NS, Rate


def yaml_values(spec: Spec) -> dict[str, Any]:
    """``spec`` under its YAML keys, in YAML's units: ``type(spec).model_validate`` gives it back.

    >>> from kernbench.config.machine import IoNocSpec
    >>> yaml_values(IoNocSpec(link_bw=128, router_ns=3, buffer_per_vc="4 KiB"))
    {'link_bw': 128, 'router_ns': 3, 'buffer_per_vc': 4096}
    """
    return {key: _value(value, unit) for key, unit, value in _entries(spec)}


def config_sha256(config: Config) -> str:
    """Hash of the resolved configuration: the same for the same machine, however it was written."""
    if config.sha256 is not None:
        return config.sha256
    values = yaml_values(config)
    del values["topology"]["ccl"]  # a name of what is there in full
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def resolved(spec: Spec) -> str:
    """``spec`` in full as YAML text, each number with its unit beside it; it can be loaded again."""
    return "".join(f"{text}\n" for text in _lines(spec, ""))


def _entries(spec: Spec) -> Iterator[tuple[str, Callable[..., Any] | None, Any]]:
    """Key, parser of the unit, and value of all that ``spec`` says; a PE says nothing of units that it lacks."""
    fields = model_of(type(spec)).model_fields
    for name, key in spec.fields().items():
        value = getattr(spec, name)
        if value is not None or not isinstance(spec, PeSpec):
            yield (
                key.name,
                next((m.parse for m in fields[name].metadata if isinstance(m, Parsed)), None),
                value,
            )


def _value(value: Any, unit: Callable[..., Any] | None) -> Any:
    if isinstance(value, Spec):
        return yaml_values(value)
    if isinstance(value, dict):
        return {key: _value(child, unit) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [_value(child, unit) for child in value]
    if value is None:
        return None
    if unit is quantities.parse_ns:
        return _number(Fraction(value, PS_PER_NS))
    if unit is quantities.parse_mhz:
        return _number(Fraction(value, 1000))
    if isinstance(value, Rate):
        return _number(value.fraction)
    if isinstance(value, (Fraction, Decimal)) and not isinstance(value, int):
        return _number(Fraction(value))
    return value


def _number(value: Fraction) -> int | Decimal:
    """``value``, which came from decimal text, as an integer or the shortest decimal."""
    if value.denominator == 1:
        return value.numerator
    return (Decimal(value.numerator) / Decimal(value.denominator)).normalize()


_UNIT_NAMES: dict[Any, str] = {
    quantities.parse_rate: "GB/s",
    quantities.parse_ns: "ns",
    quantities.parse_mhz: "GHz",
    quantities.parse_mm: "mm",
}


def _lines(spec: Spec, indent: str) -> Iterator[str]:
    for name, unit, value in _entries(spec):
        key = _text(name)
        if isinstance(value, Spec):
            yield f"{indent}{key}:"
            yield from _lines(value, indent + "  ")
            continue
        written = _value(value, unit)
        if unit in (quantities.parse_size, quantities.parse_extent) and value is not None:
            written = _size(value)
        note = f"  # {_UNIT_NAMES[unit]}" if unit in _UNIT_NAMES else ""
        yield f"{indent}{key}: {_flow(written)}{note}"


def _size(size_bytes: int) -> int | str:
    for unit, scale in (("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if size_bytes and size_bytes % scale == 0:
            return f"{size_bytes // scale} {unit}"
    return size_bytes


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(key)}: {_flow(child)}" for key, child in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_flow(child) for child in value) + "]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return _text(value) if isinstance(value, str) else str(value)


def _text(text: str) -> str:
    """``text`` bare where no YAML reader could take it for anything else."""
    bare = re.fullmatch(r"[A-Za-z][\w./]*( \w+)*|\d+ [KMG]iB", text)
    ambiguous = text.lower() in ("n", "y", "no", "yes", "on", "off", "true", "false", "null")
    return text if bare and not ambiguous else json.dumps(text)
