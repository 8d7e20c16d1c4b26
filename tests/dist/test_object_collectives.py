"""Objects go from rank to rank as to another process: pickled, and their bytes over the machine.

That names, values and words are PyTorch's is tested against PyTorch itself, in ``tests/torch``.
"""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernbench.errors import ForcedValueError, UsageError
from kernbench.simulation import simulate
from tests.dist.rank_kit import N, fails, joined, spawned

THINGS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=6, deadline=None)
@given(things=st.lists(THINGS, min_size=N, max_size=N), root=st.integers(0, N - 1))
def test_any_objects_arrive_as_they_were_at_every_rank_that_gets_them(things, root):
    def body(rank, n, torch):
        dist, everybody, gathered, own = torch.distributed, [None] * n, [None] * n, [None]
        dist.all_gather_object(everybody, things[rank])
        dist.gather_object(things[rank], gathered if rank == root else None, root)
        shared = list(things) if rank == root else [None] * n
        dist.broadcast_object_list(shared, root)
        dist.scatter_object_list(own, things if rank == root else None, root)
        return everybody, gathered, shared, own

    for rank, (everybody, gathered, shared, own) in enumerate(spawned(joined(body))):
        assert everybody == shared == things
        assert gathered == (things if rank == root else [None] * N)
        assert own == [things[rank]]


def test_their_sizes_and_bytes_take_simulated_time():
    def kernel_times(size):
        def body(rank, n, torch):
            torch.distributed.all_gather_object([None] * n, b"x" * size)

        spans = []
        spawned(joined(body), mode="timed", after=lambda s: spans.extend(s.machine.spans))
        assert [span.name.endswith("all_gather") for span in spans] == [
            True
        ] * 2  # of the sizes, and of the bytes
        return [span.done_ps - span.sent_ps for span in spans]

    (sizes_ps, few_ps), (same_ps, many_ps) = kernel_times(10), kernel_times(10_000)
    assert sizes_ps == same_ps
    assert many_ps > 3 * few_ps


def test_tensors_of_the_host_travel_in_objects_and_dtypes_stay_themselves():
    def body(rank, n, torch):
        found = [None] * n
        mine = torch.from_numpy(np.full(2, rank, np.float16), name="loss")
        torch.distributed.all_gather_object(found, {"loss": mine, "dtype": torch.float16})
        return [
            (x["loss"].name, x["loss"].tolist(), x["loss"].context is torch, x["dtype"] is torch.float16)
            for x in found
        ]

    assert spawned(joined(body)) == [[("loss", [float(r)] * 2, True, True) for r in range(N)]] * N


def test_a_tensor_of_the_device_in_an_object_is_refused_with_the_cure():
    def body(rank, n, torch):
        torch.distributed.all_gather_object([None] * n, {"x": torch.zeros(2, name="x")})

    assert fails(body, UsageError) == (
        "'x' is a tensor on the device; an object holds tensors on the host: give x.cpu(), or gather the tensor "
        "itself, as with all_gather"
    )


@pytest.mark.parametrize("kind", [UsageError, pickle.PicklingError, AttributeError, TypeError])
def test_what_cannot_be_pickled_is_one_line(kind):
    def body(rank, n, torch):
        torch.distributed.all_gather_object([None] * n, lambda: 1)

    text = fails(body, kind)
    assert text.startswith("AttributeError: Can't ")
    assert text.endswith("; an object goes to another rank pickled, as to another process")
    assert "\n" not in text


def test_mode_timing_has_no_objects_to_read():
    def body(rank, n, torch):
        torch.distributed.broadcast_object_list([1])

    assert fails(body, ForcedValueError, mode="timing") == (
        "broadcast_object_list: objects are read where they arrive, and mode 'timing' computes no values; use mode "
        "'timed' or 'data'"
    )


def test_the_host_is_no_rank_that_has_objects():
    torch = simulate("tiny", mode="data").torch
    torch.distributed.init_process_group()
    with pytest.raises(RuntimeError) as caught:
        torch.distributed.all_gather_object([None] * N, 1)
    assert str(caught.value) == (
        "all_gather_object: the host is no rank; call it in a worker of torch.multiprocessing.spawn"
    )


def test_messages_of_objects_are_received_in_their_order_and_say_who_sent_them():
    def body(rank, n, torch):
        dist, found = torch.distributed, []
        if rank == 3:
            for peer in (0, 1, 0):
                into = [None, None]
                found.append((dist.recv_object_list(into, peer), into))
            return found
        for i in range(2 if rank == 0 else 1 if rank == 1 else 0):
            dist.send_object_list([f"message {i}", {"from": rank}], 3)
        return None

    assert spawned(joined(body))[3] == [
        (0, ["message 0", {"from": 0}]),
        (1, ["message 0", {"from": 1}]),
        (0, ["message 1", {"from": 0}]),
    ]
