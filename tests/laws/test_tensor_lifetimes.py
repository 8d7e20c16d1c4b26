"""However many tensors come and go, what is mapped is what lives, and in the end everything has come home."""

import gc
import tracemalloc

from kernbench.lang import tl
from kernbench.lang.jit import jit
from kernbench.runtime.placement import WAYS, DPPolicy
from kernbench.simulation import Simulation

N_TENSORS = 10_000


@jit
def touch_kernel(x_ptr, BLOCK: tl.constexpr):
    """Adds one to a block."""
    at = tl.arange(0, BLOCK)
    tl.store(x_ptr + at, tl.load(x_ptr + at) + 1.0)


def is_all_home(simulation):
    """Empty page tables, and nothing allocated but the page directories."""
    heap = simulation.torch.heap
    assert not any(len(table) for table in simulation.machine.page_tables.by_sip)
    assert heap.mappings == {}
    assert heap.virtual.blocks == {}
    assert len(heap.virtual.holes) == 1
    for memory in heap.memories():
        assert {block.label for block in memory.blocks.values()} <= {"page directory"}
        assert len(memory.holes) == 1
    return True


def test_ten_thousand_tensors_end_with_empty_tables_full_free_lists_and_flat_memory():
    simulation = Simulation.of("tiny", keep_log=False)
    torch = simulation.torch

    def held_bytes_after(n_tensors):
        for i in range(n_tensors):
            x = torch.empty(1 + i * 37 % 3000, dtype="int8", policy=DPPolicy(pe=WAYS[i % 4]))
            if i % 100 == 0:
                y = torch.zeros(64)
                touch_kernel[(1,)](y, BLOCK=64)
        del x, y
        torch.synchronize()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    held_bytes_after(1000)
    assert is_all_home(simulation)
    tracemalloc.start()
    try:
        early, late = held_bytes_after(1000), held_bytes_after(N_TENSORS - 2000)
    finally:
        tracemalloc.stop()
    assert is_all_home(simulation)
    assert late - early < 50_000
    for unit in simulation.machine.assembly.components.values():
        if unit.node.kind == "pe_mmu":
            assert len(unit._held) == 0
    torch.close()
    assert [memory.blocks for memory in torch.heap.memories()] == [{}] * 4
