"""Command to plan: which tiles a command is cut into, and through which units each tile goes.

A tile's operands fit half of the operand registers, so that the next tile is fetched while this one is computed. Every
tile that computes is fetched first, if only to set its operands up: what is known to the kernel, or in the
accumulators already, moves no bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from kernbench.components.accumulators import AccumulatorFile, Room
from kernbench.components.slicing import Box, aligned_box, row_boxes, slice_access
from kernbench.config.schema import GemmSpec, PeSpec
from kernbench.dtypes import DType, accumulate_type, as_dtype, float8e4nv, float8e5
from kernbench.errors import CapacityError, DTypeError, UnknownNameError
from kernbench.messages.commands import (
    Command,
    DmaReadCmd,
    DmaWriteCmd,
    GemmCmd,
    IpcqRecvCmd,
    IpcqSendCmd,
    MathCmd,
    Operand,
    SourceLine,
    Space,
)
from kernbench.messages.ipcq import parts_of
from kernbench.messages.tokens import PipelinePlan, Stage, StageType, TilePlan
from kernbench.registry import did_you_mean
from kernbench.units import ceil_div

Visits = tuple[tuple[str, int], ...]  # element visits by rate class
Part = tuple[int, int]  # from, to


def generate_plan(command: Command, pe: PeSpec, acc_state: AccumulatorFile) -> PipelinePlan:
    """The plan of any command that moves or computes."""
    if isinstance(command, GemmCmd):
        return generate_gemm_plan(command, pe, acc_state)
    if isinstance(command, MathCmd):
        return generate_math_plan(command, pe, acc_state)
    if isinstance(command, IpcqSendCmd):
        return generate_send_plan(command, acc_state)
    if isinstance(command, IpcqRecvCmd):
        return generate_recv_plan(command)
    return generate_dma_plan(command, acc_state)


# -- DMA ------------------------------------------------------------------------------------------------------


def generate_dma_plan(command: Command, acc_state: AccumulatorFile) -> PipelinePlan:
    """One tile, one descriptor. Data that are still in the accumulators are stored to TCM on the way."""
    needs = _Needs(command)
    source: tuple[Operand, ...]
    if isinstance(command, DmaReadCmd):
        dma, source = _read_stage(command), command.operands[1:]
    else:
        assert isinstance(command, DmaWriteCmd)
        dma, source = _write_stage(command), command.operands
    stores = [needs.in_tcm(operand, acc_state) for operand in source if operand.space is Space.TCM]
    stages = [Stage(StageType.STORE, size_bytes=size) for sizes in stores for size in sizes]
    return needs.plan([TilePlan((*stages, dma))])


def _read_stage(command: DmaReadCmd) -> Stage:
    access, result = command.operands[0].access, command.result
    assert access is not None
    assert result is not None
    active_bytes = access.itemsize
    for extent in access.shape:
        active_bytes *= extent
    filled_bytes = active_bytes if command.fill is None else result.size_bytes
    return Stage(
        StageType.DMA_READ,
        size_bytes=access.size_bytes,
        access=access,
        tcm_bytes=max(filled_bytes, access.size_bytes),
    )


def _write_stage(command: DmaWriteCmd) -> Stage:
    access = command.target.access
    assert access is not None
    is_known = command.operands[0].space is Space.IMMEDIATE
    size_bytes = access.size_bytes
    return Stage(
        StageType.DMA_WRITE, size_bytes=size_bytes, access=access, tcm_bytes=0 if is_known else size_bytes
    )


# -- queues ---------------------------------------------------------------------------------------------------


def generate_send_plan(command: IpcqSendCmd, acc_state: AccumulatorFile) -> PipelinePlan:
    """A tile for each slot; what of it is still in the accumulators is stored to TCM on the way."""
    needs = _Needs(command)
    source = command.operands[0]
    store_bytes = sum(needs.in_tcm(source, acc_state))
    return needs.plan(_send_tiles(source.size_bytes, command.queue.ring.slot_bytes, store_bytes))


@lru_cache(maxsize=1024)
def _send_tiles(size_bytes: int, slot_bytes: int, store_bytes: int) -> tuple[TilePlan, ...]:
    parts = parts_of(size_bytes, slot_bytes)
    tiles = []
    for i, size_bytes in enumerate(parts):
        stages = [Stage(StageType.SLOT), Stage(StageType.SEND, size_bytes=size_bytes)]
        if store_bytes:
            done, so_far = (i, len(parts)), (i + 1, len(parts))
            stages.insert(0, Stage(StageType.STORE, size_bytes=_share(store_bytes, done, so_far)))
        tiles.append(TilePlan(tuple(stages)))
    return tuple(tiles)


def generate_recv_plan(command: IpcqRecvCmd) -> PipelinePlan:
    """A tile for each slot: matched, and copied into TCM if that is where the value is to be."""
    assert command.result is not None
    tiles = _recv_tiles(command.result.size_bytes, command.queue.ring.slot_bytes, command.is_copied)
    return _Needs(command).plan(tiles)


@lru_cache(maxsize=1024)
def _recv_tiles(size_bytes: int, slot_bytes: int, is_copied: bool) -> tuple[TilePlan, ...]:
    tiles = []
    for part_bytes in parts_of(size_bytes, slot_bytes):
        copy = (Stage(StageType.DRAIN, size_bytes=part_bytes),) if is_copied else ()
        tiles.append(TilePlan((Stage(StageType.RECV), *copy)))
    return tuple(tiles)


# -- GEMM -----------------------------------------------------------------------------------------------------


def macs_per_cycle(dtype: DType, spec: GemmSpec, line: SourceLine | None = None) -> int:
    """MACs that PE_GEMM does in a cycle on ``dtype``; both fp8 formats share one entry.

    Raises:
        DTypeError: the array has no rate for it; names the kernel ``line``.
    """
    rates = _array_rates(tuple(spec.macs_per_cycle.items()))
    rate = rates.get(dtype) or (rates.get(float8e4nv) if dtype is float8e5 else None)
    if rate is not None:
        return rate
    raise DTypeError(
        f"{line}: PE_GEMM cannot multiply {dtype}: pe.gemm.macs_per_cycle lists {', '.join(spec.macs_per_cycle)}; "
        "cast the operands or add the dtype there"
    )


@lru_cache(maxsize=64)
def _array_rates(macs_per_cycle: tuple[tuple[str, int], ...]) -> dict[DType, int]:
    return {as_dtype(name): macs for name, macs in macs_per_cycle}


class Blocking(NamedTuple):
    """Output blocks of ``m x n``, accumulated in steps of ``k``."""

    m: int
    n: int
    k: int


@lru_cache(maxsize=1024)
def block_shape(
    extents: Blocking, array: Blocking, sizes: tuple[int, int, int], acc_room: int, operand_room: int
) -> Blocking | None:
    """The blocks that fetch the fewest operand bytes, or None when not even one array's worth fits.

    A block's accumulators fit ``acc_room`` bytes; one k step of its operands fits ``operand_room``. ``sizes`` are
    bytes per element of a, b and the accumulators. Of equals, the tallest block.
    """
    a_size, b_size, acc_size = sizes
    best: tuple[int, int, int] | None = None
    for m in _steps(extents.m, array.m):
        for n in _steps(extents.n, array.n):
            if m * n * acc_size > acc_room or (m * a_size + n * b_size) * array.k > operand_room:
                break
            traffic = (
                extents.m * ceil_div(extents.n, n) * a_size + extents.n * ceil_div(extents.m, m) * b_size
            )
            best = min(best or (traffic, -m, -n), (traffic, -m, -n))
    if best is None:
        return None
    m, n = -best[1], -best[2]
    k = operand_room // (m * a_size + n * b_size)
    return Blocking(m, n, min(extents.k, k - k % array.k))


def _steps(extent: int, step: int) -> Iterator[int]:
    """Multiples of ``step`` below ``extent``, then ``extent``."""
    yield from range(step, extent, step)
    yield extent


def generate_gemm_plan(command: GemmCmd, pe: PeSpec, acc_state: AccumulatorFile) -> PipelinePlan:
    """Output blocks that fit the accumulators, each accumulated over steps of k.

    A result that fits the accumulators as a whole stays there (nothing is stored), and adds onto its accumulator in
    place if that is still there (nothing is fetched). Otherwise blocks take half of the accumulators each, so that
    one is stored while the next is computed, and each fetches its part of ``acc`` first. A and B are fetched anew
    for every tile. Operands in memory are read tile by tile, through :func:`_staging_room` of TCM.

    Raises:
        DTypeError: PE_GEMM has no rate for the operands' dtype.
        CapacityError: the register file is too small for the array.
    """
    macs_per_cycle(command.a.dtype, pe.gemm, command.line)
    needs = _Needs(command)
    file = pe.regfile
    result_bytes = command.m * command.n * accumulate_type(command.a.dtype).size_bytes
    stays = command.target is None and result_bytes <= file.accumulators_bytes
    acc_room, operand_room = file.accumulators_bytes // (1 if stays else 2), file.operands_bytes // 2
    if _streams(command):
        acc_room, operand_room = min(acc_room, 2 * _staging_room(pe)), min(operand_room, _staging_room(pe))
    blocks = _blocking(command, pe, acc_room, operand_room)
    stores = [size for x in (command.a, command.b) for size in needs.in_tcm(x, acc_state)]
    fetches_acc = _place_result(command, result_bytes, stays, needs, acc_state, stores)
    head = [TilePlan((Stage(StageType.STORE, size_bytes=size),)) for size in stores]
    if _streams(command):
        return needs.plan([*head, *_streamed_gemm_tiles(command, blocks, fetches_acc=fetches_acc)])
    fetched = (command.a, command.b, command.acc if fetches_acc else None)
    a_size, b_size, acc_size = (0 if x is None else _fetched_size(x) for x in fetched)
    assert command.result is not None
    sizes = (a_size, b_size, acc_size, command.result.dtype.size_bytes)
    extents = Blocking(command.m, command.n, command.k)
    return needs.plan([*head, *_gemm_tiles(extents, blocks, sizes, stays=stays)])


def _streams(command: GemmCmd | MathCmd) -> bool:
    """Whether operands or result are in memory, and pass TCM tile by tile."""
    return command.target is not None or any(x.space is Space.HBM for x in command.operands)


def _fetched_size(operand: Operand) -> int:
    """Bytes to fetch per element."""
    return 0 if operand.space is Space.IMMEDIATE else operand.dtype.size_bytes


def _staging_room(pe: PeSpec) -> int:
    """Bytes of a streamed tile's operands: with two tiles' operands and a result of twice that, half of the TCM."""
    return pe.tcm.size_bytes // 8


def _blocking(command: GemmCmd, pe: PeSpec, acc_room: int, operand_room: int) -> Blocking:
    sizes = (
        command.a.dtype.size_bytes,
        command.b.dtype.size_bytes,
        accumulate_type(command.a.dtype).size_bytes,
    )
    array = Blocking(pe.gemm.m, pe.gemm.n, pe.gemm.k)
    extents = Blocking(command.m, command.n, command.k)
    blocks = block_shape(extents, array, sizes, acc_room, operand_room)
    if blocks is None:
        where = (
            f"the register file (pe.regfile: operands {pe.regfile.operands_bytes} B, accumulators "
            f"{pe.regfile.accumulators_bytes} B)"
        )
        if operand_room < pe.regfile.operands_bytes // 2:
            where = (
                f"an eighth of the TCM (pe.tcm.size: {pe.tcm.size_bytes} B), for operands that are in memory,"
            )
        raise CapacityError(
            f"{command.line}: {where} cannot hold one tile of {array.m} x {array.n} {command.a.dtype}; "
            "make it larger, or the array (pe.gemm.m, pe.gemm.n) smaller"
        )
    return blocks


def _place_result(
    command: GemmCmd,
    result_bytes: int,
    stays: bool,
    needs: _Needs,
    acc_state: AccumulatorFile,
    stores: list[int],
) -> bool:
    """Find room in the accumulators; whether ``acc`` has to be fetched into it."""
    acc, result = command.acc, command.result
    version = result.version if result is not None else -1
    tcm_bytes = result.size_bytes if result is not None else 0
    acc_version = acc.version if acc is not None and acc.space is Space.TCM else -1
    if stays and acc_version in acc_state:
        lives_on = command.inherits != acc_version
        room = acc_state.accumulate(acc_version, version, command.seq, lives_on=lives_on)
        needs.chained(acc_version)
        needs.room(room, stores)
        return False
    if acc is not None:
        stores += needs.in_tcm(acc, acc_state)
    if stays:
        needs.room(acc_state.place(version, result_bytes, tcm_bytes, command.seq), stores)
    else:
        needs.room(acc_state.use_all(command.seq), stores)
    return acc is not None and acc.space is not Space.IMMEDIATE


@lru_cache(maxsize=1024)
def _gemm_tiles(
    extents: Blocking, blocks: Blocking, sizes: tuple[int, int, int, int], *, stays: bool
) -> tuple[TilePlan, ...]:
    """All in TCM; ``sizes`` are bytes per element of a, b, the accumulator to fetch (0: none) and the result."""
    a_size, b_size, acc_size, out_size = sizes
    tiles = []
    for rows, columns, depth in _tile_boxes(extents, blocks):
        m, n, k = (stop - start for start, stop in (rows, columns, depth))
        fetch_bytes = m * k * a_size + k * n * b_size + (0 if depth[0] else m * n * acc_size)
        stages = [Stage(StageType.FETCH, size_bytes=fetch_bytes), Stage(StageType.GEMM, work=m * n * k)]
        if not stays and depth[1] == extents.k:
            stages.append(Stage(StageType.STORE, size_bytes=m * n * out_size))
        tiles.append(TilePlan(tuple(stages), m, n, k))
    return tuple(tiles)


def _streamed_gemm_tiles(command: GemmCmd, blocks: Blocking, *, fetches_acc: bool) -> Iterator[TilePlan]:
    """From memory, to memory, or both: each has its own accesses."""
    out = command.target or command.result
    assert out is not None
    extents = Blocking(command.m, command.n, command.k)
    for rows, columns, depth in _tile_boxes(extents, blocks):
        inputs = [(command.a, (rows, depth)), (command.b, (depth, columns))]
        if fetches_acc and depth[0] == 0 and command.acc is not None:
            inputs.append((command.acc, (rows, columns)))
        m, n, k = (stop - start for start, stop in (rows, columns, depth))
        stages = [*_input_stages(inputs), Stage(StageType.GEMM, work=m * n * k)]
        if depth[1] == command.k:
            stages += _output_stages(command.target, (rows, columns), m * n * out.dtype.size_bytes)
        yield TilePlan(tuple(stages), m, n, k)


def _tile_boxes(extents: Blocking, blocks: Blocking) -> Iterator[tuple[Part, Part, Part]]:
    """Rows, columns and depth of each tile, block by block."""
    for rows in _parts(extents.m, blocks.m):
        for columns in _parts(extents.n, blocks.n):
            for depth in _parts(extents.k, blocks.k):
                yield rows, columns, depth


def _parts(extent: int, step: int) -> list[Part]:
    return [(at, min(at + step, extent)) for at in range(0, extent, step)]


# -- MATH -----------------------------------------------------------------------------------------------------


def generate_math_plan(command: MathCmd, pe: PeSpec, acc_state: AccumulatorFile) -> PipelinePlan:
    """Even tiles whose operands, and whose results, fit half of the operand registers.

    A result of PE_GEMM that is still in the accumulators is read there. The tiles' bytes and visits add up to the
    command's exactly. An op whose result is smaller than its largest operand (a reduction) stores it with the last
    tile. Operands in memory are read tile by tile, whole rows first.

    Raises:
        UnknownNameError: the op counts visits of a class PE_MATH has no rate for.
    """
    for rate_class in command.visits:
        if rate_class not in pe.math.rate:
            raise UnknownNameError(
                f"{command.line}: op {command.op!r} visits elements by {rate_class!r}, for which PE_MATH has no rate "
                f"(pe.math.rate); {did_you_mean(rate_class, pe.math.rate)}"
            )
    needs = _Needs(command)
    half_bytes = pe.regfile.operands_bytes // 2
    if _streams(command):
        tile_bytes = min(half_bytes, _staging_room(pe))
        return needs.plan(list(_streamed_math_tiles(command, tile_bytes, needs, acc_state)))
    fetch_bytes = 0
    for operand in _distinct(command.operands):
        if not acc_state.read(operand.version, command.seq):
            needs.in_tcm(operand, acc_state)
            fetch_bytes += operand.size_bytes
    assert command.result is not None
    n_tiles = max(1, ceil_div(max(fetch_bytes, command.result.size_bytes), half_bytes))
    visits, store_bytes = tuple(command.visits.items()), command.result.size_bytes
    return needs.plan(_even_math_tiles(visits, fetch_bytes, store_bytes, n_tiles, _reduces(command)))


def _distinct(operands: Iterable[Operand]) -> list[Operand]:
    """Operands in TCM, each value once."""
    return list({x.version: x for x in operands if x.space is Space.TCM}.values())


@lru_cache(maxsize=1024)
def _even_math_tiles(
    visits: Visits, fetch_bytes: int, store_bytes: int, n_tiles: int, reduces: bool
) -> tuple[TilePlan, ...]:
    tiles = []
    for i in range(n_tiles):
        done, so_far = (i, n_tiles), (i + 1, n_tiles)
        stages = [
            Stage(StageType.FETCH, size_bytes=_share(fetch_bytes, done, so_far)),
            _math_stage(visits, done, so_far),
        ]
        size_bytes = _share(store_bytes, done, so_far)
        if reduces:
            size_bytes = store_bytes if i + 1 == n_tiles else 0
        if size_bytes:
            stages.append(Stage(StageType.STORE, size_bytes=size_bytes))
        tiles.append(TilePlan(tuple(stages)))
    return tuple(tiles)


def _streamed_math_tiles(
    command: MathCmd, half_bytes: int, needs: _Needs, acc_state: AccumulatorFile
) -> Iterator[TilePlan]:
    out = command.target or command.result
    assert out is not None
    for size in (size for x in command.operands for size in needs.in_tcm(x, acc_state)):
        yield TilePlan((Stage(StageType.STORE, size_bytes=size),))
    space = max((*command.operands, out), key=lambda x: x.n_elem).shape
    n_elem = max(1, out.n_elem, *(x.n_elem for x in command.operands))
    row_bytes = max(out.dtype.size_bytes, sum(x.dtype.size_bytes for x in command.operands))
    boxes = row_boxes(space, half_bytes // row_bytes)
    reduces, visits = out.shape != space, tuple(command.visits.items())
    n_done = 0
    for i, box in enumerate(boxes):
        n_here = 1
        for start, stop in box:
            n_here *= stop - start
        done, so_far = (n_done, n_elem), (n_done + n_here, n_elem)
        n_done += n_here
        inputs = [(x, aligned_box(box, x.shape)) for x in command.operands]
        stages = [*_input_stages(inputs), _math_stage(visits, done, so_far)]
        if not reduces:
            stages += _output_stages(command.target, box, n_here * out.dtype.size_bytes)
        elif i + 1 == len(boxes):
            whole = tuple((0, extent) for extent in out.shape)
            stages += _output_stages(command.target, whole, out.size_bytes)
        yield TilePlan(tuple(stages))


def _reduces(command: MathCmd) -> bool:
    assert command.result is not None
    return any(x.n_elem > command.result.n_elem for x in command.operands)


def _math_stage(visits: Visits, done: tuple[int, int], so_far: tuple[int, int]) -> Stage:
    here = {name: _share(n, done, so_far) for name, n in visits}
    return Stage(StageType.MATH, work=sum(here.values()), visits=here)


def _share(total: int, done: tuple[int, int], so_far: tuple[int, int]) -> int:
    """What of ``total`` lies between the fractions ``done`` and ``so_far``, in whole units."""
    return total * so_far[0] // so_far[1] - total * done[0] // done[1]


# -- what both kinds of computing share -------------------------------------------------------------------------


def _input_stages(inputs: Iterable[tuple[Operand, Box]]) -> list[Stage]:
    """Read what lies in memory, a descriptor each; then fetch all that is not known to the kernel."""
    reads, fetch_bytes = [], 0
    for operand, box in inputs:
        if operand.space is Space.IMMEDIATE:
            continue
        n_elem = 1
        for start, stop in box:
            n_elem *= stop - start
        fetch_bytes += n_elem * operand.dtype.size_bytes
        if operand.space is Space.HBM:
            assert operand.access is not None
            access = slice_access(operand.access, box)
            size_bytes = n_elem * operand.dtype.size_bytes
            reads.append(
                Stage(StageType.DMA_READ, size_bytes=access.size_bytes, access=access, tcm_bytes=size_bytes)
            )
    return [*reads, Stage(StageType.FETCH, size_bytes=fetch_bytes)]


def _output_stages(target: Operand | None, box: Box, size_bytes: int) -> list[Stage]:
    """Store a tile's result, and write it on if it goes to memory."""
    store = Stage(StageType.STORE, size_bytes=size_bytes)
    if target is None:
        return [store]
    assert target.access is not None
    access = slice_access(target.access, box)
    write = Stage(
        StageType.DMA_WRITE, size_bytes=access.size_bytes, access=access, tcm_bytes=access.size_bytes
    )
    return [store, write]


