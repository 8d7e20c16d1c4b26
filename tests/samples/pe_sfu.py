"""PE_SFU: a unit of its own for exponentials and roots, which PE_MATH then need not do."""

from kernbench.components.base import COMPONENTS
from kernbench.components.pipeline import ComputeUnit
from kernbench.config.quantities import Count, Cycles, Spec
from kernbench.kinds import Cause, Kind, Op
from kernbench.units import ceil_div, cycles_ps


class SfuSpec(Spec):
    """PE_SFU: elements per cycle, and the pipeline's latency."""

    lanes: Count
    latency_cycles: Cycles


def figures(spec, pe):
    """Two lines of the data sheet."""
    return f"{spec.lanes} lanes", f"clk {pe.clock_mhz / 1000:g} GHz"


@COMPONENTS.register("pe_sfu_v1")
class PeSfu(ComputeUnit):
    """Takes ``visits / lanes`` cycles for a tile, and ``latency_cycles`` more when the pipeline had run dry."""

    kind = Kind(
        "pe_sfu",
        SfuSpec,
        part="sfu",
        gives_to=("pe_fetch_store", "pe_scheduler"),
        fed_by=("pe_math", "pe_fetch_store"),
        stages=(Op("SFU", Cause("sfu", "PE_SFU is at work", "use fewer exponentials and roots")),),
        visits=("exp", "rsqrt"),
        role="compute",
        place=(0.80, 0.30),
        figures=figures,
    ).declare()

    def busy_ps(self, token, *, dry):
        """Time the tile occupies the lanes."""
        spec = self.node.spec
        cycles = ceil_div(token.stage.work, spec.lanes) + spec.latency_cycles * dry
        return cycles_ps(cycles, self.site.pe_spec.clock_mhz)
