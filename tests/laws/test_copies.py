"""The copies of a tensor are equal: a kernel's store to one of several is refused at its line, in every mode."""

import numpy as np
import pytest

from kernbench.device.placement import DPPolicy
from kernbench.errors import PageFaultError
from kernbench.lang import jit, tl
from kernbench.simulation import simulate

HERE = "test_copies.py"
MODES = ["timed", "data", "timing"]
EVERYWHERE = DPPolicy(sip="replicate", cube="replicate", pe="replicate")
TWO_SIPS = "default"


@jit
def by_pointer(y_ptr, address):
    tl.store(y_ptr + tl.arange(0, 16), 1.0)


@jit
def by_scatter(y_ptr, address):
    at = tl.arange(0, 16)
    tl.store(y_ptr + at * at % 16, 1.0, mask=at % 3 == 1)


@jit
def by_column(y_ptr, address):
    tl.store(y_ptr + tl.arange(0, 4)[:, None] * 16 - tl.arange(0, 4)[None, :] + 8, 1.0)


@jit
def by_composite(y_ptr, address):
    tl.wait(tl.composite("add", 1.0, tl.ref(y_ptr, (16,)), out=tl.ref(y_ptr, (16,))))


@jit
def by_address(y_ptr, address):
    tl.store(address.to(tl.pointer_type(tl.float32)) + 3, 1.0)


def finish(torch, kernel, *args, pe=70):
    torch.launch(kernel, (1,), args, place=[pe])
    torch.synchronize()


KERNELS = [by_pointer, by_scatter, by_column, by_composite, by_address]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.__name__)
def test_a_store_to_one_of_several_copies_is_refused_at_its_line(kernel, mode):
    torch = simulate(TWO_SIPS, mode=mode).torch
    y = torch.zeros(4, 16, policy=DPPolicy(), name="y")
    made = (
        f"{HERE}:{test_a_store_to_one_of_several_copies_is_refused_at_its_line.__code__.co_firstlineno + 4}"
    )
    with pytest.raises(PageFaultError) as raised:
        finish(torch, kernel, y, y.data_ptr())
    lines = kernel.fn.__code__.co_firstlineno + (3 if kernel is by_scatter else 2)
    assert str(raised.value) == (
        f"sip1.cube0.pe6: {HERE}:{lines}: a store to 'y' [4, 16] fp32, made at {made} with 2 copies, would change one "
        "of them; place it with one copy, as in policy=DPPolicy(sip='row_wise')"
    )


@pytest.mark.parametrize("mode", ["timed", "data"])
@pytest.mark.parametrize(
    "policy",
    [
        DPPolicy(sip="row_wise"),
        DPPolicy(sip="column_wise", cube="tiled", pe="column_wise"),
        DPPolicy(sip="row_wise", pe="replicate", space="sram"),
        DPPolicy(only=3),
        DPPolicy(only=[3, 99]),
    ],
    ids=str,
)
def test_a_store_to_the_only_copy_is_none_even_where_pes_share_it(policy, mode):
    torch = simulate(TWO_SIPS, mode=mode).torch
    y = torch.zeros(4, 16, policy=policy)
    torch.launch(by_pointer, (1,), (y, 0), place=[70])
    assert y.numpy().tolist() == [[1.0] * 16, *[[0.0] * 16] * 3]


def test_the_same_policy_makes_one_copy_of_a_machine_of_one_sip():
    torch = simulate("tiny").torch
    y = torch.zeros(4, 16, policy=DPPolicy())
    torch.launch(by_pointer, (1,), (y, 0), place=[2])
    assert y.numpy()[0].tolist() == [1.0] * 16


@pytest.mark.parametrize("sip", ["replicate", "row_wise"])
@pytest.mark.parametrize("cube", ["replicate", "column_wise"])
@pytest.mark.parametrize("pe", ["replicate", "tiled"])
def test_what_kernels_write_is_what_every_pe_and_the_host_read(sip, cube, pe):
    """With any policy a kernel's store is either refused or seen by all."""

    @jit
    def write(y_ptr):
        p = tl.program_id(0)
        at = p * 8 + tl.arange(0, 8)
        tl.store(y_ptr + at, at + 1)

    @jit
    def read(y_ptr, seen_ptr):
        at = tl.arange(0, 64)
        tl.store(seen_ptr + tl.program_id(0) * 64 + at, tl.load(y_ptr + at))

    policy = DPPolicy(sip=sip, cube=cube, pe=pe)
    torch = simulate(TWO_SIPS, mode="data").torch
    y = torch.zeros(8, 8, dtype="int32", policy=policy)
    seen, pes = torch.zeros(6, 64, dtype="int32"), [0, 5, 21, 64, 77, 127]
    try:
        torch.launch(write, (8,), (y,), place=range(0, 128, 16))
    except PageFaultError:
        assert y.shards.n_copies > 1
    else:
        assert y.shards.n_copies == 1
    torch.launch(read, (6,), (y, seen), place=pes)
    assert (seen.numpy() == y.numpy().reshape(-1)).all()


@pytest.mark.parametrize("mode", ["timed", "data"])
def test_a_collective_keeps_the_copies_of_its_ranks_equal(mode):
    @jit
    def read(y_ptr, seen_ptr):
        at = tl.arange(0, 16)
        tl.store(seen_ptr + tl.program_id(0) * 16 + at, tl.load(y_ptr + at))

    torch = simulate("tiny", mode=mode).torch
    torch.distributed.init_process_group("ahbm", world_size=4)
    x = torch.tensor(np.arange(16), dtype="int32", policy=EVERYWHERE)
    seen = torch.zeros(4, 16, dtype="int32")
    torch.distributed.all_reduce(x)
    torch.launch(read, (4,), (x, seen))
    assert seen.tolist() == [(4 * np.arange(16)).tolist()] * 4
    torch.distributed.destroy_process_group()
    with pytest.raises(PageFaultError, match="with 4 copies, would change one of them"):
        finish(torch, by_pointer, x, 0, pe=3)
