"""``torch.distributed``: every rank a PE, a call of all ranks one kernel, and who disagrees is told so, never hangs.

That its names, numbers and words are PyTorch's is tested against PyTorch itself, in ``tests/torch``.
"""

from datetime import timedelta

import numpy as np
import pytest

import kernbench as kb
from kernbench.ccl.algorithm import ALGORITHMS
from kernbench.config.load import preset_names
from kernbench.errors import (
    ConfigError,
    DeadlockError,
    KernBenchError,
    KernelError,
    UnknownAttributeError,
    UsageError,
)
from kernbench.simulation import simulate
from tests.dist.rank_kit import N, fails, joined, listed, spawned

# -- ranks ------------------------------------------------------------------------------------------------


def test_a_rank_is_a_pe_and_its_tensors_lie_there():
    def body(rank, n, torch):
        dist = torch.distributed
        made = [torch.zeros(3), torch.from_numpy(np.zeros(3, np.float32)).to("ahbm"), torch.randn(2, 2)]
        return dist.get_rank(), dist.get_world_size(), {tensor.holders for tensor in made}

    assert spawned(joined(body)) == [(rank, N, {(rank,)}) for rank in range(N)]


def test_processes_may_take_other_ranks_than_their_places():
    def body(rank, n, torch):
        dist = torch.distributed
        dist.init_process_group("ahbm", rank=n - 1 - rank, world_size=n)
        x = torch.full((2,), float(rank))
        dist.broadcast(x, 0)
        return dist.get_rank(), listed(x)

    assert spawned(body) == [(N - 1 - place, [[N - 1.0] * 2]) for place in range(N)]


def test_outside_of_workers_tensors_are_spread_again():
    def after(simulation):
        assert simulation.torch.zeros(1024).holders == (0, 1, 2, 3)

    spawned(lambda rank, n, torch: None, after=after)


def test_each_process_begins_with_the_same_random_numbers_and_has_its_own():
    def body(rank, n, torch):
        first = torch.randn(3, device="host").numpy().tolist()
        torch.distributed.barrier()
        torch.manual_seed(rank)
        torch.distributed.barrier()
        return first, torch.randn(3, device="host").numpy().tolist()

    firsts, seconds = zip(*spawned(joined(body)))
    torch = simulate("tiny", mode="data").torch
    assert all(first == torch.randn(3, device="host").numpy().tolist() for first in firsts[:1])
    assert firsts.count(firsts[0]) == N
    assert len({tuple(second) for second in seconds}) == N
    torch.manual_seed(2)
    assert seconds[2] == torch.randn(3, device="host").numpy().tolist()


def test_a_kernel_runs_beside_its_rank():
    from kernbench.lang import jit, tl

    @jit
    def mark(x_ptr):
        tl.store(x_ptr, tl.load(x_ptr) + 1)

    def body(rank, n, torch):
        x = torch.full((1,), float(rank))
        mark[(1,)](x)
        torch.distributed.all_reduce(x)
        return listed(x)

    assert spawned(joined(body), mode="timed") == [[[1.0 + 2 + 3 + 4]]] * N


def test_a_kernel_of_a_rank_runs_on_the_ranks_pe_whatever_it_works_on():
    from kernbench.lang import jit, tl

    @jit
    def touch(x_ptr):
        tl.load(x_ptr)

    def body(rank, n, torch):
        everywhere = torch.DPPolicy(sip="replicate", cube="replicate", pe="replicate")
        for x in (torch.zeros(1), torch.zeros(64), torch.zeros(4, policy=everywhere)):
            touch[(1,)](x)
            torch.synchronize()
            ran_on.append((rank, simulation.machine.spans[-1].pes))

    ran_on = []
    with simulate("tiny") as simulation:
        torch = simulation.torch
        torch.multiprocessing.spawn(body, args=(N, torch), nprocs=N)
    assert sorted(ran_on) == [(rank, {rank}) for rank in range(N) for _ in range(3)]


def test_fewer_ranks_than_pes_are_the_first_pes():
    def body(rank, n, torch):
        x = torch.full((5,), float(rank + 1))
        torch.distributed.all_reduce(x)
        return x.holders, listed(x)

    assert spawned(joined(body), n=3) == [((rank,), [[6.0] * 5]) for rank in range(3)]


