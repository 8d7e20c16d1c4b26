"""The schedule of a collective: its kernel runs once, rank by rank, or on a machine without time if it needs values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kernbench.bench.collectives.rehearsal import Recorded, rehearse
from kernbench.ccl.algorithm import load_algorithms
from kernbench.ccl.communicator import Communicator
from kernbench.config.schema import Config
from kernbench.device.open_device import OpenDevice
from kernbench.device.placement import DPPolicy
from kernbench.dtypes import DType, float32
from kernbench.machine.recorder import Recorder
from kernbench.topology.graph import TopologyGraph
from kernbench.torch.context import Context


def record(
    config: Config,
    graph: TopologyGraph,
    pes: Sequence[int],
    name: str,
    n_elem: int,
    *,
    dtype: DType = float32,
    op: str = "sum",
    root: int = 0,
    **rings: Any,
) -> Recorded:
    """The schedule of the algorithm ``name``, out of place, on ``pes``, in the order of their ranks.

    ``n_elem`` are the elements of the smaller of a rank's buffers; ``rings`` are settings of
    :func:`~kernbench.ccl.wiring.install_queues`. No value is looked at: memory is as a machine's at its start.

    Raises:
        CapacityError: the queues or tensors do not fit.
        DeadlockError: the ranks wait for each other for ever.
    """
    machine = Recorder(config, graph, say=lambda text: None)
    device = OpenDevice(machine)
    torch = Context(device, seed=0)

    def of_each(larger_of: str) -> list[Any]:
        if collective == "barrier":
            return []
        n = n_elem * len(pes) if collective == larger_of else n_elem
        return [torch.empty(n, dtype=dtype, policy=DPPolicy(only=pe)) for pe in pes]

    collective = load_algorithms()[name].collective
    sources, destinations = of_each("reduce_scatter"), of_each("all_gather")
    communicator = Communicator(device, pes, **rings)
    found = rehearse(
        name,
        communicator.group,
        communicator.install(name),
        n_elem,
        dtype=dtype,
        op=op,
        root=root,
        tcm_bytes=min(machine.tcm_left_bytes(pe) for pe in pes),
    )
    if found is None:
        communicator.run(name, sources, destinations, n_elem=n_elem, op=op, root=root)
        found = Recorded([machine.notes.steps[pe] for pe in pes], communicator.n_sent, needs_machine=True)
    device.close()
    return found
