"""A plan's tiles fit the registers, do all of a command's work and no more, and move no byte that need not move."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernbench.components.accumulators import AccumulatorFile
from kernbench.components.gemm_rate import macs_per_cycle
from kernbench.components.tiling.blocks import Blocking, block_shape
from kernbench.components.tiling.dma import generate_dma_plan
from kernbench.components.tiling.gemm import generate_gemm_plan
from kernbench.components.tiling.math import generate_math_plan
from kernbench.components.tiling.plan import generate_plan
from kernbench.dtypes import as_dtype, float16, float32, float64, int8
from kernbench.errors import CapacityError, DTypeError, UnknownNameError
from kernbench.messages.access import Access
from kernbench.messages.oplog import OpCode
from kernbench.messages.tokens import PipelinePlan, Stage, TilePlan

ACC_BYTES = 64 << 10  # regfile.accumulators
HALF_BYTES = 32 << 10  # half of regfile.operands


@pytest.fixture(scope="session")
def spec(config):
    assert config.topology.pe.regfile.accumulators_bytes == ACC_BYTES
    assert config.topology.pe.regfile.operands_bytes == 2 * HALF_BYTES
    return config.topology.pe


@pytest.fixture
def accumulators():
    return AccumulatorFile(ACC_BYTES)


def route(tile: TilePlan) -> list[tuple[OpCode, int]]:
    return [(stage.kind, stage.size_bytes or stage.work) for stage in tile.stages]


def total(plan: PipelinePlan, kind: OpCode) -> int:
    return sum(stage.size_bytes + stage.work for stage in stages(plan, kind))


def stages(plan: PipelinePlan, kind: OpCode) -> list[Stage]:
    return [stage for tile in plan.tiles for stage in tile.stages if stage.kind is kind]


# -- DMA


def test_a_load_is_one_descriptor(kit, accumulators):
    plan = generate_dma_plan(kit.load((64, 32)), accumulators)
    assert [route(tile) for tile in plan.tiles] == [[(OpCode.DMA_READ, 64 * 32 * 2)]]
    assert plan.tiles[0].stages[0].tcm_bytes == 64 * 32 * 2


@pytest.mark.parametrize(("fill", "tcm_bytes"), [(None, 10 * 2), (0, 64 * 2)])
def test_a_filled_load_writes_the_whole_block_to_tcm(kit, accumulators, fill, tcm_bytes):
    source = kit.ref((64,))
    source.access = Access(va=0, itemsize=2, block_shape=(64,), shape=(10,), strides=(2,), origin=(0,))
    (tile,) = generate_dma_plan(kit.load((64,), source=source, fill=fill), accumulators).tiles
    assert (tile.stages[0].size_bytes, tile.stages[0].tcm_bytes) == (10 * 2, tcm_bytes)


def test_a_broadcast_load_moves_each_byte_once_and_writes_every_copy(kit, accumulators):
    source = kit.ref((8, 64))
    source.access = Access(
        va=0, itemsize=2, block_shape=(8, 64), shape=(8, 64), strides=(0, 2), origin=(0, 0)
    )
    (tile,) = generate_dma_plan(kit.load((8, 64), source=source), accumulators).tiles
    assert (tile.stages[0].size_bytes, tile.stages[0].tcm_bytes) == (64 * 2, 8 * 64 * 2)


def test_a_store_of_what_the_kernel_knows_reads_no_tcm(kit, accumulators):
    (tile,) = generate_dma_plan(kit.store(kit.known((64,))), accumulators).tiles
    assert (tile.stages[0].size_bytes, tile.stages[0].tcm_bytes) == (256, 0)


def test_a_store_of_an_accumulator_goes_by_tcm(kit, spec, accumulators):
    dot = kit.dot(kit.value((32, 64)), kit.value((64, 32)))
    generate_plan(dot, spec, accumulators)
    plan = generate_plan(kit.store(dot.result), spec, accumulators)
    assert [route(tile) for tile in plan.tiles] == [[(OpCode.STORE, 4096), (OpCode.DMA_WRITE, 4096)]]
    assert plan.after == (dot.result.version,)
    assert plan.behind == (dot.seq,)


# -- OpCode.GEMM


def test_a_dot_keeps_its_result_in_the_accumulators(kit, spec, accumulators):
    """128 x 128 fp32 fill them; (128 + 128) fp16 operands of 64 steps of k fill half of the operand registers."""
    a, b = kit.value((128, 128)), kit.value((128, 128))
    dot = kit.dot(a, b)
    plan = generate_gemm_plan(dot, spec, accumulators)
    assert [route(tile) for tile in plan.tiles] == 2 * [
        [(OpCode.FETCH, HALF_BYTES), (OpCode.GEMM, 128 * 128 * 64)]
    ]
    assert [(tile.m, tile.n, tile.k) for tile in plan.tiles] == 2 * [(128, 128, 64)]
    assert plan.after == (a.version, b.version)
    assert dot.result.version in accumulators


def test_a_dot_adds_onto_the_accumulator_that_dies_with_it_without_fetching_or_waiting_for_it(
    kit, spec, accumulators
):
    first = kit.dot(kit.value((128, 64)), kit.value((64, 128)))
    generate_gemm_plan(first, spec, accumulators)
    second = kit.dot(kit.value((128, 64)), kit.value((64, 128)), first.result, inherit=True)
    plan = generate_gemm_plan(second, spec, accumulators)
    assert [route(tile) for tile in plan.tiles] == [
        [(OpCode.FETCH, HALF_BYTES), (OpCode.GEMM, 128 * 128 * 64)]
    ]
    assert first.result.version not in plan.after
    assert plan.behind == ()


def test_an_accumulator_that_lives_on_is_stored_first(kit, spec, accumulators):
    first = kit.dot(kit.value((128, 64)), kit.value((64, 128)))
    generate_gemm_plan(first, spec, accumulators)
    plan = generate_gemm_plan(
        kit.dot(kit.value((128, 64)), kit.value((64, 128)), first.result), spec, accumulators
    )
    assert route(plan.tiles[0]) == [(OpCode.STORE, ACC_BYTES)]
    assert plan.behind == (first.seq,)
    assert total(plan, OpCode.FETCH) == HALF_BYTES


def test_an_accumulator_in_tcm_is_fetched_with_the_first_tile(kit, spec, accumulators):
    acc = kit.value((128, 128), float32)
    plan = generate_gemm_plan(kit.dot(kit.value((128, 128)), kit.value((128, 128)), acc), spec, accumulators)
    assert [stage.size_bytes for stage in stages(plan, OpCode.FETCH)] == [HALF_BYTES + ACC_BYTES, HALF_BYTES]
    assert acc.version in plan.after


def test_a_known_accumulator_costs_nothing(kit, spec, accumulators):
    dot = kit.dot(kit.value((128, 64)), kit.value((64, 128)), kit.known((128, 128)))
    assert total(generate_gemm_plan(dot, spec, accumulators), OpCode.FETCH) == HALF_BYTES


def test_a_new_result_pushes_the_old_one_out_to_tcm(kit, spec, accumulators):
    first = kit.dot(kit.value((128, 64)), kit.value((64, 128)))
    generate_gemm_plan(first, spec, accumulators)
    second = kit.dot(kit.value((128, 64)), kit.value((64, 128)))
    plan = generate_gemm_plan(second, spec, accumulators)
    assert route(plan.tiles[0]) == [(OpCode.STORE, ACC_BYTES)]
    assert plan.behind == (first.seq,)
    reader = generate_plan(kit.math(first.result), spec, accumulators)
    assert reader.behind == (second.seq,)
    assert total(reader, OpCode.FETCH) == ACC_BYTES


def test_a_dot_that_multiplies_an_accumulator_stores_it_first(kit, spec, accumulators):
    first = kit.dot(kit.value((32, 32), float32), kit.value((32, 32), float32))
    generate_gemm_plan(first, spec, accumulators)
    plan = generate_gemm_plan(kit.dot(first.result, first.result), spec, accumulators)
    assert [route(tile) for tile in plan.tiles] == [
        [(OpCode.STORE, 32 * 32 * 4)],
        [(OpCode.FETCH, 2 * 32 * 32 * 4), (OpCode.GEMM, 32**3)],
    ]
    assert plan.behind == (first.seq,)


def test_a_result_larger_than_the_accumulators_passes_through_them_block_by_block(kit, spec, accumulators):
    """256 x 128 fp32 are 128 KiB: four blocks of half the accumulators, each fetches and stores its part of acc."""
    acc = kit.value((256, 128), float32)
    dot = kit.dot(kit.value((256, 64)), kit.value((64, 128)), acc, inherit=True)
    plan = generate_gemm_plan(dot, spec, accumulators)
    assert {tile.m * tile.n for tile in plan.tiles} == {ACC_BYTES // 2 // 4}
    assert total(plan, OpCode.STORE) == 256 * 128 * 4
    assert total(plan, OpCode.GEMM) == 256 * 128 * 64
    n_blocks = 4
    operands = n_blocks * 64 * 2 * (plan.tiles[0].m + plan.tiles[0].n)
    assert total(plan, OpCode.FETCH) == operands + 256 * 128 * 4
    assert dot.result.version not in accumulators


def test_results_behind_passing_blocks_wait_for_all_of_them(kit, spec, accumulators):
    large = kit.dot(kit.value((256, 64)), kit.value((64, 128)))
    generate_gemm_plan(large, spec, accumulators)
    plan = generate_gemm_plan(kit.dot(kit.value((32, 32)), kit.value((32, 32))), spec, accumulators)
    assert plan.behind == (large.seq,)


@given(
    m=st.integers(1, 300),
    n=st.integers(1, 300),
    k=st.integers(1, 300),
    dtype=st.sampled_from(["fp16", "fp32", "int8"]),
    in_memory=st.booleans(),
)
def test_tiles_do_all_multiplications_once_and_fit_the_registers(make_kit, spec, m, n, k, dtype, in_memory):
    kit, dtype = make_kit(), as_dtype(dtype)
    place = kit.ref if in_memory else kit.value
    target = kit.ref((m, n)) if in_memory else None
    dot = kit.dot(place((m, k), dtype), place((k, n), dtype), target=target)
    plan = generate_gemm_plan(dot, spec, AccumulatorFile(ACC_BYTES))
    stays = not in_memory and m * n * 4 <= ACC_BYTES
    assert total(plan, OpCode.GEMM) == m * n * k
    for tile in plan.tiles:
        assert (tile.m + tile.n) * tile.k * dtype.size_bytes <= HALF_BYTES
        assert tile.m * tile.n * 4 <= (ACC_BYTES if stays else ACC_BYTES // 2)
        operands = (tile.m + tile.n) * tile.k * dtype.size_bytes
        assert [stage.size_bytes for stage in tile.stages if stage.kind is OpCode.FETCH] == [operands]
    assert total(plan, OpCode.STORE) == (0 if stays else m * n * (2 if in_memory else 4))
    if in_memory:
        assert total(plan, OpCode.DMA_WRITE) == m * n * 2
        assert total(plan, OpCode.DMA_READ) == total(plan, OpCode.FETCH)


def test_operands_in_memory_are_read_tile_by_tile_into_two_stages(kit, spec, accumulators):
    """Blocks of half the accumulators, 8192 fp32; a tile's operands fill half of the operand registers."""
    target = kit.ref((128, 128))
    plan = generate_gemm_plan(
        kit.dot(kit.ref((128, 256)), kit.ref((256, 128), va=1 << 20), target=target), spec, accumulators
    )
    first = plan.tiles[0]
    assert [stage.kind for stage in first.stages] == [
        OpCode.DMA_READ,
        OpCode.DMA_READ,
        OpCode.FETCH,
        OpCode.GEMM,
    ]
    last = plan.tiles[-1]
    assert [stage.kind for stage in last.stages] == [
        OpCode.DMA_READ,
        OpCode.DMA_READ,
        OpCode.FETCH,
        OpCode.GEMM,
        OpCode.STORE,
        OpCode.DMA_WRITE,
    ]
    read = max(sum(s.size_bytes for s in tile.stages if s.kind is OpCode.DMA_READ) for tile in plan.tiles)
    assert plan.staging_bytes == 2 * read + first.m * first.n * 2


