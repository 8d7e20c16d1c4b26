"""What a kernel may say to other PEs, in mode ``data`` and in simulated time: the same bits, the same refusals.

PE 0 of ``tiny`` is rank 0, PE 1 rank 1; "out" of rank 0 is "in" of rank 1, and the other way round. Rings have two
slots of 64 bytes. What rank r stores goes to row r of the output.
"""

import inspect
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernbench.ccl.wiring import QueuePair, install_queues
from kernbench.errors import (
    CapacityError,
    DeadlockError,
    DTypeError,
    KernelError,
    QueueError,
    ShapeError,
    UsageError,
)
from kernbench.lang import jit, tl
from kernbench.messages.oplog import OpCode
from kernbench.simulation import simulate

PAIR = QueuePair("out", "in", lambda rank, n: (rank + 1) % n)
WIDTH = 1024


class World:
    """A machine with queues between PEs 0 and 1 (or ``pes``)."""

    def __init__(self, mode, *, pes=(0, 1), directions=(), overrides=(), **ring):
        self.simulation = simulate("tiny", mode=mode, strict=False, overrides=overrides)
        self.torch = self.simulation.torch
        self.pes = pes
        rings = {"slots": 2, "slot_bytes": 64, **ring}
        self.wiring = install_queues(self.torch, [PAIR], pes=pes, directions=directions, **rings)

    def run(self, kernel, *inputs, out="fp32", n_programs=None, **meta):
        """What each rank stored, ``[rank, WIDTH]`` of dtype ``out``."""
        out = self.torch.zeros(len(self.pes), WIDTH, dtype=out)
        given = [self.torch.tensor(x) for x in inputs]
        self.torch.launch(kernel, (n_programs or len(self.pes),), (*given, out), meta, queues=self.wiring)
        return out.numpy()


@pytest.fixture(params=["data", "timed"])
def mode(request):
    return request.param


@pytest.fixture
def world(mode):
    """A maker of worlds in either mode."""
    return lambda **options: World(mode, **options)


def at(kernel, text):
    """``FILE:LINE`` of the only line of ``kernel`` with ``text`` in it."""
    lines, start = inspect.getsourcelines(kernel.fn)
    (found,) = [start + i for i, line in enumerate(lines) if text in line]
    return f"test_queues.py:{found}"


def says(text):
    return f"^{re.escape(text)}$"


F32 = np.arange(WIDTH, dtype="f4")


# -- sending and receiving --------------------------------------------------------------------------------


@jit
def pass_kernel(x_ptr, out_ptr, n: tl.constexpr, dtype: tl.constexpr):
    """Rank 0 sends ``[n]``, rank 1 stores it."""
    if tl.rank() == 0:
        tl.send("out", tl.load(x_ptr, shape=(n,)))
    else:
        tl.store(out_ptr + 1024, tl.recv("in", (n,), dtype))


@pytest.mark.parametrize("kind", ["tcm", "sram", "hbm"])
@pytest.mark.parametrize("n", [1, 16, 17, 32, 33, 1000], ids="{} elements".format)
def test_a_message_arrives_as_it_was_sent_however_many_slots_it_takes(world, kind, n):
    """16 fp32 are a slot, 32 the whole ring; what is larger passes through it."""
    out = world(buffer_kind=kind).run(pass_kernel, F32 + 1, n=n, dtype="fp32")
    assert out[1, :n].tolist() == (F32[:n] + 1).tolist()
    assert not out[1, n:].any()
    assert not out[0].any()


@pytest.mark.parametrize("kind", ["tcm", "sram", "hbm"])
@pytest.mark.parametrize("pe", [0, 1])
def test_a_pe_whose_window_is_smaller_than_a_packet_or_a_chunk_sends_and_receives_too(world, kind, pe):
    """512 bytes; a packet has up to 4096, a chunk 1024."""
    narrow = f'overrides={{"sip0.cube0.pe{pe}.pe_dma": {{max_inflight: 512}}}}'
    out = world(buffer_kind=kind, slot_bytes=4096, overrides=[narrow]).run(
        pass_kernel, F32, n=1000, dtype="fp32"
    )
    assert out[1, :1000].tolist() == F32[:1000].tolist()


@pytest.mark.parametrize("dtype", ["int8", "uint16", "fp16", "int64", "fp64"])
def test_a_message_may_be_of_any_dtype(world, dtype):
    numpy = {"fp16": "f2", "fp64": "f8"}.get(dtype, dtype)
    out = world().run(pass_kernel, np.arange(50).astype(numpy), out=dtype, n=50, dtype=dtype)
    assert out[1, :50].tolist() == list(range(50))


