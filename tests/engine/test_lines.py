"""Beside the op log is kept from which line of a kernel each command comes, and for which op."""

import kernbench as kb
from kernbench import tl
from kernbench.messages.commands import SourceLine
from kernbench.messages.lines import ADD_OF_DOT, Origin
from kernbench.messages.oplog import OpCode
from kernbench.runtime.placement import DPPolicy
from kernbench.simulation import Simulation


def line(behind, op):
    return Origin(SourceLine("test_lines.py", mixed.fn.__code__.co_firstlineno + behind), op)


@kb.jit
def mixed(x_ptr, N: tl.constexpr):
    grid = tl.arange(0, N)[:, None] * N + tl.arange(0, N)[None, :]
    x = tl.load(x_ptr + grid)
    acc = tl.dot(x, x)
    acc += tl.dot(x, x)
    acc = acc + tl.sum(acc, axis=0)[None, :]
    y = tl.exp(acc) + acc
    tl.store(x_ptr + grid, y)
    tl.wait(tl.load(x_ptr))
    if tl.load(x_ptr) > 0:
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
    line(10, "load"),
    line(10, "gt"),
]


def run(n_programs=1, keep_log=True):
    simulation = Simulation.of("tiny", keep_log=keep_log)
    torch = simulation.torch
    simulation.begin_window()
    x = torch.zeros(16, 16, policy=DPPolicy("replicate", "replicate", "replicate"))
    mixed[(n_programs,)](x, N=16)
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

    simulation = Simulation.of("tiny")
    others[(1,)](
        simulation.torch.zeros(16, 16),
    )
    simulation.torch.synchronize()
    ops = {record.command: origin.op for record, origin in origins(simulation) if record.op == OpCode.ISSUE}
    adds = [op for op in ops.values() if "add" in op]
    assert adds == ["add", "add", "add", "add", ADD_OF_DOT]
