"""However many tensors come and go, what is mapped is what lives, and in the end everything has come home."""

import gc
import sys

from kernbench.device.placement import WAYS, DPPolicy
from kernbench.lang import tl
from kernbench.lang.jit import jit
from kernbench.simulation import Simulation

N_TENSORS = 10_000


@jit
def touch_kernel(x_ptr, BLOCK: tl.constexpr):
    """Adds one to a block."""
    at = tl.arange(0, BLOCK)
    tl.store(x_ptr + at, tl.load(x_ptr + at) + 1.0)


def is_all_home(simulation):
    """Empty page tables, and nothing allocated but the page directories."""
    heap = simulation.device.heap
    assert not any(len(table) for table in simulation.machine.page_tables.by_sip)
    assert heap.mappings == {}
    assert heap.virtual.blocks == {}
    assert len(heap.virtual.holes) == 1
    for memory in heap.memories():
        assert {block.label for block in memory.blocks.values()} <= {"page directory"}
        assert len(memory.holes) == 1
    return True


def test_ten_thousand_tensors_end_with_empty_tables_full_free_lists_and_flat_memory():
    # Buffers keep when each of their places is free: bounded, and by small ones soon.
    small = [f"{port}.buffer_per_vc=4352" for port in ("sip.io_die.pcie_ep", "sip.ucie")]
    simulation = Simulation.of("tiny", keep_log=False, overrides=small)
    torch = simulation.torch

    def blocks_after(n_tensors):
        for i in range(n_tensors):
            x = torch.empty(1 + i * 37 % 3000, dtype="int8", policy=DPPolicy(pe=WAYS[i % 4]))
            if i % 100 == 0:
                y = torch.zeros(64)
                touch_kernel[(1,)](y, BLOCK=64)
        del x, y
        torch.synchronize()
        simulation.machine.log.forget()
        gc.collect()
        return sys.getallocatedblocks()

    blocks_after(1000)
    assert is_all_home(simulation)
    early, late = blocks_after(1000), blocks_after(N_TENSORS - 2000)
    assert is_all_home(simulation)
    assert late - early < 4000  # of 8,000 tensors: less than half a block for each
    for unit in simulation.machine.assembly.components.values():
        if unit.node.kind == "pe_mmu":
            assert len(unit._held) == 0
    torch.close()
    assert [memory.blocks for memory in torch.ahbm.heap.memories()] == [{}] * 4
