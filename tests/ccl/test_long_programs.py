"""Long programs of mixed collectives: right data, all credits home, flat memory, and room left for kernels."""

import gc
import random
import sys
from functools import partial
from itertools import combinations, pairwise

import numpy as np
import pytest

from kernbench.errors import QueueError
from kernbench.lang import jit, tl
from kernbench.machine.queue_ends import rings_of
from kernbench.simulation import simulate

N = 4  # PEs of `tiny`
MEMBERS = ((0, 1), (1, 2, 3), (0, 2), (1, 3))  # of groups beside that of all ranks
TENSORS = (("float32", 6), ("float16", 40), ("bfloat16", 1), ("int32", 300))
OPS = {
    "SUM": np.add.reduce,
    "MIN": np.minimum.reduce,
    "MAX": np.maximum.reduce,
    "PRODUCT": np.multiply.reduce,
}


# -- one call of each kind: gives the tensors it wrote, each with what must be in it ----------------------


class Round:
    """One call as every rank of ``group`` draws it; ``rows[m]`` is what member m puts in, whole numbers from 1 to 4.

    No order of reductions can be seen in them: sums, and products over up to 4 members, are exact in every dtype.
    """

    def __init__(self, torch, group, number, draw):
        self.torch, self.dist, self.group = torch, torch.distributed, group
        self.dtype, self.n_elem = draw.choice(TENSORS)
        self.size, self.me = self.dist.get_world_size(group), self.dist.get_rank(group)
        self.op = draw.choice(list(OPS)[: 4 if self.size <= 4 else 3])
        self.root = draw.randrange(self.size)
        each = np.arange(self.size * self.n_elem)
        self.rows = np.array([(each * (m + 1) + each // 7 + number) % 4 + 1 for m in range(self.size)])

    @property
    def cells(self):
        """``cells[m][s]`` is the s-th part of member m's row."""
        return self.rows.reshape(self.size, self.size, self.n_elem)

    @property
    def how(self):
        return {"op": self.dist.ReduceOp[self.op], "group": self.group}

    def tensor(self, values):
        return self.torch.tensor(values, dtype=getattr(self.torch, self.dtype))

    def empty(self, n_elem):
        return self.torch.empty(n_elem, dtype=getattr(self.torch, self.dtype))

    def reduced(self, values):
        return OPS[self.op](values)


def all_reduce(r):
    x = r.tensor(r.rows[r.me])
    r.dist.all_reduce(x, **r.how)
    return [(x, r.reduced(r.rows))]


def reduce(r):
    x = r.tensor(r.rows[r.me])
    r.dist.reduce(x, group_dst=r.root, **r.how)
    return [(x, r.reduced(r.rows) if r.me == r.root else r.rows[r.me])]


def broadcast(r):
    x = r.tensor(r.rows[r.me])
    r.dist.broadcast(x, group_src=r.root, group=r.group)
    return [(x, r.rows[r.root])]


def all_gather(r):
    ys = [r.empty(r.n_elem) for _ in range(r.size)]
    r.dist.all_gather(ys, r.tensor(r.cells[r.me][0]), group=r.group)
    return list(zip(ys, r.cells[:, 0]))


def all_gather_single(r):
    y = r.empty(r.size * r.n_elem)
    r.dist.all_gather_single(y, r.tensor(r.cells[r.me][0]), group=r.group)
    return [(y, r.cells[:, 0].reshape(-1))]


def reduce_scatter(r):
    y = r.empty(r.n_elem)
    r.dist.reduce_scatter(y, [r.tensor(cell) for cell in r.cells[r.me]], **r.how)
    return [(y, r.reduced(r.cells[:, r.me]))]


def reduce_scatter_single(r):
    y = r.empty(r.n_elem)
    r.dist.reduce_scatter_single(y, r.tensor(r.rows[r.me]), **r.how)
    return [(y, r.reduced(r.cells[:, r.me]))]


def all_to_all_single(r):
    y = r.empty(r.size * r.n_elem)
    r.dist.all_to_all_single(y, r.tensor(r.rows[r.me]), group=r.group)
    return [(y, r.cells[:, r.me].reshape(-1))]


def all_to_all_single_with_split_sizes(r):
    """Member m sends s + 1 elements to member s, as many as there are."""
    sizes = [min(s + 1, r.n_elem) for s in range(r.size)]
    x = np.concatenate([cell[:size] for cell, size in zip(r.cells[r.me], sizes)])
    mine = sizes[r.me]
    y = r.empty(r.size * mine)
    r.dist.all_to_all_single(y, r.tensor(x), [mine] * r.size, sizes, group=r.group)
    return [(y, r.cells[:, r.me, :mine].reshape(-1))]


def barrier(r):
    r.dist.barrier(group=r.group)
    return []


def send_and_recv(r):
    to = (r.root + 1) % r.size
    if r.me == r.root:
        r.dist.send(r.tensor(r.rows[r.me]), group_dst=to, group=r.group)
    if r.me != to:
        return []
    y = r.empty(r.size * r.n_elem)
    r.dist.recv(y, group_src=r.root, group=r.group)
    return [(y, r.rows[r.root])]


def isend_and_irecv_in_a_ring(r):
    y, left, right = r.empty(r.n_elem), (r.me - 1) % r.size, (r.me + 1) % r.size
    x = r.tensor(r.cells[r.me][0])
    works = [r.dist.irecv(y, group_src=left, group=r.group), r.dist.isend(x, group_dst=right, group=r.group)]
    for work in works:
        work.wait()
    return [(y, r.cells[left][0])]


KINDS = (
    all_reduce,
    reduce,
    broadcast,
    all_gather,
    all_gather_single,
    reduce_scatter,
    reduce_scatter_single,
    all_to_all_single,
    all_to_all_single_with_split_sizes,
    barrier,
    send_and_recv,
    isend_and_irecv_in_a_ring,
)


def mixed(rank, torch, n_calls, members, watch, n_times=1):
    """``n_calls`` calls that all ranks draw alike, each checked; every kind in every group comes first.

    They are the same calls ``n_times``, so that what is remembered of a call may grow the first time only.

    ``watch(number, torch)`` is called on rank 0 before each call, and at the end; every 100th time, when all ranks are
    there and none goes on.
    """
    dist, draw = torch.distributed, random.Random(1)
    dist.init_process_group("ahbm")
    groups = [dist.group.WORLD, *(dist.new_group(ranks) for ranks in members)]
    calls = [(kind, group) for kind in KINDS for group in range(len(groups))]
    draw.shuffle(calls)
    calls += draw.choices(calls, k=n_calls)
    calls = [(*call, draw.random()) for call in calls[: n_calls // n_times]] * n_times
    for number in range(n_calls + 1):
        dist.barrier() if number % 100 == 0 else None
        watch(number, torch) if rank == 0 else None
        dist.barrier() if number % 100 == 0 else None
        if number < n_calls:
            kind, group, seed = calls[number]
            if dist.get_rank(groups[group]) >= 0:
                check(kind, Round(torch, groups[group], number, random.Random(seed)))
    dist.destroy_process_group()


def check(kind, r):
    for tensor, expected in kind(r):
        found = tensor.numpy().astype(np.float64)
        assert np.array_equal(found, expected), (
            f"{kind.__name__}: {r.n_elem} {r.dtype}, {r.op}, {r.size} ranks"
        )


def spawn(simulation, n_ranks, worker, *args):
    torch = simulation.torch
    torch.multiprocessing.spawn(worker, args=(torch, *args), nprocs=n_ranks)
    return torch


# -- endurance --------------------------------------------------------------------------------------------


def credits_of(machine):
    """Of every queue end: the credits that its sender has, and the slots of its ring."""
    if machine.mode == "data":
        return {(d.send_ring.credits, to.ring.slots) for to, d in machine.queues.into.items()}
    machine.engine.run()
    return {(rings.send_ring.credits, end.ring.slots) for end, rings in rings_of(machine.assembly).items()}


def kept_by(machine):
    """How many values, messages, mappings and queues are kept, when nothing is under way and no queue is installed."""
    values = machine.executor.values
    tables = [values.mail, values._kept]
    tables += machine.page_tables.by_sip
    if machine.mode == "data":
        queues = machine.queues
        tables += [queues.into, queues.unfinished, queues._held, queues._readers, queues._dead]
        tables += [*queues._seqs.values(), *queues._ended.values()]
    else:
        tables += [
            machine.log.values,
            machine.launches,
            machine._mapping,
            rings_of(machine.assembly),
            machine.spans,
        ]
    return sum(map(len, tables))


def blocks_of(machine):
    """Blocks of memory that Python has given out: an object is one or more.

    Less what links remember of their buffers until those are full for the first time: two numbers for each flit.
    """
    links = machine.fabric.links.values() if machine.mode == "timed" else ()
    n_releases = sum(len(queue.releases) for link in links for queue in link.queues.values())
    gc.collect()
    return sys.getallocatedblocks() - 3 * n_releases


@pytest.mark.parametrize("mode", ["data", "timed"])
def test_a_thousand_mixed_collectives_end_with_all_credits_home_and_flat_memory(mode):
    blocks, credits = {}, {}

    def watch(number, torch):
        if number % 100:
            return
        do, machine = torch.distributed._hub.do, simulation.machine
        torch.synchronize()
        credits[number] = do(credits_of, machine)
        do(torch.distributed._backend._queue_cache.clear)
        machine.log.forget() if mode == "timed" else None
        assert kept_by(machine) == 0
        assert (torch.ahbm.wirings, torch.ahbm.heap.mappings) == ([], {})
        blocks[number] = blocks_of(machine)

    with simulate("tiny", mode=mode, keep_log=False) as simulation:
        torch = spawn(simulation, N, mixed, 1000, MEMBERS, watch, 2)
        assert torch.ahbm.wirings == []
    assert all(have == slots for number in credits for have, slots in credits[number])
    assert all(credits.values())
    assert blocks[1000] - blocks[500] < 250  # of 500 calls: less than half a block for each


@pytest.mark.parametrize("mode", ["data", "timed"])
def test_after_every_collective_all_credits_are_home(mode):
    seen = []

    def watch(number, torch):
        torch.synchronize()
        seen.append(torch.distributed._hub.do(credits_of, simulation.machine))

    with simulate("tiny", mode=mode, keep_log=False) as simulation:
        spawn(simulation, N, mixed, 40, MEMBERS, watch)
    assert all(have == slots for credits in seen for have, slots in credits)
    assert len(seen) == 41


# -- room for kernels -------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_ranks", [8, 16])
def test_queues_of_a_mixed_program_leave_half_of_each_tcm_to_kernels(n_ranks):
    left_bytes = []

    def watch(number, torch):
        left_bytes.extend(torch.ahbm.machine.tcm_left_bytes(pe) for pe in range(n_ranks))

    evens, first = range(0, n_ranks, 2), range(n_ranks // 2)
    with simulate("default", mode="data", keep_log=False) as simulation:
        spawn(simulation, n_ranks, mixed, 60, (evens, first), watch)
    assert min(left_bytes) >= 512 * 1024


RING = ["ccl.selection.all_reduce=ring_allreduce", "ccl.eager=[all_reduce]"]
LITTLE_ROOM = ["pe.tcm.size=8 KiB", *RING]  # for eight rings, half of which may be those of collectives


def test_queues_that_would_fill_tcm_give_way_to_new_ones():
    """Rings of 1 KiB in a TCM of 8 KiB: all_reduce and all_gather have 2 each, a barrier 4."""
    installed = []

    def worker(rank, torch):
        dist, x, y = torch.distributed, torch.full((6,), 1.0 + rank), torch.empty(6 * N)
        dist.init_process_group("ahbm")
        for call in (dist.barrier, partial(dist.all_reduce, x), partial(dist.all_gather_single, y, x)):
            call()
            installed.append((rank, [wiring.ring_bytes(0) for wiring in torch.ahbm.wirings]))
        assert x.numpy().tolist() == [10.0] * 6
        assert y.numpy().tolist() == [10.0] * 6 * N
        dist.destroy_process_group()

    with simulate("tiny", mode="timed", overrides=LITTLE_ROOM) as simulation:
        spawn(simulation, N, worker)
    assert [found for rank, found in installed if rank == 0] == [[4096], [2048], [2048, 2048]]


def test_transfers_whose_queues_would_take_more_than_half_of_tcm_are_several_kernels():
    """Of 4 KiB, two rings of 1 KiB are half: first 0-1, 0-2 and 1-2 are joined, then 0-3 and 1-3, then 2-3."""

    def worker(rank, torch):
        dist = torch.distributed
        dist.init_process_group("ahbm")
        y, x = torch.empty(4 * N), torch.arange(4 * rank * N, 4 * (rank + 1) * N, dtype=torch.float32)
        dist.all_to_all_single(y, x, [4] * N, [4] * N)
        assert y.numpy().tolist() == [4.0 * (r * N + rank) + i for r in range(N) for i in range(4)]
        dist.destroy_process_group()

    with simulate("tiny", mode="timed", overrides=["pe.tcm.size=4 KiB"]) as simulation:
        spawn(simulation, N, worker)
        assert [span.name for span in simulation.machine.spans] == ["exchange"] * 3
        assert [len(span.pes) for span in simulation.machine.spans] == [4, 3, 2]


def test_queues_that_give_way_and_come_back_do_so_in_the_same_order_each_time():
    hashes, n_installed = [], []

    def watch(number, torch):
        n_installed.append(len(torch.ahbm.wirings))

    for _ in range(2):
        with simulate("tiny", mode="timed", overrides=LITTLE_ROOM) as simulation:
            spawn(simulation, N, mixed, 60, MEMBERS, watch)
            hashes.append(simulation.report().oplog_sha256)
    assert hashes[0] == hashes[1]
    assert sum(b < a for a, b in pairwise(n_installed)) > 20  # as often do some give way


@pytest.mark.parametrize("mode", ["data", "timed"])
def test_what_is_under_way_or_waits_for_its_other_side_outlives_the_queues_that_give_way(mode):
    def worker(rank, torch):
        dist = torch.distributed
        dist.init_process_group("ahbm")
        mine, theirs = torch.full((300,), float(rank)), torch.empty(300)
        sums, parts = [torch.full((40,), float(rank + k)) for k in range(3)], torch.empty(160)
        peer = rank ^ 1
        begun = [dist.irecv(theirs, peer)]
        for x in sums:
            begun += [dist.all_reduce(x, async_op=True), dist.barrier(async_op=True)]
            begun.append(dist.all_gather_single(parts, x, async_op=True))
        begun.append(dist.isend(mine, peer))
        for work in begun:
            work.wait()
        assert [set(x.numpy().tolist()) for x in sums] == [{6.0 + N * k} for k in range(3)]
        assert set(parts.numpy().tolist()) == {6.0 + N * 2}
        assert set(theirs.numpy().tolist()) == {float(peer)}
        dist.destroy_process_group()

    with simulate("tiny", mode=mode, overrides=LITTLE_ROOM) as simulation:
        spawn(simulation, N, worker)


@pytest.mark.parametrize("mode", ["data", "timed"])
def test_queues_with_a_message_that_nobody_receives_do_not_give_way(mode):
    @jit
    def send_only():
        tl.send("next", tl.zeros((4,), tl.float32))

    def worker(rank, torch):
        dist = torch.distributed
        dist.init_process_group("ahbm")
        if rank == 0:
            torch.launch(
                send_only, (1,)
            )  # on the queues that were installed last: the eager ones of all_reduce
        dist.barrier()

    with (
        pytest.raises(QueueError) as caught,
        simulate("tiny", mode=mode, overrides=LITTLE_ROOM) as simulation,
    ):
        spawn(simulation, N, worker)
    assert "nobody received" in str(caught.value)


# -- two groups at once -----------------------------------------------------------------------------------

ROW_OF_4 = ["cube.pes.grid=[4,1]"]  # of ranks 0 to 3: 0 - 1 - 2 - 3
GROUPS_AT_ONCE = {"disjoint": ((0, 1), (2, 3)), "shared": ((0, 2), (1, 3))}  # links


def begun_at_once(rank, torch, groups):
    """Three collectives of the rank's group, of which none is waited for before all groups have begun theirs."""
    ((mine, ranks),) = [(group, ranks) for group, ranks in groups if rank in ranks]
    dist, n = torch.distributed, 700
    x, y, z = torch.full((n,), float(rank)), torch.empty(2 * n), torch.empty(n)
    parts = torch.arange(2 * n * rank, 2 * n * (rank + 1), dtype=torch.float32)
    dist.barrier()  # to fill a tensor waits for all launches, and so does to read one
    works = [
        dist.all_gather_single(y, x, group=mine, async_op=True),
        dist.all_reduce(x, group=mine, async_op=True),
        dist.reduce_scatter_single(z, parts, group=mine, async_op=True),
    ]
    dist.barrier()
    for work in reversed(works):
        work.wait()
    assert y.numpy().tolist() == [float(r) for r in ranks for _ in range(n)]
    assert x.numpy().tolist() == [float(sum(ranks))] * n
    first = n * ranks.index(rank)
    assert z.numpy().tolist() == [2.0 * n * sum(ranks) + 2 * i for i in range(first, first + n)]


def overlap(spans):
    """The PEs of launches that run at one time."""
    pairs = [
        (a, b) for a, b in combinations(spans, 2) if max(a.sent_ps, b.sent_ps) < min(a.done_ps, b.done_ps)
    ]
    return {frozenset((a.pes, b.pes)) for a, b in pairs}


@pytest.mark.parametrize("mode", ["data", "timed"])
@pytest.mark.parametrize("links", GROUPS_AT_ONCE)
def test_two_groups_at_once_on_disjoint_and_on_shared_links_have_right_data(links, mode):
    members = GROUPS_AT_ONCE[links]

    def worker(rank, torch):
        dist = torch.distributed
        dist.init_process_group("ahbm")
        groups = [(dist.new_group(ranks), ranks) for ranks in members]
        for _ in range(3):  # the first time, each waits for its queues to be installed
            begun_at_once(rank, torch, groups)
        dist.destroy_process_group()

    with simulate("tiny", mode=mode, overrides=ROW_OF_4) as simulation:
        spawn(simulation, N, worker)
        if mode == "timed":
            assert overlap(simulation.machine.spans) == {frozenset(map(frozenset, members))}
