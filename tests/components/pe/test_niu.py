"""The NIU sorts what arrives, and refuses nothing but a slot for which PE_DMA has no room."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kernbench.messages.fabric import LaunchMsg, MmuMapMsg, MmuUnmapMsg, PacketKind, Vc
from kernbench.messages.ipcq import CreditMsg, QueuesMsg, QueuesRemoveMsg
from kernbench.messages.oplog import NO_CAUSE


def test_it_is_an_end_point_that_sinks_all_but_slots(pe):
    assert pe.niu.end_point is pe.niu
    assert callable(pe.niu.receive)
    assert pe.niu.sinks == {Vc.CTL, Vc.REQ, Vc.RESP}


def test_an_answer_goes_to_whoever_asked(pe):
    answers = []
    asked = SimpleNamespace(answered=answers.append)
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
        (QueuesMsg(job=0, wiring=None, pes=(), reply_to=0, size_bytes=2000), "pe_ipcq"),
        (QueuesRemoveMsg(job=0, wiring=None, pes=(), reply_to=0, size_bytes=2000), "pe_ipcq"),
    ],
)
def test_a_message_goes_to_its_unit_with_its_last_chunk(pe, message, unit):
    first, last = pe.fabric.packet(PacketKind.CONTROL, message, message.size_bytes)
    pe.units[unit].inbox.getters.clear()
    assert pe.niu.receive(first)
    assert list(pe.units[unit].inbox.items) == []
    assert pe.niu.receive(last)
    assert list(pe.units[unit].inbox.items) == [message]


@pytest.mark.parametrize("has_room", [True, False])
def test_a_chunk_of_a_slot_goes_to_pe_dma_which_may_have_no_room(pe, monkeypatch, has_room):
    landed = []

    def land(chunk):
        landed.append(chunk)
        return has_room

    monkeypatch.setattr(pe.pe_dma, "land", land)
    chunks = pe.fabric.packet(PacketKind.QUEUE, None, 2000)
    assert [pe.niu.receive(chunk) for chunk in chunks] == [has_room] * 2
    assert landed == chunks


def test_a_credit_goes_to_pe_ipcq(pe, monkeypatch):
    came = []
    monkeypatch.setattr(pe.pe_ipcq, "credit", came.append)
    message = CreditMsg(None, 3, NO_CAUSE)
    assert pe.niu.receive(pe.fabric.packet(PacketKind.CREDIT, message, 0)[0])
    assert came == [message]
