"""Graph and registry become living hardware: each component is made, connected and started on first use."""

from __future__ import annotations

from typing import cast

from kernbench.components.base import COMPONENTS, Component, Site
from kernbench.components.memory_model import HBM_MODELS
from kernbench.config.explain import line
from kernbench.config.schema import Config
from kernbench.engine import Engine, Fabric, OpLog
from kernbench.engine.api import Receiver
from kernbench.errors import ConfigError, UnknownNameError
from kernbench.kinds import unit_kinds
from kernbench.memory.page_table import PageTables
from kernbench.messages.fabric import Vc
from kernbench.topology.graph import Node, TopologyGraph
from kernbench.topology.routes import Routes


class Assembly:
    """All components of a machine, by node index. A PE's units are made together."""

    def __init__(
        self, config: Config, graph: TopologyGraph, engine: Engine, log: OpLog, page_tables: PageTables
    ) -> None:
        self.config = config
        self.graph = graph
        self.engine = engine
        self.log = log
        self.page_tables = page_tables
        self.components: dict[int, Component] = {}
        self.implementations = {kind: implementation(config, kind) for kind in config.components.components}
        noc = config.topology.cube.noc
        self.fabric = Fabric(
            engine,
            graph,
            Routes(graph).route,
            chunk_bytes=noc.chunk_bytes,
            header_bytes=noc.header_bytes,
            flit_bytes=noc.flit_bytes,
            vcs_per_class={
                Vc.CTL: noc.vcs.ctl,
                Vc.COMM: noc.vcs.comm,
                Vc.REQ: noc.vcs.req,
                Vc.RESP: noc.vcs.resp,
            },
            pass_ps=lambda node: self.component(node).pass_ps,
            receiver=self._receiver,
        )

    def component(self, index: int) -> Component:
        """The component at node ``index``."""
        component = self.components.get(index)
        if component is None:
            node = self.graph.nodes[index]
            if node.pe >= 0:
                self._make_pe(node.pe)
                return self.components[index]
            component = self._make(node)
            component.start()
        return component

    def _receiver(self, index: int) -> Receiver:
        end_point = self.component(index).end_point
        # Looked for by name: a machine has tens of thousands, and a protocol takes 20 us each to compare.
        assert hasattr(end_point, "receive"), f"{self.graph.nodes[index].name} is no end point"
        return cast("Receiver", end_point)

    def _make(self, node: Node) -> Component:
        topology = self.config.topology
        site = Site(
            node=node,
            graph=self.graph,
            engine=self.engine,
            fabric=self.fabric,
            log=self.log,
            page_table=self.page_tables.by_sip[node.at[0]] if node.at else None,
            pe=node.pe,
            address=node.index if node.pe < 0 else self.graph.niu_of(node.pe),
            pe_spec=node.pe_spec or topology.pe,
            noc=topology.cube.noc,
            burst_bytes=topology.cube.hbm.timing.burst_bytes,
        )
        component = self.implementations[node.kind](site)
        if getattr(component, "site", None) is not site:
            raise ConfigError(
                f"{node.name}: {type(component).__name__}.__init__ has to call super().__init__(site) before all else"
            )
        self.components[node.index] = component
        return component

    def _make_pe(self, pe: int) -> None:
        units = [self._make(node) for node in self.graph.units_of(pe)]
        for unit in units:
            inner = [edge.dst for edge in self.graph.out_edges(unit.node.index) if edge.rate is None]
            unit.connect({self.graph.nodes[dst].kind: self.components[dst] for dst in inner})
        for unit in units:
            unit.start()


def implementation(config: Config, kind: str) -> type[Component]:
    """What the configuration chose for nodes of ``kind``.

    Raises:
        ConfigError: nothing is registered under that name, or what implements another kind.
    """
    name, path = config.components.components[kind], ("components", kind)
    place = config.components.place_of(".".join(path))
    try:
        chosen = COMPONENTS[name]
    except UnknownNameError as error:
        raise ConfigError(line(place, path, str(error))) from None
    if chosen.kind != kind:
        fitting = ", ".join(known for known in COMPONENTS if COMPONENTS[known].kind == kind)
        raise ConfigError(line(place, path, f"{name!r} implements {chosen.kind!r}; name one of: {fitting}"))
    return chosen


def require_registered(config: Config) -> None:
    """See to it, before anything runs, that all implementations and memory models there are by name exist.

    Raises:
        ConfigError: one does not; names the place it was written at.
    """
    topology = config.topology
    for unit in unit_kinds(topology.pe):
        if unit.name not in config.components.components:
            fitting = ", ".join(name for name in COMPONENTS if COMPONENTS[name].kind == unit.name)
            what = f"nothing says what implements it; write components.{unit.name}, one of: {fitting}"
            raise ConfigError(line(topology.place_of(f"pe.{unit.part}"), ("pe", str(unit.part)), what))
    for kind in config.components.components:
        implementation(config, kind)
    named: list[tuple[tuple[str, ...], str]] = [(("cube", "hbm", "model"), topology.cube.hbm.model)]
    for node, changes in topology.overrides.items():
        if "model" in changes:
            named.append((("overrides", node, "model"), changes["model"]))
    for path, model in named:
        try:
            HBM_MODELS[model]
        except UnknownNameError as error:
            raise ConfigError(line(topology.place_of(".".join(path)), path, str(error))) from None
