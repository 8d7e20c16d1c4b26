"""A device as one program has it, until it closes it."""

from __future__ import annotations

import math
import types
import weakref
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NoReturn, Self

from kernbench.components.gemm_rate import macs_per_cycle
from kernbench.config.schema import Config, TopologySpec
from kernbench.device.arguments import check_arg, kernel_arg, owned, tensors_in
from kernbench.device.array import DeviceArray, Uses
from kernbench.device.heap import Heap
from kernbench.device.launch import Place, place_programs
from kernbench.device.measures import Measures
from kernbench.device.measuring import Measuring
from kernbench.device.placement import DPPolicy, default_policy
from kernbench.device.protocol import Device
from kernbench.device.storage import Storage
from kernbench.dtypes import DType, as_dtype
from kernbench.ending import has_completed, must_complete
from kernbench.errors import CapacityError, UsageError, in_one_line
from kernbench.given import whole
from kernbench.lang.block import ACTIVE
from kernbench.lang.jit import GPU_HINTS, as_kernel, grid_of
from kernbench.lang.source import user_line
from kernbench.lang.turn import Turn, in_turn
from kernbench.machine.launch import Launch
from kernbench.memory.mapping import TensorRange
from kernbench.memory.page_table import Pieces
from kernbench.memory.shards import ShardGrid, ShardMap
from kernbench.memory.store import Bytes
from kernbench.messages.ipcq import QueueEnd, Wiring
from kernbench.messages.source_line import SourceLine
from kernbench.topology.hbm import HbmLayout
from kernbench.topology.ids import PeId
from kernbench.topology.levels import count_of, levels_of
from kernbench.wording import is_name, quoted


class Unwatched:
    """Is told, and says nothing."""

    def used(self, tensor: DeviceArray, how: str) -> None:
        """Nothing."""

    def synchronized(self) -> None:
        """Nothing."""


