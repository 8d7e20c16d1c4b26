"""What chunks pass through: the mesh routers of a cube and the crossbar of the IO die."""

from __future__ import annotations

from kernbench.components.base import COMPONENTS, Component
from kernbench.config.machine import IoNocSpec, NocSpec
from kernbench.kinds import Kind


@COMPONENTS.register("router_v1")
class Router(Component):
    """A mesh router. The fabric arbitrates its outputs; the router adds its own latency to each of them."""

    kind = Kind(
        "router",
        NocSpec,
        shared=("kind", "routing", "vcs", "arbitration", "chunk", "packet", "header", "flit"),
        role="move",
        place=(0.12, 0.12),
        size=(0.19, 0.19),
        title="router",
    ).declare()


@COMPONENTS.register("io_noc_v1")
class IoNoc(Component):
    """The crossbar of the IO die: like a router with a port for each die-to-die link and each end point."""

    kind = Kind("io_noc", IoNocSpec, role="io", place=(0.5, 0.5)).declare()