def test_one_rank_is_a_group_too():
    def body(rank, n, torch):
        dist, x, y = torch.distributed, torch.full((5,), 3.0), torch.zeros(5)
        dist.all_reduce(x, op=dist.ReduceOp.AVG)
        dist.broadcast(x, 0)
        dist.all_gather_single(y, x)
        dist.all_to_all_single(y, x)
        dist.barrier()
        return listed(x, y)

    assert spawned(joined(body), n=1) == [[[3.0] * 5] * 2]


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ({"nprocs": 5}, "torch.multiprocessing.spawn: nprocs=5; the machine has 4 PEs, and each rank is one"),
        (
            {"start_method": "fork"},
            "torch.multiprocessing.spawn: start_method='fork'; workers start as with 'spawn'",
        ),
    ],
)
def test_what_cannot_be_spawned_is_said(how, text):
    torch = simulate("tiny", mode="data").torch
    with pytest.raises(ValueError, match="spawn") as caught:
        torch.multiprocessing.spawn(lambda rank: None, **how)
    assert str(caught.value) == text


def test_a_worker_spawns_no_workers():
    def body(rank, n, torch):
        torch.multiprocessing.spawn(lambda rank: None)

    assert "a worker cannot spawn workers" in fails(body, UsageError)


def test_without_join_nothing_runs_until_it_is_joined():
    torch, ran = simulate("tiny", mode="data").torch, []
    context = torch.multiprocessing.spawn(lambda rank: ran.append(rank), nprocs=2, join=False)
    assert ran == []
    assert context.join()
    assert context.join()
    assert ran == [0, 1]


def test_what_a_worker_raises_ends_all_and_is_raised():
    ended = []

    def body(rank, n, torch):
        try:
            if rank == 2:
                raise ZeroDivisionError("mine")
            torch.distributed.barrier()
        finally:
            ended.append(rank)
            torch.distributed.barrier()

    with simulate("tiny", mode="timed") as simulation:
        torch = simulation.torch
        with pytest.raises(ZeroDivisionError, match="mine"):
            torch.multiprocessing.spawn(joined(body), args=(N, torch), nprocs=N)
        assert sorted(ended) == [0, 1, 2, 3]
        assert torch.ahbm.wirings == []  # and the machine goes on
        torch.multiprocessing.spawn(joined(lambda rank, n, torch: None), args=(N, torch), nprocs=N)


def test_an_error_of_the_machine_is_raised_in_the_worker_that_waits():
    from kernbench.lang import jit

    @jit
    def wrong(x_ptr):
        raise RuntimeError("in a kernel")

    def body(rank, n, torch):
        x = torch.zeros(1)
        wrong[(1,)](x)
        with pytest.raises(KernelError, match="in a kernel"):
            torch.synchronize()
        raise ValueError("told")

    with pytest.raises(ValueError, match="told"):
        spawned(body, n=1, mode="timed")


# -- the host ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(12,), (4, 5)])
def test_the_host_reduces_the_shards_of_a_tensor_with_the_kernel_that_workers_launch(shape):
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    with simulate("tiny") as simulation:
        torch = simulation.torch
        torch.distributed.init_process_group("ahbm")
        x = torch.from_numpy(values).to("ahbm")
        torch.distributed.all_reduce(x)
        by_host = x.numpy()
        host_span = simulation.machine.spans[-1]

    def body(rank, n, torch):
        x = torch.from_numpy(values.reshape(N, -1)[rank].copy()).to("ahbm")
        torch.distributed.all_reduce(x)
        return x.numpy()

    with simulate("tiny") as simulation:
        torch, found = simulation.torch, {}
        worker = joined(body)
        torch.multiprocessing.spawn(lambda rank: found.update({rank: worker(rank, N, torch)}), nprocs=N)
        worker_span = simulation.machine.spans[-1]
    expected = values.reshape(N, -1).sum(axis=0)
    assert by_host.reshape(N, -1).tolist() == [expected.tolist()] * N
    assert [found[rank].tolist() for rank in range(N)] == [expected.tolist()] * N
    assert host_span.name == worker_span.name in ALGORITHMS
    assert host_span.pes == worker_span.pes == set(range(N))


