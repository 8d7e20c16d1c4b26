"""PE_TCM: the scratchpad."""

from __future__ import annotations

from kernbench.components.base import COMPONENTS, Component, Site
from kernbench.components.ports import TcmPort
from kernbench.config.pe import TcmSpec
from kernbench.engine import Server
from kernbench.kinds import Kind
from kernbench.units import format_bytes, gbps


class PeTcm(Component):
    """Two ports, one to read and one to write; each serves its requests in the order they are made.

    A request of ``size_bytes`` holds its port for ``size_bytes / rate``; its last byte has passed ``latency`` later.
    """

    kind = Kind(
        "pe_tcm",
        TcmSpec,
        part="tcm",
        role="store",
        place=(0.31, 0.88),
        figures=lambda spec, pe: (
            format_bytes(spec.size_bytes),
            f"read {gbps(spec.read_rate)}",
            f"write {gbps(spec.write_rate)}",
        ),
    ).declare()

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        spec: TcmSpec = site.node.spec
        self.latency_ps = spec.latency_ps
        self.read_port = Server(spec.read_rate)
        self.write_port = Server(spec.write_rate)

    @property
    def moved_bytes(self) -> int:
        """Bytes that passed both ports."""
        return self.read_port.size_bytes + self.write_port.size_bytes

    def read(self, size_bytes: int, head_ps: int, tail_ps: int) -> int:
        """When the last byte is out; the first may be asked for at ``head_ps``, the last at ``tail_ps``."""
        _, end_ps = self.read_port.stream(head_ps, tail_ps, size_bytes)
        return end_ps + self.latency_ps

    def write(self, size_bytes: int, head_ps: int, tail_ps: int) -> int:
        """When the last byte is in; they come from ``head_ps`` to ``tail_ps``."""
        _, end_ps = self.write_port.stream(head_ps, tail_ps, size_bytes)
        return end_ps + self.latency_ps


COMPONENTS.register("pe_tcm_v1")(PeTcm)
_: type[TcmPort] = PeTcm  # mypy: it has the face that its neighbours see
