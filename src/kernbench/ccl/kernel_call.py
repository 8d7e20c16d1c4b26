"""What every rank of a collective runs: its algorithm's kernel on the rank's tensors, with the arguments it names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from kernbench.ccl.algorithm import ALGORITHMS, Algorithm
from kernbench.errors import UsageError
from kernbench.lang.context import running
from kernbench.lang.jit import JITFunction, as_kernel
from kernbench.lang.program import PerProgram
from kernbench.lang.source import defined_at
from kernbench.messages.ipcq import RingSpec
from kernbench.theory.group import Group
from kernbench.wording import plural


class KernelCall(NamedTuple):
    """A kernel, and its arguments for the programs of a launch: one for each rank."""

    kernel: JITFunction
    args: tuple[Any, ...]


def call_of(
    name: str,
    group: Group,
    ring: RingSpec,
    sources: Sequence[Any],
    destinations: Sequence[Any],
    elems_sent: list[int],
    *,
    item_bytes: int,
    n_elem: int,
    op: str,
    root: int,
) -> KernelCall:
    """The algorithm ``name`` on the ranks of ``group``: rank r reads ``sources[r]`` and writes ``destinations[r]``.

    Each rank appends to ``elems_sent`` how many elements it has sent. ``n_elem`` are the elements, of ``item_bytes``
    each, of the smaller of a rank's buffers.

    Raises:
        UsageError: a slot holds no element, or the kernel wants what nothing gives it.
    """
    algorithm = ALGORITHMS[name]
    if ring.slot_bytes < item_bytes:
        raise UsageError(f"{name}: a slot of {ring.slot_bytes} B holds no element of {item_bytes} B")
    given = {
        **algorithm.kernel_args(group.n_ranks, n_elem),
        **algorithm.layout(group),
        "op": op,
        "root": root,
        "slice_elems": ring.slot_bytes // item_bytes,
        "slots": usable_slots(name, ring),
    }
    wanted = Constant(wanted_of(name, algorithm, given))
    counted = Constant((algorithm, elems_sent))
    return KernelCall(_kernel_named(name), (counted, PerProgram(sources), PerProgram(destinations), wanted))


def require_claimed(name: str, n_ranks: int, n_elem: int, elems_sent: int) -> None:
    """Hold what all ranks have sent against what the algorithm ``name`` claims to send.

    Raises:
        UsageError: they differ; says both.
    """
    claimed = ALGORITHMS[name].elems_sent(n_ranks, n_elem)
    if elems_sent != claimed:
        raise UsageError(
            f"{name}: its elems_sent claims {claimed} elements (world_size={n_ranks}, n_elem={n_elem}), and its "
            f"kernel has sent {elems_sent}; correct the one that is wrong"
        )


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
