"""The backend "ahbm": collectives of a group as kernels, by the algorithms that ``ccl.yaml`` chooses."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

from kernbench.ccl.communicator import Communicator
from kernbench.config.ccl import CclSpec, size_ranges
from kernbench.device.placement import DPPolicy
from kernbench.dist.errors import SizesError
from kernbench.dist.exchange import Exchange, Pair
from kernbench.dist.queue_cache import Key, QueueCache
from kernbench.dist.selection import require_all_known, select, selected
from kernbench.errors import CapacityError
from kernbench.theory.group import Collective, Group, group_of
from kernbench.torch.context import Context
from kernbench.torch.tensor import DeviceTensor

Tensors = Sequence[DeviceTensor]


class AhbmCCLBackend:
    """Launches collectives on the device of ``torch``, one kernel over all PEs of a group.

    There is a communicator for each algorithm of each group, so that its queues give way alone.
    """

    def __init__(self, torch: Context) -> None:
        self.torch, self.device = torch, torch.ahbm
        self._queue_cache = QueueCache(self.device)
        self._exchange = Exchange(self.device, self._queue_cache)
        self._communicators: dict[Key, Communicator] = {}
        self._users: dict[tuple[int, ...], int] = {}

    @property
    def ccl(self) -> CclSpec:
        """What ``ccl.yaml`` says."""
        return self.device.config.ccl

    # -- groups -------------------------------------------------------------------------------------------

    def join(self, pes: tuple[int, ...]) -> None:
        """A group of these PEs begins: install the queues of what is ``eager``, if no other group of them has."""
        self._users[pes] = self._users.get(pes, 0) + 1
        if self._users[pes] > 1:
            return
        try:
            require_all_known(self.ccl)
            for collective in self.ccl.eager:
                for name in selected(self.ccl, collective, self._group(pes)):
                    self._install(pes, name)
        except BaseException:
            self.leave(pes)
            raise

    def leave(self, pes: tuple[int, ...]) -> None:
        """A group of these PEs ends; with the last one its queues are removed, and with the last of all the pairs'."""
        self._users[pes] -= 1
        if self._users[pes]:
            return
        del self._users[pes]
        keys = [key for key in reversed(self._communicators) if key[0] == pes]
        for key in keys:
            del self._communicators[key]
        if self.device.is_stopped():
            return
        self._queue_cache.remove(keys)
        if not self._users:
            self._queue_cache.clear()

    def world_size(self, n_given: int) -> int:
        """Ranks of the default group: as given, else as the all-reduce's settings say, else all PEs."""
        if n_given > 0:
            return n_given
        ranges = (found for table in self.ccl.selection.all_reduce for found in size_ranges(table.sizes))
        for found in ranges:
            settings = self.ccl.algorithms.get(found.algorithm)
            if settings is not None and settings.world_size is not None:
                return settings.world_size
        return len(self.device.pes)

    def _group(self, pes: tuple[int, ...]) -> Group:
        """The ranks on ``pes``, as algorithms know them."""
        return group_of(self.device.spec, self.device.pes, pes)

    # -- collectives --------------------------------------------------------------------------------------

    def run(
        self,
        collective: Collective,
        pes: tuple[int, ...],
        sources: Tensors,
        destinations: Tensors,
        *,
        n_elem: int,
        op: str = "sum",
        root: int = 0,
    ) -> None:
        """Launch ``collective`` on the tensors of the ranks of ``pes``; nothing, where there is nothing to move.

        Raises:
            CapacityError: the queues of the algorithm that ``ccl.yaml`` selects do not fit.
        """
        if not n_elem and collective != "barrier":
            return
        size_bytes = n_elem * sources[0].element_size() if sources else 0
        name = select(self.ccl, collective, self._group(pes), size_bytes)
        try:
            communicator = self._install(pes, name)
        except CapacityError as error:
            raise CapacityError(f"{name}: {error}; or select another, ccl.selection.{collective}") from None
        communicator.run(name, sources, destinations, n_elem=n_elem, op=op, root=root)

    def move(self, pairs: Sequence[Pair]) -> None:
        """Launch any number of transfers between PEs as one kernel."""
        self._exchange.run(pairs)

    def staging(self, pe: int, n_elem: int, like: DeviceTensor) -> DeviceTensor:
        """A tensor on one PE, for what a collective wants in one piece."""
        made = self.torch.empty(
            n_elem, dtype=like.dtype, policy=DPPolicy(only=pe), name=f"staging of {like.name}"
        )
        assert isinstance(made, DeviceTensor)
        return made

    def _install(self, pes: tuple[int, ...], name: str) -> Communicator:
        """The communicator of these PEs for the algorithm ``name``, with its queues installed."""
        key = (pes, name)
        if key not in self._communicators:
            self._communicators[key] = Communicator(self.device, pes)
        communicator = self._communicators[key]
        self._queue_cache.install(key, partial(communicator.install, name), lambda _: communicator.remove())
        return communicator


def parts_of(tensor: DeviceTensor, pes: Sequence[int], what: str) -> list[DeviceTensor]:
    """The part of ``tensor`` that is dealt to each PE of ``pes``, or its copy of the whole.

    Raises:
        SizesError: one has nothing, or more than one range of memory, or the parts differ in size.
    """
    grid, dealt_to = tensor.parts
    cure = "give a tensor with one even shard for each rank, as DPPolicy(sip='row_wise') makes, or a copy for each"
    head = f"{what}: {tensor.name!r}{list(tensor.shape)} ({tensor.policy})"
    if tensor.nbytes != tensor.shards.size_bytes:
        raise SizesError(f"{head} is a part of a tensor; for all ranks at once, {cure}")
    held: dict[int, list[int]] = {}
    for cell, cell_pes in enumerate(dealt_to):
        for pe in cell_pes:
            held.setdefault(pe, []).append(cell)
    # One cell for each rank, in a grid that is one line: only then is a cell one range of memory.
    if any(len(held.get(pe, ())) != 1 for pe in pes) or len(held) != len(pes) or grid.rows != 1:
        raise SizesError(f"{head} is not spread evenly over the {len(pes)} ranks; {cure}")
    ranges = [
        (start // tensor.element_size(), (stop - start) // tensor.element_size())
        for start, stop in pairwise(grid.col_bounds)
    ]
    parts = [ranges[held[pe][0]] for pe in pes]
    if len({size for _, size in parts}) > 1:
        raise SizesError(f"{head} has shards of different sizes; {cure}")
    flat = tensor.view(-1)
    return [flat.narrow(0, start, size) for start, size in parts]
