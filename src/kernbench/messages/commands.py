"""Commands: what a kernel asks its PE to do. Made once by the kernel language, never changed after issue.

A command names what it reads and makes by *version id* (which value) and carries spaces and addresses beside
(where it lies). Releases of values travel with the next command of the same program.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple, Self

from kernbench.dtypes import DType
from kernbench.messages.access import Access
from kernbench.messages.ipcq import QueueEnd
from kernbench.messages.source_line import SourceLine


class Space(IntEnum):
    """Where an operand lies when its command starts."""

    TCM = 0
    HBM = 1  # any memory behind PE_DMA, by virtual address: HBM or SRAM
    IMMEDIATE = 2  # known to the kernel: travels inside the command


_NOWHERE = SourceLine("?", 0)
TCM, HBM, IMMEDIATE = Space  # asked for with every command, and ``Space.TCM`` takes as long as a call


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


class Command:
    """Base of all commands. ``name`` is what traces show. When it is issued, it is :meth:`numbered`.

    ``operands`` are read, ``result`` is made (None for a command that makes no value). ``releases`` are the
    versions that died since the command before. ``tcm_bytes`` is what the feeder allocates for ``result``;
    0 when it inherits the accumulator's bytes (``inherits`` is then the accumulator's version).
    ``depends`` are further versions this command waits for. PE_CPU issues nothing more until the versions in ``awaits``
    are complete (None: it goes on at once). ``target`` is the memory that it writes (None: none). ``epoch`` says when,
    in the order of programs and messages, it is (None: nobody watches; see :mod:`kernbench.memory.watch.order`).
    """

    __slots__ = (
        "awaits",
        "depends",
        "epoch",
        "inherits",
        "line",
        "operands",
        "program",
        "releases",
        "result",
        "seq",
        "target",
        "tcm_bytes",
    )
    name = "command"

    def __init__(self) -> None:
        self._set((), None)

    def _set(
        self,
        operands: tuple[Operand, ...],
        result: Operand | None,
        target: Operand | None = None,
        depends: tuple[int, ...] = (),
        awaits: tuple[int, ...] | None = None,
    ) -> None:
        self.operands = operands
        self.result = result
        self.target = target
        self.depends = depends
        self.awaits = awaits
        self.seq, self.program, self.line = -1, -1, _NOWHERE
        self.releases: tuple[int, ...] = ()
        self.inherits = -1
        self.tcm_bytes = result.size_bytes if result is not None and result.space is TCM else 0
        self.epoch: Any = None

    def numbered(self, seq: int, program: int, line: SourceLine) -> Self:
        """Note that it is the command ``seq`` of its PE, of a program and a line of its kernel; the command itself."""
        self.seq, self.program, self.line = seq, program, line
        return self


class DmaReadCmd(Command):
    """Memory to TCM: ``operands[0]`` (HBM) into ``result`` (TCM); inactive lanes become ``fill``.

    ``fill`` is None (lanes undefined: zero), a number, or an :class:`Operand` of the block's shape, which is
    then also ``operands[1]``. ``pointer_versions`` of a gather are in ``depends``. A load that ``is_volatile`` looks
    for what another program stores.
    """

    __slots__ = ("fill", "is_volatile")
    name = "load"

    def __init__(
        self,
        *,
        operands: tuple[Operand, ...] = (),
        result: Operand | None = None,
        fill: Any = None,
        is_volatile: bool = False,
        depends: tuple[int, ...] = (),
    ) -> None:
        self._set(operands, result, None, depends)
        self.fill = fill
        self.is_volatile = is_volatile


class DmaWriteCmd(Command):
    """TCM to memory: ``operands[0]`` (TCM) to ``target`` (HBM); inactive lanes do not move."""

    __slots__ = ()
    name = "store"
    target: Operand

    def __init__(
        self, *, operands: tuple[Operand, ...], target: Operand, depends: tuple[int, ...] = ()
    ) -> None:
        self._set(operands, None, target, depends)


class GemmCmd(Command):
    """``result = a @ b (+ acc)``: operands ``a`` [m, k], ``b`` [k, n] and, if any, ``acc`` [m, n].

    All in TCM for ``tl.dot``; in HBM (``tl.ref``) for ``tl.composite``, where ``target`` is the HBM operand that
    takes the result and ``result`` is a zero-size completion handle.
    """

    __slots__ = ("acc", "k", "m", "n")
    name = "dot"

    def __init__(
        self,
        *,
        m: int,
        n: int,
        k: int,
        operands: tuple[Operand, ...],
        result: Operand,
        acc: Operand | None,
        target: Operand | None = None,
    ) -> None:
        self._set(operands, result, target)
        self.m = m
        self.n = n
        self.k = k
        self.acc = acc

    @property
    def a(self) -> Operand:
        """The left operand."""
        return self.operands[0]

    @property
    def b(self) -> Operand:
        """The right operand."""
        return self.operands[1]


class MathCmd(Command):
    """``result = op(*operands, **attrs)``: ``op`` is a registered op's name.

    ``visits`` maps a rate class ("add", "exp", ...) to element visits. ``target`` as for :class:`GemmCmd`.
    """

    __slots__ = ("attrs", "op", "visits")
    name = "math"

    def __init__(
        self,
        *,
        op: str,
        attrs: dict[str, Any],
        visits: dict[str, int],
        operands: tuple[Operand, ...],
        result: Operand,
        target: Operand | None = None,
    ) -> None:
        self._set(operands, result, target)
        self.op = op
        self.attrs = attrs
        self.visits = visits


class IpcqSendCmd(Command):
    """``operands[0]`` (TCM) into the ring at the far end of ``queue``; ``result`` is a completion of no size."""

    __slots__ = ("queue",)
    name = "send"

    def __init__(
        self,
        *,
        queue: QueueEnd,
        operands: tuple[Operand, ...] = (),
        result: Operand | None = None,
        awaits: tuple[int, ...] | None = None,
    ) -> None:
        self._set(operands, result, None, (), awaits)
        self.queue = queue


class IpcqRecvCmd(Command):
    """The next message of ``queue`` becomes ``result``.

    Its bytes are the slots themselves, freed when the value is, unless it ``is_copied`` into TCM slot by slot: from a
    ring in memory, or when no ring in TCM could hold it.
    """

    __slots__ = ("is_copied", "queue")
    name = "recv"

    def __init__(self, *, queue: QueueEnd, result: Operand, awaits: tuple[int, ...] | None = None) -> None:
        self._set((), result, None, (), awaits)
        self.queue = queue
        ring = queue.ring
        self.is_copied = ring.kind != "tcm" or self.n_slots > ring.slots
        if not self.is_copied:
            self.tcm_bytes = 0

    @property
    def n_slots(self) -> int:
        """Slots that the message takes."""
        assert self.result is not None
        return self.queue.ring.n_slots(self.result.size_bytes)


class WaitCmd(Command):
    """PE_CPU waits until the versions in ``depends`` are complete. Makes no value, uses no unit."""

    __slots__ = ()
    name = "wait"

    def __init__(self, *, depends: tuple[int, ...] = ()) -> None:
        self._set((), None, None, depends, depends)


class ValueRecord(NamedTuple):
    """A command whose memory effect or result took hold at ``commit_ps``; what Phase 2 replays.

    Ordered by (commit time, node index, sequence within the node).
    """

    commit_ps: int
    node: int
    seq: int
    pe: int
    command: Command
