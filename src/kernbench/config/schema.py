"""The documents of a configuration, whole: frozen specs of what may be written where."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, create_model

from kernbench.config.ccl import CclSpec
from kernbench.config.machine import CubeSpec, GeometrySpec, HostSpec, NeighboursSpec, SipSpec, SystemSpec
from kernbench.config.pe import PeSpec
from kernbench.config.quantities import GBps, Ns, Places, Spec, Text
from kernbench.errors import ConfigError
from kernbench.kinds import Kind, kinds, load_kinds
from kernbench.registry import load_entry_points


def parse_document(value: Any) -> str:
    """The name of a preset or a file."""
    if not isinstance(value, str):
        raise ValueError(
            "names a preset or a file of ccl.yaml's; what differs from a preset goes into such a file"
        )
    return value


DocumentName = Annotated[str, BeforeValidator(parse_document)]
Document = Literal["topology", "components", "ccl"]


class UnitsSpec(Spec):
    """What numbers without a unit are in; the header says it, and nothing else is understood."""

    time: Literal["ns"]
    size: Literal["bytes"]
    bandwidth: Literal["GB/s"]


class TopologySpec(Spec):
    """``topology.yaml``: how many of each, how fast, and how they are joined; and whose ``ccl.yaml`` goes with it."""

    version: Literal[1]
    preset: Text
    units: UnitsSpec
    host: HostSpec
    system: SystemSpec
    sip: SipSpec
    cube: CubeSpec
    pe: PeSpec
    neighbours: NeighboursSpec
    geometry: GeometrySpec
    overrides: dict[str, dict[str, Any]]
    ccl: DocumentName
    _places: Places = PrivateAttr(default_factory=lambda: Places({}))

    def place_of(self, path: str) -> str:
        """The file and line that ``path`` was written at, for an error found while building."""
        return self._places.of(path)


def machine_spec(asked_parts: Iterable[str] = ()) -> type[TopologySpec]:
    """``TopologySpec`` with the parts of a PE that further units describe; a machine need not have them.

    Raises:
        ConfigError: a part that was asked for is of none, and the file of a built-in unit cannot be imported.
    """
    mistakes, known = load_kinds(), PeSpec.model_fields
    strange = set(asked_parts) - {field.alias or name for name, field in known.items()}
    if strange:
        load_entry_points()
    parts = {
        kind.part: kind.spec or _refusing(kind) for kind in kinds() if kind.part and kind.part not in known
    }
    if mistakes and strange - parts.keys():
        raise ConfigError("; ".join(mistakes.values()))
    return _with_parts(tuple(parts.items())) if parts else TopologySpec


def _refusing(kind: Kind) -> Any:
    """What stands for the spec of a unit that describes none."""

    def refuse(value: object) -> None:
        raise ValueError(next(kind.mistakes()))

    return Annotated[Any, BeforeValidator(refuse)]


@lru_cache
def _with_parts(parts: tuple[tuple[str, Any], ...]) -> type[TopologySpec]:
    added: dict[str, Any] = {name: (spec | None, None) for name, spec in parts}
    pe = create_model("PeSpec", __base__=PeSpec, **added)
    return create_model("TopologySpec", __base__=TopologySpec, pe=(pe, ...))


class LinkOverrideSpec(Spec):
    """What ``overrides: {a->b: ...}`` may change of one directed link."""

    rate: GBps | None = Field(alias="bw", default=None)
    latency_ps: Ns | None = Field(alias="latency_ns", default=None)


class ComponentsSpec(Spec):
    """``components.yaml``: which registered implementation each kind of node uses."""

    version: Literal[1]
    components: dict[str, Text]
    _places: Places = PrivateAttr(default_factory=lambda: Places({}))

    def place_of(self, path: str) -> str:
        """The file and line that ``path`` was written at."""
        return self._places.of(path)


class Config(Spec):
    """All that was configured, resolved: what a run depends on and its hash covers."""

    topology: TopologySpec
    components: ComponentsSpec
    ccl: CclSpec


def models() -> dict[Document, type[Spec]]:
    """The spec of each document of a configuration, by its name."""
    return {"topology": machine_spec(), "components": ComponentsSpec, "ccl": CclSpec}
