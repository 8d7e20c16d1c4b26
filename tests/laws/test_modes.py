"""The modes agree: ``timed`` and ``data`` make the same bits, ``timing`` the same times as ``timed`` (ADR-0020).

``timing`` computes no values, so a kernel that needs one in Python is refused there, at its line.
"""

import re
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from kernbench.bench import run
from kernbench.device.placement import WAYS, DPPolicy
from kernbench.errors import DTypeError, ForcedValueError, UsageError
from kernbench.lang import tl
from kernbench.lang.jit import jit
from kernbench.simulation import Simulation

DTYPES = ("fp64", "fp32", "fp16", "bf16", "fp8", "fp8e5", "int8")
NO_FP64_ARRAY = (
    "PE_GEMM cannot multiply fp64: pe.gemm.macs_per_cycle lists fp16, bf16, fp8, int8, fp32; cast the operands or add "
    "the dtype there"
)
REFUSED = {
    ("gemm", "fp64"): (("timed", "data", "timing"), NO_FP64_ARRAY),
    ("qkv_gemm", "fp64"): (("timed", "data", "timing"), NO_FP64_ARRAY),
}
"""What a bench's kernel does not accept on ``tiny``, in which modes, in which words; its line may stand before."""

TWO_BY_TWO = Path(__file__).with_name("two_by_two.yaml")


def bits_of_bench(small_bench, dtype, mode, overrides=()):
    """The bits of a bench's results."""
    bench = small_bench.bench
    simulation = Simulation.of("tiny", mode=mode, overrides=overrides)
    params = bench.params_on(simulation.graph, small_bench.typed(dtype))
    outcome = bench.run(simulation.torch, **params)
    return [tensor.numpy().tobytes() for tensor in outcome.outputs]


def own_refusal(bench, params, mode):
    """How a bench refuses its dtype before it launches anything; empty if it does not."""
    text = ""
    with suppress(DTypeError):
        try:
            run(bench, topology="tiny", params=params, mode=mode)
        except UsageError as error:
            text = str(error)
    assert text.startswith(f"{bench.name}: dtype=") or not text
    return text


@pytest.mark.parametrize("dtype", DTYPES)
def test_timed_and_data_make_the_same_bits_on_every_bench_and_dtype(small_bench, dtype):
    """Or refuse it with the same words; where only the array lacks a rate, it is given one."""
    bench, params = small_bench.bench, small_bench.typed(dtype)
    if words := own_refusal(bench, params, "data"):
        assert own_refusal(bench, params, "timed") == own_refusal(bench, params, "timing") == words
        return
    modes, text = REFUSED.get((bench.name, dtype), ((), ""))
    for mode in modes:
        with pytest.raises((DTypeError, UsageError), match=rf"^({bench.name}\.py:\d+: )?{re.escape(text)}\Z"):
            run(bench, topology="tiny", params=params, mode=mode)
    overrides = ("pe.gemm.macs_per_cycle.fp64=64",) if modes else ()
    timed, computed = (bits_of_bench(small_bench, dtype, mode, overrides) for mode in ("timed", "data"))
    assert timed == computed
    result = run(bench, topology="tiny", overrides=overrides, params=params, mode="data")
    assert result.check.ok


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "fp8"])
def test_timing_has_the_op_log_of_timed_on_every_bench(small_bench, dtype):
    bench, params = small_bench.bench, small_bench.typed(dtype)
    timed, timing = (run(bench, topology="tiny", params=params, mode=mode) for mode in ("timed", "timing"))
    assert timing.oplog_sha256 == timed.oplog_sha256
    assert (timing.device_time_ps, timing.kernel_time_ps) == (timed.device_time_ps, timed.kernel_time_ps)
    assert (timed.check.ok, timing.check.ok) == (True, None)


# -- kernels that need values in Python ------------------------------------------------------------------------


@jit
def branch_kernel(x_ptr, n_ptr, y_ptr, BLOCK: tl.constexpr):
    """A data-dependent ``if``."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at)
    if tl.sum(x, axis=0) > 0:
        x = tl.sqrt(tl.maximum(x, 0.0))
    tl.store(y_ptr + at, x)


@jit
def loop_kernel(x_ptr, n_ptr, y_ptr, BLOCK: tl.constexpr):
    """A loop bound from memory."""
    pid = tl.program_id(0)
    at = pid * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at)
    for _ in range(tl.load(n_ptr + pid)):
        x = x * 1.5 + 1.0
    tl.store(y_ptr + at, x)


@jit
def gather_kernel(x_ptr, n_ptr, y_ptr, BLOCK: tl.constexpr):
    """Addresses from memory."""
    pid = tl.program_id(0)
    at = pid * BLOCK + tl.arange(0, BLOCK)
    step = tl.load(n_ptr + at % 16)
    tl.store(y_ptr + at, tl.load(x_ptr + (at * 7 + step * 13) % 512))


@jit
def while_kernel(x_ptr, n_ptr, y_ptr, BLOCK: tl.constexpr):
    """A ``while`` on a value that the loop computes."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at)
    while tl.max(tl.abs(x), axis=0) > 0.5:
        x = x * 0.5
    tl.store(y_ptr + at, x)