@pytest.mark.parametrize("kind", ["tcm", "sram", "hbm"])
def test_a_message_without_bytes_takes_its_turn(world, kind):
    """Also behind one that is still being written."""

    @jit
    def kernel(x_ptr, out_ptr):
        if tl.rank() == 0:
            some = tl.load(x_ptr, shape=(16,))
            none = tl.zeros((0, 4), tl.float16)
            for _ in range(3):
                tl.send_async("out", some)
                tl.send_async("out", none)
        else:
            for i in range(3):
                tl.store(out_ptr + 1024 + 16 * i, tl.recv("in", (16,), "fp32"))
                assert tl.recv("in", (0, 4), "fp16").shape == (0, 4)

    out = world(buffer_kind=kind).run(kernel, F32)
    assert out[1, :48].tolist() == [*range(16)] * 3


def test_scalars_and_blocks_of_any_rank_arrive_in_their_shapes(world):
    @jit
    def kernel(x_ptr, out_ptr):
        if tl.rank() == 0:
            tl.send("out", tl.load(x_ptr + 5))
            tl.send_async("out", tl.load(x_ptr, shape=(2, 3, 4)))
        else:
            x = tl.recv("in", (), "fp32") + 0
            y = tl.recv("in", (2, 3, 4), tl.float32)
            assert (x.shape, x.dtype, y.shape) == ((), tl.float32, (2, 3, 4))
            tl.store(out_ptr + 1024, tl.reshape(x + y, 24))

    assert world().run(kernel, F32)[1, :24].tolist() == list(range(5, 29))


def test_what_a_kernel_knows_is_made_and_sent(world):
    """Constants, numbers, indices, masks; each by its own dtype."""

    @jit
    def kernel(out_ptr):
        if tl.rank() == 0:
            tl.send("out", tl.full((4,), 2.5, tl.float32))
            tl.send("out", 1.5)
            tl.send("out", 7)
            tl.send("out", tl.arange(0, 8) * 3)
            tl.send("out", tl.arange(0, 8) < 5)
        else:
            tl.store(out_ptr + 1024 + tl.arange(0, 4), tl.recv("in", 4, "fp32"))
            tl.store(out_ptr + 1028, tl.recv("in", (), "fp32"))
            tl.store(out_ptr + 1029, tl.recv("in", (), "int32"))
            tl.store(out_ptr + 1030 + tl.arange(0, 8), tl.recv("in", [8], "int32"))
            tl.store(out_ptr + 1038 + tl.arange(0, 8), tl.recv("in", (8,), "int1"))

    out = world().run(kernel)[1]
    assert out[:4].tolist() == [2.5] * 4
    assert out[4:6].tolist() == [1.5, 7]
    assert out[6:14].tolist() == [3 * i for i in range(8)]
    assert out[14:22].tolist() == [1] * 5 + [0] * 3


def test_a_reference_or_a_pointer_is_loaded_and_sent(world):
    @jit
    def kernel(x_ptr, out_ptr):
        if tl.rank() == 0:
            tl.send("out", tl.ref(x_ptr, (2, 4), strides=(100, 1)))
            tl.send("out", x_ptr + 9)
            tl.send("out", x_ptr + tl.arange(0, 4) * 10)
        else:
            tl.store(out_ptr + 1024, tl.recv("in", (2, 4), "fp32"))
            tl.store(out_ptr + 1032, tl.recv("in", (), "fp32"))
            tl.store(out_ptr + 1033 + tl.arange(0, 4), tl.recv("in", (4,), "fp32"))

    out = world().run(kernel, F32)[1]
    assert out[:13].tolist() == [0, 1, 2, 3, 100, 101, 102, 103, 9, 0, 10, 20, 30]


def test_messages_of_a_queue_keep_their_order_and_queues_have_none_between_them(world):
    """Rank 1 takes "in" from its back neighbour first, which here is also its front neighbour."""

    @jit
    def kernel(out_ptr):
        if tl.rank() == 0:
            for i in range(6):
                tl.send_async("out", tl.full((), i, tl.float32))
            tl.send("in", 100.0)
        else:
            tl.store(out_ptr + 1024, tl.recv("out", (), "fp32"))
            for i in range(6):
                tl.store(out_ptr + 1025 + i, tl.recv("in", (), "fp32"))

    assert world().run(kernel)[1, :7].tolist() == [100, 0, 1, 2, 3, 4, 5]


def test_a_received_block_is_passed_on(world):
    """Three ranks; each adds one and sends on."""

    @jit
    def kernel(x_ptr, out_ptr):
        rank = tl.rank()
        if rank == 0:
            tl.send("out", tl.load(x_ptr, shape=(16,)))
        x = tl.recv("in", (16,), "fp32")
        if rank:
            tl.send("out", x)
        tl.store(out_ptr + 1024 * rank, x)

    out = world(pes=(2, 3, 1)).run(kernel, F32)
    assert out[:, :16].tolist() == [list(range(16))] * 3


