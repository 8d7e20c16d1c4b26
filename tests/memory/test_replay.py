"""Phase 2 computes what the commands mean, in commit order, and keeps only the values that something may read."""

import numpy as np
import pytest

from kernbench.cpu_time import CpuTime
from kernbench.device.placement import DPPolicy
from kernbench.dtypes import as_dtype, float16, float32, int32
from kernbench.engine import OpLog
from kernbench.memory.blocks import block_of, bytes_of
from kernbench.memory.replay import DataExecutor, ImmediateExecutor
from kernbench.messages.access import Access
from kernbench.messages.commands import (
    Command,
    DmaReadCmd,
    DmaWriteCmd,
    GemmCmd,
    MathCmd,
    Operand,
    Space,
    WaitCmd,
)
from kernbench.messages.source_line import SourceLine

LINE = SourceLine("kernel.py", 1)
NODE = 9


def tcm(version, shape, dtype=float16):
    return Operand(shape=shape, dtype=dtype, space=Space.TCM, version=version)


def known(value, dtype, shape=()):
    return Operand(shape=shape, dtype=dtype, space=Space.IMMEDIATE, value=value)


def hbm(shards, *, rows=None, mask=None):
    """All of a tensor, or its first ``rows`` rows, as an operand; ``mask``: only the first so many rows are active."""
    itemsize, width = shards.dtype.size_bytes, shards.shape[-1]
    block = (rows or shards.shape[0], *shards.shape[1:])
    access = Access(
        va=shards.va,
        itemsize=itemsize,
        block_shape=block,
        shape=(mask or block[0], *block[1:]),
        strides=(width * itemsize, itemsize) if len(block) == 2 else (itemsize,),
        origin=(0,) * len(block),
    )
    return Operand(shape=block, dtype=shards.dtype, space=Space.HBM, access=access)


class Program:
    """Numbers the commands of PE 0."""

    def __init__(self):
        self.commands = []

    def _add(self, kind, **fields):
        command = kind(**fields).numbered(len(self.commands), 0, LINE)
        self.commands.append(command)
        return command

    def load(self, source, version, fill=None, operands=()):
        result = tcm(version, source.shape, source.dtype)
        return self._add(DmaReadCmd, operands=(source, *operands), result=result, fill=fill)

    def store(self, target, value):
        return self._add(DmaWriteCmd, operands=(value,), target=target)

    def dot(self, a, b, result, acc=None, target=None):
        (m, k), n = a.shape, b.shape[1]
        operands = (a, b) if acc is None else (a, b, acc)
        return self._add(GemmCmd, m=m, n=n, k=k, acc=acc, operands=operands, result=result, target=target)

    def math(self, op, operands, result, target=None, **attrs):
        return self._add(
            MathCmd, op=op, attrs=attrs, visits={}, operands=operands, result=result, target=target
        )


@pytest.fixture
def bench(machine):
    """A machine with tensors ``a`` [4, 8], ``b`` [8, 2] and ``c`` [4, 2] of fp16, written and read by the host."""
    return Bench(machine)


class Bench:
    def __init__(self, machine):
        self.machine = machine
        rng = np.random.default_rng(0)
        self.arrays = {
            "a": rng.standard_normal((4, 8)).astype(np.float16),
            "b": rng.standard_normal((8, 2)).astype(np.float16),
            "c": np.zeros((4, 2), np.float16),
        }
        for i, (name, array) in enumerate(self.arrays.items()):
            shards = machine.tensor(
                array.shape, "fp16", DPPolicy(cube="tiled", pe="tiled"), va=0x4000_0000 + 0x1000 * i
            )
            access = hbm(shards).access
            machine.store.write(shards.pieces_of_all_copies(access), bytes_of(array, access))
            setattr(self, name, shards)

    def read(self, shards, pe=0):
        access = hbm(shards).access
        pieces = self.machine.page_tables.pieces(pe, access, None)
        return block_of(self.machine.store.read(pieces, access.size_bytes), access, shards.dtype)

    def immediate(self, *programs):
        executor = ImmediateExecutor(self.machine.store, self.machine.page_tables, None, CpuTime())
        for program in programs:
            for command in program.commands:
                executor.execute(0, command)
        return executor

    def timed(self):
        log = OpLog()
        return log, DataExecutor(log, self.machine.store, self.machine.page_tables, None, CpuTime())


def product(bench):
    """c = a @ b as a kernel would ask for it; values 1, 2 and 3."""
    program = Program()
    program.load(hbm(bench.a), 1)
    program.load(hbm(bench.b), 2)
    program.dot(tcm(1, (4, 8)), tcm(2, (8, 2)), tcm(3, (4, 2), float32))
    program.math("cast", (tcm(3, (4, 2), float32),), tcm(4, (4, 2)), dtype=float16)
    program.store(hbm(bench.c), tcm(4, (4, 2)))
    return program


