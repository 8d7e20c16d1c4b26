"""PE_GEMM: the matrix array."""

from __future__ import annotations

from kernbench.components.base import COMPONENTS, Site
from kernbench.components.gemm_rate import macs_per_cycle
from kernbench.components.pipeline import ComputeUnit
from kernbench.config.pe import GemmSpec
from kernbench.dtypes import DType
from kernbench.kinds import Cause, Kind, Op
from kernbench.messages.commands import GemmCmd
from kernbench.messages.oplog import OpCode
from kernbench.messages.tokens import TileToken
from kernbench.units import ceil_div, cycles_ps

_GEMM = Op(
    OpCode.GEMM,
    Cause(
        "gemm",
        "the array is at work",
        "fill the array (multiples of pe.gemm.m and n), use a narrower dtype, or more PEs",
    ),
)


def _figures(spec: GemmSpec, pe: object) -> tuple[str, ...]:
    name, macs = next(iter(spec.macs_per_cycle.items()))
    return f"{spec.m} x {spec.n} array", f"{name}: {macs}/clk", f"fill {spec.fill_cycles} clk"


class PeGemm(ComputeUnit):
    """Multiplies one tile at a time, from operand registers into accumulators.

    A tile of ``m x n x k``, padded to whole arrays, holds the array for ``ceil(m * n * k / macs_per_cycle)`` cycles,
    and ``fill_cycles`` more when the array had run dry. The next tile waits in the other half of the operand
    registers.
    """

    kind = Kind(
        "pe_gemm",
        GemmSpec,
        part="gemm",
        gives_to=("pe_fetch_store", "pe_scheduler"),
        stages=(_GEMM,),
        role="compute",
        place=(0.70, 0.50),
        figures=_figures,
    ).declare()

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.params: GemmSpec = site.node.spec
        self._busy_ps: dict[
            tuple[int, int, int, DType, bool], int
        ] = {}  # by extents: a product has many equal tiles

    def busy_ps(self, token: TileToken, *, dry: bool) -> int:
        """Time the tile occupies the array."""
        command, tile = token.context.command, token.plan
        assert isinstance(command, GemmCmd)
        key = (tile.m, tile.n, tile.k, command.a.dtype, dry)
        busy_ps = self._busy_ps.get(key)
        if busy_ps is None:
            busy_ps = self._busy_ps[key] = self._time_of(*key)
        return busy_ps

    def _time_of(self, m: int, n: int, k: int, dtype: DType, dry: bool) -> int:
        spec = self.params
        macs = ceil_div(m, spec.m) * spec.m * ceil_div(n, spec.n) * spec.n * ceil_div(k, spec.k) * spec.k
        cycles = spec.fill_cycles * dry + ceil_div(macs, macs_per_cycle(dtype, spec))
        return cycles_ps(cycles, self.site.pe_spec.clock_mhz)


COMPONENTS.register("pe_gemm_v1")(PeGemm)