def test_the_host_reduces_copies_too():
    with simulate("tiny", mode="data") as simulation:
        torch, dist = simulation.torch, simulation.torch.distributed
        dist.init_process_group("ahbm")
        everywhere = torch.DPPolicy(sip="replicate", cube="replicate", pe="replicate")
        x = torch.full((3,), 2.0, policy=everywhere)
        dist.all_reduce(x)
        y = torch.zeros(12, policy=everywhere)
        dist.all_gather_single(y, torch.arange(12, dtype=torch.float32))
        assert listed(x, y) == [[8.0] * 3, list(range(12))]
        assert (dist.get_rank(), dist.get_world_size(), dist.get_backend()) == (0, N, "ahbm")
        dist.destroy_process_group()
        assert torch.ahbm.wirings == []


@pytest.mark.parametrize(
    ("shape", "policy", "text"),
    [
        ((10,), {"sip": "row_wise"}, "has shards of different sizes"),
        ((3,), {"sip": "row_wise"}, "is not spread evenly over the 4 ranks"),
        ((4, 4), {"pe": "column_wise"}, "is not spread evenly over the 4 ranks"),
        ((4,), {"only": 1}, "is not spread evenly over the 4 ranks"),
    ],
)
def test_the_host_refuses_tensors_that_are_not_one_shard_for_each_rank(shape, policy, text):
    torch = simulate("tiny", mode="data").torch
    torch.distributed.init_process_group()
    x = torch.zeros(shape, policy=torch.DPPolicy(**policy), name="x")
    with pytest.raises(UsageError) as caught:
        torch.distributed.all_reduce(x)
    assert text in str(caught.value)
    assert "give a tensor with one even shard for each rank" in str(caught.value)


def test_the_host_is_no_rank_that_sends():
    torch = simulate("tiny", mode="data").torch
    torch.distributed.init_process_group()
    with pytest.raises(RuntimeError, match="send: the host is no rank"):
        torch.distributed.send(torch.zeros(1), 1)


@pytest.mark.parametrize(
    ("overrides", "given", "world_size"),
    [
        ((), -1, N),
        ((), 3, 3),
        (("ccl.algorithms={ring_sliced_allreduce: {module: kernbench, world_size: 2}}",), -1, 2),
        (("ccl.algorithms={ring_sliced_allreduce: {module: kernbench, world_size: 2}}",), 3, 3),
        (("ccl.algorithms={ring_allreduce: {module: kernbench, world_size: 2}}",), -1, N),  # is not selected
    ],
)
def test_the_world_is_all_pes_unless_ccl_yaml_or_the_call_says_otherwise(overrides, given, world_size):
    torch = simulate("tiny", mode="data", overrides=overrides).torch
    torch.distributed.init_process_group("ahbm", world_size=given)
    assert torch.distributed.get_world_size() == world_size


# -- groups -----------------------------------------------------------------------------------------------


def test_two_groups_on_disjoint_ranks_and_two_on_shared_ones():
    def body(rank, n, torch):
        dist = torch.distributed
        even, odd = dist.new_group([0, 2]), dist.new_group([1, 3])
        left, right = dist.new_group([0, 1, 2]), dist.new_group([3, 2, 1], sort_ranks=False)
        found = []
        for group in (even, odd, left, right, left, right):
            if dist.get_rank(group) < 0:
                found.append(None)
                continue
            x = torch.full((9,), float(rank))
            dist.all_reduce(x, group=group)
            found.append(x.numpy()[0].item())
        x = torch.full((2,), float(rank))
        if rank:
            dist.broadcast(x, 3, group=right)
        return found, listed(x)

    two, four, three, six = 2.0, 4.0, 3.0, 6.0
    assert spawned(joined(body)) == [
        ([two, None, three, None, three, None], [[0.0, 0.0]]),
        ([None, four, three, six, three, six], [[3.0, 3.0]]),
        ([two, None, three, six, three, six], [[3.0, 3.0]]),
        ([None, four, None, six, None, six], [[3.0, 3.0]]),
    ]


def test_groups_that_their_members_make_alone():
    def body(rank, n, torch):
        dist = torch.distributed
        mine = dist.new_group([0, 1] if rank < 2 else [2, 3], use_local_synchronization=True)
        other = dist.new_group([2, 3], use_local_synchronization=True) if rank < 2 else None
        x = torch.full((2,), float(rank))
        dist.all_reduce(x, group=mine)
        return listed(x), other

    assert spawned(joined(body)) == [([[1.0, 1.0]], None)] * 2 + [([[5.0, 5.0]], None)] * 2


