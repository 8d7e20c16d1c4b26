"""A request at any size: the bench behind ``kernbench ccl``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from typing import NamedTuple

from kernbench.bench.collectives.case import Case
from kernbench.bench.collectives.inputs import REDUCING
from kernbench.bench.collectives.ranks import Ranks
from kernbench.bench.collectives.request import ROOTED, Request, algorithms_of, require_known
from kernbench.bench.collectives.row import CclRow, Half
from kernbench.bench.collectives.theory import Theory
from kernbench.bench.collectives.volume import Volume, bandwidths
from kernbench.ccl.algorithm import ALGORITHMS, require_served
from kernbench.config.schema import Config
from kernbench.dist.selection import select
from kernbench.errors import KernBenchError, LimitError, UnknownNameError, UsageError
from kernbench.registry import did_you_mean
from kernbench.wording import plural, quoted

WORTH_SAYING = Fraction(105, 100)  # how many times faster another algorithm must be


class Faster(NamedTuple):
    """An algorithm that is faster at a size, and how many times."""

    algorithm: str
    size_bytes: int
    times: Fraction


class CclBench:
    """Runs one request at any size, each on a machine of its own: no row depends on another."""

    def __init__(self, config: Config, request: Request) -> None:
        self.config = config
        self.request = request
        require_known(request)
        self.ranks = Ranks(config, request)
        self.able = self._able()

    def _able(self) -> tuple[str, ...]:
        """The algorithms of the collective that can serve the ranks: the one asked for, or all."""
        request, group, of_it = self.request, self.ranks.group, algorithms_of(self.request.collective)
        if request.algorithm in ALGORITHMS.mistakes:
            require_served(request.algorithm, group)
        if request.algorithm is not None and request.algorithm not in ALGORITHMS:
            cure = did_you_mean(request.algorithm, of_it)
            raise UnknownNameError(
                f"unknown algorithm {quoted(request.algorithm)} of {request.collective}; {cure}"
            )
        if request.algorithm is not None:
            asked = require_served(request.algorithm, group)
            if asked.collective != request.collective:
                raise UsageError(
                    f"--algo {request.algorithm}: is a way to do {asked.collective}; of {request.collective} there are "
                    f"{', '.join(of_it)}"
                )
            return (request.algorithm,)
        refused = {name: reason for name in of_it if (reason := ALGORITHMS[name].refuses(group))}
        if len(refused) == len(of_it):
            reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
            raise UsageError(
                f"no algorithm of {request.collective} can serve {plural(group.n_ranks, 'rank')} ({reasons}); give "
                "another number with --ranks"
            )
        return tuple(name for name in of_it if name not in refused)

    def algorithm_at(self, size_bytes: int) -> str:
        """The algorithm asked for; else the one that ``ccl.yaml`` selects for the size; else the first."""
        selected = None if self.request.algorithm is not None else self._selected(size_bytes)
        return selected or self.able[0]

    def _selected(self, size_bytes: int) -> str | None:
        """What ``ccl.yaml`` selects; None for a collective that it does not know."""
        request, group = self.request, self.ranks.group
        if not hasattr(self.config.ccl.selection, request.collective):
            return None
        n_bytes = Volume(request, group.n_ranks, size_bytes).smaller_bytes
        return select(self.config.ccl, request.collective, group, n_bytes)

    def row(self, size_bytes: int, name: str | None = None) -> CclRow:
        """Measure at ``size_bytes``, or the nearest size below that the ranks can share."""
        request, begin_s = self.request, time.perf_counter()
        case = Case(request, self.ranks, name or self.algorithm_at(size_bytes), size_bytes)
        theory, volume = Theory(case), case.volume
        out_of_place, in_place = (_said(theory), None) if request.is_oracle else _measured(theory)
        bound = None if request.is_oracle else theory.bound
        time_ps = (out_of_place or in_place or _said(theory)).time_ps
        has_schedule = not request.is_oracle or theory.oracle.source == "max-plus"
        return CclRow(
            algorithm=case.name,
            size_bytes=volume.larger_bytes,
            n_elem=volume.count,
            dtype=request.dtype,
            op=request.op if request.collective in REDUCING else None,
            root=request.root if request.collective in ROOTED else None,
            out_of_place=out_of_place,
            in_place=in_place,
            n_steps=theory.outcome.n_steps if has_schedule else None,
            max_link_bytes=theory.max_link_bytes if has_schedule else None,
            total_bytes=case.algorithm.elems_sent(self.ranks.group.n_ranks, volume.n_elem)
            * case.dtype.size_bytes,
            bound_ps=bound,
            bound_share=float(bound / time_ps) if bound is not None and time_ps else None,
            oracle=theory.oracle,
            host_s=time.perf_counter() - begin_s,
        )

    # -- is another faster? -------------------------------------------------------------------------------

    def otherwise(self, row: CclRow, size_bytes: int) -> str | None:
        """What ``ccl.yaml`` selects at ``size_bytes``, if it is not the algorithm of ``row``."""
        with suppress(UsageError):  # it cannot serve these ranks
            selected = self._selected(size_bytes)
            return None if selected == row.algorithm or not row.size_bytes else selected
        return None

    def faster(self, row: CclRow, size_bytes: int) -> Faster | None:
        """The algorithm that ``ccl.yaml`` selects at ``size_bytes``, or theory prefers, if it beats that of ``row``.

        Both are timed to find out, for as long as that of ``row`` took; on the ideal machine theory knows.
        """
        mine = row.first
        times: dict[str, Fraction] = {}
        if not row.size_bytes and self.request.collective != "barrier":
            return None
        for name in self._rivals(row.algorithm, size_bytes):
            case = Case(self.request, self.ranks, name, size_bytes)
            with _rival():
                time_ps = self._time_ps(case, mine)
                if time_ps:
                    times[name] = time_ps
        best = min(times, key=lambda name: (times[name], name), default=None)
        if best is None or mine.time_ps < WORTH_SAYING * times[best]:
            return None
        return Faster(best, size_bytes, mine.time_ps / times[best])

    def _time_ps(self, case: Case, mine: Half) -> Fraction | None:
        """How long a case takes, if not much longer than ``mine``."""
        if self.request.is_by_data_sheet:
            return Theory(case).estimate_ps
        from kernbench.bench.collectives.measurement import Timing, time_of

        timing = time_of(case, Timing(mine.time_ps, mine.window_ps))
        return None if timing is None else timing.time_ps

    def _rivals(self, name: str, size_bytes: int) -> list[str]:
        """What ``ccl.yaml`` selects, and what theory prefers to the algorithm ``name``, if that is another."""
        request, group = self.request, self.ranks.group
        able = [other for other in algorithms_of(request.collective) if not ALGORITHMS[other].refuses(group)]
        estimates: dict[str, Fraction] = {}
        for other in able:
            with _rival():
                estimates[other] = Theory(Case(request, self.ranks, other, size_bytes)).estimate_ps
        found = []
        with suppress(UsageError):  # what is selected cannot serve these ranks
            found.append(self._selected(size_bytes))
        if name in estimates:
            best = min(estimates, key=lambda other: (estimates[other], other))
            found += [best] if WORTH_SAYING * estimates[best] <= estimates[name] else []
        return [other for other in dict.fromkeys(found) if other not in (None, name)]


@contextmanager
def _rival() -> Iterator[None]:
    """Within, what cannot run here is no rival."""
    try:
        yield
    except LimitError:
        raise
    except KernBenchError:
        pass


def _measured(theory: Theory) -> tuple[Half | None, Half | None]:
    """Both halves, run, or the one that was asked for; a barrier, which moves nothing, has none in place."""
    from kernbench.bench.collectives.measurement import measure  # here: theory alone needs no machine
    from kernbench.bench.collectives.setup import Setup

    case, request = theory.case, theory.request
    wanted = ["out", "in"] if request.half is None else [request.half]
    if request.collective == "barrier":
        wanted = ["out"]
    # What nobody checks is computed only where the kernel looks at it.
    has_values = request.mode == "timed" and (request.n_checks > 0 or theory.recorded.needs_machine)
    setup = Setup(case, has_values=has_values)
    halves = {half: measure(setup, theory, is_in_place=half == "in") for half in wanted}
    return halves.get("out"), halves.get("in")


def _said(theory: Theory) -> Half:
    """What theory says; it knows no difference between the halves."""
    case, time_ps = theory.case, theory.oracle.time
    algbw, busbw = bandwidths(case.volume, theory.request.collective, case.ranks.group.n_ranks, time_ps)
    return Half(
        time_ps=time_ps,
        window_ps=0,
        iteration_ps=(),
        algbw=algbw,
        busbw=busbw,
        n_wrong=None,
        error_ps=None,
        stall_ps=None,
        credits_min=None,
        lines=(),
    )
