"""PE_TCM's two ports serialise separately, 128 bytes a nanosecond each, and answer 6 ns later."""

from __future__ import annotations


def test_a_burst_takes_its_bytes_over_the_rate_and_the_latency(pe):
    assert pe.pe_tcm.read(1280, 5_000, 5_000) == 5_000 + 10_000 + 6_000


def test_bursts_at_one_port_wait_for_each_other(pe):
    assert [pe.pe_tcm.read(1280, 0, 0) for _ in range(3)] == [16_000, 26_000, 36_000]


def test_reads_and_writes_do_not(pe):
    assert [pe.pe_tcm.read(1280, 0, 0), pe.pe_tcm.write(1280, 0, 0)] == [16_000, 16_000]


def test_each_port_counts_its_bytes(pe):
    pe.pe_tcm.read(100, 0, 0)
    pe.pe_tcm.read(28, 0, 0)
    pe.pe_tcm.write(64, 0, 0)
    assert (pe.pe_tcm.read_port.size_bytes, pe.pe_tcm.write_port.size_bytes) == (128, 64)
    assert pe.pe_tcm.moved_bytes == 192
