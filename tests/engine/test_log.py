"""The op log has its rows in an order that is not the engine's, and its hash is that of the rows and nothing else."""

import gc
import hashlib
import struct
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kernbench.engine.reference.log
from kernbench.ccl import install_queues
from kernbench.engine.reference.log import CAUSE, FORMAT, N_COLUMNS, NO_MARKS, OpLog
from kernbench.lang import jit, tl
from kernbench.messages.oplog import NO_CAUSE, OpCode, OpRecord, Row
from kernbench.simulation import Simulation
from tests.engines import require_reference

NUMBERS = st.integers(-1, 2**62)
SMALL = st.integers(0, 1)  # so that many rows agree in some of node, op, program, command and tile
SOME = st.tuples(*[SMALL] * 5, st.integers(0, 7), NUMBERS)
MARKS = range(14, N_COLUMNS)


@st.composite
def records(draw, max_size=8):
    """Records in the order in which they ended; the cause of each is the place of one before it, or -1."""
    ends = sorted(draw(st.lists(st.integers(0, 3), max_size=max_size)))
    found = []
    for place, end_ps in enumerate(ends):
        node, op, program, command, tile, cause, work = draw(SOME)
        found.append(
            OpRecord(
                node,
                op,
                program,
                command,
                tile,
                5,
                6,
                end_ps,
                8,
                cause % (place + 1) - 1,
                10,
                11,
                12,
                work,
                *MARKS,
            )
        )
    return found


@st.composite
def reordered(draw):
    """Records, and the places of all of them in another order that an engine might have had.

    Those of an instant are in any order in which no record comes before its cause, and none of a node before one that
    it finished earlier and that agrees in op, program, command and tile.
    """
    rows = draw(records())
    left, order = list(range(len(rows))), []
    while left:
        may = [
            i
            for i in left
            if rows[i].end_ps == rows[left[0]].end_ps
            and rows[i].cause not in left
            and not any(rows[j][:5] == rows[i][:5] for j in left[: left.index(i)])
        ]
        order.append(draw(st.sampled_from(may)))
        left.remove(order[-1])
    return rows, order


@jit
def work_kernel(x_ptr, stride):
    """Has every unit do something: two PEs swap a product and store a sum."""
    at = tl.arange(0, 16)[:, None] * stride + tl.arange(0, 16)[None, :]
    x = tl.load(x_ptr + at)
    y = tl.dot(x, x)
    if tl.sum(tl.sum(x, 0), 0) > 0:
        tl.send("E" if tl.rank() == 0 else "W", y)
        tl.store(x_ptr + at, y + tl.recv("E" if tl.rank() == 0 else "W", (16, 16), tl.float32))


def append(log, rows, order=None):
    """Append ``rows`` in ``order``; the handle of each, by its place in ``rows``."""
    n, handles = N_COLUMNS - len(NO_MARKS), {-1: NO_CAUSE}
    for i in range(len(rows)) if order is None else order:
        row = rows[i]._replace(cause=handles[rows[i].cause])
        handles[i] = log.append(*row[:n], row[n:])
    return handles


def filled(rows, order=None):
    log = OpLog()
    append(log, rows, order)
    return log


def in_order(rows):
    """``rows`` as the log has them, worked out another way: sorted as a whole, then causes as places in that."""
    order = sorted(range(len(rows)), key=lambda i: (rows[i].end_ps, *rows[i][:5]))
    number = {old: new for new, old in enumerate(order)} | {-1: -1}
    return [rows[i]._replace(cause=number[rows[i].cause]) for i in order]


def expected_sha256(rows):
    """The format, then each row as 19 little-endian int64."""
    packed = b"".join(struct.pack(f"<{N_COLUMNS}q", *row) for row in rows)
    return hashlib.sha256(FORMAT + packed).hexdigest()


def followed(rows):
    """How often there is each row with its cause, that with its own, and so on to the beginning."""
    chains = {-1: ()}

    def chain(i):
        if i not in chains:
            chains[i] = (*rows[i][:CAUSE], *rows[i][CAUSE + 1 :], chain(rows[i].cause))
        return chains[i]

    return Counter(chain(i) for i in range(len(rows)))


@given(records())
def test_rows_are_ordered_by_end_then_node_op_program_command_and_tile_then_as_appended(rows):
    log = filled(rows)
    assert list(log) == in_order(rows)
    assert len(log) == len(rows)
    assert log.table().shape == (len(rows), N_COLUMNS)
    assert log.table().dtype == "int64"


@given(reordered())
def test_in_whatever_order_an_instant_ran_the_rows_and_the_hash_are_the_same(rows_and_order):
    rows, order = rows_and_order
    log = filled(rows, order)
    assert list(log) == in_order(rows)
    assert log.sha256() == filled(rows).sha256()


@given(reordered())
def test_the_order_changes_no_row_and_no_cause(rows_and_order):
    rows, order = rows_and_order
    assert followed(list(filled(rows, order))) == followed(rows)


@given(reordered())
def test_once_it_is_packed_a_handle_has_the_number_of_its_row(rows_and_order):
    rows, order = rows_and_order
    log = OpLog()
    handles = append(log, rows, order)
    table = list(log)
    log.forget()
    assert all(table[handles[i].number][:CAUSE] == rows[i][:CAUSE] for i in order)
    assert sorted(handles[i].number for i in order) == list(range(len(rows)))
    assert NO_CAUSE.number == -1