def test_what_is_sent_is_the_value_at_that_time(world):
    """Its bytes are taken over by the sum that comes after it; and memory it came from is overwritten."""

    @jit
    def kernel(x_ptr, out_ptr):
        if tl.rank() == 0:
            a = tl.load(x_ptr, shape=(16, 16))
            acc = tl.dot(a, a)
            tl.send_async("out", acc)
            acc = tl.dot(a, a, acc)
            tl.store(x_ptr, acc)
            tl.send("out", acc)
        else:
            tl.recv("in", (16, 16), "fp32", dst=out_ptr + 1024)
            tl.recv("in", (16, 16), "fp32", dst=out_ptr + 1024 + 256)

    eye = np.eye(16, dtype="f4")
    out = world().run(kernel, eye.reshape(-1))[1]
    assert out[:256].tolist() == eye.reshape(-1).tolist()
    assert out[256:512].tolist() == (2 * eye).reshape(-1).tolist()


def test_a_received_accumulator_keeps_its_slots_and_the_sum_gets_bytes_of_its_own(world):
    """A ``dot`` takes over the bytes of an accumulator that dies with it, but a slot is not the kernel's to keep."""

    @jit
    def kernel(x_ptr, out_ptr):
        a = tl.load(x_ptr, shape=(4, 4))
        if tl.rank() == 0:
            tl.send("out", a)
            tl.send("out", a + 1)
            tl.send("out", a + 2)
        else:
            acc = tl.recv("in", (4, 4), "fp32")
            acc = tl.dot(a, a, acc)
            acc = tl.dot(a, a, acc)
            more = tl.recv("in", (4, 4), "fp32")
            last = tl.recv("in", (4, 4), "fp32")
            tl.store(out_ptr + 1024, acc + more + last)

    machine = world()
    a = F32[:16].reshape(4, 4)
    out = machine.run(kernel, a.reshape(-1))[1, :16]
    assert out.tolist() == (2 * (a @ a) + 3 * a + 3).reshape(-1).tolist()
    if machine.simulation.mode == "timed":
        log = list(machine.torch.ahbm.machine.log)
        gemms = {(r.node, r.command) for r in log if r.op == OpCode.GEMM}
        pe = machine.torch.ahbm.machine.graph.nodes
        gemms = {(pe[node].pe, command) for node, command in gemms}
        sizes = [r.size_bytes for r in log if r.op == OpCode.DISPATCH and (pe[r.node].pe, r.command) in gemms]
        assert sizes == [64, 0]


# -- futures ----------------------------------------------------------------------------------------------


def test_wait_gives_the_blocks_of_receives(world):
    """One future: its block; several: a tuple with None for other work; none of them a receive: None."""

    @jit
    def kernel(x_ptr, out_ptr):
        rank = tl.rank()
        x = tl.load(x_ptr + rank)
        sent = tl.send_async("out", x)
        got = tl.recv_async("in", (), "fp32")
        a = tl.wait(got) + 0
        assert (a.shape, a.dtype) == ((), tl.float32)
        del got
        assert tl.wait(sent) is None
        assert tl.wait(x) is None
        assert tl.wait() is None
        assert tl.wait(sent, x) is None
        more = [tl.recv_async("in", (), "fp32") for _ in range(2)]
        for i in range(2):
            sent = tl.send_async("out", x + 1 + i)
        b, nothing, c = tl.wait(more[0], sent, more[1])
        assert nothing is None
        again = tl.wait(more[0])
        tl.store(out_ptr + 1024 * rank, a)
        tl.store(out_ptr + 1024 * rank + 1, b + again)
        tl.store(out_ptr + 1024 * rank + 2, c)

    assert world().run(kernel, F32 * 10)[:, :3].tolist() == [[10, 22, 12], [0, 2, 2]]


def test_a_test_says_whether_it_is_done_and_waits_for_nothing(world):
    @jit
    def kernel(out_ptr):
        rank = tl.rank()
        if rank == 0:
            tl.recv("in", (), "fp32")
            sent = tl.send_async("out", 5.0)
            tl.wait(sent)
            assert tl.test(sent)
        else:
            got = tl.recv_async("in", (), "fp32")
            assert not tl.test(got)
            assert not tl.test(got)
            tl.send("out", 1.0)
            n = 0
            while not tl.test(got):
                n += 1
            x = tl.wait(got)
            assert tl.test(got)
            assert tl.test(x)
            tl.store(out_ptr + 1024, x)

    assert world().run(kernel)[1, 0] == 5


def test_a_program_that_only_tests_what_never_comes_is_mapped(mode):
    @jit
    def kernel(out_ptr):
        if tl.rank() == 1:
            got = tl.recv_async("in", (), "fp32")
            while not tl.test(got):
                pass

    polls, receives = at(kernel, "tl.test"), at(kernel, "recv_async")
    with pytest.raises(DeadlockError) as raised:
        World(mode).run(kernel)
    text = re.sub(r"at \d+\.\d+ [un]s", "at TIME", str(raised.value))
    if mode == "data":
        assert text == (
            "nothing is left to happen that could change what is polled:\n"
            f"  sip0.cube0.pe1  program (1, 0, 0) polls at {polls}: 257 times, and nothing changed\n"
            f"  sip0.cube0.pe1  tl.recv(\"in\") at {receives} waits for a message from sip0.cube0.pe0's queue 'out': "
            "0 of 2 slots filled, 2 of 2 credits held"
        )
    else:
        assert text == (
            "nothing is left to happen at TIME that could change what is polled:\n"
            f"  sip0.cube0.pe1.pe_cpu  program (1, 0, 0) polls at {polls}: 321 times, and nothing changed\n"
            f'  sip0.cube0.pe1.pe_ipcq  tl.recv("in") at {receives} waits for a message from sip0.cube0.pe0\'s queue '
            "'out': 0 of 2 slots filled, 2 of 2 credits held; last progress at TIME"
        )


