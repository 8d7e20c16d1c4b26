"""Benches, whole: what each engine answers of one."""

import hashlib
from collections.abc import Sequence
from typing import Any

from kernbench.bench import load_bench
from kernbench.machine.data_machine import DataMachine
from kernbench.messages.oplog import OpCode
from kernbench.simulation import Simulation


def bench(
    name: str,
    topology: str,
    params: dict[str, Any],
    mode: str,
    tie_seed: int | None = None,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """Times, op log, counts and values of a bench; without ``params`` at its small sizes."""
    simulation = Simulation.of(topology, mode=mode, tie_seed=tie_seed, overrides=tuple(overrides))
    chosen = load_bench(name)
    outcome = chosen.run(
        simulation.torch, **chosen.params_on(simulation.graph, params or chosen.small_params)
    )
    simulation.torch.synchronize()
    answer = seen(simulation)  # before results are copied to the host, which takes time, too
    outputs = outcome.outputs if mode != "timing" else ()
    answer["values"] = [hashlib.sha256(tensor.numpy().tobytes()).hexdigest() for tensor in outputs]
    return answer


def seen(simulation: Simulation) -> dict[str, Any]:
    """All that can be counted of a simulation; of mode ``data`` there is none."""
    machine = simulation.machine
    if isinstance(machine, DataMachine):
        return {}
    engine, fabric = machine.engine, machine.fabric
    return {
        "oplog_sha256": machine.log.sha256(),
        "records": len(machine.log),
        "events": engine.events,
        "hops": fabric.chunk_hops,
        "bytes": fabric.moved_bytes(),
        "end_ps": machine.now_ps,
        "lines": [
            repr(machine.log.lines.origin(machine.graph.nodes[record.node].pe, record))
            for record in machine.log
            if record.op in (OpCode.ISSUE, OpCode.READBACK)
        ],
        "meters": {
            f"{unit.node.name}.{name}": (meter.busy_ps, meter.idle_ps, dict(meter.stalled_ps))
            for _, unit in sorted(machine.assembly.components.items())
            for name, meter in unit.meters()
        },
    }