class OpenDevice:
    """One program's launches, queues and copies on a device, in order, and the memory of its tensors.

    Copies and reads wait for the kernels launched before. ``kernel[grid](...)`` runs on the device of its first tensor.
    Memory that nobody refers to returns when no kernel can use it any more; :meth:`close`, or the end of a ``with``
    block, frees all tensors. Threads may share it, one call at a time; but a kernel goes on in the thread in which it
    has begun.
    """

    measures: Measures

    def __init__(self, machine: Device) -> None:
        self.machine = machine
        self.turn = Turn()  # of the threads that use this device
        self.default_policy = default_policy(machine.spec)
        self.uses: Uses = Unwatched()
        self.heap = Heap(machine)
        self.wirings: list[Wiring] = []
        self._is_busy = False  # whether a kernel may run that can touch what was freed since
        self._storages: weakref.WeakSet[Storage] = weakref.WeakSet()
        self._closed_at: SourceLine | None = None

    @property
    def config(self) -> Config:
        """The configuration of the machine, with that of its collectives."""
        return self.machine.config

    @property
    def spec(self) -> TopologySpec:
        """What the machine consists of."""
        return self.machine.spec

    @property
    def pes(self) -> Sequence[PeId]:
        """All PEs by number."""
        return self.machine.pes

    @contextmanager
    def driven_through(self, machine: Device) -> Iterator[None]:
        """Within, all that is asked of the machine is asked of ``machine``, which stands before it."""
        behind = self.machine
        self.machine = self.heap.device = machine
        try:
            yield
        finally:
            self.machine = self.heap.device = behind

    @in_turn
    def launch(
        self,
        kernel: object,
        grid: object,
        args: Sequence[object] = (),
        meta: Mapping[str, object] | None = None,
        *,
        place: Place = None,
        queues: Wiring | None = None,
        stream: Hashable = None,
        races: str | None = None,
    ) -> None:
        """Run ``kernel`` on every program of ``grid``, if there is any; returns at once.

        ``args`` are its positional and ``meta`` its keyword arguments; ``grid`` is one to three extents, or a
        function of all of them by name. :func:`place_programs` says which PE runs which program; several on one
        PE run in turn. Programs see their queues of ``queues``, and program p of G runs on its rank p * n // G; without
        it, they see those that were installed last. ``queues`` may join ends that were installed one by one.

        Launches run in order. Only where two name a ``stream`` each (anything hashable), not the same one, and have no
        PE and no byte of their tensors in common, do they run side by side. ``races`` says for this launch what is done
        about races: "warn", "error" or "off" (None: as the simulation says).
        """
        self.require_open()
        _require_arguments(args, meta)
        function, keywords = as_kernel(kernel), dict(meta or {})
        named = function.bind(tuple(args), keywords)
        # Also for a grid of no programs: whether a mistake is told must not depend on its extents.
        for name, argument in named.items():
            check_arg(self, function, name, argument)
        extents = grid_of(grid, named)
        if not math.prod(extents):
            return
        if queues is not None:
            self._require_ends_installed(queues)
        if queues is not None and place is None:
            n, n_programs = len(queues.pes), math.prod(extents)
            place = [queues.pes[p * n // n_programs] for p in range(n_programs)]
        programs = place_programs(
            extents, list(named.values()), place, self.machine.pes, self.default_policy.pes
        )
        tensors = [x for x in tensors_in(list(named.values())) if isinstance(x, DeviceArray)]
        for tensor in tensors:
            self.uses.used(tensor, "used in a launch")
        operands = tuple(
            TensorRange(self.heap.mappings[x.shards.va], x.data_ptr(), x.data_ptr() + x.nbytes)
            for x in tensors
            if x.shards.va in self.heap.mappings
        )
        self.machine.launch(
            Launch(
                kernel=function,
                args=tuple(map(kernel_arg, args)),
                meta={
                    name: kernel_arg(x)
                    for name, x in keywords.items()
                    if name not in GPU_HINTS or name in named
                },
                programs=programs,
                grid=extents,
                operands=operands,
                wiring=queues or (self.wirings[-1] if self.wirings else None),
                stream=stream,
                own=owned(named.values()),
                races=races,
            )
        )
        self._is_busy = True
        # What nobody waits for is complete at the end of the program, or its fault would never be told.
        if self.machine.is_busy:
            must_complete(self)

    @in_turn
    def install_queues(self, wiring: Wiring) -> Wiring:
        """Find room for the rings of ``wiring`` and install its queues, after what was launched; returns when they are.

        Raises:
            UsageError: they are installed already.
            CapacityError: the rings do not fit.
        """
        self.require_open()
        if wiring in self.wirings:
            raise UsageError("these queues are installed already; remove them first, or wire others")
        self._complete_and_settle()
        self.heap.place_rings(wiring)
        self.machine.install(wiring)
        self.wirings.append(wiring)
        return wiring

    @in_turn
    def remove_queues(self, wiring: Wiring) -> None:
        """Remove queues again, likewise, and free their rings."""
        self._complete_and_settle()
        self._require_installed(wiring)
        self.machine.remove(wiring)
        self._forget_queues(wiring)

    def _forget_queues(self, wiring: Wiring) -> None:
        self.wirings.remove(wiring)
        self.heap.free_rings(wiring)

    def _require_installed(self, wiring: Wiring) -> None:
        if wiring not in self.wirings:
            raise UsageError("these queues are not installed here, or not any more; install them again")

    def _require_ends_installed(self, wiring: Wiring) -> None:
        if not isinstance(wiring, Wiring):
            raise UsageError(
                f"launch: queues={quoted(wiring)} are no queues; give what install_queues(torch) gave"
            )
        if wiring not in self.wirings:
            installed = {end for known in self.wirings for end in _ends(known)}
            if not installed.issuperset(_ends(wiring)):
                self._require_installed(wiring)

    @in_turn
    def synchronize(self) -> None:
        """Wait until everything launched is complete and its values are computed."""
        with self._completing():
            self.machine.synchronize()
        self._settle()
        self.uses.synchronized()

    @in_turn
    def complete_launches(self) -> None:
        """Wait for the kernels launched so far, and for nothing else: no map, and no memory that returns."""
        with self._completing():
            self.machine.complete_launches()

    def completed_ps(self) -> int:
        """Simulated time, once everything launched is complete."""
        self.synchronize()
        return self.machine.now_ps

    def is_stopped(self) -> bool:
        """Whether an error that was raised stopped it for good."""
        return self.machine.is_stopped

    def device_count(self) -> int:
        """SIPs of the machine."""
        return levels_of(self.machine.spec)[0].count

    def memory_bytes(self) -> int:
        """HBM of the whole device that tensors and their tables can have."""
        spec = self.machine.spec
        return HbmLayout.of(spec.cube).used_bytes * count_of(levels_of(spec)[:-1])

    def measure(
        self,
        name: str,
        *,
        iters: int | None = None,
        flops: int = 0,
        gemm: DType | str | None = None,
    ) -> Measuring:
        """A part of the program whose time is told by ``name``, apart from all else: copies to the device, set-up.

        ``with torch.measure("decode"): ...`` measures once; ``for i in torch.measure("decode"): ...`` as often as
        ``iters`` says, or ``--iters`` if it says nothing: the same tensors, with cold TLBs first. A round waits for
        what was launched before it, and ends when what was launched in it is complete. Measures do not overlap.
        ``flops`` counts the operations of one round and ``gemm`` names the dtype whose peak bounds them, as in
        ``Outcome``.

        Raises:
            UsageError: within another measure, in a worker, or something is no name or no number.
        """
        self.require_open()
        if self.machine is not self.measures.machine:
            raise UsageError(
                f"torch.measure({quoted(name)}): a worker has no time of its own to measure; measure "
                "torch.multiprocessing.spawn(...) on the host"
            )
        if not is_name(name):
            raise UsageError(f"torch.measure({quoted(name)}): give it a name, as in torch.measure('decode')")
        said = f"torch.measure({quoted(name)}):"
        iters = None if iters is None else whole(iters, f"{said} iters", least=1)
        flops = whole(flops, f"{said} flops")
        kind = None if gemm is None else as_dtype(gemm)
        if kind is not None:
            macs_per_cycle(kind, self.machine.spec.pe.gemm, user_line())
        return Measuring(name, self.measures, self.synchronize, iters=iters, flops=flops, gemm=kind)

    @contextmanager
    def _completing(self) -> Iterator[None]:
        """Within, every launch is completed, or the machine stops."""
        self._require_host()
        try:
            yield
        finally:
            if self.machine.is_stopped or not self.machine.is_busy:
                has_completed(self)

    @in_turn
    def close(self) -> None:
        """Wait for what was launched and free all tensors; nothing is made, launched or copied afterwards.

        A second time does nothing. Raises what a kernel raised that nobody had waited for; all is freed even then. A
        machine that was stopped by an error before closes without a word.
        """
        if self._closed_at is not None:
            return
        self._closed_at = user_line()
        try:
            if not self.machine.is_stopped:
                self.synchronize()
                for wiring in reversed(self.wirings.copy()):
                    self.remove_queues(wiring)
                self._free_all()
                self.synchronize()
                self.heap.close()
        finally:
            self._free_all()
            for wiring in self.wirings.copy():
                self._forget_queues(wiring)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise UsageError(
            "a simulation is a machine at work, and can be neither pickled nor copied; make another, as in "
            "kb.simulate('tiny'), and take tensors along as arrays, with x.numpy()"
        )

    def __enter__(self) -> Self:
        self.require_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        try:
            self.close()
        except Exception as behind:  # whatever it is, what went wrong in the block was first
            if error is None:
                raise
            error.add_note(f"and in what was launched: {in_one_line(behind)}")

    def _require_host(self) -> None:
        """Refuse what only the host can do: a kernel that waited for its own launch would wait for ever."""
        program = ACTIVE.get(None)
        if program is not None and program.port.launch.memory is self.machine.store:
            raise UsageError(
                f"{user_line()}: a kernel cannot read, copy or wait as the host does; tl.load and tl.store reach a "
                "tensor that is an argument"
            )

    @in_turn
    def host_write(self, pieces: Pieces, buffer: Bytes) -> None:
        """Copy to the device, after all that was launched."""
        self._complete_and_settle()
        self.machine.host_write(pieces, buffer)

    @in_turn
    def host_read(self, pieces: Pieces, size_bytes: int) -> Bytes:
        """Copy from the device, after all that was launched."""
        self._complete_and_settle()
        return self.machine.host_read(pieces, size_bytes)

    def empty(
        self, shape: tuple[int, ...], dtype: DType, policy: DPPolicy | None = None, name: str = "tensor"
    ) -> DeviceArray:
        """A tensor without values, placed by ``policy`` (None: ``default_policy``)."""
        self.require_open()
        return DeviceArray(self, self.new_storage(name, shape, dtype, policy or self.default_policy), shape)

    @in_turn
    def new_storage(self, name: str, shape: tuple[int, ...], dtype: DType, policy: DPPolicy) -> Storage:
        """The memory of a tensor, freed at the closing if not before."""
        storage = Storage(self.heap, *self._allocate(name, shape, dtype, policy), policy)
        self._storages.add(storage)
        return storage

    def _allocate(
        self, name: str, shape: tuple[int, ...], dtype: DType, policy: DPPolicy
    ) -> tuple[ShardMap, ShardGrid]:
        """Memory for a tensor, waiting for freed tensors that a kernel may still use only if there is no other."""
        if not self._is_busy:
            self._complete_and_settle()
        # Else no wait that the program has not asked for: its host code would stand behind its kernels.
        try:
            return self.heap.allocate(name, shape, dtype, policy)
        except CapacityError:
            if not self.heap.n_buried:
                raise
        self._complete_and_settle()
        return self.heap.allocate(name, shape, dtype, policy)

    def _complete_and_settle(self) -> None:
        """Wait for the kernels launched so far, whatever is still being mapped."""
        self.complete_launches()
        self._settle()

    def _settle(self) -> None:
        """With no kernel under way: compute what they made, and reap the tensors that nobody has any more."""
        self.machine.flush()
        self._is_busy = False
        self.heap.reap()

    def _free_all(self) -> None:
        """Free what is not freed, in the order of addresses."""
        # A set of weak references has no order of its own, and that of the unmaps decides times.
        living = [storage for storage in self._storages if not storage.life.freed]
        for storage in sorted(living, key=lambda storage: storage.shards.va):
            storage.free(f"with its context at {self._closed_at}")

    def require_open(self) -> None:
        """UsageError, which says where, if it was closed."""
        if self._closed_at is not None:
            raise UsageError(
                f"this context is closed (at {self._closed_at}); begin a new simulation, as in kb.simulate('tiny')"
            )


def _ends(wiring: Wiring) -> Iterator[QueueEnd]:
    """All queue ends of a wiring."""
    for site in wiring.sites.values():
        yield from site.ends.values()


def _require_arguments(args: object, meta: object) -> None:
    if isinstance(args, (str, bytes)) or not isinstance(args, Sequence):
        raise UsageError(
            f"launch: args={quoted(args)}; give a tuple of the positional arguments, as in (x, y)"
        )
    if not isinstance(meta, Mapping | None):
        raise UsageError(
            f"launch: meta={quoted(meta)}; give a dict of arguments by name, as in {{'BLOCK': 64}}"
        )