def expected_product(bench):
    return (bench.arrays["a"].astype(np.float32) @ bench.arrays["b"].astype(np.float32)).astype(np.float16)


def test_load_dot_store(bench):
    bench.immediate(product(bench))
    assert np.array_equal(bench.read(bench.c), expected_product(bench))


def test_both_modes_give_the_same_bits(bench):
    log, executor = bench.timed()
    for i, command in enumerate(product(bench).commands):
        executor.admit(command)
        log.commit(10 * i, NODE, i, 0, command)
    executor.run_until(100)
    timed = bench.read(bench.c).tobytes()
    bench.immediate(product(bench))
    assert timed == bench.read(bench.c).tobytes()


def test_an_accumulator_is_added_in_fp32(bench):
    program, acc = Program(), np.full((4, 2), 0.5, np.float32)
    program.load(hbm(bench.a), 1)
    program.load(hbm(bench.b), 2)
    program.dot(tcm(1, (4, 8)), tcm(2, (8, 2)), tcm(3, (4, 2), float32), acc=known(acc, float32, (4, 2)))
    a, b = (bench.arrays[name].astype(np.float32) for name in "ab")
    assert np.array_equal(bench.immediate(program).value(3), a @ b + acc)


def test_a_composite_reads_and_writes_memory(bench):
    program = Program()
    done = Operand(shape=(0,), dtype=float16, space=Space.TCM, version=7)
    program.dot(hbm(bench.a), hbm(bench.b), done, target=hbm(bench.c))
    program.math("add", (hbm(bench.c), known(1.0, float16)), done, target=hbm(bench.c))
    executor = bench.immediate(program)
    assert np.array_equal(bench.read(bench.c), expected_product(bench) + np.float16(1))
    assert executor.value(done.version).size == 0  # a completion
    executor.values.release((done.version,))
    assert len(executor.values) == 0


@pytest.mark.parametrize(
    ("fill", "operands", "row"),
    [
        (None, (), [0, 0]),
        (-1.5, (), [-1.5, -1.5]),
        (known(2.5, float16), (known(2.5, float16),), [2.5, 2.5]),
        (known(np.array([3, 4], np.int32), int32, (2,)), (), [3, 4]),
    ],
)
def test_masked_lanes_become_the_fill(bench, fill, operands, row):
    program = Program()
    program.load(hbm(bench.b, rows=8, mask=6), 1, fill=fill, operands=operands)
    value = bench.immediate(program).value(1)
    assert np.array_equal(value[:6], bench.arrays["b"][:6])
    assert value[6:].tolist() == [row, row]


def test_a_store_casts_to_its_target_and_leaves_masked_lanes(bench):
    program = Program()
    program.store(
        hbm(bench.c, rows=4, mask=1), known(np.full((4, 2), 1 + 2.0**-20, np.float32), float32, (4, 2))
    )
    bench.immediate(program)
    assert bench.read(bench.c).tolist() == [[1, 1], [0, 0], [0, 0], [0, 0]]


def stores(bench, *values):
    program = Program()
    return [program.store(hbm(bench.c), known(value, float16)) for value in values]


def test_memory_changes_in_the_order_of_commit_time_node_and_sequence(bench):
    log, executor = bench.timed()
    first, second, third, fourth = stores(bench, 1, 2, 3, 4)
    log.commit(20, NODE, 1, 0, fourth)
    log.commit(20, NODE, 0, 0, third)
    log.commit(20, NODE - 1, 5, 0, second)
    log.commit(10, NODE + 1, 9, 0, first)
    seen = []
    for time_ps in (9, 10, 19):
        executor.run_until(time_ps)
        seen.append(float(bench.read(bench.c)[0, 0]))
    assert seen == [0, 1, 1]
    executor.run_until(20)
    assert (bench.read(bench.c) == 4).all()
    assert log.values == []


def test_a_load_samples_memory_when_it_commits(bench):
    log, executor = bench.timed()
    (store,) = stores(bench, 1)
    program = Program()
    log.commit(30, NODE, 2, 0, program.load(hbm(bench.c), 2))
    log.commit(20, NODE, 1, 0, store)
    log.commit(10, NODE, 0, 0, program.load(hbm(bench.c), 1))
    executor.run_until(30)
    assert (executor.value(1) == 0).all()
    assert (executor.value(2) == 1).all()


def test_a_value_stays_while_it_is_not_released(bench):
    assert bench.immediate(product(bench)).value(1).shape == (4, 8)


