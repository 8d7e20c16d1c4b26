"""Which algorithm is the fastest at which size, for a number of ranks: the tables of ``ccl.yaml``, found out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

from kernbench.bench.collectives.case import Case
from kernbench.bench.collectives.measurement import Timing, time_of
from kernbench.bench.collectives.ranks import Ranks
from kernbench.bench.collectives.request import Request, algorithms_of
from kernbench.bench.collectives.theory import Theory
from kernbench.bench.collectives.volume import Volume
from kernbench.ccl.algorithm import ALGORITHMS
from kernbench.config.ccl import MAX
from kernbench.config.schema import Config
from kernbench.errors import CapacityError
from kernbench.theory.group import Collective
from kernbench.wording import plural

NEARLY = Fraction(102, 100)  # an algorithm stays at the next size if it is slower than the best by no more


class Fastest(NamedTuple):
    """The algorithm for ``size_bytes`` of a rank's smaller buffer, and how long it takes."""

    size_bytes: int
    algorithm: str
    time_ps: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """What is the fastest at each size in groups of ``n_ranks``: of all algorithms, and of those for any group.

    ``left_out`` says of each algorithm that did not run why.
    """

    collective: Collective
    n_ranks: int
    sizes: tuple[Fastest, ...]
    otherwise: tuple[Fastest, ...]
    left_out: Mapping[str, str]

    @property
    def is_for_any_group(self) -> bool:
        """Whether the fastest algorithms serve groups of any shape and number."""
        return all(serves_any(found.algorithm) for found in self.sizes)


def serves_any(name: str) -> bool:
    """Whether the algorithm ``name`` serves every group."""
    return ALGORITHMS[name].serves_any


def selection_of(found: Sequence[Fastest]) -> str:
    """The selection that says it: each size stands for itself and those below, down to the one before.

    >>> selection_of([Fastest(64, "tree", 1), Fastest(256, "tree", 2), Fastest(1024, "ring", 3)])
    'tree:0-256;ring:257-max'
    """
    ends = [
        (each.algorithm, each.size_bytes)
        for each, after in zip(found, [*found[1:], None], strict=True)
        if after is None or after.algorithm != each.algorithm
    ]
    ranges, first = [], 0
    for i, (name, last) in enumerate(ends):
        ranges.append(f"{name}:{first}-{last if i + 1 < len(ends) else MAX}")
        first = last + 1
    return ";".join(ranges)


class Tuner:
    """Times all algorithms of a collective on the ranks of ``request``, size by size; or estimates them ``by_theory``.

    ``request`` also says of what type and with which op. ``tell`` is told what is being timed.
    """

    def __init__(
        self,
        config: Config,
        request: Request,
        sizes: Sequence[int],
        *,
        by_theory: bool,
        tell: Callable[[str], None],
    ) -> None:
        self.request = request
        self.ranks = Ranks(config, request)
        self.sizes = sizes
        self.by_theory = by_theory
        self.tell = tell

    def tuned(self, collective: Collective) -> Tuned | None:
        """The fastest of ``collective`` at each size; None if nothing runs at any."""
        request, group = replace(self.request, collective=collective), self.ranks.group
        names = algorithms_of(collective)
        left_out = {name: reason for name in names if (reason := ALGORITHMS[name].refuses(group))}
        able = [name for name in names if name not in left_out]
        best: list[Fastest] = []
        general: list[Fastest] = []
        for size in self._sizes_of(request):
            times = self._times(request, size, able, left_out)
            able.sort(key=lambda name: (name not in times, times.get(name), name))
            size_bytes = Volume(request, group.n_ranks, size).smaller_bytes
            for found, among in ((best, times), (general, {n: t for n, t in times.items() if serves_any(n)})):
                if among:
                    found.append(_fastest(size_bytes, among, found))
        if not best:
            return None
        ran = {found.algorithm for found in best}
        return Tuned(
            collective=collective,
            n_ranks=group.n_ranks,
            sizes=tuple(best),
            otherwise=tuple(general),
            left_out={name: why for name, why in left_out.items() if name not in ran},
        )

    def _sizes_of(self, request: Request) -> list[int]:
        """Each of ``sizes`` that differs for a rank and holds something; of a barrier, nothing."""
        if request.collective == "barrier":
            return [0]
        by_rank = {Volume(request, self.ranks.group.n_ranks, size).smaller_bytes: size for size in self.sizes}
        return [size for size_bytes, size in by_rank.items() if size_bytes]

    def _times(
        self, request: Request, size: int, names: Sequence[str], left_out: dict[str, str]
    ) -> dict[str, Fraction]:
        """How long algorithms take, the fastest and the fastest for any group among them; others may stop early."""
        found: dict[str, Timing] = {}
        for i, name in enumerate(names):
            self.tell(
                f"{request.collective} on {plural(self.ranks.group.n_ranks, 'rank')}, {size} B: {name} "
                f"({i + 1} of {len(names)})"
            )
            rivals = [t for other, t in found.items() if serves_any(other) or not serves_any(name)]
            against = min(rivals, key=lambda timing: timing.time_ps, default=None)
            case = Case(request, self.ranks, name, size)
            try:
                timing = Timing(Theory(case).estimate_ps, 0) if self.by_theory else time_of(case, against)
            except CapacityError as error:
                left_out[name] = str(error)
                continue
            if timing is not None:
                found[name] = timing
        return {name: timing.time_ps for name, timing in found.items()}


def _fastest(size_bytes: int, times: Mapping[str, Fraction], before: Sequence[Fastest]) -> Fastest:
    """The fastest of ``times``, or that of the size before if it is nearly as fast."""
    name = min(times, key=lambda name: (times[name], name))
    if before and times.get(before[-1].algorithm, 2 * NEARLY * times[name] + 1) <= NEARLY * times[name]:
        name = before[-1].algorithm
    return Fastest(size_bytes, name, times[name])
