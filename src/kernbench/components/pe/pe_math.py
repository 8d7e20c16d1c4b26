"""PE_MATH: the vector unit."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from math import lcm

from kernbench.components.advice import ADD_IN_ARRAY
from kernbench.components.base import COMPONENTS, Site
from kernbench.components.pipeline import ComputeUnit
from kernbench.config.pe import MathSpec, PeSpec
from kernbench.dtypes import DType, as_dtype
from kernbench.kinds import Cause, Kind, Op
from kernbench.messages.commands import Command
from kernbench.messages.oplog import OpCode
from kernbench.messages.tokens import TileToken
from kernbench.units import ceil_div, cycles_ps

_MATH = Op(
    OpCode.MATH,
    Cause(
        "math",
        "PE_MATH is at work",
        "use fewer or cheaper operations, a narrower dtype that needs no cast, or more PEs",
        ADD_IN_ARRAY,
    ),
)


def _figures(spec: MathSpec, pe: PeSpec) -> tuple[str, ...]:
    name, lanes = next(iter(spec.lanes.items()))
    return f"{lanes} lanes {name}", f"clk {pe.clock_mhz / 1000:g} GHz"


class PeMath(ComputeUnit):
    """Computes one tile at a time, from registers to registers.

    A tile takes the cycles its element visits need, ``sum(visits / (lanes * rate))`` rounded up once, and
    ``latency_cycles`` more when the pipeline had run dry. Lanes are those of the widest dtype involved.
    """

    kind = Kind(
        "pe_math",
        MathSpec,
        part="math",
        gives_to=("pe_fetch_store", "pe_scheduler"),
        stages=(_MATH,),
        role="compute",
        place=(0.90, 0.50),
        figures=_figures,
    ).declare()

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.params: MathSpec = site.node.spec
        self._weights: dict[DType, tuple[dict[str, int], int]] = {}

    def busy_ps(self, token: TileToken, *, dry: bool) -> int:
        """Time the tile occupies the lanes."""
        dtype = widest_dtype(token.context.command)
        if dtype not in self._weights:
            lanes, rates = self.params.lanes, self.params.rate
            self._weights[dtype] = cycles_per_visit(dtype, tuple(lanes.items()), tuple(rates.items()))
        weights, scale = self._weights[dtype]
        cycles = sum(n * weights[rate_class] for rate_class, n in (token.stage.visits or {}).items())
        return cycles_ps(
            ceil_div(cycles, scale) + self.params.latency_cycles * dry, self.site.pe_spec.clock_mhz
        )


COMPONENTS.register("pe_math_v1")(PeMath)


@lru_cache(maxsize=64)  # the PEs of a machine are alike
def cycles_per_visit(
    dtype: DType, lanes: tuple[tuple[str, int], ...], rates: tuple[tuple[str, Fraction], ...]
) -> tuple[dict[str, int], int]:
    """Cycles per visit to an element of ``dtype`` by rate class, in units of 1 / scale, and the scale.

    ``lanes`` and ``rates`` are those of a :class:`MathSpec`.
    """
    n_lanes = lanes_for(dtype, dict(lanes))
    cycles = {rate_class: 1 / (n_lanes * rate) for rate_class, rate in rates}
    scale = lcm(*(x.denominator for x in cycles.values()))
    return {name: int(x * scale) for name, x in cycles.items()}, scale


def widest_dtype(command: Command) -> DType:
    """The dtype of the largest elements a command reads or makes; of equals, the first."""
    operands = command.operands if command.result is None else (*command.operands, command.result)
    return max((operand.dtype for operand in operands), key=lambda dtype: dtype.size_bytes)


def lanes_for(dtype: DType, lanes: dict[str, int]) -> Fraction:
    """Elements of ``dtype`` per cycle: its own entry, or that of the narrowest listed dtype at least as wide.

    Elements wider than all listed take several lanes of the widest.

    >>> from kernbench.dtypes import float64, int8
    >>> [str(lanes_for(dtype, {"fp32": 64, "fp16": 128})) for dtype in (int8, float64)]
    ['128', '32']
    """
    listed = {as_dtype(name): n for name, n in lanes.items()}
    if dtype in listed:
        return Fraction(listed[dtype])
    by_size = sorted((known.size_bytes, n) for known, n in listed.items())
    for size_bytes, n in by_size:
        if size_bytes >= dtype.size_bytes:
            return Fraction(n)
    size_bytes, n = by_size[-1]
    return Fraction(n * size_bytes, dtype.size_bytes)
