"""``kernbench show --ranks``: who sends to whom in an algorithm, and what that means for the mesh."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kernbench.bench.collectives.recording import record
from kernbench.ccl.algorithm import require_served
from kernbench.config.schema import Config
from kernbench.dist.selection import select
from kernbench.dtypes import int8
from kernbench.errors import UsageError
from kernbench.records import Hidden
from kernbench.reports.ranks import RankEdge, draw_ranks
from kernbench.theory.group import group_of
from kernbench.theory.max_plus import Send
from kernbench.topology.builder import build_graph
from kernbench.topology.routes import Routes
from kernbench.wording import plural

if TYPE_CHECKING:
    from kernbench.reports.output import Output


@dataclass(frozen=True, slots=True, kw_only=True)
class RanksView:
    """An algorithm on the ranks of a machine. ``most_shared`` edges meet on the link that most of them use."""

    algorithm: str
    n_ranks: int
    most_shared: int
    edges: tuple[RankEdge, ...]
    svg: Hidden[str]


def ranks_of(config: Config, algorithm: str | None, part: str | None) -> RanksView:
    """The edges of ``algorithm`` (None: the all-reduce that ``ccl.yaml`` selects first) on the PEs of ``part``."""
    graph = build_graph(config.topology)
    pes = [number for number, pe in enumerate(graph.pes) if part is None or f"{pe}.".startswith(f"{part}.")]
    if not pes:
        raise UsageError(f"--part {part}: the machine has no such part")
    group = group_of(config.topology, graph.pes, pes)
    name = algorithm or select(config.ccl, "all_reduce", group, 0)
    require_served(name, group)
    n = group.n_ranks
    # Elements enough that each rank has a part of each half.
    programs = record(config, graph, pes, name, 2 * n, dtype=int8).schedule
    sends = (
        (rank, step.to) for rank, steps in enumerate(programs) for step in steps if isinstance(step, Send)
    )
    pairs = list(dict.fromkeys(sends))
    routes, shared, edges = Routes(graph), Counter[int](), []
    for a, b in pairs:
        route = routes.route(graph.niu_of(pes[a]), graph.niu_of(pes[b]))
        shared.update(edge.index for edge in route[1:-1])
        if (b, a) not in pairs or a < b:
            edges.append(RankEdge(a, b, len(route) - 2, (b, a) in pairs))
    title = f"{config.topology.preset}: {name} on {plural(len(pes), 'rank')}"
    return RanksView(
        algorithm=name,
        n_ranks=len(pes),
        most_shared=max(shared.values(), default=0),
        edges=tuple(edges),
        svg=draw_ranks(graph, title, pes, edges),
    )


def print_ranks(output: Output, view: RanksView) -> None:
    """What the picture shows, in numbers."""
    hops = [edge.hops for edge in view.edges for _ in range(1 + edge.is_mutual)]
    output.facts(
        [
            ("algorithm", f"{view.algorithm} on {plural(view.n_ranks, 'rank')}"),
            ("edges", f"{len(hops)}, in one direction each"),
            ("hops", f"{max(hops, default=0)} at most, {sum(hops)} in all"),
            ("shared", f"up to {view.most_shared} edges on a link"),
        ]
    )
