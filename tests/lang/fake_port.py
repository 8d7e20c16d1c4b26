"""One program's port, without a machine: commands take effect when they are issued.

Memory is one bytearray, and a virtual address is an offset in it. What a command means is said here once more,
independently of ``memory.replay``.
"""

from __future__ import annotations

import numpy as np

from kernbench.messages.commands import Command, DmaReadCmd, DmaWriteCmd, GemmCmd, MathCmd, Space
from kernbench.messages.owners import LaunchId
from kernbench.ops import evaluate
from kernbench.ops.numerics import as_array, convert


class FakePort:
    """One program's port. ``commands`` are those issued, ``forced`` the versions forced, ``printed`` the texts."""

    pe_name = "sip0.cube0.pe0"

    def __init__(
        self,
        memory=b"",
        *,
        program_ids=(0, 0, 0),
        grid=(1, 1, 1),
        tcm_bytes=1 << 20,
        strict=True,
        launch=None,
    ):
        self.memory = np.frombuffer(memory, np.uint8)
        self.program, self.program_ids, self.grid = program_ids[0], program_ids, grid
        self.tcm_bytes, self.strict = tcm_bytes, strict
        self.commands, self.forced, self.printed = [], [], []
        self.values, self.final_releases = {}, None
        self.launch = LaunchId(None) if launch is None else launch
        self.seq = self.version = 0

    def next_seq(self):
        self.seq += 1
        return self.seq - 1

    def next_version(self):
        self.version += 1
        return self.version - 1

    def clock_ps(self):
        return 1000 * len(self.commands)

    def print(self, text):
        self.printed.append(text)

    def finish(self, releases):
        self.final_releases = releases

    def force(self, version, line):
        self.forced.append(version)
        return self.values[version]

    def issue(self, command: Command):
        self.commands.append(command)
        for version in command.releases:
            del self.values[version]
        if isinstance(command, DmaReadCmd):
            self.values[command.result.version] = self.read(command.operands[0], command.fill)
        elif isinstance(command, DmaWriteCmd):
            self.write(command.target, self.operand(command.operands[0]))
        elif isinstance(command, (GemmCmd, MathCmd)):
            op, attrs = ("dot", {}) if isinstance(command, GemmCmd) else (command.op, command.attrs)
            out = evaluate(op, [self.operand(x) for x in command.operands], attrs, command.result.dtype)
            if command.target is not None:
                self.write(command.target, convert(out, command.target.dtype))
                out = np.empty(0, out.dtype)
            self.values[command.result.version] = out
        if command.inherits >= 0:
            del self.values[command.inherits]

    def operand(self, operand):
        if operand.space is Space.IMMEDIATE:
            return np.broadcast_to(operand.value, operand.shape)
        if operand.space is Space.HBM:
            return self.read(operand, None)
        return self.values[operand.version].reshape(operand.shape)

    def read(self, source, fill):
        access, dtype = source.access, source.dtype.numpy
        if fill is None or isinstance(fill, (int, float)):
            fill = as_array(0 if fill is None else fill, source.dtype)
        else:
            fill = self.operand(fill)
        block = np.array(np.broadcast_to(fill, access.block_shape))
        if access.addresses is None:
            active = np.ndarray(access.shape, dtype, self.memory.data, access.va, access.strides)
            block[box_of(access)] = active
        else:
            at = access.addresses[:, None] + np.arange(access.itemsize)
            block.reshape(-1)[access.lanes] = np.ascontiguousarray(self.memory[at]).view(dtype)[:, 0]
        return block

    def write(self, target, value):
        access = target.access
        assert value.dtype == target.dtype.numpy
        assert value.shape == access.block_shape
        if access.addresses is None:
            memory = np.ndarray(access.shape, value.dtype, self.memory.data, access.va, access.strides)
            memory[...] = value[box_of(access)]
        else:
            lanes = np.ascontiguousarray(value.reshape(-1)[access.lanes]).view(np.uint8)
            at = access.addresses[:, None] + np.arange(access.itemsize)
            self.memory[at] = lanes.reshape(-1, access.itemsize)


def box_of(access):
    return tuple(slice(o, o + n) for o, n in zip(access.origin, access.shape, strict=True))
