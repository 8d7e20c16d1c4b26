"""The op log keeps every row in order, and its hash is that of the rows and nothing else."""

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kernbench.engine.log
from kernbench.engine.log import FORMAT, N_COLUMNS, NO_MARKS, OpLog
from kernbench.messages.oplog import OpCode, OpRecord, Row

ROWS = st.lists(st.tuples(*[st.integers(-1, 2**62)] * N_COLUMNS).map(lambda row: OpRecord(*row)), max_size=12)


def append(log, rows):
    n = N_COLUMNS - len(NO_MARKS)
    return [log.append(*row._replace(cause=Row(row.cause))[:n], row[n:]).number for row in rows]


def filled(rows):
    log = OpLog()
    numbers = append(log, rows)
    assert numbers == list(range(len(rows)))
    return log


def expected_sha256(rows):
    """The format, then each row as 19 little-endian int64."""
    packed = b"".join(struct.pack(f"<{N_COLUMNS}q", *row) for row in rows)
    return hashlib.sha256(FORMAT + packed).hexdigest()


@given(ROWS)
def test_what_was_appended_comes_back_in_order(rows):
    log = filled(rows)
    assert list(log) == rows
    assert len(log) == len(rows)
    assert log.table().shape == (len(rows), N_COLUMNS)
    assert log.table().dtype == "int64"


@given(ROWS)
def test_the_hash_is_that_of_the_format_and_the_rows(rows):
    assert filled(rows).sha256() == expected_sha256(rows)


def test_the_hash_of_an_empty_log_is_that_of_its_format():
    assert OpLog().sha256() == hashlib.sha256(b"kernbench.oplog/3").hexdigest()


@given(ROWS, ROWS)
def test_equal_rows_have_equal_hashes_and_different_ones_do_not(rows, others):
    assert (filled(rows).sha256() == filled(others).sha256()) == (rows == others)


@pytest.mark.parametrize("block_rows", [1, 3, 4, 100])
def test_packing_into_blocks_changes_neither_rows_nor_numbers_nor_hash(monkeypatch, block_rows):
    monkeypatch.setattr(kernbench.engine.log, "BLOCK_NUMBERS", block_rows * N_COLUMNS)
    rows = [OpRecord(*range(i, i + N_COLUMNS)) for i in range(10)]
    log = filled(rows)
    assert list(log) == rows
    assert log.sha256() == expected_sha256(rows)


@given(ROWS, ROWS)
def test_looking_at_the_log_does_not_disturb_it(before, after):
    log = filled(before)
    log.table()
    log.sha256()
    numbers = append(log, after)
    assert numbers == list(range(len(before), len(before) + len(after)))
    assert list(log) == before + after
    assert log.sha256() == expected_sha256(before + after)


def test_what_is_left_out_is_recorded_as_not_there():
    log = OpLog()
    log.append(node=3, op=OpCode.GEMM, program=0, command=5, tile=1, ready_ps=10, start_ps=20, end_ps=30)
    (record,) = log
    assert record == OpRecord(3, OpCode.GEMM, 0, 5, 1, 10, 20, 30, -1, -1, -1, -1, 0, 0, -1, -1, -1, -1, -1)


def test_commits_queue_up_for_phase_two_with_their_time_and_place():
    log = OpLog()
    log.commit(commit_ps=70, node=4, seq=1, pe=0, command="store")
    assert [tuple(value) for value in log.values] == [(70, 4, 1, 0, "store")]
