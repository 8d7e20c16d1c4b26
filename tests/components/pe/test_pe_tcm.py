"""PE_TCM's two ports serialise separately, 128 bytes a nanosecond each, and answer 6 ns later."""

from __future__ import annotations

from kernbench.messages.tokens import TcmRequest


def read(size_bytes: int, start_ps: int = 0) -> TcmRequest:
    return TcmRequest(is_write=False, size_bytes=size_bytes, start_ps=start_ps)


def write(size_bytes: int, start_ps: int = 0) -> TcmRequest:
    return TcmRequest(is_write=True, size_bytes=size_bytes, start_ps=start_ps)


def test_a_burst_takes_its_bytes_over_the_rate_and_the_latency(pe):
    assert pe.pe_tcm.access(read(1280, start_ps=5_000)) == 5_000 + 10_000 + 6_000


def test_bursts_at_one_port_wait_for_each_other(pe):
    assert [pe.pe_tcm.access(read(1280)) for _ in range(3)] == [16_000, 26_000, 36_000]


def test_reads_and_writes_do_not(pe):
    assert [pe.pe_tcm.access(read(1280)), pe.pe_tcm.access(write(1280))] == [16_000, 16_000]


def test_each_port_counts_its_bytes(pe):
    for request in (read(100), read(28), write(64)):
        pe.pe_tcm.access(request)
    assert (pe.pe_tcm.read_port.size_bytes, pe.pe_tcm.write_port.size_bytes) == (128, 64)
    assert pe.pe_tcm.moved_bytes == 192
