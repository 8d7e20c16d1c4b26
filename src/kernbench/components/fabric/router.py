"""What chunks pass through: the mesh routers of a cube and the crossbar of the IO die."""

from __future__ import annotations

from kernbench.components.base import COMPONENTS, Component


@COMPONENTS.register("router_v1")
class Router(Component):
    """A mesh router. The fabric arbitrates its outputs; the router adds its own latency to each of them."""

    kind = "router"


@COMPONENTS.register("io_noc_v1")
class IoNoc(Component):
    """The crossbar of the IO die: like a router with a port for each die-to-die link and each end point."""

    kind = "io_noc"
