"""Launches and copies are the same on every machine, and by every face: PyTorch's names, or the device's own.

A face shows tensors of the device to users. ``torch`` is one; the other here is a dozen lines over ``OpenDevice``. The
machines are the one in simulated time, the one that computes values only, and one that a test makes of numpy arrays.
"""

import numpy as np
import pytest

from kernbench import DPPolicy, as_dtype, jit, simulate, tl
from kernbench.device.array import DeviceArray
from kernbench.device.open_device import OpenDevice
from kernbench.device.protocol import Device
from kernbench.errors import UsageError
from kernbench.torch.context import Context
from tests.device.fake_machine import NumpyMachine

MACHINES = {
    "timed": lambda: simulate("tiny").machine,
    "data": lambda: simulate("tiny", mode="data").machine,
    "numpy": lambda: NumpyMachine((1, 1), (1, 1), (2, 2)),
}
N = 64
X = np.arange(4 * N, dtype=np.float32).reshape(4, N)


class TorchFace:
    """PyTorch's names for what these tests do."""

    def __init__(self, device):
        self.torch = Context(device, seed=0)

    def empty(self, shape, **where):
        return self.torch.empty(shape, **where)

    def write(self, tensor, values):
        tensor.copy_(values)

    def read(self, tensor, index=...):
        return tensor[index].numpy()

    def rows(self, tensor, first, n):
        return tensor.narrow(0, first, n)


class BareFace:
    """A face of the device that PyTorch has no part in."""

    def __init__(self, device):
        self.device = device

    def empty(self, shape, **where):
        return self.device.empty(shape, as_dtype("fp32"), **where)

    def write(self, tensor, values):
        tensor.write(values)

    def read(self, tensor, index=...):
        return tensor.read(index)

    def rows(self, tensor, first, n):
        row_bytes = tensor.nbytes // tensor.shape[0]
        return DeviceArray(self.device, tensor._storage, (n, *tensor.shape[1:]), first * row_bytes)


@pytest.fixture(params=MACHINES)
def device(request):
    with OpenDevice(MACHINES[request.param]()) as device:
        yield device


@pytest.fixture(params=[TorchFace, BareFace])
def face(request, device):
    return request.param(device)


@pytest.fixture
def new(face):
    """Makes a tensor of the face that holds an array."""

    def make(values=X, **where):
        tensor = face.empty(values.shape, **where)
        face.write(tensor, values)
        return tensor

    return make


@jit
def double(x_ptr, y_ptr, N: tl.constexpr):
    at = tl.program_id(0) * N + tl.arange(0, N)
    tl.store(y_ptr + at, tl.load(x_ptr + at) * 2)


@jit
def add_id(x_ptr, N: tl.constexpr):
    column, row = tl.program_id(0), tl.program_id(1)
    at = (row * tl.num_programs(0) + column) * N + tl.arange(0, N)
    tl.store(x_ptr + at, tl.load(x_ptr + at) + (10 * row + column))


@pytest.mark.parametrize("machine", MACHINES)
def test_each_machine_has_all_of_the_protocol(machine):
    asked = {name for name in vars(Device) if not name.startswith("_")}
    assert len(asked) > 20
    assert asked <= set(dir(MACHINES[machine]()))


def test_what_is_copied_to_the_device_is_read_from_there_whole_or_in_part(face, new):
    x = new()
    assert (face.read(x) == X).all()
    assert (face.read(x, (slice(1, 3), slice(None, None, 2))) == X[1:3, ::2]).all()
    assert face.read(x, (2, 5)) == X[2, 5]


def test_every_copy_of_a_replicated_tensor_is_written(face, new, device):
    replicated = DPPolicy(cube="replicate", pe="replicate")
    x, y = new(policy=replicated), face.empty(X.shape)
    assert len(x.shards.copies[0]) == 4
    double[(4,)](x, y, N=N)  # each program loads the copy of its own PE
    assert (face.read(y) == 2 * X).all()