EAGER_RING = ["ccl.eager=[all_reduce]", "ccl.selection.all_reduce=ring_allreduce"]


def test_groups_of_the_same_ranks_share_queues_and_the_last_one_removes_them():
    def body(rank, n, torch):
        dist = torch.distributed
        n_before = len(torch.ahbm.wirings)
        group = dist.new_group()
        n_with = len(torch.ahbm.wirings)
        dist.destroy_process_group(group)
        dist.barrier()
        return n_before, n_with

    counts = []
    found = spawned(
        joined(body),
        overrides=EAGER_RING,
        after=lambda simulation: counts.append(len(simulation.device.wirings)),
    )
    assert set(found) == {(1, 1)}  # those of all_reduce, which are eager
    assert counts == [0]


def test_who_leaves_without_destroying_its_group_leaves_no_queues():
    def body(rank, n, torch):
        torch.distributed.init_process_group("ahbm")
        torch.distributed.barrier()

    counts = []
    spawned(body, after=lambda simulation: counts.append(len(simulation.device.wirings)))
    assert counts == [0]


# -- who disagrees ----------------------------------------------------------------------------------------


DISAGREEMENTS = {
    "op": (
        lambda torch, dist: dist.all_reduce(torch.zeros(4)),
        lambda torch, dist: dist.all_reduce(torch.zeros(4), op=dist.ReduceOp.MAX),
        ("all_reduce(numel=4, dtype=fp32, op=SUM)", "all_reduce(numel=4, dtype=fp32, op=MAX)"),
    ),
    "size": (
        lambda torch, dist: dist.all_reduce(torch.zeros(4)),
        lambda torch, dist: dist.all_reduce(torch.zeros(5)),
        ("all_reduce(numel=4, dtype=fp32, op=SUM)", "all_reduce(numel=5, dtype=fp32, op=SUM)"),
    ),
    "dtype": (
        lambda torch, dist: dist.broadcast(torch.zeros(4), 0),
        lambda torch, dist: dist.broadcast(torch.zeros(4, dtype=torch.float16), 0),
        ("broadcast(numel=4, dtype=fp32, src=0)", "broadcast(numel=4, dtype=fp16, src=0)"),
    ),
    "root": (
        lambda torch, dist: dist.broadcast(torch.zeros(4), 0),
        lambda torch, dist: dist.broadcast(torch.zeros(4), 1),
        ("broadcast(numel=4, dtype=fp32, src=0)", "broadcast(numel=4, dtype=fp32, src=1)"),
    ),
    "order": (
        lambda torch, dist: (dist.barrier(), dist.all_reduce(torch.zeros(4))),
        lambda torch, dist: (dist.all_reduce(torch.zeros(4)), dist.barrier()),
        ("barrier()", "all_reduce(numel=4, dtype=fp32, op=SUM)"),
    ),
    "groups": (
        lambda torch, dist: dist.new_group([0, 1]),
        lambda torch, dist: dist.new_group([0, 1, 2]),
        ("new_group(ranks=[0, 1])", "new_group(ranks=[0, 1, 2])"),
    ),
}


@pytest.mark.parametrize("name", DISAGREEMENTS)
def test_ranks_that_disagree_are_told_who_and_about_what(name):
    others, third, (said, also_said) = DISAGREEMENTS[name]

    def body(rank, n, torch):
        (third if rank == 2 else others)(torch, torch.distributed)

    text = fails(body, RuntimeError)
    here = "test_distributed.py:"
    assert text.startswith("Detected mismatch between collectives on ranks. Rank ")
    assert f"Rank 2 is running collective: {also_said} at {here}" in text
    assert f" is running collective: {said} at {here}" in text
    assert "They are call 1 of group '0' (ranks 0, 1, 2, 3)" in text


def test_every_rank_of_a_disagreement_gets_the_error_and_may_go_on():
    def body(rank, n, torch):
        dist = torch.distributed
        x = torch.full((4 if rank < 3 else 3,), 1.0)
        try:
            dist.all_reduce(x)
        except RuntimeError as error:
            text = str(error)
        y = torch.full((2,), 1.0)
        dist.all_reduce(y)
        return text, listed(y)

    texts, values = zip(*spawned(joined(body)))
    assert len(set(texts)) == 1
    assert set(map(str, values)) == {"[[4.0, 4.0]]"}


