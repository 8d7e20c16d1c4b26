"""The NIU sorts what arrives, and never refuses."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kernbench.engine.channel import Receiver
from kernbench.messages.fabric import LaunchMsg, MmuMapMsg, MmuUnmapMsg, PacketKind


def test_it_is_an_end_point_that_always_sinks(pe):
    assert isinstance(pe.niu, Receiver)
    assert pe.niu.always_sinks


def test_an_answer_goes_to_whoever_asked(pe):
    answers = []
    asked = SimpleNamespace(owner=SimpleNamespace(receive=answers.append))
    data, ack = (
        pe.fabric.packet(kind, asked, 64)[0] for kind in (PacketKind.READ_RESPONSE, PacketKind.WRITE_ACK)
    )
    assert pe.niu.receive(data)
    assert pe.niu.receive(ack)
    assert answers == [data, ack]


@pytest.mark.parametrize(
    ("message", "unit"),
    [
        (LaunchMsg(job=0, programs={}, reply_to=0, size_bytes=2000), "pe_cpu"),
        (MmuMapMsg(job=0, mapping=None, pes=(), reply_to=0, size_bytes=2000), "pe_mmu"),
        (MmuUnmapMsg(job=0, mapping=None, pes=(), reply_to=0, size_bytes=2000), "pe_mmu"),
    ],
)
def test_a_message_goes_to_its_unit_with_its_last_chunk(pe, message, unit):
    first, last = pe.fabric.packet(PacketKind.CONTROL, message, message.size_bytes)
    pe.units[unit].inbox.getters.clear()
    assert pe.niu.receive(first)
    assert list(pe.units[unit].inbox.items) == []
    assert pe.niu.receive(last)
    assert list(pe.units[unit].inbox.items) == [message]
