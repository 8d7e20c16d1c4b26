"""What no algorithm can beat: lower bounds of collectives without reduction in the network.

They follow from what must be sent in all, what must leave and enter each rank, each cube, each SIP and each side of a
mesh, and the way between the two ranks that are farthest apart.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import product
from typing import NamedTuple

from kernbench.messages.ipcq import Wiring
from kernbench.theory.flow import total_rate
from kernbench.theory.group import Collective, Group
from kernbench.theory.ideal import IdealModel
from kernbench.theory.problem import Problem
from kernbench.topology.graph import Edge, Node, TopologyGraph
from kernbench.topology.routes import Routes
from kernbench.units import PS_PER_NS

INTO_ALL: frozenset[Collective] = frozenset(
    ("all_reduce", "reduce_scatter", "all_gather", "all_to_all", "barrier")
)


class Cut(NamedTuple):
    """Some ranks apart from all others, and the rates out of them and into them: bytes per ps; None: no limit."""

    ranks: frozenset[int]
    out: Fraction
    into: Fraction | None


class Network(NamedTuple):
    """How fast ranks can send at most: across ``cuts``, and over all links together (``total``, bytes per ps).

    ``distance`` are ps from rank to rank, of all pairs that may matter.
    """

    cuts: Sequence[Cut]
    total: Fraction
    distance: Mapping[tuple[int, int], Fraction]
    gamma: Fraction


def machine_network(
    group: Group, pes: Sequence[int], routes: Routes, gamma: Fraction, root: int = 0
) -> Network:
    """The ranks' network on a machine: cut round each rank, each cube, each SIP, and across a mesh that they fill.

    Distances are those from and to ``root`` and the corners, which are farthest apart.
    """
    graph = routes.graph
    nodes = [graph.niu_of(pe) for pe in pes]
    ranks = [
        Cut(frozenset((rank,)), _rate(graph.out_edges(node)), _rate(graph.in_edges(node)))
        for rank, node in enumerate(nodes)
    ]
    distance = {
        (a, b): Fraction(routes.latency_ps(nodes[a], nodes[b]))
        for corner, other in product({*_corners(group), root}, range(group.n_ranks))
        for a, b in ((corner, other), (other, corner))
        if a != b
    }
    others = (*_dies(graph, group), *_sides(graph, [graph.nodes[node] for node in nodes]))
    return Network((*ranks, *others), sum((cut.out for cut in ranks), Fraction(0)), distance, gamma)


def _rate(edges: Iterable[Edge]) -> Fraction:
    """Bytes per ps of all links among ``edges``."""
    return total_rate(edges) / PS_PER_NS


def _dies(graph: TopologyGraph, group: Group) -> Iterator[Cut]:
    """Round the ranks of each part at each level above the PEs, if others are elsewhere."""
    inside: defaultdict[tuple[int, ...], set[int]] = defaultdict(set)
    for rank, pe in enumerate(group.pes):
        for depth in range(len(pe) - 1, 0, -1):
            inside[pe[:depth]].add(rank)
    out: defaultdict[tuple[int, ...], list[Edge]] = defaultdict(list)
    into: defaultdict[tuple[int, ...], list[Edge]] = defaultdict(list)
    depth_of = {level.link: depth for depth, level in enumerate(graph.levels[:-1], start=1)}
    for edge in graph.edges:
        if edge.kind in depth_of:
            for node, links in ((edge.src, out), (edge.dst, into)):
                at = graph.nodes[node].at
                if len(at) == depth_of[edge.kind]:  # the other end may lie in the part above
                    links[at].append(edge)
    for die, ranks in inside.items():
        if len(ranks) < group.n_ranks:
            yield Cut(frozenset(ranks), _rate(out[die]), _rate(into[die]))


def _sides(graph: TopologyGraph, places: Sequence[Node]) -> Iterator[Cut]:
    """Between any two columns or rows, if the ranks fill a rectangle of a SIP, which their routes do not leave."""
    spec, at = graph.spec, [(node.column, node.row) for node in places]
    axes = [sorted({place[axis] for place in at}) for axis in (0, 1)]
    is_filled = len(axes[0]) * len(axes[1]) == len(places) and len({node.at[:1] for node in places}) == 1
    if not is_filled or spec.overrides:  # of single links
        return
    link = spec.cube.noc.link_rate.fraction / PS_PER_NS
    port = spec.sip.ucie.rate.scaled(spec.sip.ucie.eff).fraction / PS_PER_NS
    grid = graph.levels[-1].grid
    for axis in (0, 1):
        across = axes[1 - axis]
        for first in axes[axis][1:]:
            rate = len(across) * link
            if first % grid[axis] == 0:  # from cube to cube
                n_ports = len({place // grid[1 - axis] for place in across})
                rate = min(rate, n_ports * port)
            yield Cut(frozenset(rank for rank, place in enumerate(at) if place[axis] < first), rate, rate)


def _corners(group: Group) -> set[int]:
    """The rank that lies farthest in each of the four diagonal directions."""
    ranks = range(group.n_ranks)
    return {
        max(ranks, key=lambda rank, sx=sx, sy=sy: sx * group.coords[rank][0] + sy * group.coords[rank][1])  # type: ignore[misc]
        for sx, sy in product((1, -1), repeat=2)
    }


def ideal_network(wiring: Wiring, model: IdealModel) -> Network:
    """The network of the ideal machine: a link for each queue end, or one port for each rank; all distances."""
    sites = [wiring.sites[pe] for pe in wiring.pes]
    peers = [sorted({end.peer.rank for end in site.ends.values()}) for site in sites]
    n_links = [1 if model.is_crossbar else len(site.ends) for site in sites]
    egress = [n / model.beta for n in n_links]
    return Network(
        cuts=[
            Cut(frozenset((rank,)), rate, None if model.is_crossbar else rate)
            for rank, rate in enumerate(egress)
        ],
        total=sum(egress, Fraction(0)),
        distance=dict(_ways(peers, model.alpha)),
        gamma=model.gamma,
    )


def _ways(peers: Sequence[Sequence[int]], alpha: Fraction) -> dict[tuple[int, int], Fraction]:
    found: dict[tuple[int, int], Fraction] = {}
    for source in range(len(peers)):
        hops, to_do = {source: 0}, deque([source])
        while to_do:
            here = to_do.popleft()
            for there in peers[here]:
                if there not in hops:
                    hops[there] = hops[here] + 1
                    found[source, there] = hops[there] * alpha
                    to_do.append(there)
    return found


class BytesNeeded(NamedTuple):
    """Bytes that must be sent in all, and that must be reduced in all."""

    sent: int
    reduced: int = 0


def needs(collective: Collective, problem: Problem) -> BytesNeeded:
    """What a collective must move at least. ``problem.n_elem`` are those of the smaller buffer of a rank."""
    p, n = problem.n_ranks, problem.size_bytes
    if collective in ("barrier", "send_recv"):
        return BytesNeeded(n if collective == "send_recv" else 0)
    n_sent = {"all_reduce": 2, "reduce_scatter": p, "all_gather": p}.get(collective, 1)
    n_reduced = {"all_reduce": 1, "reduce_scatter": p, "reduce": 1}.get(collective, 0)
    return BytesNeeded(n_sent * (p - 1) * n, n_reduced * (p - 1) * n)


def crossing(collective: Collective, problem: Problem, ranks: frozenset[int]) -> tuple[Fraction, Fraction]:
    """Bytes that must leave ``ranks`` at least, and that must enter them.

    What others need of them leaves in the smallest form there is: as one sum where all is reduced.
    """
    p, inside, n, nothing = problem.n_ranks, len(ranks), Fraction(problem.size_bytes), Fraction(0)
    match collective:
        case "all_reduce":
            return n, n
        case "reduce_scatter":  # n is a block: sums of those of the others go out, sums of their own come in
            return (p - inside) * n, inside * n
        case "all_gather":
            return inside * n, (p - inside) * n
        case "all_to_all":  # n is p blocks
            each = inside * (p - inside) * n / p
            return each, each
        case "broadcast":
            return (n, nothing) if problem.root in ranks else (nothing, n)
        case "reduce":
            return (nothing, n) if problem.root in ranks else (n, nothing)
        case "send_recv" if (0 in ranks) != (1 in ranks):  # from rank 0 to rank 1
            return (n, nothing) if 0 in ranks else (nothing, n)
    return nothing, nothing


def lower_bound(collective: Collective, problem: Problem, network: Network) -> Fraction:
    """No algorithm takes less than this, in ps."""
    p, must = problem.n_ranks, needs(collective, problem)
    if p == 1 or (problem.n_elem == 0 and collective != "barrier"):
        return Fraction(0)
    bounds = [must.sent / network.total, must.reduced * network.gamma / p]
    for cut in network.cuts:
        out, into = crossing(collective, problem, cut.ranks)
        bounds.append(out / cut.out if out else Fraction(0))
        bounds.append(into / cut.into if into and cut.into is not None else Fraction(0))
    bounds.append(_latency(collective, problem.root, network))
    return max(bounds)


def _latency(collective: Collective, root: int, network: Network) -> Fraction:
    """The longest way that something must go."""
    ways = network.distance
    if collective in INTO_ALL:
        return max(ways.values())
    if collective == "broadcast":
        return max(way for (a, _), way in ways.items() if a == root)
    if collective == "reduce":
        return max(way for (_, b), way in ways.items() if b == root)
    return Fraction(0)
