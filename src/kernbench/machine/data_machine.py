"""The machine without time: mode ``data``. Every command is evaluated when it is issued, programs run one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy.typing as npt

from kernbench.components.tiling import macs_per_cycle
from kernbench.config.schema import Config, GemmSpec
from kernbench.lang.program import run_program
from kernbench.machine.kernel_runner import ProgramPort
from kernbench.machine.machine import Hardware, Say
from kernbench.memory.mapping import TensorMapping
from kernbench.memory.page_table import Pieces
from kernbench.memory.replay import ImmediateExecutor
from kernbench.memory.store import Bytes
from kernbench.messages.commands import Command, GemmCmd
from kernbench.topology.graph import TopologyGraph


class ImmediateProgram(ProgramPort):
    """A program whose commands take effect as they are issued."""

    def __init__(self, *, executor: ImmediateExecutor, pe: int, array: GemmSpec, **who: Any) -> None:
        super().__init__(**who)
        self.executor = executor
        self.pe = pe
        self.array = array

    def issue(self, command: Command) -> None:
        """Evaluate ``command`` now. DTypeError for what the PE's array could not multiply in simulated time either."""
        if isinstance(command, GemmCmd):
            macs_per_cycle(command.a.dtype, self.array, command.line)
        self.executor.execute(self.pe, command)

    def force(self, version: int) -> npt.NDArray[Any]:
        """The value, which exists already."""
        return self.executor.value(version)

    def finish(self, releases: tuple[int, ...]) -> None:
        """Nothing will read ``releases`` any more."""
        self.executor.values.release(releases)

    def clock_ps(self) -> int:
        """No time passes here."""
        return 0

    def print(self, text: str) -> None:
        """Print with the PE."""
        self.say(f"{self.pe_name}: {text}")


class DataMachine(Hardware):
    """A device that computes values only (see :class:`~kernbench.runtime.device.Device`)."""

    mode = "data"
    now_ps = 0
    is_stopped = False

    def __init__(self, config: Config, graph: TopologyGraph, *, say: Say, strict: bool = True) -> None:
        super().__init__(config, graph, say, strict=strict)
        self.executor = ImmediateExecutor(self.store, self.page_tables)

    def host_write(self, pieces: Pieces, buffer: Bytes) -> None:
        """Put ``buffer`` at ``pieces``."""
        self.store.write(pieces, buffer)

    def host_read(self, pieces: Pieces, size_bytes: int) -> Bytes:
        """The ``size_bytes`` bytes at ``pieces``."""
        return self.store.read(pieces, size_bytes)

    def launch(
        self,
        kernel: Callable[..., Any],
        args: tuple[Any, ...],
        meta: dict[str, Any],
        programs: Sequence[Any],
        grid: tuple[int, int, int],
        name: str,
        operands: Sequence[TensorMapping],
    ) -> None:
        """Run all programs, in order."""
        for program in programs:
            port = ImmediateProgram(
                executor=self.executor,
                pe=program.pe,
                array=self.graph.unit(program.pe, "pe_gemm").spec,
                **self.who(program, grid),
            )
            run_program(kernel, args, meta, port)

    def map(self, mapping: TensorMapping) -> None:
        """Make a tensor's pages valid."""
        self.page_tables.map(mapping)

    def unmap(self, mappings: Sequence[TensorMapping]) -> None:
        """Make the pages of tensors invalid."""
        self.page_tables.unmap(mappings)

    def synchronize(self) -> None:
        """Nothing is ever under way."""

    def complete_launches(self) -> None:
        """Nothing is ever under way."""

    def flush(self) -> None:
        """Every value exists already."""