def test_a_future_that_dies_unwaited_gives_its_slots_back(world):
    """Ten messages through two slots, and nobody looks at one."""

    @jit
    def kernel(x_ptr, out_ptr):
        for i in range(10):
            if tl.rank() == 0:
                tl.send_async("out", tl.load(x_ptr + i))
            else:
                tl.recv_async("in", (), "fp32")
        tl.store(out_ptr + 1024 * tl.rank(), 1.0)

    machine = world()
    assert machine.run(kernel, F32)[:, 0].tolist() == [1, 1]
    executor = machine.torch.ahbm.machine.executor
    assert len(executor.values) == 0
    if machine.simulation.mode == "data":
        queues = machine.torch.ahbm.machine.queues
        assert not any((queues.unfinished, queues._held, queues._readers, queues._dead))
    machine.torch.close()


# -- how long a received block holds its slots ------------------------------------------------------------


@jit
def hold_kernel(out_ptr, n_held: tl.constexpr, views: tl.constexpr):
    """Rank 1 holds ``n_held`` blocks, or views of them, while it receives one more."""
    if tl.rank() == 0:
        for i in range(n_held + 1):
            tl.send_async("out", tl.full((4,), i, tl.float32))
    else:
        held = []
        for _ in range(n_held):
            x = tl.recv("in", (4,), "fp32")
            held.append(tl.reshape(x, (2, 2)) if views else x)
        del x
        last = tl.recv("in", (4,), "fp32")
        for x in held:
            tl.store(out_ptr + 1024, last + (tl.reshape(x, 4)))


@pytest.mark.parametrize("views", [False, True])
def test_a_block_holds_its_slots_as_long_as_any_view_of_it_lives(world, views):
    assert world().run(hold_kernel, n_held=1, views=views)[1, 0] == 1
    with pytest.raises(DeadlockError):
        world().run(hold_kernel, n_held=2, views=views)


@pytest.mark.parametrize("passes_on", [False, True])
def test_a_block_that_waits_to_be_passed_on_holds_its_slot(world, passes_on):
    """Rank 1 has filled the only slot of rank 0, who takes nothing before it has sent twice."""

    @jit
    def kernel(out_ptr):
        if tl.rank() == 0:
            tl.send("out", 1.0)
            tl.send("out", 2.0)
            for i in range(2 if passes_on else 1):
                tl.store(out_ptr + i, tl.recv("in", (), "fp32"))
        else:
            tl.send("out", 5.0)
            x = tl.recv("in", (), "fp32")
            if passes_on:
                tl.send_async("out", x)
            del x
            tl.store(out_ptr + 1024, tl.recv("in", (), "fp32"))

    if passes_on:
        with pytest.raises(DeadlockError):
            world(slots=1).run(kernel)
        assert world(slots=2).run(kernel)[:, :2].tolist() == [[5, 1], [2, 0]]
    else:
        assert world(slots=1).run(kernel)[:, :2].tolist() == [[5, 0], [2, 0]]


@pytest.mark.parametrize("kind", ["sram", "hbm"])
def test_a_block_from_a_ring_in_memory_is_copied_and_holds_none(world, kind):
    assert world(buffer_kind=kind).run(hold_kernel, n_held=9, views=False)[1, 0] == 8 + 9


def test_a_block_too_large_for_the_ring_is_copied_to_tcm_and_needs_room_there(world):
    """60 KiB of a ring of 64 KiB less 2 rings of 128 B; the message of 64 KiB has no room."""

    @jit
    def kernel(out_ptr, n: tl.constexpr):
        if tl.rank() == 0:
            tl.send("out", tl.zeros((n,), tl.int8))
        else:
            tl.recv("in", (n,), "int8")

    world(slot_bytes=512).run(kernel, n=60 << 10)
    text = f"{at(kernel, 'tl.send')}: int8[65536] needs 64 KiB of TCM, and "
    with pytest.raises(CapacityError, match=f"^{re.escape(text)}"):
        world(slot_bytes=512).run(kernel, n=64 << 10)