def test_a_send_and_its_receive_agree_on_the_size():
    def body(rank, n, torch):
        if rank == 0:
            torch.distributed.send(torch.zeros(4), 1)
        if rank == 1:
            torch.distributed.recv(torch.zeros(3), 0)

    text = fails(body, RuntimeError)
    assert "Rank 0 is running: send(dst=1, numel=4, dtype=fp32) at test_distributed.py:" in text
    assert "Rank 1 is running: recv(src=0, numel=3, dtype=fp32) at test_distributed.py:" in text


def test_split_sizes_agree():
    def body(rank, n, torch):
        dist = torch.distributed
        sent = [2, 1] if rank else [1, 1]
        dist.all_to_all_single(torch.zeros(3), torch.zeros(sum(sent)), [1, 2], sent)

    text = fails(body, RuntimeError, n=2)
    assert text.startswith("all_to_all_single: rank 1 sends 1 elements to rank 1 (test_distributed.py:")
    assert "which expects 2 (test_distributed.py:" in text


@pytest.mark.parametrize(
    ("ranks", "world_sizes", "text"),
    [
        ([0, 0], [2, 2], "workers 0 (test_distributed.py:"),
        ([0, 1], [2, 1], "init_process_group: rank 1 of 1; ranks are 0 to 0"),
        ([0, 1], [2, 3], "disagree on world_size: 2 and 3; give each its own rank"),
        ([0, 1], [9, 9], "init_process_group: world_size=9; the machine has 4 PEs, and each rank is one"),
    ],
)
def test_the_default_group_is_agreed_on(ranks, world_sizes, text):
    def body(rank, n, torch):
        torch.distributed.init_process_group("ahbm", rank=ranks[rank], world_size=world_sizes[rank])

    with pytest.raises(UsageError) as caught:
        spawned(body, n=2)
    assert text in str(caught.value)


# -- what would hang --------------------------------------------------------------------------------------


def stuck(body, **options):
    """The lines of the map with which a run of ``body`` ends."""
    return fails(body, DeadlockError, **options).split("\n  ")


def test_a_rank_that_does_not_come_is_named():
    def body(rank, n, torch):
        if rank != 2:
            torch.distributed.barrier()

    head, *lines = stuck(body)
    assert head == "3 of 4 workers wait and nothing is left to happen:"
    assert lines[0].startswith("rank 0  barrier() at test_distributed.py:")
    assert lines[0].endswith(
        ": waits for ranks 2 of group '0' (ranks 0, 1, 2, 3); it was destroyed by ranks 2"
    )
    assert lines[-1] == "ended: 2"


def test_a_receive_without_a_send_is_named():
    def body(rank, n, torch):
        if rank == 1:
            torch.distributed.recv(torch.zeros(3), 3)
        if rank == 2:
            torch.distributed.recv(torch.zeros(3))

    _, first, second, _ = stuck(body)
    assert first.startswith("rank 1  recv(src=3, numel=3, dtype=fp32) at test_distributed.py:")
    assert first.endswith("waits for rank 3 of group '0' (ranks 0, 1, 2, 3)")
    assert second.endswith("waits for any rank of group '0' (ranks 0, 1, 2, 3)")


def test_two_that_both_send_first_wait_for_ever_as_over_gloo():
    def body(rank, n, torch):
        torch.distributed.send(torch.zeros(3), 1 - rank)
        torch.distributed.recv(torch.zeros(3), 1 - rank)

    assert len(stuck(body, n=2)) == 3


def test_two_groups_in_different_orders_wait_for_ever():
    def body(rank, n, torch):
        dist = torch.distributed
        groups = [dist.new_group([0, 1]), dist.new_group([0, 1])]
        for group in groups if rank else groups[::-1]:
            dist.barrier(group=group)

    _, *lines = stuck(body, n=2)
    assert [line.split("waits for")[1] for line in lines] == [
        " ranks 1 of group '2' (ranks 0, 1)",
        " ranks 0 of group '1' (ranks 0, 1)",
    ]


