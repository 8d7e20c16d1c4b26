"""Where messages go: bytes on each link of a machine, from routes alone and apart from the engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from kernbench.theory.max_plus import Link
from kernbench.topology.routes import Routes


def link_bytes(traffic: Mapping[Link, int], pes: Sequence[int], routes: Routes) -> Counter[int]:
    """Bytes by edge index, headers not counted, when each message takes its route; ``pes[r]`` is the PE of rank r."""
    graph = routes.graph
    found: Counter[int] = Counter()
    for (sender, receiver, _), size_bytes in traffic.items():
        for edge in routes.route(graph.niu_of(pes[sender]), graph.niu_of(pes[receiver])):
            found[edge.index] += size_bytes
    return found


def busiest(traffic: Mapping[Link, int], *, is_crossbar: bool) -> int:
    """Bytes on the busiest link of the ideal machine: one for each way, or one port for each sender."""
    if not is_crossbar:
        return max(traffic.values(), default=0)
    ports: Counter[int] = Counter()
    for (sender, *_), size_bytes in traffic.items():
        ports[sender] += size_bytes
    return max(ports.values(), default=0)