def test_dst_stores_what_is_received_and_frees_the_slots(world):
    """To a pointer, a reference, and pointers of another dtype, to which it is cast."""

    @jit
    def kernel(x_ptr, out_ptr):
        if tl.rank() == 0:
            for i in range(4):
                tl.send("out", tl.load(x_ptr + 16 * i, shape=(4, 4)))
        else:
            row = out_ptr + 1024
            assert tl.recv("in", (4, 4), "fp32", dst=row) is None
            assert tl.recv("in", (4, 4), "fp32", dst=tl.ref(row + 16, (4, 4), strides=(8, 1))) is None
            at = tl.arange(0, 4)
            tl.recv("in", (4, 4), "fp32", dst=row + 48 + at[:, None] + 4 * at[None, :])
            tl.recv("in", (4, 4), "fp32", row + 64)

    out = world().run(kernel, F32, out="int32")[1]
    assert out[:16].tolist() == list(range(16))
    assert out[16:48].reshape(4, 8)[:, :4].reshape(-1).tolist() == list(range(16, 32))
    assert out[48:64].reshape(4, 4).T.reshape(-1).tolist() == list(range(32, 48))
    assert out[64:80].tolist() == list(range(48, 64))


# -- rings of all kinds -----------------------------------------------------------------------------------


