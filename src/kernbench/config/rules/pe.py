"""Rules of a PE: dtypes and rates of its units, its queues' rings, its registers."""

from __future__ import annotations

from collections.abc import Iterator

from kernbench.config.explain import did_you_mean, keys_are
from kernbench.config.pe import RATE_CLASSES, IpcqSpec
from kernbench.config.rules.clash import Clash, alone
from kernbench.config.schema import TopologySpec
from kernbench.dtypes import DTYPES, as_dtype
from kernbench.errors import DTypeError


def dtypes_are_known(spec: TopologySpec) -> Iterator[Clash]:
    """Each once, by any of its names."""
    for path, table in (
        ("pe.gemm.macs_per_cycle", spec.pe.gemm.macs_per_cycle),
        ("pe.math.lanes", spec.pe.math.lanes),
    ):
        seen: dict[str, str] = {}
        for name in table:
            try:
                dtype = as_dtype(name).name
            except DTypeError:
                cure = did_you_mean(name, (d.name for d in DTYPES))
                yield alone(f"{path}.{name}", f"unknown dtype; {cure}")
                continue
            if dtype in seen:
                yield Clash(
                    {
                        f"{path}.{name}": f"is the same dtype as {seen[dtype]!r}; keep one of them",
                        f"{path}.{seen[dtype]}": f"is the same dtype as {name!r}; keep one of them",
                    }
                )
            seen[dtype] = name


def every_rate_class_has_a_rate(spec: TopologySpec) -> Iterator[Clash]:
    """Each rate class that an op names has a rate."""
    for name, message in keys_are(spec.pe.math.rate, RATE_CLASSES):
        yield alone(f"pe.math.rate.{name}", message)


def receive_rings_fit_the_tcm(spec: TopologySpec) -> Iterator[Clash]:
    """The receive rings of the directions, in pairs, fit the TCM."""
    ipcq, tcm_bytes = spec.pe.ipcq, spec.pe.tcm.size_bytes
    names = ipcq.directions
    if len(set(names)) != len(names):
        yield alone("pe.ipcq.directions", "a direction is named twice")
    for name, other in (("N", "S"), ("S", "N"), ("E", "W"), ("W", "E")):
        if name in names and other not in names:
            yield alone(
                "pe.ipcq.directions", f"{name} is joined to {other} of the next PE; name both, or none"
            )
    rings = ring_bytes(ipcq)
    if ipcq.buffer != "tcm" or rings <= tcm_bytes:
        return
    what = (
        f"{len(names)} rings of {ipcq.slots} x {ipcq.slot_bytes} B are {rings} B, more than <pe.tcm.size>: "
    )
    what += f"{tcm_bytes} B"
    slots, slot_bytes = tcm_bytes // (len(names) * ipcq.slot_bytes), tcm_bytes // (len(names) * ipcq.slots)
    elsewhere = "pe.ipcq.buffer: hbm"
    yield Clash(
        {
            "pe.ipcq.slots": f"{what}; write {f'{slots} or less, or ' if slots else ''}{elsewhere}",
            "pe.ipcq.slot_size": f"{what}; write {f'{slot_bytes} or less, or ' if slot_bytes else ''}"
            f"{elsewhere}",
            "pe.ipcq.directions": f"{what}; write fewer, or {elsewhere}",
            "pe.ipcq.buffer": f"{what}; write hbm, or fewer <pe.ipcq.slots>",
            "pe.tcm.size": f"{tcm_bytes} B do not hold the receive rings of the queues, {len(names)} of "
            f"<pe.ipcq.slots>: {ipcq.slots} x <pe.ipcq.slot_size>: {ipcq.slot_bytes} B; write {rings} or more, or "
            + (f"pe.ipcq.slots: {slots}" if slots else elsewhere),
        }
    )


def a_poll_takes_time(spec: TopologySpec) -> Iterator[Clash]:
    """Else it would never end within an instant."""
    if not spec.pe.ipcq.poll_ps:
        yield alone(
            "pe.ipcq.poll_ns",
            "0 is no interval; write how often a sender looks, or let it sleep (ccl.yaml)",
        )


def the_register_file_holds_elements(spec: TopologySpec) -> Iterator[Clash]:
    """Two of the widest dtype."""
    needed = 2 * max(dtype.size_bytes for dtype in DTYPES)
    if spec.pe.regfile.operands_bytes < needed:
        yield alone(
            "pe.regfile.operands",
            f"{spec.pe.regfile.operands_bytes} B cannot hold two elements, one in use and one on its way; "
            f"write {needed} or more",
        )


def ring_bytes(ipcq: IpcqSpec) -> int:
    """Bytes of all receive rings of a PE."""
    return len(ipcq.directions) * ipcq.slots * ipcq.slot_bytes
