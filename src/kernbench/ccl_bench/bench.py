"""A request at any size: the bench behind ``kernbench ccl``."""

from __future__ import annotations

import time

from kernbench.ccl.algorithm import ALGORITHMS, require_served
from kernbench.ccl.inputs import REDUCING
from kernbench.ccl_bench.case import Case
from kernbench.ccl_bench.measurement import measure
from kernbench.ccl_bench.ranks import Ranks
from kernbench.ccl_bench.request import ROOTED, Request, algorithms_of, require_known
from kernbench.ccl_bench.row import CclRow
from kernbench.ccl_bench.theory import Theory
from kernbench.ccl_bench.volume import Volume
from kernbench.config.schema import Config, size_ranges
from kernbench.errors import UnknownNameError, UsageError
from kernbench.registry import did_you_mean


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
        if request.algorithm is not None and request.algorithm not in ALGORITHMS:
            cure = did_you_mean(request.algorithm, of_it)
            raise UnknownNameError(f"unknown algorithm {request.algorithm!r} of {request.collective}; {cure}")
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
                f"no algorithm of {request.collective} can serve {group.n_ranks} ranks ({reasons}); give another "
                "number with --ranks"
            )
        return tuple(name for name in of_it if name not in refused)

    def algorithm_at(self, size_bytes: int) -> str:
        """Its name: as asked for; else as ``ccl.yaml`` selects for the size, if that can serve; else the first."""
        n_bytes = Volume(self.request, self.ranks.group.n_ranks, size_bytes).smaller_bytes
        for found in size_ranges(getattr(self.config.ccl.selection, self.request.collective, self.able[0])):
            if (found.last_bytes is None or n_bytes <= found.last_bytes) and found.algorithm in self.able:
                return found.algorithm
        return self.able[0]

    def row(self, size_bytes: int, name: str | None = None) -> CclRow:
        """Measure at ``size_bytes``, or the nearest size below that the ranks can share."""
        request, begin_s = self.request, time.perf_counter()
        case = Case(request, self.ranks, name or self.algorithm_at(size_bytes), size_bytes)
        theory, volume = Theory(case), case.volume
        first = measure(case, theory, is_in_place=False)
        second = None if request.collective == "barrier" else measure(case, theory, is_in_place=True)
        found, bound = theory.outcome, theory.bound
        return CclRow(
            algorithm=case.name,
            size_bytes=volume.larger_bytes,
            n_elem=volume.count,
            dtype=request.dtype,
            op=request.op if request.collective in REDUCING else None,
            root=request.root if request.collective in ROOTED else None,
            out_of_place=first,
            in_place=second,
            n_steps=None if found is None else found.n_steps,
            max_link_bytes=theory.max_link_bytes,
            total_bytes=case.algorithm.elems_sent(self.ranks.group.n_ranks, volume.n_elem)
            * case.dtype.size_bytes,
            bound_ps=bound,
            bound_share=float(bound / first.time_ps) if first.time_ps else None,
            oracle=theory.oracle,
            host_s=time.perf_counter() - begin_s,
        )
