"""Plans of products: tiles of output blocks, each accumulated over steps of k."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from kernbench.components.accumulators import AccumulatorFile
from kernbench.components.gemm_rate import macs_per_cycle
from kernbench.components.tiling.blocks import Blocking, block_shape, tile_boxes
from kernbench.components.tiling.needs import Needs
from kernbench.components.tiling.staging import input_stages, output_stages, staging_room, streams
from kernbench.config.pe import PeSpec
from kernbench.dtypes import accumulate_type
from kernbench.errors import CapacityError
from kernbench.messages.commands import IMMEDIATE, TCM, GemmCmd
from kernbench.messages.oplog import FETCH, GEMM, STORE
from kernbench.messages.tokens import PipelinePlan, Stage, TilePlan


def generate_gemm_plan(command: GemmCmd, pe: PeSpec, acc_state: AccumulatorFile) -> PipelinePlan:
    """Output blocks that fit the accumulators, each accumulated over steps of k.

    A result that fits the accumulators as a whole stays there (nothing is stored), and adds onto its accumulator in
    place if that is still there (nothing is fetched). Otherwise blocks take half of the accumulators each, so that
    one is stored while the next is computed, and each fetches its part of ``acc`` first. A and B are fetched anew
    for every tile. Operands in memory are read tile by tile, through :func:`staging_room` of TCM.

    Raises:
        DTypeError: PE_GEMM has no rate for the operands' dtype.
        CapacityError: the register file is too small for the array.
    """
    macs_per_cycle(command.a.dtype, pe.gemm, command.line)
    needs = Needs(command)
    file = pe.regfile
    result_bytes = command.m * command.n * accumulate_type(command.a.dtype).size_bytes
    stays = command.target is None and result_bytes <= file.accumulators_bytes
    acc_room, operand_room = file.accumulators_bytes // (1 if stays else 2), file.operands_bytes // 2
    extents, is_streamed = Blocking(command.m, command.n, command.k), streams(command)
    if is_streamed:
        acc_room, operand_room = min(acc_room, 2 * staging_room(pe)), min(operand_room, staging_room(pe))
    blocks = _blocking(command, extents, pe, acc_room, operand_room)
    stores = [size for x in (command.a, command.b) for size in needs.in_tcm(x, acc_state)]
    fetches_acc = _place_result(command, result_bytes, stays, needs, acc_state, stores)
    head = [TilePlan((Stage(STORE, size_bytes=size),)) for size in stores]
    if is_streamed:
        tiles = _streamed_gemm_tiles(command, extents, blocks, fetches_acc=fetches_acc)
        return needs.plan([*head, *tiles], is_streamed=True)
    sizes = _sizes(command, fetches_acc=fetches_acc)
    return needs.plan((*head, *_gemm_tiles(extents, blocks, sizes, stays=stays)))


def _sizes(command: GemmCmd, *, fetches_acc: bool) -> tuple[int, int, int, int]:
    """Bytes per element to fetch of a, b and acc (0: none), and of the result."""
    assert command.result is not None
    fetched = (command.a, command.b, command.acc if fetches_acc else None)
    a, b, acc = (0 if x is None or x.space is IMMEDIATE else x.dtype.size_bytes for x in fetched)
    return a, b, acc, command.result.dtype.size_bytes


def _blocking(command: GemmCmd, extents: Blocking, pe: PeSpec, acc_room: int, operand_room: int) -> Blocking:
    sizes = (
        command.a.dtype.size_bytes,
        command.b.dtype.size_bytes,
        accumulate_type(command.a.dtype).size_bytes,
    )
    array = Blocking(pe.gemm.m, pe.gemm.n, pe.gemm.k)
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
    needs: Needs,
    acc_state: AccumulatorFile,
    stores: list[int],
) -> bool:
    """Find room in the accumulators; whether ``acc`` has to be fetched into it."""
    acc, result = command.acc, command.result
    version = result.version if result is not None else -1
    tcm_bytes = result.size_bytes if result is not None else 0
    acc_version = acc.version if acc is not None and acc.space is TCM else -1
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
    return acc is not None and acc.space is not IMMEDIATE


@lru_cache(maxsize=1024)
def _gemm_tiles(
    extents: Blocking, blocks: Blocking, sizes: tuple[int, int, int, int], *, stays: bool
) -> tuple[TilePlan, ...]:
    """All in TCM; ``sizes`` are :func:`_sizes`."""
    a_size, b_size, acc_size, out_size = sizes
    tiles = []
    for rows, columns, depth in tile_boxes(extents, blocks):
        m, n, k = (stop - start for start, stop in (rows, columns, depth))
        fetch_bytes = m * k * a_size + k * n * b_size + (0 if depth[0] else m * n * acc_size)
        stages = [Stage(FETCH, size_bytes=fetch_bytes), Stage(GEMM, work=m * n * k)]
        if not stays and depth[1] == extents.k:
            stages.append(Stage(STORE, size_bytes=m * n * out_size))
        tiles.append(TilePlan(tuple(stages), m, n, k))
    return tuple(tiles)


def _streamed_gemm_tiles(
    command: GemmCmd, extents: Blocking, blocks: Blocking, *, fetches_acc: bool
) -> Iterator[TilePlan]:
    """From memory, to memory, or both: each has its own accesses."""
    out = command.target or command.result
    assert out is not None
    for rows, columns, depth in tile_boxes(extents, blocks):
        inputs = [(command.a, (rows, depth)), (command.b, (depth, columns))]
        if fetches_acc and depth[0] == 0 and command.acc is not None:
            inputs.append((command.acc, (rows, columns)))
        m, n, k = (stop - start for start, stop in (rows, columns, depth))
        stages = [*input_stages(inputs), Stage(GEMM, work=m * n * k)]
        if depth[1] == command.k:
            stages += output_stages(command.target, (rows, columns), m * n * out.dtype.size_bytes)
        yield TilePlan(tuple(stages), m, n, k)
