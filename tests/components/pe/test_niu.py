"""The NIU sorts what arrives, and never refuses."""

from __future__ import annotations

from types import SimpleNamespace

from kernbench.engine.channel import Receiver
from kernbench.messages.fabric import PacketKind


def test_it_is_an_end_point_that_always_sinks(pe):
    assert isinstance(pe.niu, Receiver)
    assert pe.niu.always_sinks


def test_answers_go_to_dma_and_messages_to_the_cpu_with_their_last_chunk(pe):
    answers = []
    pe.niu.ports = {"pe_dma": SimpleNamespace(receive=answers.append), "pe_cpu": pe.pe_cpu}
    data, ack = (
        pe.fabric.packet(kind, None, 64)[0] for kind in (PacketKind.READ_RESPONSE, PacketKind.WRITE_ACK)
    )
    first, last = pe.fabric.packet(PacketKind.CONTROL, "launch", 2000)
    assert all(pe.niu.receive(chunk) for chunk in (data, ack, first))
    assert answers == [data, ack]
    assert list(pe.pe_cpu.inbox.items) == []
    pe.niu.receive(last)
    assert list(pe.pe_cpu.inbox.items) == ["launch"]
