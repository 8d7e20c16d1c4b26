"""What a machine counts from the beginning of time: bytes moved, pages translated, and how busy its units were."""

from __future__ import annotations

from kernbench.analysis.launch_span import Moved
from kernbench.analysis.summary import Translations, UnitReading
from kernbench.components.pe.pe_mmu import PeMmu
from kernbench.machine.assemble import Assembly


def moved(assembly: Assembly) -> Moved:
    """Bytes that links, memories and TCMs of a machine moved so far."""
    memories: dict[int, int] = {}
    tcm_bytes = 0
    for unit in assembly.components.values():
        if unit.node.kind == "pe_tcm":
            tcm_bytes += unit.moved_bytes
        elif unit.moved_bytes:
            memories[unit.node.index] = unit.moved_bytes
    return Moved(assembly.fabric.moved_bytes(), memories, tcm_bytes)


def translations(assembly: Assembly) -> Translations:
    """Pages that all PE_MMUs of a machine looked up so far."""
    mmus = [unit for unit in assembly.components.values() if isinstance(unit, PeMmu)]
    return Translations(
        sum(mmu.n_hits for mmu in mmus), sum(mmu.n_misses for mmu in mmus), sum(mmu.n_walks for mmu in mmus)
    )


def unit_readings(assembly: Assembly) -> tuple[UnitReading, ...]:
    """What every unit's meter shows now, in the order of the graph."""
    readings = []
    for _, unit in sorted(assembly.components.items()):
        for name, meter in unit.meters():
            node = f"{unit.node.name}.{name}" if name else unit.node.name
            readings.append(
                UnitReading(node, unit.node.kind, meter.busy_ps, dict(meter.stalled_ps), unit.moved_bytes)
            )
    return tuple(readings)
