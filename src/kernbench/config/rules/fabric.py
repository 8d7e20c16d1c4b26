"""Rules of what fits what on links: flits, chunks, packets, buffers, windows."""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd

from kernbench.config.rules.clash import Clash
from kernbench.config.schema import TopologySpec
from kernbench.units import ceil_div


def chunks_are_whole_flits_of_a_packet(spec: TopologySpec) -> Iterator[Clash]:
    """A chunk is some flits, and a packet one chunk at least."""
    noc = spec.cube.noc
    chunk, packet, flit = noc.chunk_bytes, noc.packet_bytes, noc.flit_bytes
    if chunk > packet:
        yield Clash(
            {
                "cube.noc.chunk": f"{chunk} B is more than a packet, <cube.noc.packet>: {packet} B; write {packet} or "
                "less",
                "cube.noc.packet": f"{packet} B is less than a chunk, <cube.noc.chunk>: {chunk} B; write {chunk} or "
                "more",
            }
        )
    if chunk % flit:
        yield Clash(
            {
                "cube.noc.chunk": f"{chunk} B is not a multiple of <cube.noc.flit>: {flit} B; write "
                f"{ceil_div(chunk, flit) * flit}",
                "cube.noc.flit": f"{flit} B does not divide <cube.noc.chunk>: {chunk} B; write {gcd(chunk, flit)}",
            }
        )


def a_chunk_fits_every_buffer(spec: TopologySpec) -> Iterator[Clash]:
    """In whole flits, with its header."""
    noc = spec.cube.noc
    chunk, header, flit = noc.chunk_bytes, noc.header_bytes, noc.flit_bytes
    needed = ceil_div(chunk + header, flit) * flit
    buffers = {
        "cube.noc.buffer_per_vc": noc.buffer_per_vc_bytes,
        "sip.ucie.buffer_per_vc": spec.sip.ucie.buffer_per_vc_bytes,
        "sip.io_die.noc.buffer_per_vc": spec.sip.io_die.noc.buffer_per_vc_bytes,
        "sip.io_die.pcie_ep.buffer_per_vc": spec.sip.io_die.pcie_ep.buffer_per_vc_bytes,
        "system.sip_link.buffer_per_vc": spec.system.sip_link.buffer_per_vc_bytes,
    }
    least = min(buffers.values()) // flit * flit
    most_chunk, most_header = (least - header) // flit * flit, least - chunk
    for key, size in buffers.items():
        if size < needed:
            enough = f"{key}: {needed} or more"
            what = f"a chunk with its header, {needed} B in whole flits, does not fit <{key}>: {size} B"
            yield Clash(
                {
                    key: f"{size} B cannot hold <cube.noc.chunk> with its header, {needed} B; it would wait "
                    f"for ever; write {needed} or more, or a smaller cube.noc.chunk",
                    "cube.noc.chunk": f"{what}; write {f'{most_chunk} or less, or ' if most_chunk > 0 else ''}{enough}",
                    "cube.noc.header": f"{what}; write {f'{most_header} or less, or ' if most_header >= 0 else ''}"
                    f"{enough}",
                    "cube.noc.flit": f"{what}; write {gcd(chunk, size)} or less, or {enough}",
                }
            )


def windows_hold_a_packet(spec: TopologySpec) -> Iterator[Clash]:
    """What may be under way is one packet at least."""
    packet = spec.cube.noc.packet_bytes
    for key, size in (
        ("pe.dma.max_inflight", spec.pe.dma.max_inflight_bytes),
        ("host.max_inflight", spec.host.max_inflight_bytes),
    ):
        if size < packet:
            yield Clash(
                {
                    key: f"{size} B is less than a packet, <cube.noc.packet>: {packet} B, which could never be sent; "
                    f"write {packet} or more",
                    "cube.noc.packet": f"{packet} B is more than <{key}>: {size} B, so it could never be sent; write "
                    f"{size} or less, or {key}: {packet}",
                }
            )