@given(records())
def test_the_hash_is_that_of_the_format_and_the_rows(rows):
    assert filled(rows).sha256() == expected_sha256(in_order(rows))


def test_the_hash_of_an_empty_log_is_that_of_its_format():
    assert OpLog().sha256() == hashlib.sha256(b"kernbench.oplog/4").hexdigest()


@given(records(), records())
def test_equal_rows_have_equal_hashes_and_different_ones_do_not(rows, others):
    assert (filled(rows).sha256() == filled(others).sha256()) == (in_order(rows) == in_order(others))


@pytest.mark.parametrize("block_rows", [1, 3, 4, 100])
@given(rows=records())
def test_packing_into_blocks_changes_neither_rows_nor_hash(block_rows, rows):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernbench.engine.reference.log, "BLOCK_BYTES", 8 * block_rows * N_COLUMNS)
        log, dropped = filled(rows), OpLog(keep=False)
        append(dropped, rows)
    assert list(log) == in_order(rows)
    assert log.sha256() == dropped.sha256() == expected_sha256(in_order(rows))
    assert list(dropped) == []


@given(reordered(), st.data())
def test_looking_at_the_log_disturbs_no_instant_that_is_not_over(rows_and_order, data):
    rows, order = rows_and_order
    log, handles = OpLog(), {-1: NO_CAUSE}
    n = N_COLUMNS - len(NO_MARKS)
    for n_rows, i in enumerate(order):
        row = rows[i]._replace(cause=handles[rows[i].cause])
        handles[i] = log.append(*row[:n], row[n:])
        if data.draw(st.booleans()):
            assert len(log.table()) == n_rows + 1
            log.sha256()
    assert list(log) == in_order(rows)
    assert log.sha256() == expected_sha256(in_order(rows))


@given(records(), records())
def test_what_is_forgotten_stays_in_the_hash_and_is_nobodys_cause(before, after):
    log = OpLog()
    handles = append(log, before)
    log.forget()
    assert list(log) == []
    later = [
        row._replace(end_ps=row.end_ps + 4) for row in after
    ]  # the first of them at the instant of forgetting
    n = N_COLUMNS - len(NO_MARKS)
    oldest = handles[max(handles)]
    for row in later:
        row = row._replace(cause=oldest)
        log.append(*row[:n], row[n:])
    kept = in_order([row._replace(cause=-1) for row in later])
    assert list(log) == kept
    assert log.first == len(before)
    whole = in_order(before) + [row._replace(cause=oldest.number) for row in kept]
    assert log.sha256() == expected_sha256(whole)


def test_what_is_left_out_is_recorded_as_not_there():
    log = OpLog()
    log.append(node=3, op=OpCode.GEMM, program=0, command=5, tile=1, ready_ps=10, start_ps=20, end_ps=30)
    (record,) = log
    assert record == OpRecord(3, OpCode.GEMM, 0, 5, 1, 10, 20, 30, -1, -1, -1, -1, 0, 0, -1, -1, -1, -1, -1)


@pytest.mark.parametrize("work", [1 << 63, -(1 << 63) - 1, 1 << 70])
def test_a_number_of_more_than_64_bits_is_refused(work):
    log = OpLog()
    with pytest.raises(OverflowError):
        log.append(3, OpCode.GEMM, 0, 5, 1, 10, 20, 30, work=work)
    assert len(log) == len(list(log)) == 0


def test_a_handle_lives_while_its_block_is_not_packed_or_someone_has_it_as_a_cause(monkeypatch):
    require_reference()  # whose handles the search for cycles sees
    monkeypatch.setattr(kernbench.engine.reference.log, "BLOCK_BYTES", 80 * N_COLUMNS)

    def n_handles():
        return sum(isinstance(thing, Row) for thing in gc.get_objects())

    log = OpLog(keep=False)
    n_before, most = n_handles(), 0
    first = cause = log.append(1, OpCode.GEMM, 0, 0, 0, 0, 0, 0)
    for end_ps in range(1, 200):
        for node in (3, 2, 1):
            cause = log.append(node, OpCode.GEMM, 0, 0, 0, 0, 0, end_ps, cause=cause)
        if end_ps > 190:
            most = max(most, n_handles() - n_before)
    assert most <= 1 + 10 + 3  # the first, a block, and the rest of its last instant
    log.forget()
    assert n_handles() == n_before + 2
    assert (first.number, cause.number) == (0, 595)


def test_every_record_ends_at_the_instant_in_which_it_is_logged(monkeypatch):
    """The log looks no further than one instant for the rows that a row may stand among."""
    ops = set()

    class Watched(OpLog):
        def append(self, *args, **kwargs):
            assert args[7] == simulation.machine.now_ps
            ops.add(args[1])
            return super().append(*args, **kwargs)

    monkeypatch.setattr("kernbench.machine.machine.OpLog", Watched)
    simulation = Simulation.of("tiny")
    torch = simulation.torch
    wiring = install_queues(torch, pes=[0, 1], buffer_kind="sram")
    x = torch.ones(16, 16)
    torch.launch(work_kernel, (2,), (x, x.stride(0)), queues=wiring)
    x.numpy()
    del x
    gc.collect()
    torch.synchronize()
    assert ops == set(OpCode)


def test_commits_queue_up_for_phase_two_with_their_time_and_place():
    log = OpLog()
    log.commit(commit_ps=70, node=4, seq=1, pe=0, command="store")
    assert [tuple(value) for value in log.values] == [(70, 4, 1, 0, "store")]
