"""Epochs: what a program knows of the others follows from the messages that it took, and from nothing else."""

import gc
import random
import sys

from kernbench.dtypes import float32
from kernbench.memory.watch.order import Thread, WatchedLaunch
from kernbench.messages.commands import DmaReadCmd, IpcqRecvCmd, IpcqSendCmd, Operand, Space, WaitCmd
from kernbench.messages.ipcq import QueueEnd, RingSpec
from kernbench.messages.source_line import SourceLine

LINE = SourceLine("k.py", 1)
RING = RingSpec(slots=4, slot_bytes=64, kind="tcm", backpressure="sleep", credit_batch=1)


class World:
    """Threads, and messages between them by hand."""

    def __init__(self, n):
        self.messages = {}
        self.threads = [
            Thread(i, WatchedLaunch("k", "warn"), (i, 0, 0), f"pe{i}", self.messages) for i in range(n)
        ]
        self.end = QueueEnd(name="W", pe=0, rank=0, ring=RING)
        self.version = 0

    def access(self, i):
        command = DmaReadCmd().numbered(0, i, LINE)
        self.threads[i].issue(command)
        return command.epoch

    def send(self, i):
        """Program i sends; gives what travels."""
        command = IpcqSendCmd(queue=self.end).numbered(0, i, LINE)
        self.threads[i].issue(command)
        command.epoch.known()
        return command.epoch

    def recv(self, i, message, *, blocks=True):
        self.version += 1
        result = Operand(shape=(1,), dtype=float32, space=Space.TCM, version=self.version)
        awaits = (self.version,) if blocks else None
        command = IpcqRecvCmd(queue=self.end, result=result, awaits=awaits).numbered(0, i, LINE)
        self.threads[i].issue(command)
        self.messages[self.version] = message
        return self.version


def is_before(a, b):
    return b.is_behind(a.thread, a.n_sends)


def test_programs_that_share_no_message_are_not_ordered():
    world = World(2)
    a, b = world.access(0), world.access(1)
    assert not is_before(a, b)
    assert not is_before(b, a)


def test_a_program_is_behind_itself():
    world = World(1)
    a = world.access(0)
    world.send(0)
    assert is_before(a, world.access(0))


def test_what_is_before_a_send_is_before_what_is_behind_the_receive_and_nothing_else_is():
    world = World(2)
    before_send, before_recv = world.access(0), world.access(1)
    message = world.send(0)
    behind_send = world.access(0)
    world.recv(1, message)
    behind_recv = world.access(1)
    assert is_before(before_send, behind_recv)
    assert not is_before(behind_send, behind_recv)
    assert not is_before(before_send, before_recv)
    assert not is_before(before_recv, behind_send)


def test_an_order_goes_on_by_way_of_third_programs():
    world = World(3)
    first = world.access(0)
    world.recv(1, world.send(0))
    world.recv(2, world.send(1))
    assert is_before(first, world.access(2))


def test_a_message_orders_when_it_is_taken_and_not_when_it_arrives():
    world = World(2)
    first = world.access(0)
    version = world.recv(1, world.send(0), blocks=False)
    early = world.access(1)
    wait = WaitCmd(depends=(version,)).numbered(0, 1, LINE)
    world.threads[1].issue(wait)
    assert not is_before(first, early)
    assert is_before(first, world.access(1))


def test_a_test_that_says_yes_takes_the_message():
    world = World(2)
    first = world.access(0)
    version = world.recv(1, world.send(0), blocks=False)
    world.threads[1].take((version,))
    assert is_before(first, world.access(1))


def test_a_wait_for_a_load_takes_no_message():
    world = World(2)
    first = world.access(0)
    world.recv(1, world.send(0), blocks=False)
    world.threads[1].issue(WaitCmd(depends=(99,)).numbered(0, 1, LINE))
    assert not is_before(first, world.access(1))


def test_a_program_that_began_later_knows_and_is_known():
    world = World(1)
    first = world.access(0)
    message = world.send(0)
    late = Thread(7, WatchedLaunch("k", "warn"), (0, 0, 0), "pe7", world.messages)
    world.threads.append(late)
    world.recv(1, message)
    world.recv(0, late.epoch)
    assert is_before(first, world.access(1))
    assert is_before(late.epoch, world.access(0))
    assert world.access(0).known().clock().tolist() == [1, 0, 0, 0, 0, 0, 0, 1]


def test_a_long_chain_of_epochs_is_resolved_without_recursion():
    world = World(2)
    message = world.send(0)
    for _ in range(5000):
        world.recv(1, message)
    assert world.access(1).known().clock().tolist() == [1]


def test_a_clock_is_that_of_messages_added_up_one_by_one():
    """However late somebody asks for it, and however many messages it is behind."""
    rng = random.Random(0)
    world = World(5)
    clocks = [[0] * 5 for _ in world.threads]
    for _ in range(3000):
        source, target = rng.sample(range(5), 2)
        world.recv(target, world.send(source))
        clocks[source][source] += 1
        clocks[target] = [*map(max, clocks[target], clocks[source])]
        if rng.random() < 0.01:
            knows = world.access(target).known()
            others = [i for i in range(5) if i != target]
            assert [knows.n_over(i) for i in others] == [clocks[target][i] for i in others]


def test_memory_does_not_grow_with_the_number_of_messages():
    world = World(3)

    def blocks_after(n):
        for i in range(n):
            world.recv((i + 1) % 3, world.send(i % 3))
            world.access((i + 1) % 3).known()
        gc.collect()
        return sys.getallocatedblocks()

    few, many = blocks_after(500), blocks_after(20_000)
    assert many - few < 500
