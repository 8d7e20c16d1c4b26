"""A group of ranks with the queues of its algorithms: launches a collective on their tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from kernbench.ccl.algorithm import ALGORITHMS, Algorithm, require_served
from kernbench.ccl.wiring import install_queues
from kernbench.config.ccl import CclAlgorithmSpec
from kernbench.device.array import DeviceArray
from kernbench.device.open_device import OpenDevice
from kernbench.errors import UsageError
from kernbench.lang.context import running
from kernbench.lang.jit import JITFunction, as_kernel
from kernbench.lang.program import PerProgram
from kernbench.lang.source import defined_at
from kernbench.messages.ipcq import RingSpec, Wiring
from kernbench.theory.group import group_of
from kernbench.wording import plural


class Communicator:
    """The ranks ``pes`` (numbers) of ``device``.

    An algorithm's queues are installed when it is first used. ``rings`` are settings of
    :func:`~kernbench.ccl.wiring.install_queues` that hold for every algorithm here. Launches are a stream of their own:
    they overlap with those on other PEs.
    """

    def __init__(self, device: OpenDevice, pes: Sequence[int], **rings: Any) -> None:
        self.device = device
        self.pes = tuple(pes)
        self.group = group_of(device.spec, device.pes, pes)
        self._rings = rings
        self._wirings: dict[str, Wiring] = {}
        self._elems_sent: list[int] = []

    def install(self, name: str) -> Wiring:
        """The queues of the algorithm ``name``, installed once."""
        wiring = self._wirings.get(name)
        if wiring is None:
            algorithm = require_served(name, self.group)
            wiring = self._wirings[name] = install_queues(
                self.device,
                algorithm.pairs(self.group),
                pes=self.pes,
                directions=algorithm.directions,
                settings=self._settings(name),
                **self._rings,
            )
        return wiring

    def _settings(self, name: str) -> CclAlgorithmSpec | None:
        return self.device.config.ccl.algorithms.get(name)

    def remove(self) -> None:
        """Remove all queues again."""
        for wiring in reversed(self._wirings.values()):
            self.device.remove_queues(wiring)
        self._wirings.clear()

    def run(
        self,
        name: str,
        sources: Sequence[DeviceArray],
        destinations: Sequence[DeviceArray],
        *,
        n_elem: int,
        op: str = "sum",
        root: int = 0,
    ) -> None:
        """Launch the algorithm ``name``: rank r reads ``sources[r]`` and writes ``destinations[r]``; returns at once.

        ``n_elem`` are the elements of the smaller of a rank's buffers.

        Raises:
            UsageError: a slot holds no element, or the kernel wants what nothing gives it.
        """
        wiring, algorithm = self.install(name), ALGORITHMS[name]
        itemsize = sources[0].dtype.size_bytes if sources else 1
        if wiring.ring.slot_bytes < itemsize:
            raise UsageError(f"{name}: a slot of {wiring.ring.slot_bytes} B holds no element of {itemsize} B")
        given = {
            **algorithm.kernel_args(self.group.n_ranks, n_elem),
            **algorithm.layout(self.group),
            "op": op,
            "root": root,
            "slice_elems": wiring.ring.slot_bytes // itemsize,
            "slots": usable_slots(name, wiring.ring),
        }
        self._elems_sent = []
        self.device.launch(
            _kernel_named(name),
            (self.group.n_ranks,),
            (
                Constant((algorithm, self._elems_sent)),
                self._of_each(sources),
                self._of_each(destinations),
                Constant(wanted_of(name, algorithm, given)),
            ),
            queues=wiring,
            stream=self.pes,
        )

    def require_claimed(self, name: str, n_elem: int) -> None:
        """Hold what the last launch, which is complete, has sent against what its algorithm ``name`` claims to send.

        Raises:
            UsageError: they differ; says both.
        """
        n_ranks, sent = self.group.n_ranks, sum(self._elems_sent)
        claimed = ALGORITHMS[name].elems_sent(n_ranks, n_elem)
        if sent != claimed:
            raise UsageError(
                f"{name}: its elems_sent claims {claimed} elements (world_size={n_ranks}, n_elem={n_elem}), and its "
                f"kernel has sent {sent}; correct the one that is wrong"
            )

    def _of_each(self, tensors: Sequence[DeviceArray]) -> PerProgram:
        """One for each rank; None where a collective moves nothing."""
        return PerProgram(tensors or [None] * self.group.n_ranks)


def usable_slots(name: str, ring: RingSpec) -> int:
    """Slots that a kernel may count on, since up to ``credit_batch`` - 1 credits wait for others.

    Raises:
        UsageError: it is none.
    """
    usable = ring.slots - ring.credit_batch + 1
    if usable < 1:
        raise UsageError(
            f"{name}: {plural(ring.slots, 'slot')} cannot fill a batch of {ring.credit_batch} credits; give "
            f"credit_batch {ring.slots} or less"
        )
    return usable


def wanted_of(name: str, algorithm: Algorithm, given: Mapping[str, Any]) -> dict[str, Any]:
    """What the kernel of the algorithm ``name`` wants of what is ``given``, by name.

    Raises:
        UsageError: it wants something else; names the kernel's line, and what it may want.
    """
    kernel = as_kernel(algorithm.kernel)
    keywords = {key: value for key, value in given.items() if key in kernel.signature.parameters}
    try:
        kernel.bind((None, None), keywords)
    except UsageError as error:
        raise UsageError(
            f"{defined_at(algorithm.kernel)}: {error}; src and dst come first, then a kernel of {name} may name "
            f"{', '.join(sorted(given))}"
        ) from None
    return keywords


class Constant:
    """An argument that reaches the kernel as it is: no tensor, no number."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


@lru_cache
def _kernel_named(algorithm: str) -> JITFunction:
    """The one kernel of all algorithms, by the name that reports know it by."""
    kernel = JITFunction(on_each_rank)
    kernel.__name__ = algorithm
    return kernel


def on_each_rank(counted: Constant, src: Any, dst: Any, named: Constant) -> None:
    """Run the algorithm's kernel on this rank's tensors, and note how much it has sent."""
    algorithm, elems_sent = counted.value
    algorithm.kernel(src, dst, **named.value)
    elems_sent.append(running().elems_sent)
