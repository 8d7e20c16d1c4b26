"""Until an asynchronous collective was waited for, its tensors are not the program's; who uses one is told so."""

import warnings

import numpy as np
import pytest

from kernbench.errors import RaceError, RaceWarning
from kernbench.lang import jit, tl
from kernbench.records import as_json
from tests.dist.rank_kit import fails, joined, spawned


@jit
def touch(x_ptr):
    tl.store(x_ptr, 1.0)


USES = {
    "read": lambda x: x.numpy(),
    "read in part": lambda x: x[1:2],
    "read by a view": lambda x: x.view(2, 2)[1],
    "written": lambda x: x.copy_(np.ones(4, np.float32)),
    "used in a launch": lambda x: touch[(1,)](x),
}


def body(begin, use):
    def worker(rank, n, torch):
        dist, x, y = torch.distributed, torch.zeros(4, name="x"), torch.zeros(1, name="y")
        work = begin(torch, dist, x, y, rank, n)
        use(x, y)
        work.wait()

    return joined(worker)


def told(worker, **options):
    """The warnings of a run."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        spawned(worker, **options)
    return [str(w.message) for w in caught if issubclass(w.category, RaceWarning)]


def all_reduced(torch, dist, x, y, rank, n):
    return dist.all_reduce(x, async_op=True)


@pytest.mark.parametrize("use", USES)
def test_each_use_of_what_a_collective_writes_is_told_once_for_a_tensor_and_two_lines(use):
    (text,) = told(body(all_reduced, lambda x, y: USES[use](x)))
    assert (
        f"'x'[{'2, 2' if 'view' in use else 4}] is {use.split(' in part')[0].split(' by')[0]} at test_unwaited.py:"
        in text
    )
    assert "before all_reduce at test_unwaited.py:" in text
    assert text.endswith("was waited for, so that it is open what is there; call wait() on its work first")


def test_to_free_it_is_told_too():
    assert "'x'[4] is freed at test_unwaited.py:" in fails(
        body(all_reduced, lambda x, y: x.free()), RaceError, joins=False, races="error"
    )


@pytest.mark.parametrize(
    ("begin", "n_read", "n_written"),
    [
        (lambda torch, dist, x, y, rank, n: dist.all_gather_single(x, y, async_op=True), 0, 1),
        (lambda torch, dist, x, y, rank, n: dist.reduce_scatter_single(y, x, async_op=True), 1, 1),
        (lambda torch, dist, x, y, rank, n: dist.barrier(async_op=True), 0, 0),
    ],
)
def test_what_a_collective_only_reads_may_be_read_but_not_written(begin, n_read, n_written):
    ones = np.ones(1, np.float32)
    assert len(told(body(begin, lambda x, y: y.numpy()))) == n_read
    assert len(told(body(begin, lambda x, y: touch[(1,)](y)))) == n_read
    assert len(told(body(begin, lambda x, y: y.copy_(ones)))) == n_written


def test_a_message_under_way_is_neither_overwritten_nor_read_where_it_arrives():
    def worker(rank, n, torch):
        dist, x, y = torch.distributed, torch.zeros(4), torch.zeros(4)
        works = [dist.isend(x, (rank + 1) % n), dist.irecv(y, (rank - 1) % n)]
        x.numpy()
        x.copy_(torch.ones(4, device="cpu"))
        y.numpy()
        for work in works:
            work.wait()

    found = told(joined(worker))
    assert sum("is written" in text and "before isend" in text for text in found) == 4
    assert sum("is read" in text and "before irecv" in text for text in found) == 4
    assert len(found) == 8


@pytest.mark.parametrize(
    "wait",
    [
        lambda work, torch: work.wait(),
        lambda work, torch: work.get_future().wait(),
        lambda work, torch: [None for _ in iter(work.is_completed, True)],
        lambda work, torch: (torch.distributed.barrier(), torch.synchronize()),
    ],
)
def test_after_any_kind_of_wait_nothing_is_told(wait):
    def worker(rank, n, torch):
        x = torch.zeros(4)
        wait(torch.distributed.all_reduce(x, async_op=True), torch)
        x.numpy()

    assert told(joined(worker)) == []


def test_other_tensors_and_the_next_collective_are_free():
    def worker(rank, n, torch):
        dist, x, other = torch.distributed, torch.arange(8, dtype="fp32"), torch.zeros(2)
        works = [
            dist.all_reduce(x.narrow(0, 0, 4), async_op=True),
            dist.all_reduce(x.narrow(0, 0, 4), async_op=True),
        ]
        found = x.narrow(0, 4, 4).tolist(), other.tolist()
        for work in works:
            work.wait()
        return found

    assert told(joined(worker)) == []


def test_as_an_error_it_ends_the_run_and_off_says_nothing():
    worker = body(all_reduced, lambda x, y: x.numpy())
    text = fails(worker, RaceError, joins=False, races="error")
    assert text.startswith("rank ")
    assert "'x'[4] is read at test_unwaited.py:" in text
    assert told(worker, races="off") == []


def test_the_report_says_it_too_and_a_tensor_is_not_kept_for_it():
    found = []

    def worker(rank, n, torch):
        dist, x = torch.distributed, torch.zeros(4, name="x")
        dist.all_reduce(x, async_op=True)
        x.numpy()
        torch.synchronize()

    def after(simulation):
        found.extend(simulation.report().early_uses)
        simulation.torch.synchronize()
        assert simulation.device.heap.mappings == {}

    told(joined(worker), after=after)
    (use,) = found
    line = worker.__code__.co_firstlineno
    assert as_json(use) == {
        "tensor": "x",
        "shape": [4],
        "dtype": "fp32",
        "rank": use.rank,
        "how": "read",
        "file": "test_unwaited.py",
        "line": line + 3,
        "call": "all_reduce",
        "call_file": "test_unwaited.py",
        "call_line": line + 2,
    }