def staged_bytes(tile: TilePlan, kind: StageType) -> int:
    """TCM that a streamed ``tile`` needs for what its stages of ``kind`` (DMA_READ or DMA_WRITE) move."""
    return sum(stage.tcm_bytes for stage in tile.stages if stage.kind is kind)


class _Needs:
    """What a plan has to wait for, collected while it is made."""

    def __init__(self, command: Command) -> None:
        self.command = command
        versions = [x.version for x in command.operands if x.space is Space.TCM]
        self.after = dict.fromkeys([*versions, *command.depends])
        self.behind: dict[int, None] = {}

    def in_tcm(self, operand: Operand, acc_state: AccumulatorFile) -> tuple[int, ...]:
        """Bytes to store so that ``operand`` is in TCM."""
        if operand.space is not Space.TCM:
            return ()
        room = acc_state.to_tcm(operand.version, self.command.seq)
        self.behind |= dict.fromkeys(room.behind)
        return room.stores

    def room(self, room: Room, stores: list[int]) -> None:
        """Wait for ``room``."""
        self.behind |= dict.fromkeys(room.behind)
        stores += room.stores

    def chained(self, version: int) -> None:
        """PE_GEMM works in order: its accumulator is ready when its turn comes."""
        self.after.pop(version, None)

    def plan(self, tiles: Sequence[TilePlan]) -> PipelinePlan:
        """The finished plan. A command that streams from memory stages two tiles' operands and one result."""
        command = self.command
        staging_bytes = written_bytes = 0
        if isinstance(command, DmaWriteCmd):
            written_bytes = tiles[0].stages[-1].size_bytes
        elif isinstance(command, (GemmCmd, MathCmd)) and _streams(command):
            written_bytes = sum(
                stage.size_bytes
                for tile in tiles
                for stage in tile.stages
                if stage.kind is StageType.DMA_WRITE
            )
            read = max(staged_bytes(tile, StageType.DMA_READ) for tile in tiles)
            written = max(staged_bytes(tile, StageType.DMA_WRITE) for tile in tiles)
            staging_bytes = 2 * read + written
        self.behind.pop(command.seq, None)
        return PipelinePlan(
            command,
            tuple(tiles),
            after=tuple(self.after),
            behind=tuple(self.behind),
            staging_bytes=staging_bytes,
            written_bytes=written_bytes,
        )
