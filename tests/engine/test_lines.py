"""Beside the op log is kept from which line of a kernel each command comes, and for which op."""

import kernbench as kb
from kernbench import tl
from kernbench.messages.lines import ADD_OF_DOT, GATHER, SCATTER, Origin
from kernbench.messages.oplog import OpCode
from kernbench.messages.source_line import SourceLine
from kernbench.simulation import Simulation


def line(behind, op, *, is_short=False):
    return Origin(SourceLine("test_lines.py", mixed.fn.__code__.co_firstlineno + behind), op, is_short)


@kb.jit
def mixed(x_ptr, N: tl.constexpr):
    block = x_ptr + tl.program_id(0) * N * N + tl.arange(0, N)[:, None] * N + tl.arange(0, N)[None, :]
    x = tl.load(block)
    acc = tl.dot(x, x)
    acc += tl.dot(x, x)
    acc = acc + tl.sum(acc, axis=0)[None, :]
    y = tl.exp(acc) + acc
    tl.store(block, y)
    tl.wait(tl.load(block))
    if tl.load(x_ptr + tl.program_id(0) * N * N) > 0:
        pass


MIXED = [
    line(3, "load"),
    line(4, "dot"),
    line(5, "dot"),
    line(5, ADD_OF_DOT),
    line(6, "sum"),
    line(6, "add"),
    line(7, "exp"),
    line(7, "add"),
    line(8, "store"),
    line(9, "load"),
    line(9, "wait"),
    line(
        10, "load", is_short=True
    ),  # 4 B, where PE_DMA moves 1 KiB during its set-up; all others have that much
    line(10, "gt"),
]


def run(n_programs=1, keep_log=True):
    simulation = Simulation.of("tiny", keep_log=keep_log)
    torch = simulation.torch
    simulation.begin_window()
    mixed[(n_programs,)](torch.zeros(16 * n_programs, 16), N=16)
    torch.synchronize()
    return simulation


def origins(simulation):
    machine = simulation.machine
    for record in machine.log:
        yield record, machine.log.lines.origin(machine.graph.nodes[record.node].pe, record)


def test_every_record_of_a_command_has_its_line_and_op():
    simulation = run()
    found = {record.command: origin for record, origin in origins(simulation) if record.command >= 0}
    assert [found[number] for number in range(len(MIXED))] == MIXED


def test_a_wait_has_the_line_that_waits_and_not_the_one_that_made_the_value():
    waits = [origin for record, origin in origins(run()) if record.op == OpCode.READBACK]
    assert waits == [line(9, "wait"), line(10, "value")]


def test_what_no_line_asks_for_has_no_origin():
    simulation = run()
    without = {OpCode(record.op) for record, origin in origins(simulation) if origin is None}
    assert without == {
        OpCode.CONTROL,
        OpCode.START,
        OpCode.END,
        OpCode.HOST_MAP,
        OpCode.HOST_UNMAP,
        OpCode.HOST_WRITE,
        OpCode.TABLE_WRITE,
    }


def test_programs_of_one_pe_and_of_several_have_each_their_own():
    simulation = run(n_programs=8)
    by_pe = {}
    for record, origin in origins(simulation):
        if record.op == OpCode.ISSUE:
            by_pe.setdefault(simulation.machine.graph.nodes[record.node].pe, []).append(origin)
    assert by_pe == dict.fromkeys(range(4), 2 * MIXED)


def test_they_go_with_the_rows_and_those_after_keep_their_own():
    simulation = run()
    machine = simulation.machine
    last = list(machine.log)[-3]
    machine.log.forget()
    assert [machine.log.lines.origin(0, last._replace(command=number)) for number in (0, 13, 14)] == [
        None
    ] * 3
    x = simulation.torch.zeros(16, 16)
    mixed[(1,)](x, N=16)
    simulation.torch.synchronize()
    found = {record.command: origin for record, origin in origins(simulation) if record.command >= 0}
    assert found == dict(enumerate(MIXED, start=len(MIXED)))


def test_they_are_not_kept_where_the_log_is_not():
    simulation = run(keep_log=False)
    assert simulation.machine.log.lines.of_pe(0) is None


def ops_of(kernel, *shape):
    """The ops that ``kernel`` asks for, in their order."""
    simulation = Simulation.of("tiny")
    kernel[(1,)](simulation.torch.zeros(*shape))
    simulation.torch.synchronize()
    return [origin.op for record, origin in origins(simulation) if record.op == OpCode.ISSUE]


def test_a_block_added_to_a_product_of_another_shape_or_dtype_is_an_add_like_any_other():
    @kb.jit
    def others(x_ptr):
        grid = tl.arange(0, 16)[:, None] * 16 + tl.arange(0, 16)[None, :]
        x = tl.load(x_ptr + grid)
        product = tl.dot(x, x)
        product + tl.sum(x, axis=0)[None, :]
        product + x.to(tl.float16)
        product + 1.0
        product.to(tl.float16) + x.to(tl.float16)
        x + product

    adds = [op for op in ops_of(others, 16, 16) if "add" in op]
    assert adds == ["add", "add", "add", "add", ADD_OF_DOT]


def test_what_takes_a_list_of_addresses_is_told_from_what_does_not():
    @kb.jit
    def listed(x_ptr):
        lanes = tl.arange(0, 16)
        tl.store(x_ptr + lanes, tl.load(x_ptr + lanes * 2))
        tl.store(x_ptr + (lanes ^ 1), tl.load(x_ptr + (lanes ^ 1)))

    assert ops_of(listed, 64) == ["load", "store", GATHER, SCATTER]


def test_a_kernel_pays_at_the_same_lines_with_values_and_without():
    @kb.jit
    def kernel(x_ptr):
        lanes = tl.arange(0, 256)
        x = tl.load(x_ptr + lanes)
        tl.store(x_ptr + lanes, tl.exp(x) * x + 1.0)

    parts = {}
    for mode in ("timed", "timing"):
        simulation = Simulation.of("tiny", mode=mode)
        x = simulation.torch.zeros(256)
        simulation.begin_window()
        for _ in range(2):
            kernel[(1,)](x)
        simulation.torch.synchronize()
        report = simulation.report()
        parts[mode] = report.parts
        assert sum(report.parts.values()) == report.kernel_time_ps
    assert parts["timed"] == parts["timing"]
    first = kernel.fn.__code__.co_firstlineno
    assert {part.origin.line.line - first for part in parts["timed"] if part.origin} == {3, 4}
