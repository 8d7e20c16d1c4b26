"""PE_TCM: the scratchpad."""

from __future__ import annotations

from kernbench.components.base import COMPONENTS, Component, Site
from kernbench.components.ports import TcmPort
from kernbench.config.pe import TcmSpec
from kernbench.engine import Server
from kernbench.kinds import Kind
from kernbench.messages.tokens import TcmRequest
from kernbench.units import format_bytes, gbps


@COMPONENTS.register("pe_tcm_v1")
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
        self.params: TcmSpec = site.node.spec
        self.read_port = Server(self.params.read_rate)
        self.write_port = Server(self.params.write_rate)

    @property
    def moved_bytes(self) -> int:
        """Bytes that passed both ports."""
        return self.read_port.size_bytes + self.write_port.size_bytes

    def access(self, request: TcmRequest) -> int:
        """When the last byte of ``request`` has passed."""
        port = self.write_port if request.is_write else self.read_port
        _, end_ps = port.stream(request.start_ps, request.tail_ps, request.size_bytes)
        return end_ps + self.params.latency_ps


_: type[TcmPort] = PeTcm  # mypy: it has the face that its neighbours see
