"""The documents of a configuration, whole: frozen specs of what may be written where."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, Any, Literal

from kernbench.config.ccl import CclSpec
from kernbench.config.machine import CubeSpec, GeometrySpec, HostSpec, NeighboursSpec, SipSpec, SystemSpec
from kernbench.config.model import Parsed
from kernbench.config.pe import PeSpec
from kernbench.config.quantities import FileSpec, GBps, Ns, Spec, Text, key
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


DocumentName = Annotated[str, Parsed(parse_document)]
Document = Literal["topology", "components", "ccl"]


class UnitsSpec(Spec):
    """What numbers without a unit are in; the header says it, and nothing else is understood."""

    time: Literal["ns"]
    size: Literal["bytes"]
    bandwidth: Literal["GB/s"]


class TopologySpec(FileSpec):
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


def machine_spec(asked_parts: Iterable[str] = ()) -> type[TopologySpec]:
    """``TopologySpec`` with the parts of a PE that further units describe; a machine need not have them.

    Raises:
        ConfigError: a part that was asked for is of none, and the file of a built-in unit cannot be imported.
    """
    mistakes, known = load_kinds(), PeSpec.fields()
    strange = set(asked_parts) - {key.name for key in known.values()}
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

    return Annotated[Any, Parsed(refuse)]


@lru_cache
def _with_parts(parts: tuple[tuple[str, Any], ...]) -> type[TopologySpec]:
    pe = PeSpec.extended({name: spec | None for name, spec in parts}, dict.fromkeys(dict(parts)))
    return TopologySpec.extended({"pe": pe})


class LinkOverrideSpec(Spec):
    """What ``overrides: {a->b: ...}`` may change of one directed link."""

    rate: GBps | None = key("bw", default=None)
    latency_ps: Ns | None = key("latency_ns", default=None)


class ComponentsSpec(FileSpec):
    """``components.yaml``: which registered implementation each kind of node uses."""

    version: Literal[1]
    components: dict[str, Text]


class Config(Spec):
    """All that was configured, resolved: what a run depends on and its hash covers."""

    topology: TopologySpec
    components: ComponentsSpec
    ccl: CclSpec

    def known_by(self, sha256: str) -> Config:
        """This configuration, whose hash is known."""
        vars(self)["_sha256"] = sha256
        return self

    @property
    def sha256(self) -> str | None:
        """Hash of the configuration, if it is known; see :func:`kernbench.config.plain.config_sha256`."""
        return vars(self).get("_sha256")


def models() -> dict[Document, type[FileSpec]]:
    """The spec of each document of a configuration, by its name."""
    return {"topology": machine_spec(), "components": ComponentsSpec, "ccl": CclSpec}
