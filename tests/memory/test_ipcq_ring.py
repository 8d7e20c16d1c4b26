"""The two ends of a ring: nothing is lost or overwritten, order holds, and credits plus what is in use are the depth.

A ring is played against a plain deque: messages on their way, slots taken, credits on their way.
"""

import re
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kernbench.memory.ipcq_ring import ReceiveRing, SendRing

FIRSTS = (0, 2**32 - 2, 2**64 - 2)
DEPTHS = st.sampled_from([1, 2, 3, 8])


class Ring(RuleBasedStateMachine):
    """Both ends and the wires between them; ``slots`` is the memory, in which a slot holds what was written last."""

    @initialize(depth=DEPTHS, first=st.sampled_from(FIRSTS), batch=st.integers(1, 3))
    def make(self, depth, first, batch):
        self.depth, self.first, self.batch = depth, first, batch
        self.sender, self.receiver = SendRing(depth, first), ReceiveRing(depth, first)
        self.slots = [None] * depth
        self.n_pushed = 0
        self.flying, self.due = deque(), deque()  # slot numbers on the wire; stamps not yet received
        self.held = []  # slots that a value occupies, with their stamps
        self.credits = deque()  # heads on the way back

    @precondition(lambda self: self.sender.credits)
    @rule()
    def push(self):
        number = self.sender.push()
        assert number == self.first + self.n_pushed
        self.slots[number % self.depth] = self.n_pushed
        self.due.append(self.n_pushed)
        self.flying.append(number)
        self.n_pushed += 1

    @precondition(lambda self: self.flying)
    @rule()
    def arrive(self):
        self.receiver.arrive(self.flying.popleft())

    @precondition(lambda self: self.receiver.taken < self.receiver.tail)
    @rule()
    def take(self):
        number, stamp = self.receiver.take(), self.due.popleft()
        assert self.slots[number % self.depth] == stamp
        self.held.append((number, stamp))

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def free_any(self, data):
        number, stamp = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        assert self.slots[number % self.depth] == stamp, "overwritten while it was in use"
        self.receiver.free(number)
        self.credits += self.receiver.tell(self.batch)

    @rule()
    def tell_all(self):
        if self.receiver.withheld:
            self.credits += self.receiver.tell(self.receiver.withheld)

    @precondition(lambda self: self.credits)
    @rule()
    def credit(self):
        self.sender.credit(self.credits.popleft())

    @invariant()
    def every_slot_is_somewhere(self):
        if not hasattr(self, "depth"):
            return
        sender, receiver = self.sender, self.receiver
        assert 0 <= sender.credits <= self.depth
        assert sender.head <= receiver.told <= receiver.head <= receiver.taken <= receiver.tail <= sender.tail
        assert receiver.tail <= receiver.told + self.depth
        assert receiver.filled == receiver.tail - receiver.head
        assert receiver.withheld == receiver.head - receiver.told
        on_the_way_back = receiver.told - sender.head
        assert (
            sender.credits + len(self.flying) + receiver.filled + receiver.withheld + on_the_way_back
            == self.depth
        )
        oldest_held = min((number for number, _ in self.held), default=receiver.taken)
        assert receiver.head == oldest_held
        assert receiver.withheld < self.batch


TestRing = Ring.TestCase
"""No order of pushes, arrivals, receives, frees and credits loses, doubles or overwrites a slot."""


@given(
    depth=DEPTHS,
    first=st.sampled_from(FIRSTS),
    moves=st.lists(st.sampled_from("pu"), min_size=8, max_size=60),
)
def test_a_senders_credits_are_the_depth_less_what_is_not_credited(depth, first, moves):
    ring, n_open, n_pushed = SendRing(depth, first), 0, 0
    for move in moves:
        if move == "p" and n_open < depth:
            assert ring.push() == first + n_pushed
            n_pushed += 1
            n_open += 1
        elif move == "u" and n_open:
            ring.credit(ring.head + 1)
            n_open -= 1
        assert ring.credits == depth - n_open


@pytest.mark.parametrize("first", FIRSTS)
def test_numbers_only_grow_and_the_place_in_the_ring_wraps(first):
    sender, receiver = SendRing(3, first), ReceiveRing(3, first)
    numbers = []
    for _ in range(7):
        number = sender.push()
        receiver.arrive(number)
        assert receiver.take() == number
        receiver.free(number)
        (head,) = receiver.tell(1)
        sender.credit(head)
        numbers.append(number)
    assert numbers == list(range(first, first + 7))
    assert [number % 3 for number in numbers] == [(first + i) % 3 for i in range(7)]