@jit
def ring_sum_kernel(x_ptr, out_ptr, n: tl.constexpr):
    """Every rank ends with the sum over ranks: what it receives it adds and passes on."""
    rank = tl.rank()
    mine = tl.load(x_ptr + rank * n, shape=(n,))
    total, on_its_way = mine, mine
    for _ in range(tl.num_ranks() - 1):
        sent = tl.send_async("out", on_its_way)
        on_its_way = tl.recv("in", (n,), "fp32")
        total = total + on_its_way
        tl.wait(sent)
    tl.store(out_ptr + rank * 1024, total)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 40),
    slots=st.integers(1, 6),
    slot_bytes=st.integers(8, 100),
    kind=st.sampled_from(["tcm", "sram", "hbm"]),
    how=st.sampled_from(["sleep", "poll"]),
    batch=st.integers(1, 3),
    first=st.sampled_from([0, 2**32 - 2, 2**64 - 2]),
    seed=st.integers(0, 9),
)
def test_both_modes_have_the_same_bits_or_the_same_deadlock(
    n, slots, slot_bytes, kind, how, batch, first, seed
):
    x = np.random.default_rng(seed).standard_normal(4 * n).astype("f4")
    found = []
    for mode in ("data", "timed"):
        world = World(
            mode,
            pes=(0, 1, 3, 2),
            buffer_kind=kind,
            slots=slots,
            slot_bytes=slot_bytes,
            backpressure=how,
            credit_batch=batch,
            first=first,
        )
        try:
            found.append(world.run(ring_sum_kernel, x, n=n).tobytes())
        except DeadlockError:
            found.append(b"stuck")
    assert found[0] == found[1]
    needed = -(-4 * n // slot_bytes)
    if slots >= 3 * needed + batch:
        assert found[0] != b"stuck"
        rows = np.frombuffer(found[0], "f4").reshape(4, WIDTH)[:, :n]
        assert np.allclose(rows, x.reshape(4, n).sum(axis=0), atol=1e-5)


@pytest.mark.parametrize("how", ["poll", "sleep"])
@pytest.mark.parametrize(("slots", "batch"), [(1, 1), (2, 2), (3, 2), (3, 3)])
def test_many_messages_pass_few_slots(world, how, slots, batch):
    @jit
    def kernel(x_ptr, out_ptr):
        for i in range(40):
            if tl.rank() == 0:
                tl.send("out", tl.load(x_ptr + i))
            else:
                tl.recv("in", (), "fp32", dst=out_ptr + 1024 + i)

    out = world(slots=slots, backpressure=how, credit_batch=batch).run(kernel, F32)
    assert out[1, :40].tolist() == list(range(40))


def test_programs_of_a_pe_share_its_queues_in_turn(world):
    """Programs 0 to 2 run on rank 0, 3 to 5 on rank 1."""

    @jit
    def kernel(out_ptr):
        pid = tl.program_id(0)
        if tl.rank() == 0:
            tl.send("out", tl.full((), 1, tl.float32) * pid)
        else:
            tl.store(out_ptr + 1024 + pid, tl.recv("in", (), "fp32"))

    assert world().run(kernel, n_programs=6)[1, :6].tolist() == [0, 0, 0, 0, 1, 2]


def test_at_the_end_of_a_program_credits_wait_for_no_batch_even_if_another_follows(world):
    """Program 2 frees one slot of two, which makes no batch; program 3 needs both while it holds its first message."""

    @jit
    def kernel(x_ptr, out_ptr):
        pid = tl.program_id(0)
        if pid == 0:
            for i in range(3):
                tl.send("out", tl.load(x_ptr + i))
        elif pid == 2:
            tl.store(out_ptr + 1024, tl.recv("in", (), "fp32"))
        elif pid == 3:
            a = tl.recv("in", (), "fp32")
            b = tl.recv("in", (), "fp32")
            tl.store(out_ptr + 1025, a + 10 * b)

    assert world(credit_batch=2).run(kernel, F32 + 1, n_programs=4)[1, :2].tolist() == [1, 32]


def test_queues_keep_their_state_from_launch_to_launch(world):
    machine = world(slots=3)
    for n in (40, 5, 17):
        assert machine.run(pass_kernel, F32, n=n, dtype="fp32")[1, :n].tolist() == list(range(n))


# -- places -----------------------------------------------------------------------------------------------


def test_a_program_knows_its_rank_its_place_and_its_neighbours(world):
    @jit
    def kernel(out_ptr):
        x, y = tl.coords()
        seen = [tl.rank(), tl.num_ranks(), x, y]
        seen += [-1 if r is None else r for r in map(tl.neighbor, ("E", "W", "N", "S", "out", "in", "up"))]
        for i in tl.static_range(11):
            tl.store(out_ptr + 1024 * tl.rank() + i, seen[i] * 1.0)

    out = world(pes=(3, 1, 0), directions=None).run(kernel)
    assert out[:, :11].tolist() == [
        [0, 3, 1, 1, -1, -1, 1, -1, 1, 2, -1],
        [1, 3, 1, 0, -1, 2, -1, 0, 2, 0, -1],
        [2, 3, 0, 0, 1, -1, -1, -1, 0, 1, -1],
    ]


# -- what is refused --------------------------------------------------------------------------------------


def refusal(kernel, text, kind=UsageError, *, where=None, mode="data", **options):
    """The kernel is refused with ``text`` at its line."""
    with pytest.raises(kind) as error:
        World(mode, **options).run(kernel)
    assert str(error.value) == f"{where or at(kernel, '# here')}: {text}"


def launch_and_wait(torch, kernel):
    torch.launch(kernel, (1,), place=[3])
    torch.synchronize()


@pytest.mark.parametrize(
    ("ask", "what"),
    [
        (lambda: tl.send("out", 1.0), 'send("out")'),
        (lambda: tl.send_async("out", 1.0), 'send("out")'),
        (lambda: tl.recv("in", (), "fp32"), 'recv("in")'),
        (lambda: tl.recv_async("in", (), "fp32"), 'recv("in")'),
        (lambda: tl.rank(), "rank()"),
        (lambda: tl.num_ranks(), "num_ranks()"),
        (lambda: tl.coords(), "coords()"),
        (lambda: tl.neighbor("E"), 'neighbor("E")'),
    ],
)
def test_without_queues_there_is_nobody_to_talk_to(mode, ask, what):
    """None at all, or none on this PE."""

    def kernel():
        ask()

    none = simulate("tiny", mode=mode).torch
    elsewhere = World(mode).torch
    for torch in (none, elsewhere):
        with pytest.raises(UsageError) as error:
            launch_and_wait(torch, jit(kernel))
        assert re.sub(r"^test_queues\.py:\d+", "LINE", str(error.value)) == (
            f"LINE: tl.{what}: no queues are installed on sip0.cube0.pe3; install them before the launch, as in "
            "install_queues(torch), on this PE too"
        )


def test_a_queue_that_is_not_there_is_refused_with_those_that_are(mode):
    @jit
    def kernel(out_ptr):
        tl.send("ouT", 1.0)  # here

    refusal(
        kernel,
        "tl.send(\"ouT\"): sip0.cube0.pe0 has no queue 'ouT'; did you mean 'out'? (known: in, out); "
        'tl.neighbor("ouT") is None where there is none',
        mode=mode,
    )


def test_a_direction_that_leads_nowhere_is_refused(mode):
    @jit
    def kernel(out_ptr):
        tl.recv("N", (), "fp32")  # here

    refusal(
        kernel,
        'tl.recv("N"): sip0.cube0.pe0 has no queue \'N\'; (known: E, in, out); tl.neighbor("N") is None where there is '
        "none; program (0, 0, 0) runs on sip0.cube0.pe0 since programs go to the PEs that the parts of their "
        "first sharded argument are dealt to, unless torch.launch(place=, queues=) says where, as in place=[0, 1] with "
        "queues=install_queues(torch, pes=[0, 1])",
        mode=mode,
        directions=None,
    )


def test_a_queues_name_is_a_text(mode):
    @jit
    def kernel(out_ptr):
        tl.recv(3, (), "fp32")  # here

    refusal(
        kernel,
        'tl.recv("3"): sip0.cube0.pe0 has no queue 3; (known: in, out); tl.neighbor("3") is None where there is none',
        mode=mode,
    )


@pytest.mark.parametrize(
    ("asked", "kind", "text"),
    [
        (((8,), "fp32"), ShapeError, "asks for [8] fp32, and sip0.cube0.pe0 sent [2, 4] fp32"),
        (((2, 4), "fp16"), DTypeError, "asks for [2, 4] fp16, and sip0.cube0.pe0 sent [2, 4] fp32"),
        (((400,), "fp32"), ShapeError, "asks for [400] fp32, and sip0.cube0.pe0 sent [2, 4] fp32"),
        (((), "int8"), ShapeError, "asks for [] int8, and sip0.cube0.pe0 sent [2, 4] fp32"),
    ],
)
@pytest.mark.parametrize("kind_of_ring", ["tcm", "hbm"])
@pytest.mark.parametrize("first", [0, 1])
def test_what_is_received_must_be_what_was_sent(world, asked, kind, text, kind_of_ring, first):
    """Whoever comes first."""
    shape, dtype = asked

    @jit
    def kernel(out_ptr):
        if tl.rank() != first:
            tl.load(out_ptr, shape=(512,))
        if tl.rank() == 0:
            tl.send("out", tl.zeros((2, 4), tl.float32))
        else:
            tl.recv("in", shape, dtype)

    with pytest.raises(kind) as error:
        world(buffer_kind=kind_of_ring).run(kernel)
    assert str(error.value) == (
        f'{at(kernel, "tl.recv(")}: tl.recv("in") on sip0.cube0.pe1 {text} at {at(kernel, "tl.send(")}; receive the '
        "shape and dtype that are sent, in the order they are sent"
    )


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: tl.recv("in", (2, -1), "fp32"), ShapeError, "the shape [2, -1] has a negative extent"),
        (lambda: tl.recv("in", "big", "fp32"), ShapeError, "the shape must be integers, not 'big'"),
        (
            lambda: tl.send("out", "x"),
            UsageError,
            "the source of tl.send must be a block or a number, not str",
        ),
        (
            lambda: tl.send("out", None),
            UsageError,
            "the source of tl.send must be a block or a number, not NoneType",
        ),
        (lambda: tl.test(3), UsageError, "tl.test takes a future or a block, not int"),
        (lambda: tl.test(None), UsageError, "tl.test takes a future or a block, not NoneType"),
        (lambda: tl.wait("x"), UsageError, "tl.wait takes futures and loaded blocks, not str"),
        (
            lambda: tl.recv("in", (), "fp32", dst="there"),
            UsageError,
            "dst= must be a pointer or a tl.ref, not str",
        ),
        (
            lambda: tl.recv("in", (), "fp32", dst=[1]),
            UsageError,
            "dst= must be a pointer or a tl.ref, not list",
        ),
        (
            lambda: tl.recv("in", (), "fp32", dst=1.5),
            UsageError,
            "dst= must be a pointer or a tl.ref, not float",
        ),
    ],
)
def test_wrong_arguments_are_refused_at_their_line(mode, call, kind, text):
    line = call.__code__.co_firstlineno

    @jit
    def kernel(out_ptr):
        call()

    refusal(kernel, text, kind, where=f"test_queues.py:{line}", mode=mode)