def test_a_released_value_stays_until_its_last_reader_is_evaluated(bench):
    log, executor = bench.timed()
    program = product(bench)
    program.commands[3].releases = (1, 2)  # dead since the dot was issued
    for command in program.commands:
        executor.admit(command)
    load_a, load_b, dot, *_ = program.commands
    log.commit(10, NODE, 0, 0, load_a)
    log.commit(11, NODE, 1, 0, load_b)
    executor.run_until(11)
    assert len(executor.values) == 2
    log.commit(12, NODE, 2, 0, dot)
    executor.run_until(12)
    assert 1 not in executor.values
    assert 2 not in executor.values
    assert 3 in executor.values


def test_a_value_nobody_reads_leaves_at_once_when_it_is_dead(bench):
    log, executor = bench.timed()
    program = Program()
    load = program.load(hbm(bench.a), 1)
    wait = program._add(WaitCmd)
    wait.releases = (1,)
    executor.admit(load)
    executor.admit(wait)
    log.commit(10, NODE, 0, 0, load)
    executor.run_until(10)
    assert len(executor.values) == 0


def test_a_loop_holds_as_many_values_as_it_has_alive(bench):
    executor = ImmediateExecutor(bench.machine.store, bench.machine.page_tables, None, CpuTime())
    program = Program()
    executor.execute(
        0,
        program.math(
            "cast",
            (known(np.zeros((4, 2)), as_dtype("fp64"), (4, 2)),),
            tcm(0, (4, 2), float32),
            dtype=float32,
        ),
    )
    for step in range(50):
        a, b, acc, new = (3 * step + i for i in (1, 2, 0, 3))
        loads = [program.load(hbm(bench.a), a), program.load(hbm(bench.b), b)]
        if step:
            loads[0].releases = (a - 3, b - 3, acc - 3)
        dot = program.dot(
            tcm(a, (4, 8)), tcm(b, (8, 2)), tcm(new, (4, 2), float32), acc=tcm(acc, (4, 2), float32)
        )
        for command in (*loads, dot):
            executor.execute(0, command)
        assert len(executor.values) <= 4 + (step == 0)


def test_an_accumulator_whose_bytes_are_inherited_is_dead(bench):
    program = Program()
    program.load(hbm(bench.a), 1)
    program.load(hbm(bench.b), 2)
    program.math(
        "cast", (known(np.zeros((4, 2)), as_dtype("fp64"), (4, 2)),), tcm(3, (4, 2), float32), dtype=float32
    )
    dot = program.dot(tcm(1, (4, 8)), tcm(2, (8, 2)), tcm(4, (4, 2), float32), acc=tcm(3, (4, 2), float32))
    dot.inherits = 3
    executor = bench.immediate(program)
    assert 3 not in executor.values
    assert 4 in executor.values


def test_clear_forgets_every_value(bench):
    executor = bench.immediate(product(bench))
    executor.clear()
    assert len(executor.values) == 0


def test_a_command_without_effect_on_values_is_passed_over(bench):
    log, executor = bench.timed()
    log.commit(0, NODE, 0, 0, WaitCmd().numbered(0, 0, LINE))
    log.commit(0, NODE, 0, 0, Command().numbered(0, 0, LINE))
    executor.run_until(0)
    assert len(executor.values) == 0


@pytest.mark.parametrize("pe", ["row_wise", "column_wise", "tiled", "replicate"])
@pytest.mark.parametrize("cube", ["row_wise", "column_wise"])
def test_the_bits_do_not_depend_on_the_placement(new_machine, cube, pe):
    results = set()
    for policy in (DPPolicy("replicate", "replicate", "replicate"), DPPolicy("replicate", cube, pe)):
        bench = Bench.__new__(Bench)
        bench.machine, bench.arrays = new_machine(), {}
        rng = np.random.default_rng(3)
        for i, (name, shape) in enumerate({"a": (33, 70), "b": (70, 18), "c": (33, 18)}.items()):
            bench.arrays[name] = rng.standard_normal(shape).astype(np.float16)
            shards = bench.machine.tensor(shape, "fp16", policy, va=0x4000_0000 + 0x10000 * i)
            access = hbm(shards).access
            bench.machine.store.write(
                shards.pieces_of_all_copies(access), bytes_of(bench.arrays[name], access)
            )
            setattr(bench, name, shards)
        program = Program()
        program.load(hbm(bench.a), 1)
        program.load(hbm(bench.b), 2)
        program.dot(tcm(1, (33, 70)), tcm(2, (70, 18)), tcm(3, (33, 18), float32))
        program.store(hbm(bench.c), tcm(3, (33, 18), float32))
        bench.immediate(program)
        results.add(bench.read(bench.c).tobytes())
    assert len(results) == 1
