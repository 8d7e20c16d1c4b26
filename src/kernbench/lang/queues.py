"""Sends and receives: one command each, through a queue that the PE has by name."""

from __future__ import annotations

from typing import Any

from kernbench.errors import UsageError
from kernbench.lang import transfer
from kernbench.lang.arguments import dtype_of, extent_tuple
from kernbench.lang.block import Block
from kernbench.lang.context import ProgramContext
from kernbench.lang.handle import Future, Ref, TensorHandle
from kernbench.lang.pointer import Pointer
from kernbench.lang.source import here
from kernbench.messages.commands import IpcqRecvCmd, IpcqSendCmd
from kernbench.messages.ipcq import QueueEnd, RankSite
from kernbench.registry import did_you_mean

DIRECTIONS = ("N", "S", "E", "W")  # queues of the grid, which a program has or not by where it runs


class RecvFuture(Future):
    """A receive under way; ``tl.wait`` gives its block."""

    __slots__ = ("handle",)

    def __init__(self, handle: TensorHandle) -> None:
        super().__init__(handle.value)
        self.handle = handle


def send(program: ProgramContext, queue: str, source: Any, *, blocks: bool) -> Future:
    """Send ``source``; PE_CPU waits until its last byte has left, or goes on at once."""
    end = end_of(program, "send", queue)
    if isinstance(source, (Ref, Pointer)):
        pointer = transfer.pointer_to(source, None, "the source of tl.send")
        source = transfer.load(program, pointer, None, None)
    # Held until the command is pushed: what is made here must not die before its user is issued.
    handle = program.materialised(program.block(source, "the source of tl.send"))
    done = program.result((0,), handle.dtype)
    program.elems_sent += handle.operand.n_elem
    program.push(
        IpcqSendCmd(
            queue=end,
            operands=(handle.operand,),
            result=done.operand,
            awaits=(done.operand.version,) if blocks else None,
        )
    )
    return Future(done.value)


def recv(program: ProgramContext, queue: str, shape: Any, dtype: Any, *, blocks: bool) -> RecvFuture:
    """Receive the next message; PE_CPU waits for it, or goes on at once."""
    end = end_of(program, "recv", queue)
    handle = program.result(extent_tuple(shape, "the shape"), dtype_of(dtype))
    program.push(
        IpcqRecvCmd(
            queue=end,
            result=handle.operand,
            awaits=(handle.operand.version,) if blocks else None,
        )
    )
    return RecvFuture(handle)


def store_received(program: ProgramContext, handle: TensorHandle, destination: Any) -> None:
    """Copy a received block to memory, cast to what is there; its slots are free when it is there."""
    if not isinstance(destination, (Block, int)):
        raise UsageError(f"{here()}: dst= must be a pointer or a tl.ref, not {type(destination).__name__}")
    dtype = None if isinstance(destination, (Ref, Pointer)) else handle.dtype
    pointer = transfer.pointer_to(destination, dtype, "dst=")
    transfer.store(program, pointer, handle, None)


def site_of(program: ProgramContext, what: str) -> RankSite:
    """The program's rank and queues.

    Raises:
        UsageError: no queues are installed where it runs.
    """
    site = program.port.site
    if site is None:
        raise UsageError(
            f"{here()}: tl.{what}: no queues are installed on {program.port.pe_name}; install them before the launch, "
            "as in install_queues(torch), on this PE too"
        )
    return site


def _placed(program: ProgramContext) -> str:
    """Why a program may run where its neighbour is not, and how to place it."""
    ids = ", ".join(str(i) for i in program.port.program_ids)
    return (
        f"; program ({ids}) runs on {program.port.pe_name} since programs go to the PEs that the parts of their "
        "first sharded argument are dealt to, unless torch.launch(place=, queues=) says where, as in place=[0, 1] with "
        "queues=install_queues(torch, pes=[0, 1])"
    )


def end_of(program: ProgramContext, what: str, queue: str) -> QueueEnd:
    """The queue end that ``queue`` names.

    Raises:
        UsageError: the PE has none of that name.
    """
    ends = site_of(program, f'{what}("{queue}")').ends
    end = ends.get(queue)
    if end is None:
        raise UsageError(
            f'{here()}: tl.{what}("{queue}"): {program.port.pe_name} has no queue {queue!r}; '
            f'{did_you_mean(queue, ends)}; tl.neighbor("{queue}") is None where there is none'
            + (_placed(program) if queue in DIRECTIONS else "")
        )
    return end
