"""What no algorithm can beat: lower bounds of collectives without reduction in the network.

They follow from what must be sent in all, what one rank must emit or absorb, the way between the two ranks that are
farthest apart, and for all-to-all the middle of the mesh.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import product
from typing import NamedTuple

from kernbench.ccl.algorithm import Collective, Group
from kernbench.ccl.schedules import Problem
from kernbench.machine.ideal_machine import IdealModel
from kernbench.messages.ipcq import Wiring
from kernbench.topology.routes import Routes
from kernbench.units import PS_PER_NS

INTO_ALL: frozenset[Collective] = frozenset(
    ("all_reduce", "reduce_scatter", "all_gather", "all_to_all", "barrier")
)


class Network(NamedTuple):
    """How fast ranks can send at most. Rates are bytes per ps, exact; None: without limit.

    ``egress`` and ``ingress`` are a rank's, ``total`` that of all links. ``distance`` are ps from rank to rank, of all
    pairs that may matter.
    ``cuts``: (ranks on one side, rate across in one direction).
    """

    egress: Sequence[Fraction]
    ingress: Sequence[Fraction] | None
    total: Fraction
    distance: Mapping[tuple[int, int], Fraction]
    gamma: Fraction
    cuts: Sequence[tuple[int, Fraction]] = ()


def machine_network(
    group: Group, pes: Sequence[int], routes: Routes, gamma: Fraction, root: int = 0
) -> Network:
    """The ranks' network on a machine: a port for each, the routes, and the mesh if they fill a rectangle of a SIP.

    Distances are those from and to ``root`` and the corners, which are farthest apart.
    """
    graph = routes.graph
    nodes = [graph.niu_of(pe) for pe in pes]
    rates = []
    for node in nodes:
        speeds = [edge.rate for edge in graph.out_edges(node) if edge.rate is not None]
        rates.append(max(rate.fraction for rate in speeds) / PS_PER_NS)
    distance = {
        (a, b): Fraction(routes.latency_ps(nodes[a], nodes[b]))
        for corner, other in product({*_corners(group), root}, range(group.n_ranks))
        for a, b in ((corner, other), (other, corner))
        if a != b
    }
    link = graph.spec.cube.noc.link_rate.fraction / PS_PER_NS
    return Network(rates, rates, sum(rates, Fraction(0)), distance, gamma, tuple(_cuts(group, link)))


def _corners(group: Group) -> set[int]:
    """The rank that lies farthest in each of the four diagonal directions."""
    ranks = range(group.n_ranks)
    return {
        max(ranks, key=lambda rank, sx=sx, sy=sy: sx * group.coords[rank][0] + sy * group.coords[rank][1])  # type: ignore[misc]
        for sx, sy in product((1, -1), repeat=2)
    }


def _cuts(group: Group, link: Fraction) -> list[tuple[int, Fraction]]:
    xs, ys = ({place[axis] for place in group.coords} for axis in (0, 1))
    width, height = max(xs) - min(xs) + 1, max(ys) - min(ys) + 1
    if width * height != group.n_ranks or len({pe.sip for pe in group.pes}) > 1:
        return []
    columns = [(x * height, height * link) for x in range(1, width)]
    return columns + [(y * width, width * link) for y in range(1, height)]


def ideal_network(wiring: Wiring, model: IdealModel) -> Network:
    """The same of the ideal machine: a link for each queue end, or one port for each rank; all distances."""
    sites = [wiring.sites[pe] for pe in wiring.pes]
    peers = [sorted({end.peer.rank for end in site.ends.values()}) for site in sites]
    n_links = [1 if model.is_crossbar else len(site.ends) for site in sites]
    egress = [n / model.beta for n in n_links]
    return Network(
        egress=egress,
        ingress=None if model.is_crossbar else egress,
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


class Needs(NamedTuple):
    """Bytes that must be sent in all, that some rank must emit, and must absorb; bytes to reduce in all."""

    total: int
    emitted: int
    absorbed: int
    reduced: int = 0


def needs(collective: Collective, problem: Problem) -> Needs:
    """What a collective must move at least. ``problem.n_elem`` are those of the smaller buffer of a rank."""
    p, n = problem.n_ranks, problem.size_bytes
    if p == 1 or collective == "barrier":
        return Needs(0, 0, 0)
    if collective == "all_reduce":
        return Needs(2 * (p - 1) * n, n, n, (p - 1) * n)
    if collective == "reduce_scatter":
        return Needs(p * (p - 1) * n, (p - 1) * n, n, p * (p - 1) * n)
    if collective == "all_gather":
        return Needs(p * (p - 1) * n, n, (p - 1) * n)
    if collective == "all_to_all":
        return Needs((p - 1) * n, (p - 1) * n // p, (p - 1) * n // p)
    if collective == "reduce":
        return Needs((p - 1) * n, n, n, (p - 1) * n)
    return Needs((p - 1) * n if collective == "broadcast" else n, n, n)


def lower_bound(collective: Collective, problem: Problem, network: Network) -> Fraction:
    """No algorithm takes less than this, in ps."""
    p, must = problem.n_ranks, needs(collective, problem)
    if p == 1 or (problem.n_elem == 0 and collective != "barrier"):
        return Fraction(0)
    bounds = [must.total / network.total]
    emitting = network.egress[problem.root] if collective == "broadcast" else max(network.egress)
    bounds.append(must.emitted / emitting)
    if network.ingress is not None:
        absorbing = network.ingress[problem.root] if collective == "reduce" else max(network.ingress)
        bounds.append(must.absorbed / absorbing)
    bounds.append(must.reduced * network.gamma / p)
    if collective == "all_to_all":
        each = Fraction(problem.size_bytes, p)
        bounds += [side * (p - side) * each / rate for side, rate in network.cuts]
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