def test_a_default_group_that_lacks_a_rank_is_named():
    def body(rank, n, torch):
        torch.distributed.init_process_group("ahbm", world_size=4)

    with pytest.raises(DeadlockError) as caught:
        spawned(body, n=2)
    assert "init_process_group(world_size=4, rank=0) at test_distributed.py:" in str(caught.value)
    assert "2 of 4 ranks have called it" in str(caught.value)


def test_what_nobody_has_answered_at_the_end_is_an_error():
    def body(rank, n, torch):
        torch.distributed.init_process_group("ahbm")
        if rank == 0:
            torch.distributed.isend(torch.zeros(3), 1)
            torch.distributed.barrier(async_op=True)

    with pytest.raises(DeadlockError) as caught:
        spawned(body)
    head, barrier, send = str(caught.value).split("\n  ")
    assert head == "all workers have ended, and these calls wait for ever:"
    assert barrier.startswith("barrier() at test_distributed.py:")
    assert send.startswith("send(dst=1, numel=3, dtype=fp32) at test_distributed.py:")


def test_asking_for_ever_is_found_out(monkeypatch):
    from kernbench.dist import ranks

    monkeypatch.setattr(ranks, "MOST_POLLS", 50)

    def body(rank, n, torch):
        if rank == 0:
            work = torch.distributed.barrier(async_op=True)
            while not work.is_completed():
                pass

    assert "rank 0 asked 50 times in a row and nobody does anything else: barrier() at" in fails(
        body, DeadlockError
    )


# -- works ------------------------------------------------------------------------------------------------


def test_a_work_is_complete_when_all_ranks_have_called():
    def body(rank, n, torch):
        dist = torch.distributed
        x = torch.full((3,), float(rank))
        if rank == 0:
            work = dist.all_reduce(x, async_op=True)
            early = (work.is_success(), work.exception())
            while not work.is_completed():
                pass
            return early, work.wait(timedelta(seconds=1)), work.is_success(), listed(*work.result())
        dist.all_reduce(x)
        return None

    assert spawned(joined(body))[0] == ((False, None), True, True, [[6.0] * 3])


def test_works_in_flight_complete_in_the_order_of_their_calls():
    def body(rank, n, torch):
        dist = torch.distributed
        xs = [torch.full((2,), float(rank + k)) for k in range(5)]
        works = [dist.all_reduce(x, async_op=True) for x in xs]
        for work in reversed(works):
            work.wait()
        return listed(*xs)

    assert spawned(joined(body)) == [[[6.0 + 4 * k] * 2 for k in range(5)]] * N


def test_a_failed_work_keeps_its_error():
    def body(rank, n, torch):
        dist = torch.distributed
        x = torch.zeros(2)
        if rank == 0:
            work = dist.barrier(async_op=True)
            dist.recv(x, 3)
            with pytest.raises(RuntimeError, match="Detected mismatch"):
                work.wait()
            return work.is_completed(), work.is_success(), "mismatch" in str(work.exception())
        dist.send(x, 0) if rank == 3 else None  # after rank 0's call
        with pytest.raises(RuntimeError, match="Detected mismatch"):
            dist.all_reduce(x)
        return None

    assert spawned(joined(body))[0] == (True, False, True)


# -- kernels and queues -----------------------------------------------------------------------------------


def test_one_call_of_all_ranks_is_one_kernel_on_all_their_pes():
    def body(rank, n, torch):
        torch.distributed.all_reduce(torch.zeros(3))
        torch.distributed.barrier()

    spans = []
    spawned(joined(body), mode="timed", after=lambda simulation: spans.extend(simulation.machine.spans))
    collectives = [ALGORITHMS[span.name].collective for span in spans]
    assert collectives == ["all_reduce", "barrier"]
    assert [len(span.pes) for span in spans] == [N, N]


def test_the_sends_and_receives_of_all_ranks_are_one_kernel():
    def body(rank, n, torch):
        dist, y = torch.distributed, torch.zeros(300)
        ops = [
            dist.P2POp(dist.isend, torch.full((300,), float(rank)), (rank + 1) % n),
            dist.P2POp(dist.irecv, y, (rank - 1) % n),
        ]
        for work in dist.batch_isend_irecv(ops):
            work.wait()
        return y.numpy()[-1].item()

    spans = []
    found = spawned(
        joined(body), mode="timed", after=lambda simulation: spans.extend(simulation.machine.spans)
    )
    assert found == [3.0, 0.0, 1.0, 2.0]
    assert [(span.name, len(span.pes)) for span in spans] == [("exchange", N)]