def test_copies_and_launches_happen_in_the_order_of_the_calls(face, new):
    x, y = new(), face.empty(X.shape)
    double[(4,)](x, y, N=N)
    face.write(x, -X)  # after the launch, which read the values before it
    double[(4,)](y, x, N=N)
    assert (face.read(x) == 4 * X).all()
    assert (face.read(y) == 2 * X).all()


def test_programs_know_their_place_in_a_grid_that_a_function_gives(face, new):
    x = new(np.zeros((6, 32), np.float32))
    add_id[lambda given: (64 // given["N"], 3)](x, N=32)
    assert face.read(x, (..., 7)).tolist() == [0, 1, 10, 11, 20, 21]


def test_programs_run_where_the_rows_of_the_first_sharded_tensor_lie(face, new, device, monkeypatch):
    placed, launch = [], device.machine.launch
    monkeypatch.setattr(
        device.machine,
        "launch",
        lambda one: (placed.append([program.pe for program in one.programs]), launch(one)),
    )
    x, on_two = new(), new(policy=DPPolicy(only=[3, 1]))
    y = face.empty(X.shape)
    double[(4,)](x, y, N=N)
    double[(4,)](on_two, y, N=N)
    device.launch(double, (4,), (x, y), {"N": N}, place=[2, 2, 0, 1])
    assert placed == [[0, 1, 2, 3], [3, 3, 1, 1], [2, 2, 0, 1]]
    assert (face.read(y) == 2 * X).all()


def test_a_view_is_the_memory_it_was_made_of(face, new):
    x = new()
    double[(1,)](face.rows(x, 2, 1), face.rows(x, 1, 1), N=N)
    face.write(face.rows(x, 3, 1), np.full((1, N), -1, np.float32))
    assert (face.read(x) == [X[0], 2 * X[2], X[2], np.full(N, -1)]).all()


def test_launches_on_streams_of_their_own_all_run(face, new, device):
    tensors = [new(policy=DPPolicy(only=pe)) for pe in range(4)]
    for stream, x in enumerate(tensors):
        device.launch(double, (4,), (x, x), {"N": N}, place=[stream] * 4, stream=stream)
    assert all((face.read(x) == 2 * X).all() for x in tensors)


def test_memory_that_is_given_back_is_used_again(face, device):
    with face.empty(X.shape) as x:
        address = x.data_ptr()
    device.synchronize()
    y = face.empty(X.shape)
    assert y.data_ptr() == address
    del y
    device.synchronize()
    assert face.empty(X.shape).data_ptr() == address


def test_a_tensor_that_was_freed_is_refused(face, new):
    x, y = new(name="x"), face.empty(X.shape)
    x.free()
    for use in (lambda: face.read(x), lambda: face.write(x, X)):
        with pytest.raises(
            UsageError, match=r"^'x'\[4, 64\] was freed at .*test_faces.py:\d+; make a new tensor"
        ):
            use()
    with pytest.raises(
        UsageError,
        match=r"^kernel 'double': argument 'x_ptr' is 'x', which was freed at .*:\d+; make a new tensor",
    ):
        double[(4,)](x, y, N=N)


def test_a_tensor_of_another_device_is_refused(face, new):
    x, other = new(name="x"), OpenDevice(NumpyMachine())
    there = other.empty(X.shape, as_dtype("fp32"), name="there")
    with pytest.raises(
        UsageError,
        match=r"^kernel 'double': argument 'y_ptr' is 'there', a tensor of another simulation, made at",
    ):
        double[(4,)](x, there, N=N)


def test_nothing_is_made_or_launched_when_the_device_is_closed(face, new, device):
    x = new()
    device.close()
    assert x.is_freed
    with pytest.raises(UsageError, match=r"^this context is closed \(at .*test_faces.py:\d+\); begin a new"):
        face.empty(X.shape)
    with pytest.raises(UsageError, match=r"^this context is closed"):
        device.launch(double, (4,), (x, x), {"N": N})
