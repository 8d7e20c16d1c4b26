"""The op log: what Phase 1 timed and Phase 2 replays, as int64 columns.

``OpRecord`` is one row. Format 4: columns in the order of ``OpRecord._fields``, op names by ``OpCode``; rows in the
order of ``end_ps``, then of the first five columns, then of when their node finished them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final, NamedTuple

from kernbench.config.pe import PeSpec
from kernbench.kinds import Op, OpName, unit_kinds


class OpCode(IntEnum):
    """What a unit finished."""

    START = 0  # PE_CPU began a launch
    ISSUE = 1  # PE_CPU issued a command
    READBACK = 2  # PE_CPU waited for a value or a completion
    DISPATCH = 3  # PE_SCHEDULER admitted a command
    DMA_READ = 4
    FETCH = 5
    GEMM = 6
    MATH = 7
    STORE = 8
    DMA_WRITE = 9
    END = 10  # PE_CPU ended a launch
    CONTROL = 11  # IO_CPU or M_CPU handled a message
    HOST_WRITE = 12
    HOST_READ = 13
    WALK = 14  # PE_MMU read a page's entry
    TABLE_WRITE = 15  # M_CPU wrote entries
    HOST_MAP = 16  # a tensor's pages became valid, as the host sees it
    HOST_UNMAP = 17
    SLOT = 18  # PE_IPCQ gave a part of a message its slot
    IPCQ_COPY = 19  # PE_DMA sent it
    RECV = 20  # PE_IPCQ matched a slot that has arrived with a receive
    DRAIN = 21  # PE_DMA copied a slot into TCM
    HOST_QUEUES = 22  # queues were installed or removed, as the host sees it


# By names of their own, for where they are asked for often: an enum is slow to look into.
(
    START, ISSUE, READBACK, DISPATCH, DMA_READ, FETCH, GEMM, MATH, STORE, DMA_WRITE, END, CONTROL, HOST_WRITE,
    HOST_READ, WALK, TABLE_WRITE, HOST_MAP, HOST_UNMAP, SLOT, IPCQ_COPY, RECV, DRAIN, HOST_QUEUES,
) = OpCode  # fmt: skip

_BUILT_IN: Mapping[OpName, int] = {code: int(code) for code in OpCode}


def op_codes(pe: PeSpec) -> Mapping[OpName, int]:
    """The code of each op that a machine of such PEs logs.

    Ops of units beyond the built-in ones have the numbers that follow, in the order of the units in the PE, which is
    that of their kinds' names: so they depend on nothing but the machine.
    """
    if type(pe) is PeSpec:
        return _BUILT_IN
    codes = dict(_BUILT_IN)
    codes.update(added_ops(pe).items())
    return codes


def added_ops(pe: PeSpec) -> dict[str, int]:
    """The codes of the ops that only units beyond the built-in ones log."""
    added = [op.what for kind in unit_kinds(pe) for op in kind.ops if isinstance(op.what, str)]
    return {name: code for code, name in enumerate(added, start=len(OpCode))}


def op_names(pe: PeSpec) -> dict[int, str]:
    """The name of each op code in the log of a machine of such PEs: what decodes its column ``op``."""
    return {code: op if isinstance(op, str) else OpCode(op).name for op, code in op_codes(pe).items()}


def op_rows(pe: PeSpec) -> dict[int, Op]:
    """What the units of such a PE say of the ops they log, by code."""
    codes = op_codes(pe)
    return {codes[op.what]: op for kind in unit_kinds(pe) for op in kind.ops}


class OpRecord(NamedTuple):
    """One finished piece of work.

    ``node`` is a node index; ``command`` the PE's command number (-1: none); ``tile`` its index in the plan;
    ``ready_ps`` when the unit could have begun had it been free; ``[start_ps, end_ps)`` when it worked;
    ``commit_ps`` when its memory effect took hold (-1: none); ``cause`` the record whose end let it begin (-1: the
    beginning); ``version`` the value made (-1: none); ``va`` the address touched (-1: none); ``size_bytes``
    moved; ``work`` MACs or visits. ``mark1_ps`` .. ``mark5_ps`` split a DMA record's time
    along the transactions that decided it, each behind the one whose answer made room for it: up to the marks, the
    sums of their set-up, page walks, way there, wait at the memory and service, and then the way back (-1: no
    transaction).
    """

    node: int
    op: int
    program: int
    command: int
    tile: int
    ready_ps: int
    start_ps: int
    end_ps: int
    commit_ps: int
    cause: int
    version: int
    va: int
    size_bytes: int
    work: int
    mark1_ps: int
    mark2_ps: int
    mark3_ps: int
    mark4_ps: int
    mark5_ps: int


class Row:
    """A record in the op log, for whoever keeps it as the cause of others.

    ``number`` is its row; only the log reads it, which gives it for good when it packs what ended by then.
    """

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


NO_CAUSE: Final = Row(-1)  # the beginning
NO_MARKS: Final = (-1,) * 5  # of what is not decided by transactions
