"""The two ends of a ring as pure arithmetic: slots, counters and credits, without time.

Counters only grow; the slot index alone wraps. The ends meet through messages: what the sender pushes arrives in
order, and the receiver tells how many slots it has ever freed.
"""

from __future__ import annotations


class SendRing:
    """The sender's view of a peer's ring of ``depth`` slots.

    ``tail`` counts slots ever pushed, ``head`` those the receiver is known to have freed. Invariant: ``0 <= tail - head
    <= depth``. Counters start at ``first``. ``least_credits`` is the fewest that were ever left after a push; whoever
    reads it may set it back to ``depth``.
    """

    __slots__ = ("depth", "head", "least_credits", "tail")

    def __init__(self, depth: int, first: int = 0) -> None:
        self.depth = self.least_credits = depth
        self.head = self.tail = first

    @property
    def credits(self) -> int:
        """Slots that may still be filled."""
        return self.depth - (self.tail - self.head)

    def push(self) -> int:
        """Claim the next slot and return its number; ``number % depth`` is its place in the ring."""
        left = self.credits - 1
        if left < 0:
            raise AssertionError(f"push without credit: all {self.depth} slots are in use")
        self.least_credits = min(self.least_credits, left)
        self.tail += 1
        return self.tail - 1

    def credit(self, head: int) -> None:
        """The receiver has freed ``head`` slots since the beginning."""
        if not self.head <= head <= self.tail:
            raise AssertionError(f"a credit says {head}, outside of {self.head}..{self.tail}")
        self.head = head


class ReceiveRing:
    """A receiver's own ring of ``depth`` slots.

    ``tail`` counts slots ever arrived, ``taken`` those a receive has matched, ``head`` those freed without a gap,
    ``told`` the head the sender was last told. Invariant: ``told <= head <= taken <= tail <= told + depth``.
    """

    __slots__ = ("depth", "freed", "head", "tail", "taken", "told")

    def __init__(self, depth: int, first: int = 0) -> None:
        self.depth = depth
        self.head = self.taken = self.tail = self.told = first
        self.freed: set[int] = set()

    @property
    def filled(self) -> int:
        """Slots whose bytes are here and not freed: those held by a value too."""
        return self.tail - self.head

    @property
    def withheld(self) -> int:
        """Slots freed of which the sender was not told yet."""
        return self.head - self.told

    @property
    def owed(self) -> int:
        """Slots a receive has matched of which the sender was not told yet: in use, or withheld."""
        return self.taken - self.told

    def arrive(self, number: int) -> None:
        """Slot ``number`` is filled."""
        if number != self.tail or self.tail - self.told == self.depth:
            raise AssertionError(
                f"slot {number} arrived where {self.tail} was due, {self.depth} deep, {self.told} free"
            )
        self.tail += 1

    def take(self) -> int:
        """Match the oldest slot with a receive; gives its number."""
        if self.taken == self.tail:
            raise AssertionError("take from an empty ring")
        self.taken += 1
        return self.taken - 1

    def free(self, number: int) -> None:
        """Slot ``number`` is read for the last time. The head moves on when no older slot is in use."""
        if not self.head <= number < self.taken or number in self.freed:
            raise AssertionError(f"slot {number} is freed, and {self.head}..{self.taken} are in use")
        self.freed.add(number)
        while self.head in self.freed:
            self.freed.remove(self.head)
            self.head += 1

    def tell(self, batch: int) -> list[int]:
        """The heads to tell the sender of now, ``batch`` credits at a time; what is left is withheld."""
        heads = list(range(self.told + batch, self.head + 1, batch))
        if heads:
            self.told = heads[-1]
        return heads
