"""Plans of PE_MATH's ops: even tiles, or whole rows of what is in memory.

Units that take element visits of some rate classes off PE_MATH work on a tile behind it, from the same registers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from kernbench.components.accumulators import AccumulatorFile
from kernbench.components.slicing import aligned_box, row_boxes
from kernbench.components.tiling.needs import Needs
from kernbench.components.tiling.shares import share
from kernbench.components.tiling.staging import input_stages, output_stages, staging_room, streams
from kernbench.config.pe import PeSpec
from kernbench.errors import UnknownNameError, UsageError
from kernbench.kinds import OpName, unit_kinds
from kernbench.messages.commands import TCM, MathCmd, Operand
from kernbench.messages.oplog import FETCH, MATH, STORE
from kernbench.messages.tokens import PipelinePlan, Stage, TilePlan
from kernbench.registry import did_you_mean
from kernbench.units import ceil_div

Visits = tuple[tuple[str, int], ...]  # element visits by rate class
Takers = tuple[
    tuple[OpName, frozenset[str]], ...
]  # stages of other units, with the rate classes that they take


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
    needs = Needs(command)
    half_bytes = pe.regfile.operands_bytes // 2
    takers = takers_of(pe)
    if streams(command):
        tile_bytes = min(half_bytes, staging_room(pe))
        tiles = list(_streamed_math_tiles(command, tile_bytes, needs, acc_state, takers))
        return needs.plan(tiles, is_streamed=True)
    fetch_bytes = 0
    for operand in _distinct(command.operands):
        if not acc_state.read(operand.version, command.seq):
            needs.in_tcm(operand, acc_state)
            fetch_bytes += operand.size_bytes
    assert command.result is not None
    n_tiles = max(1, ceil_div(max(fetch_bytes, command.result.size_bytes), half_bytes))
    visits, store_bytes = tuple(command.visits.items()), command.result.size_bytes
    return needs.plan(_even_math_tiles(visits, fetch_bytes, store_bytes, n_tiles, _reduces(command), takers))


def takers_of(pe: PeSpec) -> Takers:
    """The units of a PE that take visits off PE_MATH; none among the built-in ones.

    Raises:
        UsageError: two take visits of one rate class, or one those of a class that there is not.
    """
    if type(pe) is PeSpec:
        return ()
    takers: dict[str, str] = {}
    for kind in unit_kinds(pe):
        for rate_class in kind.visits:
            if rate_class not in pe.math.rate:
                raise UsageError(
                    f"kind {kind.name}: visits={kind.visits}: {did_you_mean(rate_class, pe.math.rate)}"
                )
            if takers.setdefault(rate_class, kind.name) != kind.name:
                raise UsageError(
                    f"kinds {takers[rate_class]} and {kind.name} both take visits of {rate_class!r}; leave it to one"
                )
    return tuple((kind.stages[0].what, frozenset(kind.visits)) for kind in unit_kinds(pe) if kind.visits)


def _distinct(operands: Iterable[Operand]) -> list[Operand]:
    """Operands in TCM, each value once."""
    return list({x.version: x for x in operands if x.space is TCM}.values())


@lru_cache(maxsize=1024)
def _even_math_tiles(
    visits: Visits, fetch_bytes: int, store_bytes: int, n_tiles: int, reduces: bool, takers: Takers
) -> tuple[TilePlan, ...]:
    tiles = []
    for i in range(n_tiles):
        done, so_far = (i, n_tiles), (i + 1, n_tiles)
        stages = [
            Stage(FETCH, size_bytes=share(fetch_bytes, done, so_far)),
            *_math_stages(visits, done, so_far, takers),
        ]
        size_bytes = share(store_bytes, done, so_far)
        if reduces:
            size_bytes = store_bytes if i + 1 == n_tiles else 0
        if size_bytes:
            stages.append(Stage(STORE, size_bytes=size_bytes))
        tiles.append(TilePlan(tuple(stages)))
    return tuple(tiles)


def _streamed_math_tiles(
    command: MathCmd, half_bytes: int, needs: Needs, acc_state: AccumulatorFile, takers: Takers
) -> Iterator[TilePlan]:
    out = command.target or command.result
    assert out is not None
    for size in (size for x in command.operands for size in needs.in_tcm(x, acc_state)):
        yield TilePlan((Stage(STORE, size_bytes=size),))
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
        stages = [*input_stages(inputs), *_math_stages(visits, done, so_far, takers)]
        if not reduces:
            stages += output_stages(command.target, box, n_here * out.dtype.size_bytes)
        elif i + 1 == len(boxes):
            whole = tuple((0, extent) for extent in out.shape)
            stages += output_stages(command.target, whole, out.size_bytes)
        yield TilePlan(tuple(stages))


def _reduces(command: MathCmd) -> bool:
    assert command.result is not None
    return any(x.n_elem > command.result.n_elem for x in command.operands)


def _math_stages(
    visits: Visits, done: tuple[int, int], so_far: tuple[int, int], takers: Takers
) -> list[Stage]:
    """PE_MATH's stage of a tile, and behind it those of the units that take visits off it; none is for nothing."""
    left = {name: share(n, done, so_far) for name, n in visits}
    shares: list[tuple[OpName, dict[str, int]]] = []
    for what, classes in takers:
        taken = {name: left.pop(name) for name in classes & left.keys()}
        if taken:
            shares.append((what, taken))
    if left or not shares:
        shares.insert(0, (MATH, left))
    return [
        Stage(what, work=sum(here.values()), visits=here, is_followed=i < len(shares))
        for i, (what, here) in enumerate(shares, start=1)
    ]