@given(
    extents=st.builds(Blocking, *3 * [st.integers(1, 200)]),
    acc_room=st.sampled_from([4096, 16384, 65536]),
    operand_room=st.sampled_from([512, 4096, 32768]),
)
def test_blocks_fetch_the_fewest_bytes_of_all_that_fit(extents, acc_room, operand_room):
    array = Blocking(32, 32, 1)
    found = block_shape(extents, array, (2, 2, 4), acc_room, operand_room)

    def traffic(m, n):
        return extents.m * -(-extents.n // n) + extents.n * -(-extents.m // m)

    fit = [
        traffic(m, n)
        for m in {*range(32, extents.m, 32), extents.m}
        for n in {*range(32, extents.n, 32), extents.n}
        if m * n * 4 <= acc_room and (m + n) * 2 <= operand_room
    ]
    assert (found is None) == (not fit)
    if found is not None:
        assert traffic(found.m, found.n) == min(fit)
        assert found.k == min(extents.k, operand_room // (2 * (found.m + found.n)))


def test_both_fp8_formats_share_one_rate(spec):
    assert [macs_per_cycle(as_dtype(name), spec.gemm) for name in ("fp8e4nv", "fp8e5")] == [2048, 2048]


def test_a_dtype_the_array_does_not_know_is_an_error_that_lists_those_it_does(kit, spec, accumulators):
    dot = kit.dot(kit.value((32, 32), float64), kit.value((32, 32), float64))
    with pytest.raises(DTypeError) as error:
        generate_gemm_plan(dot, spec, accumulators)
    assert str(error.value) == (
        "kernel.py:7: PE_GEMM cannot multiply fp64: pe.gemm.macs_per_cycle lists fp16, bf16, fp8, int8, fp32; "
        "cast the operands or add the dtype there"
    )


def test_registers_too_small_for_the_array_are_an_error(kit, spec, accumulators):
    small = spec.model_copy(update={"regfile": spec.regfile.model_copy(update={"operands_bytes": 128})})
    with pytest.raises(CapacityError) as error:
        generate_gemm_plan(kit.dot(kit.value((64, 64)), kit.value((64, 64))), small, accumulators)
    assert str(error.value) == (
        "kernel.py:7: the register file (pe.regfile: operands 128 B, accumulators 65536 B) cannot hold one tile of "
        "32 x 32 fp16; make it larger, or the array (pe.gemm.m, pe.gemm.n) smaller"
    )


# -- OpCode.MATH


def test_a_small_op_is_one_tile(kit, spec, accumulators):
    x, y = kit.value((32, 32), float32), kit.value((32, 32), float32)
    plan = generate_math_plan(kit.math(x, y), spec, accumulators)
    assert [route(tile) for tile in plan.tiles] == [
        [(OpCode.FETCH, 2 * 4096), (OpCode.MATH, 1024), (OpCode.STORE, 4096)]
    ]
    assert plan.after == (x.version, y.version)


def test_a_value_read_twice_is_fetched_once(kit, spec, accumulators):
    x = kit.value((32, 32), float32)
    assert total(generate_math_plan(kit.math(x, x), spec, accumulators), OpCode.FETCH) == 4096


def test_what_the_kernel_knows_moves_no_bytes(kit, spec, accumulators):
    plan = generate_math_plan(kit.math(kit.known((32, 32)), kit.known((32, 32))), spec, accumulators)
    assert [stage.size_bytes for stage in plan.tiles[0].stages] == [0, 0, 4096]


def test_a_result_of_the_array_is_read_in_the_accumulators(kit, spec, accumulators):
    dot = kit.dot(kit.value((128, 64)), kit.value((64, 128)))
    generate_gemm_plan(dot, spec, accumulators)
    plan = generate_math_plan(
        kit.math(dot.result, op="cast", visits={"add": 1 << 14}, dtype=float16), spec, accumulators
    )
    assert [route(tile) for tile in plan.tiles] == [
        [(OpCode.FETCH, 0), (OpCode.MATH, 1 << 14), (OpCode.STORE, 1 << 15)]
    ]


@given(
    rows=st.integers(1, 200),
    columns=st.integers(1, 200),
    n_operands=st.integers(1, 3),
    dtype=st.sampled_from([int8, float16, float32]),
    visits=st.dictionaries(st.sampled_from(["add", "exp", "div"]), st.integers(0, 10**6)),
)
def test_even_tiles_add_up_to_the_command_exactly_and_fit(
    make_kit, spec, rows, columns, n_operands, dtype, visits
):
    kit = make_kit()
    command = kit.math(*[kit.value((rows, columns), dtype) for _ in range(n_operands)], visits=visits)
    plan = generate_math_plan(command, spec, AccumulatorFile(ACC_BYTES))
    size_bytes = rows * columns * dtype.size_bytes
    assert total(plan, OpCode.FETCH) == n_operands * size_bytes
    assert total(plan, OpCode.STORE) == size_bytes
    for name, n in visits.items():
        assert sum(stage.visits[name] for stage in stages(plan, OpCode.MATH)) == n
    assert all(stage.size_bytes <= HALF_BYTES for stage in stages(plan, OpCode.FETCH))


def test_a_reduction_stores_its_result_with_the_last_tile(kit, spec, accumulators):
    """64 KiB in, two tiles; 64 sums out."""
    command = kit.math(kit.value((64, 256), float32), op="sum", shape=(64,), visits={"add": 1 << 14})
    plan = generate_math_plan(command, spec, accumulators)
    assert [route(tile) for tile in plan.tiles] == [
        [(OpCode.FETCH, HALF_BYTES), (OpCode.MATH, 1 << 13)],
        [(OpCode.FETCH, HALF_BYTES), (OpCode.MATH, 1 << 13), (OpCode.STORE, 256)],
    ]


def test_an_op_in_memory_streams_by_rows(kit, spec, accumulators):
    """Two fp16 operands of 256 x 64: 8192 elements of each fill half of the operand registers, that is 128 rows."""
    x, y, out = (kit.ref((256, 64), va=va) for va in (0, 1 << 16, 1 << 17))
    plan = generate_math_plan(kit.math(x, y, target=out), spec, accumulators)
    part = 128 * 64 * 2
    assert [route(tile) for tile in plan.tiles] == 2 * [
        [
            (OpCode.DMA_READ, part),
            (OpCode.DMA_READ, part),
            (OpCode.FETCH, 2 * part),
            (OpCode.MATH, 128 * 64),
            (OpCode.STORE, part),
            (OpCode.DMA_WRITE, part),
        ]
    ]
    assert [stage.access.va for stage in stages(plan, OpCode.DMA_WRITE)] == [1 << 17, (1 << 17) + part]
    assert plan.staging_bytes == 2 * 2 * part + part


def test_a_reduction_in_memory_writes_with_the_last_tile(kit, spec, accumulators):
    x, out = kit.ref((256, 128)), kit.ref((256,), va=1 << 17)
    plan = generate_math_plan(kit.math(x, op="sum", visits={"add": 1 << 15}, target=out), spec, accumulators)
    assert [[stage.kind for stage in tile.stages] for tile in plan.tiles] == [
        [OpCode.DMA_READ, OpCode.FETCH, OpCode.MATH],
        [OpCode.DMA_READ, OpCode.FETCH, OpCode.MATH, OpCode.STORE, OpCode.DMA_WRITE],
    ]
    assert total(plan, OpCode.DMA_WRITE) == 512


def test_an_operand_that_broadcasts_is_read_again_for_every_tile(kit, spec, accumulators):
    x, row, out = kit.ref((256, 64)), kit.ref((64,), va=1 << 16), kit.ref((256, 64), va=1 << 17)
    plan = generate_math_plan(kit.math(x, row, target=out), spec, accumulators)
    assert total(plan, OpCode.DMA_READ) == 256 * 64 * 2 + len(plan.tiles) * 64 * 2


def test_visits_of_a_class_without_a_rate_are_an_error(kit, spec, accumulators):
    command = kit.math(kit.value((8,)), op="mystery", visits={"rsqr": 8})
    with pytest.raises(UnknownNameError) as error:
        generate_math_plan(command, spec, accumulators)
    assert str(error.value) == (
        "kernel.py:7: op 'mystery' visits elements by 'rsqr', for which PE_MATH has no rate (pe.math.rate); did you "
        "mean 'rsqrt'? (known: add, cmp, div, exp, fma, max, mul, rsqrt)"
    )