FORCING = {
    branch_kernel: "    if tl.sum(x, axis=0) > 0:\n",
    loop_kernel: "    for _ in range(tl.load(n_ptr + pid)):\n",
    gather_kernel: "    tl.store(y_ptr + at, tl.load(x_ptr + (at * 7 + step * 13) % 512))\n",
    while_kernel: "    while tl.max(tl.abs(x), axis=0) > 0.5:\n",
}
"""Each kernel, and its line that needs a value."""


def run_forcing(kernel, mode, *, n_programs=16, policy=None, topology="tiny"):
    """The results of ``kernel`` on 512 elements."""
    simulation = Simulation.of(topology, mode=mode)
    torch, policy = simulation.torch, policy or DPPolicy()
    rng = np.random.default_rng(5)
    x = torch.from_numpy(rng.standard_normal(512).astype(np.float32)).to("ahbm", policy=policy)
    n = torch.from_numpy(rng.integers(0, 5, 16).astype(np.int32)).to("ahbm")
    y = torch.empty(512, dtype="fp32", policy=DPPolicy(sip="row_wise"))
    torch.launch(kernel, (n_programs,), (x, n, y), {"BLOCK": 512 // n_programs})
    torch.synchronize()
    return y.numpy()


kernels = pytest.mark.parametrize("kernel", FORCING, ids=lambda kernel: kernel.__name__)


@kernels
@pytest.mark.parametrize("n_programs", [4, 16], ids=["one program a PE", "four programs a PE"])
def test_kernels_that_force_values_make_the_same_bits_timed_and_data(kernel, n_programs):
    timed, computed = (run_forcing(kernel, mode, n_programs=n_programs) for mode in ("timed", "data"))
    assert timed.tobytes() == computed.tobytes()
    assert np.isfinite(timed).all()


@kernels
def test_they_do_so_on_replicated_and_on_sharded_data_over_two_sips(kernel):
    bits = {
        run_forcing(kernel, mode, policy=DPPolicy(sip, cube, pe), topology=TWO_BY_TWO).tobytes()
        for sip, cube, pe in (
            ("replicate", "replicate", "replicate"),
            ("replicate", "row_wise", "row_wise"),
            ("row_wise", "row_wise", "row_wise"),
        )
        for mode in ("timed", "data")
    }
    assert len(bits) == 1


@kernels
def test_timing_refuses_them_and_names_the_line(kernel):
    lines = Path(__file__).read_text().splitlines(keepends=True)
    with pytest.raises(ForcedValueError) as raised:
        run_forcing(kernel, "timing")
    assert str(raised.value) == (
        f"test_modes.py:{lines.index(FORCING[kernel]) + 1}: program 0 on sip0.cube0.pe0 needs a value that mode "
        "'timing' does not compute; use mode 'timed'"
    )


# -- placements ------------------------------------------------------------------------------------------------


@jit
def transpose_add_kernel(x_ptr, w_ptr, y_ptr, N, BLOCK: tl.constexpr):
    """y = x + w.T, a block of rows for each program; N is no power of two."""
    rows = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    columns = tl.arange(0, 32)
    mask = (rows[:, None] < N) & (columns[None, :] < N)
    x = tl.load(x_ptr + rows[:, None] * N + columns[None, :], mask=mask, other=0.0)
    w = tl.load(w_ptr + columns[None, :] * N + rows[:, None], mask=mask, other=0.0)
    tl.store(y_ptr + rows[:, None] * N + columns[None, :], x + w, mask=mask)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("space", ["hbm", "sram"])
def test_any_placement_makes_the_same_bits(way, space):
    """An uneven 30 x 30 problem; x is placed ``way`` at each level, and w replicated."""
    rng = np.random.default_rng(6)
    host = [rng.standard_normal((30, 30)).astype(np.float32) for _ in "xw"]
    for mode in ("timed", "data"):
        torch = Simulation.of(TWO_BY_TWO, mode=mode).torch
        x = torch.from_numpy(host[0]).to("ahbm", policy=DPPolicy(way, way, way, space))
        w = torch.from_numpy(host[1]).to("ahbm", policy=DPPolicy("replicate", "replicate", "replicate"))
        y = torch.empty(30, 30, dtype="fp32", policy=DPPolicy("row_wise", "row_wise", "row_wise", space))
        transpose_add_kernel[(8,)](x, w, y, 30, BLOCK=4)
        assert y.numpy().tobytes() == (host[0] + host[1].T).tobytes()
