"""What every piece of hardware has: a node, an inbox, ports along the graph's edges, processes, a meter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kernbench.components.meter import Meter
from kernbench.components.ports import ports_of
from kernbench.config.machine import NocSpec
from kernbench.config.pe import PeSpec
from kernbench.engine.api import Engine, Fabric, OpLog, ProcessBody, Queue
from kernbench.errors import ConfigError
from kernbench.memory.page_table import PageTable
from kernbench.messages.fabric import CONTROL, CTL, DoneMsg, LaunchMsg, MmuMapMsg
from kernbench.messages.ipcq import QueuesMsg
from kernbench.messages.oplog import NO_CAUSE, OpCode, Row
from kernbench.registry import Registry
from kernbench.topology.graph import Node, TopologyGraph

Request = LaunchMsg | MmuMapMsg | QueuesMsg
FIRST_NODE_RANK = 1 << 36  # behind all links, before all processes (ADR-0003)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What a component is given: its node, what it may know of its surroundings, and the means of one simulation.

    ``pe`` is the PE's number (-1 outside of PEs), ``address`` the node where its packets leave and answers arrive;
    ``pe_spec`` and ``noc`` are the specs its units share;
    ``burst_bytes`` is the granule of the memories; ``page_table`` is the one of its SIP (None outside of SIPs).
    """

    node: Node
    graph: TopologyGraph
    engine: Engine
    fabric: Fabric
    log: OpLog
    page_table: PageTable | None
    pe: int
    address: int
    pe_spec: PeSpec
    noc: NocSpec
    burst_bytes: int


class Component:
    """Base of all hardware. ``params`` is the node's spec; each port that a class declares is an attribute of its name
    once it is connected.

    A subclass yields its processes from :meth:`processes`; they are started once, by the assembly, after the
    ports are connected. ``inbox_depth`` bounds the inbox (None: unbounded). A process yields what it waits for: the
    ``get()`` or ``put()`` of a queue, a signal, or so many picoseconds.

    >>> from kernbench.components.ports import TcmPort, port, ports_of
    >>> class Delay(Component):
    ...     kind = "pe_delay"
    ...     pe_tcm = port(TcmPort)  # the neighbour of that kind
    ...
    ...     def processes(self):
    ...         yield "delay", self.delay()
    ...
    ...     def delay(self):
    ...         while True:
    ...             token = yield self.inbox.get()
    ...             yield 5_000  # ps
    >>> list(ports_of(Delay))
    ['pe_tcm']
    """

    kind = ""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.node = site.node
        self.graph = site.graph
        self.engine = site.engine
        self.log = site.log
        self.fabric = site.fabric
        self.pe = site.pe
        self.address = site.address
        self.rank = site.engine.port_rank(FIRST_NODE_RANK + site.node.index)
        self.meter = Meter()
        # Any: what a unit takes; its neighbours see it through a face, which says so.
        self.inbox: Queue[Any] = site.engine.queue(self.inbox_depth(), site.node.name)

    def connect(self, neighbours: Mapping[str, Component]) -> None:
        """Bind the ports to ``neighbours``, which are by kind.

        Raises:
            ConfigError: no edge leads to one, or it lacks what the port asks for.
        """
        for kind, port in ports_of(type(self)).items():
            neighbour = neighbours.get(kind)
            who = f"{self.node.name}: {type(self).__name__}"
            if neighbour is None:
                raise ConfigError(f"{who} needs a port to {kind}, and no edge leads there; add one to its PE")
            if missing := port.missing_in(neighbour):
                raise ConfigError(
                    f"{who} needs {kind} to have {' and '.join(missing)}; add that to {type(neighbour).__name__}"
                )
            setattr(self, kind, neighbour)

    @property
    def end_point(self) -> object:
        """Who takes what the fabric brings to this node."""
        return self

    def waiting(self) -> Iterator[str]:
        """What waits here and for what, a line each: the map of a run in which nothing is left to happen."""
        return iter(())

    def standing(self) -> tuple[object, ...] | None:
        """What is under way here, if all of it waits for something elsewhere; None if some may go on by itself."""
        return ()

    @property
    def moved_bytes(self) -> int:
        """Bytes that went in and out of this node's memory or ports, if it has any."""
        return 0

    def meters(self) -> Iterator[tuple[str, Meter]]:
        """``(name, meter)`` of each place of work, brought up to the present instant; the only one has no name.

        None here: what chunks only pass through does not work itself; its links do.
        """
        return iter(())

    @property
    def pass_ps(self) -> int:
        """Time a chunk takes through this node."""
        return self.node.latency_ps

    def inbox_depth(self) -> int | None:
        """Places in the inbox."""
        return None

    def processes(self) -> Iterator[tuple[str, ProcessBody]]:
        """``(name, generator)`` of each independent activity."""
        return iter(())

    def note(
        self,
        op: OpCode,
        start_ps: int,
        program: int = -1,
        command: int = -1,
        *,
        va: int = -1,
        size_bytes: int = 0,
    ) -> Row:
        """Log what began at ``start_ps``, as soon as it could, and ends now; of a job, ``program`` is its number."""
        now_ps, node = self.engine.now_ps, self.node.index
        return self.log.append(
            node, op, program, command, -1, start_ps, start_ps, now_ps, -1, NO_CAUSE, -1, va, size_bytes
        )

    def send_control(self, message: Request | DoneMsg, dst: int) -> None:
        """Post a control message, whole, to the node ``dst``."""
        for chunk in self.fabric.packet(CONTROL, message, message.size_bytes):
            self.fabric.post(chunk, self.address, dst, CTL, self.engine.now_ps, 0)

    def report_done(self, job: int, reply_to: int) -> None:
        """Tell the node ``reply_to`` that this PE has done its share of ``job``."""
        self.send_control(DoneMsg(job=job, n_pes=1, size_bytes=0), reply_to)

    def start(self) -> None:
        """Start all activities."""
        for activity, body in self.processes():
            self.engine.process(body, f"{self.node.name}.{activity}")


COMPONENTS: Registry[type[Component]] = Registry(
    "component",
    "a subclass of Component that names its kind",
    lambda thing: isinstance(thing, type) and issubclass(thing, Component) and bool(thing.kind),
)
