"""One PE whose data are near reaches 85 % of max(compute, memory) for a 128 x 128 tile and K = 4096."""

from __future__ import annotations

import pytest

from kernbench.dtypes import float16
from kernbench.messages.oplog import OpCode

K = 4096
MEMORY_RATE = 47  # B/ns: one HBM channel of the default preset, 51.2 GB/s x 0.92, rounded down


@pytest.mark.parametrize("block_k", [64, 128, 256])
def test_the_k_loop_reaches_its_bound(make_pe, kit, block_k):
    pe = make_pe(MEMORY_RATE)
    program, acc, dead = [], None, ()
    for step in range(K // block_k):
        a = kit.load((128, block_k), va=step << 20)
        b = kit.load((block_k, 128), va=(step << 20) + (1 << 19))
        dot = kit.dot(a.result, b.result, acc, inherit=acc is not None)
        a.releases = dead
        program += [a, b, dot]
        acc, dead = dot.result, (a.result.version, b.result.version)
    result = kit.math(acc, op="add", dtype=float16)
    pe.run([*program, result, kit.store(result.result, va=1 << 40)])
    compute_ps = 128 * 128 * K // 1024 * 1000
    memory_ps = (2 * 128 * K * 2 + 128 * 128 * 2) * 1000 // MEMORY_RATE
    ((start_ps, _),), ((_, end_ps),) = pe.spans(OpCode.START), pe.spans(OpCode.END)
    assert max(compute_ps, memory_ps) >= 0.85 * (end_ps - start_ps)
    assert [record.command for record in pe.records(OpCode.STORE)] == [
        result.seq
    ]  # no k step pays for its accumulator