def test_a_pair_gets_its_queue_at_its_first_message_and_all_others_give_way_where_it_needs_room():
    counts = []

    def body(rank, n, torch):
        dist, x = torch.distributed, torch.full((10,), float(rank))
        for a, b in [(0, 1), (1, 0), (0, 2), (0, 3), (0, 1)]:
            if rank == a:
                dist.send(x, b)
            if rank == b:
                dist.recv(x, a)
            dist.barrier()
            if rank == 0:
                counts.append(sorted(w.pes for w in torch.ahbm.wirings if len(w.pes) == 2))
        return listed(x)

    # Half of 24 KiB are six rings of 2 KiB: a barrier has four of each PE, a pair one, and the eager all_reduce two.
    settings = [*EAGER_RING, "pe.tcm.size=24 KiB", "ccl.defaults.slots=1", "ccl.defaults.slot_size=2 KiB"]
    settings += ["pe.ipcq.slots=1", "pe.ipcq.slot_size=2 KiB"]
    spawned(joined(body), overrides=settings)
    assert counts == [[], [(0, 1)], [(0, 1), (0, 2)], [(0, 3)], [(0, 1), (0, 3)]]


def test_the_same_program_gives_the_same_log():
    def body(rank, n, torch):
        dist, x = torch.distributed, torch.randn(50)
        work = dist.all_reduce(x, async_op=True)
        dist.barrier()
        work.wait()
        if rank in (1, 3):
            (dist.send if rank == 1 else dist.recv)(x, 4 - rank)

    hashes = []
    for _ in range(2):
        spawned(
            joined(body),
            mode="timed",
            after=lambda simulation: hashes.append(simulation.report().oplog_sha256),
        )
    assert hashes[0] == hashes[1]


def test_mode_timing_runs_the_same_calls_in_the_same_time():
    def body(rank, n, torch):
        dist, x, y = torch.distributed, torch.zeros(100), torch.zeros(400)
        dist.all_reduce(x)
        dist.all_gather_single(y, x)
        torch.synchronize()
        return torch.ahbm.machine.now_ps

    assert spawned(joined(body), mode="timing") == spawned(joined(body), mode="timed")


# -- which algorithm --------------------------------------------------------------------------------------


def test_the_size_chooses_the_algorithm(monkeypatch):
    from kernbench.ccl.communicator import Communicator

    chosen = []
    run = Communicator.run
    monkeypatch.setattr(
        Communicator, "run", lambda self, name, *a, **how: (chosen.append(name), run(self, name, *a, **how))
    )

    def body(rank, n, torch):
        for n_elem in (10, 16, 17):
            torch.distributed.all_reduce(torch.zeros(n_elem))

    spawned(
        joined(body),
        overrides=["ccl.selection.all_reduce=recursive_doubling_allreduce:0-64;ring_allreduce:65-max"],
    )
    assert chosen == ["recursive_doubling_allreduce"] * 2 + ["ring_allreduce"]


@pytest.mark.parametrize(
    ("selection", "text"),
    [
        ("5", "5 is not a selection; write algorithm:first-last, as in 'ring_allreduce:0-max'"),
        (
            "ring:0",
            "'ring:0' is not a range of message sizes in bytes; write algorithm:first-last, as in "
            "'ring_allreduce:0-max'",
        ),
        ("ring:5-max", "'ring:5-max' must begin at 0, so that each size has one algorithm"),
        ("a:0-9;b:11-max", "'b:11-max' must begin at 10, so that each size has one algorithm"),
        ("a:0-9;b:10-20", "'b:10-20' must end at max, so that each size has one algorithm"),
        ("a:0-max;b:10-20", "'b:10-20' comes after a range to max; nothing is larger, so leave it out"),
        ("a:0-9;b:10-3", "'b:10-3' ends before it begins; write algorithm:first-last"),
    ],
)
def test_a_selection_that_says_nothing_clear_is_refused(selection, text):
    with pytest.raises(ConfigError) as caught:
        simulate("tiny", overrides=[f"ccl.selection.all_reduce={selection}"])
    assert str(caught.value) == f"--set ccl.selection.all_reduce={selection}: {text}"