def test_what_dst_points_to_must_have_the_shape_that_is_received(mode):
    @jit
    def kernel(out_ptr):
        if tl.rank() == 0:
            tl.send("out", tl.zeros((4,), tl.float32))
        else:
            tl.recv("in", (4,), "fp32", dst=tl.ref(out_ptr, (3,)))  # here

    with pytest.raises(ShapeError, match=rf"^{re.escape(at(kernel, '# here'))}: "):
        World(mode).run(kernel)


# -- what is left, and what never comes -------------------------------------------------------------------


@jit
def unreceived_kernel(out_ptr, n: tl.constexpr):
    """Rank 1 takes one of ``n``."""
    if tl.rank() == 0:
        for _ in range(n - 1):
            tl.send("out", 1.0)  # first
        tl.send("out", 2.0)  # last
    else:
        tl.recv("in", (), "fp32")


@pytest.mark.parametrize("batch", [1, 2])
def test_a_message_that_nobody_receives_is_an_error(world, batch):
    with pytest.raises(QueueError) as error:
        world(credit_batch=batch).run(unreceived_kernel, n=3)
    first, last = at(unreceived_kernel, "# first"), at(unreceived_kernel, "# last")
    assert str(error.value) == (
        "the launch ended with 2 messages that nobody received: sip0.cube0.pe1's queue 'in' holds 2 from "
        f"sip0.cube0.pe0 (sent at {first}, {last}); "
        "receive each message that is sent"
    )


def test_a_message_of_several_slots_that_nobody_receives_is_one(world):
    @jit
    def kernel(out_ptr):
        if tl.rank() == 0:
            tl.send("out", tl.zeros((32,), tl.float32))

    with pytest.raises(QueueError, match=r"ended with 1 message that nobody received: .* holds 1 from"):
        world().run(kernel)


def waits_of(error):
    """What a deadlock says of queues, in both modes alike: its lines of PE_IPCQ, and the cycle."""
    lines = str(error.value).split("\n  ")
    lines = [re.sub(r"; last progress at [0-9.]+ [munp]?s$", "", line) for line in lines]
    return [
        re.sub(r"^(sip0\.cube0\.pe\d)(\.pe_ipcq)?  (?=tl\.)", r"\1  ", line)
        for line in lines
        if "  tl." in line or line.startswith("cycle")
    ]


