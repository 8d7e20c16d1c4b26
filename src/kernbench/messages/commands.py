"""Commands: what a kernel asks its PE to do. Made once by the kernel language, never changed after issue.

A command names what it reads and makes by *version id* (which value) and carries spaces and addresses beside
(where it lies). Releases of values travel with the next command of the same program.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, ClassVar, NamedTuple, Self

from kernbench.dtypes import DType
from kernbench.messages.access import Access
from kernbench.messages.ipcq import QueueEnd
from kernbench.messages.source_line import SourceLine


class Space(IntEnum):
    """Where an operand lies when its command starts."""

    TCM = 0
    HBM = 1  # any memory behind PE_DMA, by virtual address: HBM or SRAM
    IMMEDIATE = 2  # known to the kernel: travels inside the command


class Operand:
    """A value a command reads or makes.

    ``version`` names the value (-1 for an immediate or for memory); ``address`` is its place in the PE's TCM
    scratch region (TCM) or 0; ``access`` are its bytes (HBM); ``value`` is the known array or number
    (IMMEDIATE). ``shape`` and ``dtype``, and with them ``n_elem`` and ``size_bytes``, always hold.
    """

    __slots__ = ("access", "address", "dtype", "n_elem", "shape", "size_bytes", "space", "value", "version")

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        dtype: DType,
        space: Space,
        version: int = -1,
        address: int = 0,
        access: Access | None = None,
        value: Any = None,
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self.space = space
        self.version = version
        self.address = address
        self.access = access
        self.value = value
        n_elem = 1
        for extent in shape:
            n_elem *= extent
        self.n_elem = n_elem
        self.size_bytes = n_elem * dtype.size_bytes


@dataclass(slots=True, eq=False, kw_only=True)
class Command:
    """Base of all commands. ``name`` is what traces show. When it is issued, it is :meth:`numbered`.

    ``operands`` are read, ``result`` is made (None for a command that makes no value). ``releases`` are the
    versions that died since the command before. ``tcm_bytes`` is what the feeder allocates for ``result``;
    0 when it inherits the accumulator's bytes (``inherits`` is then the accumulator's version).
    ``depends`` are further versions this command waits for. PE_CPU issues nothing more until the versions in ``awaits``
    are complete (None: it goes on at once). ``target`` is the memory that it writes (None: none). ``epoch`` says when,
    in the order of programs and messages, it is (None: nobody watches; see :mod:`kernbench.memory.watch.order`).
    """

    name: ClassVar[str] = "command"
    operands: tuple[Operand, ...] = ()
    result: Operand | None = None
    target: Operand | None = None
    depends: tuple[int, ...] = ()
    awaits: tuple[int, ...] | None = None
    seq: int = field(init=False)
    program: int = field(init=False)
    line: SourceLine = field(init=False)
    releases: tuple[int, ...] = field(default=(), init=False)
    inherits: int = field(default=-1, init=False)
    tcm_bytes: int = field(default=0, init=False)
    epoch: Any = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.result is not None and self.result.space is Space.TCM:
            self.tcm_bytes = self.result.size_bytes

    def numbered(self, seq: int, program: int, line: SourceLine) -> Self:
        """Note that it is the command ``seq`` of its PE, of a program and a line of its kernel; the command itself."""
        self.seq, self.program, self.line = seq, program, line
        return self


@dataclass(slots=True, eq=False, kw_only=True)
class DmaReadCmd(Command):
    """Memory to TCM: ``operands[0]`` (HBM) into ``result`` (TCM); inactive lanes become ``fill``.

    ``fill`` is None (lanes undefined: zero), a number, or an :class:`Operand` of the block's shape, which is
    then also ``operands[1]``. ``pointer_versions`` of a gather are in ``depends``. A load that ``is_volatile`` looks
    for what another program stores.
    """

    name = "load"
    fill: Any = None
    is_volatile: bool = False


@dataclass(slots=True, eq=False, kw_only=True)
class DmaWriteCmd(Command):
    """TCM to memory: ``operands[0]`` (TCM) to ``target`` (HBM); inactive lanes do not move."""

    name = "store"
    target: Operand


@dataclass(slots=True, eq=False, kw_only=True)
class GemmCmd(Command):
    """``result = a @ b (+ acc)``: operands ``a`` [m, k], ``b`` [k, n] and, if any, ``acc`` [m, n].

    All in TCM for ``tl.dot``; in HBM (``tl.ref``) for ``tl.composite``, where ``target`` is the HBM operand that
    takes the result and ``result`` is a zero-size completion handle.
    """

    name = "dot"
    m: int
    n: int
    k: int
    acc: Operand | None

    @property
    def a(self) -> Operand:
        """The left operand."""
        return self.operands[0]

    @property
    def b(self) -> Operand:
        """The right operand."""
        return self.operands[1]


@dataclass(slots=True, eq=False, kw_only=True)
class MathCmd(Command):
    """``result = op(*operands, **attrs)``: ``op`` is a registered op's name.

    ``visits`` maps a rate class ("add", "exp", ...) to element visits. ``target`` as for :class:`GemmCmd`.
    """

    name = "math"
    op: str
    attrs: dict[str, Any]
    visits: dict[str, int]


@dataclass(slots=True, eq=False, kw_only=True)
class IpcqSendCmd(Command):
    """``operands[0]`` (TCM) into the ring at the far end of ``queue``; ``result`` is a completion of no size."""

    name = "send"
    queue: QueueEnd


@dataclass(slots=True, eq=False, kw_only=True)
class IpcqRecvCmd(Command):
    """The next message of ``queue`` becomes ``result``.

    Its bytes are the slots themselves, freed when the value is, unless it ``is_copied`` into TCM slot by slot: from a
    ring in memory, or when no ring in TCM could hold it.
    """

    name = "recv"
    queue: QueueEnd
    is_copied: bool = field(init=False)

    def __post_init__(self) -> None:
        Command.__post_init__(self)
        ring = self.queue.ring
        self.is_copied = ring.kind != "tcm" or self.n_slots > ring.slots
        if not self.is_copied:
            self.tcm_bytes = 0

    @property
    def n_slots(self) -> int:
        """Slots that the message takes."""
        assert self.result is not None
        return self.queue.ring.n_slots(self.result.size_bytes)


@dataclass(slots=True, eq=False, kw_only=True)
class WaitCmd(Command):
    """PE_CPU waits until the versions in ``depends`` are complete. Makes no value, uses no unit."""

    name = "wait"

    def __post_init__(self) -> None:
        self.awaits = self.depends


class ValueRecord(NamedTuple):
    """A command whose memory effect or result took hold at ``commit_ps``; what Phase 2 replays.

    Ordered by (commit time, node index, sequence within the node).
    """

    commit_ps: int
    node: int
    seq: int
    pe: int
    command: Command
