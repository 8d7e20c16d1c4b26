"""A machine of a few lines, so that kernels can be proven right without a simulator."""

from __future__ import annotations

import numpy as np
import pytest

from kernbench.dtypes import as_dtype
from kernbench.lang import KernelCall, TensorArg, run_program
from kernbench.messages.owners import LaunchId
from tests.lang.fake_port import FakePort


class FakeDevice:
    """Tensors in one bytearray, 64 bytes of rubbish between them; programs one after another."""

    def __init__(self, *, tcm_bytes=1 << 20, strict=True):
        self.memory = bytearray(4096)
        self.tcm_bytes, self.strict = tcm_bytes, strict
        self.ports = []

    def tensor(self, array, name="x"):
        array = np.asarray(array, order="C")
        va = len(self.memory)
        self.memory += array.tobytes() + b"\xff" * (64 + -array.nbytes % 64)
        return TensorArg(name, va, as_dtype(array.dtype), array.shape, array.nbytes)

    def launch(self, kernel, grid, *args, **meta):
        grid, launch = (*grid, 1, 1)[:3], LaunchId(self)
        for x, y, z in ((x, y, z) for z in range(grid[2]) for y in range(grid[1]) for x in range(grid[0])):
            port = FakePort(
                self.memory,
                program_ids=(x, y, z),
                grid=grid,
                tcm_bytes=self.tcm_bytes,
                strict=self.strict,
                launch=launch,
            )
            self.ports.append(port)
            try:
                run_program(KernelCall(kernel, args, meta), port)
            finally:
                port.memory = None  # gives the bytearray back, so that it can grow
        return self

    def run(self, kernel, *args, **meta):
        """Launch one program and give its port."""
        return self.launch(kernel, (1,), *args, **meta).ports[-1]

    def read(self, arg):
        raw = bytes(self.memory[arg.va : arg.va + arg.size_bytes])
        return np.frombuffer(raw, arg.dtype.numpy).reshape(arg.shape)


@pytest.fixture
def device():
    return FakeDevice()


@pytest.fixture(scope="module")
def new_device():
    return FakeDevice


@pytest.fixture(scope="module")
def new_port():
    return FakePort
