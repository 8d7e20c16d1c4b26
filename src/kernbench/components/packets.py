"""How a piece of memory becomes packets and transactions, for whoever reads or writes over the fabric."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kernbench.components.base import Site
from kernbench.messages.fabric import READ_REQUEST, REQ, Chunk, Piece, Transaction


def burst_bytes(piece: Piece, burst: int) -> int:
    """What a memory with bursts of ``burst`` bytes moves for ``piece``: each run rounded out to whole bursts."""
    _, pa, run_bytes, pitch, n_runs, _, _ = piece
    if n_runs == 1 or pitch % burst == 0:
        return _rounded(pa, run_bytes, burst) * n_runs
    return sum([_rounded(pa + i * pitch, run_bytes, burst) for i in range(n_runs)])


def _rounded(pa: int, run_bytes: int, burst: int) -> int:
    return ((pa + run_bytes + burst - 1) // burst - pa // burst) * burst


def transaction_for(
    site: Site,
    packet: Piece,
    answered: Callable[[Chunk], object],
    *,
    is_write: bool,
    tag: object = None,
    landed: Callable[[Transaction], object] | None = None,
) -> Transaction:
    """The transaction that moves ``packet`` for the component at ``site``, issued now (see :class:`Transaction`)."""
    return Transaction(
        packet,
        answered,
        is_write=is_write,
        requester=site.address,
        burst_bytes=burst_bytes(packet, site.burst_bytes),
        issued_ps=site.engine.now_ps,
        tag=tag,
        landed=landed,
    )


def request_read(site: Site, packet: Piece, answered: Callable[[Chunk], object], tag: object = None) -> None:
    """Ask the memory of ``packet`` for it; ``answered`` gets what comes."""
    transaction = transaction_for(site, packet, answered, is_write=False, tag=tag)
    (request,) = site.fabric.packet(READ_REQUEST, transaction, 0)
    site.fabric.post(request, site.address, packet.owner, REQ, site.engine.now_ps, 0)


def packets(piece: Piece, packet_bytes: int) -> Iterator[Piece]:
    """``piece`` in parts of at most ``packet_bytes``: whole runs together, a long run cut up."""
    owner, pa, run, pitch, count, offset, offset_pitch = piece
    if run > packet_bytes:
        for i in range(count):
            for at in range(0, run, packet_bytes):
                part = min(packet_bytes, run - at)
                yield Piece(owner, pa + i * pitch + at, part, part, 1, offset + i * offset_pitch + at, part)
        return
    per_packet = packet_bytes // run
    for first in range(0, count, per_packet):
        n = min(per_packet, count - first)
        yield Piece(owner, pa + first * pitch, run, pitch, n, offset + first * offset_pitch, offset_pitch)
