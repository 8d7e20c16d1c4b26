"""Rules that a configuration must keep; each broken one is a clash of keys, with a cure at each."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kernbench.config.explain import keys_are
from kernbench.config.pe import PeSpec
from kernbench.config.quantities import Spec
from kernbench.config.rules.clash import Clash, alone
from kernbench.config.rules.fabric import (
    a_chunk_fits_every_buffer,
    chunks_are_whole_flits_of_a_packet,
    windows_hold_a_packet,
)
from kernbench.config.rules.layout import (
    counts_fill_their_grids,
    dies_that_touch_have_ports,
    every_column_reaches_the_io_die,
    the_pes_can_be_counted,
    units_of_a_cube_sit_at_its_routers,
)
from kernbench.config.rules.memory import (
    a_page_holds_a_burst,
    a_slice_of_hbm_holds_more_than_page_directories,
    bursts_divide_a_row,
    hbm_divides_among_routers_and_pes,
    pages_are_powers_of_two,
)
from kernbench.config.rules.pe import (
    a_poll_takes_time,
    dtypes_are_known,
    every_rate_class_has_a_rate,
    receive_rings_fit_the_tcm,
    the_register_file_holds_elements,
)
from kernbench.config.schema import ComponentsSpec, TopologySpec
from kernbench.kinds import kinds

TopologyRule = Callable[[TopologySpec], Iterator[Clash]]
COUNT_RULES: tuple[TopologyRule, ...] = (counts_fill_their_grids, the_pes_can_be_counted)
TOPOLOGY_RULES: tuple[TopologyRule, ...] = (
    chunks_are_whole_flits_of_a_packet,
    a_chunk_fits_every_buffer,
    windows_hold_a_packet,
    units_of_a_cube_sit_at_its_routers,
    hbm_divides_among_routers_and_pes,
    bursts_divide_a_row,
    dies_that_touch_have_ports,
    every_column_reaches_the_io_die,
    dtypes_are_known,
    every_rate_class_has_a_rate,
    receive_rings_fit_the_tcm,
    a_poll_takes_time,
    the_register_file_holds_elements,
    pages_are_powers_of_two,
    a_page_holds_a_burst,
    a_slice_of_hbm_holds_more_than_page_directories,
)


def broken_rules(spec: Spec) -> Iterator[Clash]:
    """What is wrong with ``spec``, most basic first; nothing for a kind of spec that has no rules."""
    if isinstance(spec, TopologySpec):
        # What follows from the counts, and goes through them, waits until they are right: a grid may say 10^9.
        uncounted = [clash for rule in COUNT_RULES for clash in rule(spec)]
        yield from uncounted or (clash for rule in TOPOLOGY_RULES for clash in rule(spec))
    elif isinstance(spec, ComponentsSpec):
        known = [kind.name for kind in kinds() if not kind.part or kind.part in PeSpec.fields()]
        added = [kind.name for kind in kinds() if kind.name not in known]  # a machine may have no such unit
        for name, message in keys_are(spec.components, known, added):
            yield alone(f"components.{name}", message)