def test_a_circle_of_receives_is_mapped(world):
    """Each rank receives before it sends."""

    @jit
    def kernel(out_ptr):
        x = tl.recv("in", (4,), "fp32")
        tl.send("out", x)

    with pytest.raises(DeadlockError) as error:
        world(pes=(0, 1, 2)).run(kernel)
    line = at(kernel, "tl.recv")
    assert waits_of(error)[:3] == [
        f'sip0.cube0.pe{pe}  tl.recv("in") at {line} waits for a message from sip0.cube0.pe{(pe - 1) % 3}\'s queue '
        "'out': 0 of 2 slots filled, 2 of 2 credits held"
        for pe in range(3)
    ]
    (cycle,) = waits_of(error)[3:]
    assert cycle in [
        "cycle: " + " -> ".join(f"sip0.cube0.pe{(start - i) % 3}" for i in range(4)) for start in range(3)
    ]


def test_a_circle_of_sends_larger_than_the_rings_is_mapped(world):
    """Both send three slots before they receive; two fit."""

    @jit
    def kernel(out_ptr):
        tl.send("out", tl.zeros((48,), tl.float32))
        tl.recv("in", (48,), "fp32")

    with pytest.raises(DeadlockError) as error:
        world().run(kernel)
    line = at(kernel, "tl.send")
    *lines, cycle = waits_of(error)
    assert lines == [
        f"sip0.cube0.pe{pe}  tl.send(\"out\") at {line} waits for a credit from sip0.cube0.pe{1 - pe}'s queue 'in': "
        "2 of 2 slots filled, 0 of 2 credits held"
        for pe in (0, 1)
    ]
    assert cycle in [f"cycle: sip0.cube0.pe{a} -> sip0.cube0.pe{1 - a} -> sip0.cube0.pe{a}" for a in (0, 1)]


def test_a_batch_larger_than_the_ring_is_a_deadlock_that_shows_the_credits(world):
    @jit
    def kernel(out_ptr):
        for _ in range(3):
            if tl.rank() == 0:
                tl.send("out", 1.0)
            else:
                tl.recv("in", (), "fp32")

    with pytest.raises(DeadlockError) as error:
        world(credit_batch=3).run(kernel)
    send, recv = at(kernel, "tl.send"), at(kernel, "tl.recv")
    assert waits_of(error)[:2] == [
        f"sip0.cube0.pe0  tl.send(\"out\") at {send} waits for a credit from sip0.cube0.pe1's queue 'in': 0 of 2 slots "
        "filled, 0 of 2 credits held",
        f"sip0.cube0.pe1  tl.recv(\"in\") at {recv} waits for a message from sip0.cube0.pe0's queue 'out': 0 of 2 "
        "slots filled, 0 of 2 credits held",
    ]


def test_a_message_that_never_comes_is_a_wait_without_a_cycle(world):
    @jit
    def kernel(out_ptr):
        if tl.rank() == 1:
            tl.recv("in", (), "fp32")

    with pytest.raises(DeadlockError) as error:
        world().run(kernel)
    assert waits_of(error) == [
        f'sip0.cube0.pe1  tl.recv("in") at {at(kernel, "tl.recv")} waits for a message from sip0.cube0.pe0\'s queue '
        "'out': 0 of 2 slots filled, 2 of 2 credits held"
    ]


@pytest.mark.parametrize("asks", ["send", "recv"])
def test_what_was_begun_and_never_ends_is_a_deadlock_too(world, asks):
    """The programs themselves are through."""

    @jit
    def kernel(out_ptr):
        if tl.rank() == 1:
            if asks == "recv":
                tl.recv_async("in", (), "fp32")
            for _ in range(3):
                if asks == "send":
                    tl.send_async("out", 1.0)

    with pytest.raises(DeadlockError) as error:
        world().run(kernel)
    (line,) = waits_of(error)
    assert line.startswith(f'sip0.cube0.pe1  tl.{asks}("')


def test_a_kernel_that_raises_is_the_error_not_those_who_wait_for_it(world):
    @jit
    def kernel(out_ptr):
        if tl.rank() == 0:
            raise ValueError("broken")
        tl.recv("in", (), "fp32")

    with pytest.raises(KernelError, match=r"program \(0, 0, 0\) on sip0\.cube0\.pe0: ValueError: broken$"):
        world().run(kernel)


def test_without_time_a_failed_launch_leaves_nothing_behind():
    """Messages, credits and values are gone; in simulated time the machine is stopped instead."""

    @jit
    def stuck_kernel(out_ptr):
        x = tl.load(out_ptr)
        tl.send("out", x)
        tl.recv("in", (), "fp32")
        tl.recv("in", (), "fp32", dst=out_ptr)

    machine = World("data")
    with pytest.raises(DeadlockError) as kept:
        machine.run(stuck_kernel)
    assert len(machine.torch.ahbm.machine.executor.values) == 0
    assert machine.run(pass_kernel, F32, n=100, dtype="fp32")[1, :100].tolist() == list(range(100))
    del kept
    assert machine.run(pass_kernel, F32, n=100, dtype="fp32")[1, :100].tolist() == list(range(100))
    machine.torch.close()