def test_a_ring_of_depth_one_alternates():
    sender, receiver = SendRing(1), ReceiveRing(1)
    for number in range(3):
        assert sender.credits == 1
        receiver.arrive(sender.push())
        assert (sender.credits, receiver.filled) == (0, 1)
        receiver.free(receiver.take())
        assert (receiver.filled, receiver.withheld) == (0, 1)
        assert receiver.tell(1) == [number + 1]
        sender.credit(number + 1)


def full(depth, first=0):
    """A receive ring whose slots are all taken."""
    ring = ReceiveRing(depth, first)
    for i in range(depth):
        ring.arrive(first + i)
        assert ring.take() == first + i
    return ring


@given(order=st.permutations(range(5)), first=st.sampled_from(FIRSTS))
def test_slots_freed_in_any_order_are_told_of_in_theirs(order, first):
    ring, told = full(5, first), []
    freed = set()
    for i in order:
        ring.free(first + i)
        freed.add(i)
        gapless = next((n for n in range(5) if n not in freed), 5)
        assert ring.head == first + gapless
        told += ring.tell(1)
    assert told == [first + n for n in range(1, 6)]
    assert ring.freed == set()


@pytest.mark.parametrize(
    ("batch", "told"),
    [(1, [[1], [2], [3], [4], [5]]), (2, [[], [2], [], [4], []]), (3, [[], [], [3], [], []]), (6, [[]] * 5)],
)
def test_credits_are_told_of_by_the_batch(batch, told):
    ring, heads = full(5), []
    for number in range(5):
        ring.free(number)
        heads.append(ring.tell(batch))
    assert heads == told
    assert ring.withheld == 5 - max((head for some in told for head in some), default=0)


def test_one_death_may_complete_several_batches():
    ring = full(5)
    for number in (1, 2, 3, 4):
        ring.free(number)
        assert ring.tell(2) == []
    ring.free(0)
    assert ring.tell(2) == [2, 4]
    assert ring.withheld == 1


def refused(text):
    return pytest.raises(AssertionError, match=f"^{re.escape(text)}$")


def test_a_push_without_credit_is_refused():
    ring = SendRing(2)
    ring.push(), ring.push()
    with refused("push without credit: all 2 slots are in use"):
        ring.push()
    assert ring.tail == 2


@pytest.mark.parametrize("head", [0, 3])
def test_a_credit_for_what_was_never_sent_or_already_credited_is_refused(head):
    ring = SendRing(4)
    ring.push(), ring.push()
    ring.credit(1)
    with refused(f"a credit says {head}, outside of 1..2"):
        ring.credit(head)
    assert ring.credits == 3


def test_a_credit_that_says_nothing_new_is_none():
    ring = SendRing(2)
    ring.push()
    ring.credit(0)
    assert ring.credits == 1


@pytest.mark.parametrize("number", [0, 2, 3])
def test_an_arrival_out_of_turn_is_refused(number):
    ring = ReceiveRing(4)
    ring.arrive(0)
    with refused(f"slot {number} arrived where 1 was due, 4 deep, 0 free"):
        ring.arrive(number)


def test_an_arrival_beyond_the_credits_told_of_is_refused():
    """The slot is free here already, but the sender cannot know."""
    ring = full(2, 10)
    ring.free(10)
    with refused("slot 12 arrived where 12 was due, 2 deep, 10 free"):
        ring.arrive(12)
    assert ring.tell(1) == [11]
    ring.arrive(12)


def test_taking_from_an_empty_ring_is_refused():
    ring = ReceiveRing(2)
    with refused("take from an empty ring"):
        ring.take()
    ring.arrive(0)
    ring.take()
    with refused("take from an empty ring"):
        ring.take()


@pytest.mark.parametrize("number", [0, 2, 3])
def test_a_slot_is_freed_once_and_only_if_it_was_taken(number):
    """Of four slots three have come, 0 is freed, and 2 waits for a receive."""
    ring = ReceiveRing(4)
    for i in range(3):
        ring.arrive(i)
    ring.take(), ring.take()
    ring.free(0)
    with refused(f"slot {number} is freed, and 1..2 are in use"):
        ring.free(number)


def test_a_slot_freed_before_an_older_one_is_not_freed_again():
    ring = full(3)
    ring.free(1)
    with refused("slot 1 is freed, and 0..3 are in use"):
        ring.free(1)