def test_a_selection_of_what_is_not_there_says_where_it_was_written():
    def text_of(selection):
        torch = simulate("tiny", mode="data", overrides=[f"ccl.selection.{selection}"]).torch
        with pytest.raises(ConfigError) as caught:
            torch.distributed.init_process_group()
        return str(caught.value)

    text = text_of("all_reduce=ring_alreduce")
    assert text.startswith(
        "--set ccl.selection.all_reduce=ring_alreduce: unknown algorithm 'ring_alreduce'; "
        "did you mean 'ring_allreduce'? (known: "
    )
    text = text_of("all_reduce=binomial_reduce")
    assert "binomial_reduce is for reduce; for all_reduce there are " in text


def test_an_algorithm_that_cannot_serve_the_group_is_refused_with_those_that_can():
    from kernbench.ccl.algorithm import ALGORITHMS, load_algorithms
    from kernbench.theory.group import Group

    load_algorithms()
    three = Group(((0, 0), (1, 0), (0, 1)), ())
    unable = []
    for name in ALGORITHMS:
        try:
            refused = ALGORITHMS[name].refuses(three)
        except Exception:  # looks at PEs that this group has not
            continue
        if ALGORITHMS[name].collective == "all_reduce" and refused:
            unable.append(name)
    if not unable:
        pytest.skip("every algorithm serves three ranks")
    torch = simulate("tiny", mode="data", overrides=[f"ccl.selection.all_reduce={unable[0]}"]).torch
    torch.distributed.init_process_group(world_size=3)
    with pytest.raises(UsageError) as caught:
        torch.distributed.all_reduce(torch.zeros(3, 8, policy=kb.DPPolicy(only=[0, 1, 2])))
    assert f"{unable[0]} cannot serve 3 ranks: " in str(caught.value)
    assert "ring_allreduce" in str(caught.value)


@pytest.mark.parametrize("preset", preset_names("ccl"))
def test_every_algorithm_of_the_presets_is_there_and_for_its_collective(preset):
    from kernbench.ccl.algorithm import load_algorithms
    from kernbench.config.ccl import size_ranges
    from kernbench.config.load import load_config

    ccl, algorithms = load_config(ccl=preset).ccl, load_algorithms()
    for collective in ccl.selection.fields():
        texts = [text for table in getattr(ccl.selection, collective) for text in table.texts]
        names = {found.algorithm for text in texts for found in size_ranges(text)}
        assert {algorithms[name].collective for name in names} == {collective}


# -- names ------------------------------------------------------------------------------------------------


def test_what_pytorch_has_and_this_has_not_is_said():
    torch = simulate("tiny", mode="data").torch
    with pytest.raises(UnknownAttributeError) as caught:
        _ = torch.distributed.all_reduse
    assert str(caught.value).startswith(
        "torch.distributed has no 'all_reduse' here; did you mean 'all_reduce'?"
    )
    with pytest.raises(UnknownAttributeError, match="ReduceOp has no 'PREMUL_SUM' here"):
        _ = torch.distributed.ReduceOp.PREMUL_SUM


@pytest.mark.parametrize(
    ("backend", "kind", "text"),
    [
        ("gloo", RuntimeError, "Distributed package doesn't have Gloo built in; this machine's is 'ahbm'"),
        ("nccl", RuntimeError, "Distributed package doesn't have NCCL built in; this machine's is 'ahbm'"),
        ("nonsense", AssertionError, "Unknown backend type nonsense; this machine's is 'ahbm'"),
    ],
)
def test_other_backends_are_not_built_in(backend, kind, text):
    torch = simulate("tiny", mode="data").torch
    with pytest.raises(kind) as caught:
        torch.distributed.init_process_group(backend)
    assert str(caught.value) == text
    assert isinstance(caught.value, KernBenchError)


def test_a_tensor_on_the_host_is_on_no_rank():
    def body(rank, n, torch):
        torch.distributed.all_reduce(torch.zeros(3, device="host", name="x"))

    assert fails(body, RuntimeError) == (
        "No backend type associated with device type cpu; 'x' is there: copy it to the device with .to('ahbm'); "
        "a part of a tensor there is x.narrow(dim, start, length)"
    )
