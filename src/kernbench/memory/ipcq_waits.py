"""What is said of queues that go wrong: a message that is not what was received, commands that wait for ever."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

from kernbench.errors import DTypeError, QueueError, ShapeError
from kernbench.messages.commands import Command, IpcqRecvCmd, IpcqSendCmd
from kernbench.messages.ipcq import Metadata, QueueEnd
from kernbench.topology.ids import PeId
from kernbench.wording import plural

N_NAMED = 4  # queues that an error about what is left over names


class Waiter(NamedTuple):
    """A command that waits at a queue end.

    Of the ring that it sends into or receives from: ``credits`` are those its sender holds, ``filled`` the slots with
    bytes in them; ``progress`` says when the command's side of it last moved (empty: there is no time).
    """

    end: QueueEnd
    command: Command
    credits: int
    filled: int
    progress: str = ""

    def text(self, pes: Sequence[PeId]) -> str:
        """The command, its line, and what it waits for."""
        end, ring = self.end, self.end.ring
        peer = f"{pes[end.peer.pe]}'s queue {end.peer.name!r}"
        progress = f"; last progress at {self.progress}" if self.progress else ""
        slots = f"{self.filled} of {ring.slots} slots filled, {self.credits} of {ring.slots} credits held"
        wanted = "credit" if isinstance(self.command, IpcqSendCmd) else "message"
        return f"{called(self.command)} waits for a {wanted} from {peer}: {slots}{progress}"


def called(command: Command) -> str:
    """A send or receive as its kernel wrote it, with its line."""
    assert isinstance(command, (IpcqSendCmd, IpcqRecvCmd))
    return f'tl.{command.name}("{command.queue.name}") at {command.line}'


def cycle_line(waiters: Iterable[Waiter], pes: Sequence[PeId]) -> str:
    """The PEs that wait for each other in a circle, each for the next; empty if none do."""
    waits: dict[int, set[int]] = {}
    for waiter in waiters:
        waits.setdefault(waiter.end.pe, set()).add(waiter.end.peer.pe)
    try:
        TopologicalSorter({pe: sorted(peers) for pe, peers in sorted(waits.items())}).prepare()
    except CycleError as error:
        return "cycle: " + " -> ".join(str(pes[pe]) for pe in reversed(error.args[1]))
    return ""


class LeftOver(NamedTuple):
    """What a launch left at a queue end: messages nobody received, and slots received whose credits are missing."""

    end: QueueEnd
    unreceived: Sequence[Metadata]
    n_kept: int


def left_over(found: Sequence[LeftOver], pes: Sequence[PeId]) -> QueueError:
    """The error that names the queues and the lines; one of several ends, with how many there are."""
    found = sorted(found, key=lambda at: (at.end.pe, at.end.name))
    n_messages = sum(len(at.unreceived) for at in found)
    parts = []
    for end, unreceived, n_kept in found[:N_NAMED]:
        here, there = pes[end.pe], pes[end.peer.pe]
        lines = ", ".join(dict.fromkeys(str(metadata.line) for metadata in unreceived))
        if unreceived:
            parts.append(
                f"{here}'s queue {end.name!r} holds {len(unreceived)} from {there} (sent at {lines})"
            )
        if n_kept:
            parts.append(f"{here}'s queue {end.name!r} owes {there} {plural(n_kept, 'credit')}")
    if len(found) > N_NAMED:
        parts.append(plural(len(found) - N_NAMED, "more queue"))
    return QueueError(
        f"the launch ended with {plural(n_messages, 'message')} that nobody received: {'; '.join(parts)}; "
        "receive each message that is sent"
    )


def mismatch(
    command: IpcqRecvCmd, metadata: Metadata, end: QueueEnd, pes: Sequence[PeId]
) -> ShapeError | DTypeError | None:
    """The error that says how a message differs from what ``command`` receives; None when it does not."""
    asked = command.result
    assert asked is not None
    if asked.shape == metadata.shape and asked.dtype is metadata.dtype:
        return None
    kind = ShapeError if asked.shape != metadata.shape else DTypeError
    return kind(
        f'{command.line}: tl.recv("{end.name}") on {pes[end.pe]} asks for {list(asked.shape)} {asked.dtype}, and '
        f"{pes[end.peer.pe]} sent {list(metadata.shape)} {metadata.dtype} at {metadata.line}; "
        "receive the shape and dtype that are sent, in the order they are sent"
    )
