"""Laws: a kernel's tensors are numpy's, whatever the shape of its blocks; one block access is one DMA command."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from kernbench import lang as tl
from kernbench.dtypes import as_dtype
from kernbench.lang import jit
from kernbench.messages.commands import DmaReadCmd, DmaWriteCmd, GemmCmd, MathCmd

RNG = np.random.default_rng(7)
FLOATS = ["fp64", "fp32", "fp16", "bf16"]
INTS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


def numbers(shape, dtype):
    kind = as_dtype(dtype)
    if kind.is_float:
        return RNG.standard_normal(shape).astype(kind.numpy)
    info = np.iinfo(kind.numpy)
    return RNG.integers(info.min, info.max, shape, dtype=kind.numpy, endpoint=True)


@jit
def add_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    pid = tl.program_id(axis=0)
    offsets = pid * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets, mask=mask)
    y = tl.load(y_ptr + offsets, mask=mask)
    tl.store(out_ptr + offsets, x + y, mask=mask)


@pytest.mark.parametrize("dtype", [*FLOATS, *INTS])
def test_vector_add(device, dtype):
    x, y = numbers(1000, dtype), numbers(1000, dtype)
    out = device.tensor(np.zeros_like(x))
    device.launch(add_kernel, (8,), device.tensor(x), device.tensor(y), out, 1000, BLOCK=128)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(device.read(out), x + y)
    assert [type(c) for c in device.ports[0].commands] == [DmaReadCmd, DmaReadCmd, MathCmd, DmaWriteCmd]


def test_add_writes_nothing_outside_of_its_mask(device):
    x = device.tensor(np.ones(100, np.float32))
    out = device.tensor(np.full(128, -1, np.float32))
    device.launch(add_kernel, (1,), x, x, out, 100, BLOCK=128)
    np.testing.assert_array_equal(device.read(out), [2.0] * 100 + [-1.0] * 28)


@jit
def softmax_kernel(out_ptr, in_ptr, row_stride, n_rows, n_cols, BLOCK: tl.constexpr):
    for row in tl.range(tl.program_id(0), n_rows, tl.num_programs(0), num_stages=2):
        cols = tl.arange(0, BLOCK)
        mask = cols < n_cols
        x = tl.load(in_ptr + row * row_stride + cols, mask=mask, other=-float("inf"))
        minus_max = x - tl.max(x, axis=0)
        numerator = tl.exp(minus_max)
        tl.store(out_ptr + row * row_stride + cols, numerator / tl.sum(numerator, axis=0), mask=mask)


def test_softmax(device):
    x = numbers((13, 78), "fp32")
    out = device.tensor(np.zeros_like(x))
    device.launch(softmax_kernel, (4,), out, device.tensor(x), 78, 13, 78, BLOCK=128)
    expected = np.exp(x - x.max(1, keepdims=True))
    np.testing.assert_allclose(device.read(out), expected / expected.sum(1, keepdims=True), rtol=1e-6)


def test_softmax_is_one_command_too(device):
    @jit
    def kernel(out_ptr, x_ptr):
        x = tl.load(x_ptr, shape=(8, 16))
        tl.store(out_ptr, tl.softmax(x, dim=1))

    x = numbers((8, 16), "bf16")
    out = device.tensor(np.zeros_like(x))
    port = device.run(kernel, out, device.tensor(x))
    wide = np.exp(x.astype(np.float32) - x.astype(np.float32).max(1, keepdims=True))
    np.testing.assert_array_equal(device.read(out), (wide / wide.sum(1, keepdims=True)).astype(x.dtype))
    assert [c.op for c in port.commands if isinstance(c, MathCmd)] == ["softmax", "cast"]


@jit
def leaky_relu(x):
    return tl.where(x >= 0, x, 0.01 * x)


@jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, stride_am, stride_ak, stride_bk, stride_bn, stride_cm, stride_cn,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
    GROUP_M: tl.constexpr, ACTIVATION: tl.constexpr,
):  # fmt: skip
    pid = tl.program_id(axis=0)
    num_pid_m = tl.cdiv(M, BLOCK_M)
    num_pid_n = tl.cdiv(N, BLOCK_N)
    num_pid_in_group = GROUP_M * num_pid_n
    first_pid_m = (pid // num_pid_in_group) * GROUP_M
    group_size_m = min(num_pid_m - first_pid_m, GROUP_M)
    pid_m = first_pid_m + ((pid % num_pid_in_group) % group_size_m)
    pid_n = (pid % num_pid_in_group) // group_size_m
    offs_am = (pid_m * BLOCK_M + tl.arange(0, BLOCK_M)) % M
    offs_bn = (pid_n * BLOCK_N + tl.arange(0, BLOCK_N)) % N
    offs_k = tl.arange(0, BLOCK_K)
    a_ptrs = a_ptr + (offs_am[:, None] * stride_am + offs_k[None, :] * stride_ak)
    b_ptrs = b_ptr + (offs_k[:, None] * stride_bk + offs_bn[None, :] * stride_bn)
    acc = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for k in range(tl.cdiv(K, BLOCK_K)):
        a = tl.load(a_ptrs, mask=offs_k[None, :] < K - k * BLOCK_K, other=0.0)
        b = tl.load(b_ptrs, mask=offs_k[:, None] < K - k * BLOCK_K, other=0.0)
        acc = tl.dot(a, b, acc)
        a_ptrs += BLOCK_K * stride_ak
        b_ptrs += BLOCK_K * stride_bk
    if ACTIVATION == "leaky_relu":
        acc = leaky_relu(acc)
    offs_cm = pid_m * BLOCK_M + tl.arange(0, BLOCK_M)
    offs_cn = pid_n * BLOCK_N + tl.arange(0, BLOCK_N)
    c_ptrs = c_ptr + stride_cm * offs_cm[:, None] + stride_cn * offs_cn[None, :]
    c_mask = (offs_cm[:, None] < M) & (offs_cn[None, :] < N)
    tl.store(c_ptrs, acc.to(c_ptr.dtype.element_ty), mask=c_mask)


@pytest.mark.parametrize("activation", ["", "leaky_relu"])
@pytest.mark.parametrize(("m", "n", "k"), [(64, 64, 64), (100, 90, 70), (33, 1, 129)])
def test_matmul_of_the_tutorial(device, m, n, k, activation):
    a, b = numbers((m, k), "fp16"), numbers((k, n), "fp16")
    c = device.tensor(np.zeros((m, n), np.float16))
    grid = (-(-m // 32) * -(-n // 32),)
    strides = (k, 1, n, 1, n, 1)
    args = (device.tensor(a), device.tensor(b), c, m, n, k, *strides, 32, 32, 32, 2)
    device.launch(matmul_kernel, grid, *args, ACTIVATION=activation, num_warps=8)
    expected = a.astype(np.float32) @ b.astype(np.float32)
    if activation:
        expected = np.where(expected >= 0, expected, np.float32(0.01) * expected)
    np.testing.assert_allclose(device.read(c), expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("dtype", [*FLOATS, "fp8e4nv", "fp8e5", "int8"])
def test_dot_of_every_dtype(device, dtype):
    @jit
    def kernel(a_ptr, b_ptr, c_ptr):
        tl.store(c_ptr, tl.dot(tl.load(a_ptr, shape=(32, 48)), tl.load(b_ptr, shape=(48, 16))))

    a, b = numbers((32, 48), dtype), numbers((48, 16), dtype)
    wide = {"fp64": np.float64, "int8": np.int32}.get(dtype, np.float32)
    c = device.tensor(np.zeros((32, 16), wide))
    device.run(kernel, device.tensor(a), device.tensor(b), c)
    np.testing.assert_array_equal(device.read(c), a.astype(wide) @ b.astype(wide))


@jit
def layer_norm_kernel(X, Y, W, B, Mean, Rstd, stride, N, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    Y += row * stride
    X += row * stride
    mean = 0
    _mean = tl.zeros([BLOCK], dtype=tl.float32)
    for off in range(0, N, BLOCK):
        cols = off + tl.arange(0, BLOCK)
        _mean += tl.load(X + cols, mask=cols < N, other=0.0).to(tl.float32)
    mean = tl.sum(_mean, axis=0) / N
    _var = tl.zeros([BLOCK], dtype=tl.float32)
    for off in range(0, N, BLOCK):
        cols = off + tl.arange(0, BLOCK)
        x = tl.load(X + cols, mask=cols < N, other=0.0).to(tl.float32)
        x = tl.where(cols < N, x - mean, 0.0)
        _var += x * x
    rstd = 1 / tl.sqrt(tl.sum(_var, axis=0) / N + eps)
    tl.store(Mean + row, mean)
    tl.store(Rstd + row, rstd)
    for off in range(0, N, BLOCK):
        cols = off + tl.arange(0, BLOCK)
        mask = cols < N
        w = tl.load(W + cols, mask=mask)
        b = tl.load(B + cols, mask=mask)
        x = tl.load(X + cols, mask=mask, other=0.0).to(tl.float32)
        tl.store(Y + cols, (x - mean) * rstd * w + b, mask=mask)


def test_layer_norm_forward(device):
    x, w, b = numbers((5, 150), "fp16"), numbers(150, "fp16"), numbers(150, "fp16")
    y, mean, rstd = (device.tensor(np.zeros(s, t)) for s, t in (((5, 150), "f2"), (5, "f4"), (5, "f4")))
    args = (device.tensor(x), y, device.tensor(w), device.tensor(b), mean, rstd, 150, 150, 1e-5)
    device.launch(layer_norm_kernel, (5,), *args, BLOCK=64)
    wide = x.astype(np.float32)
    expected = (wide - wide.mean(1, keepdims=True)) / np.sqrt(wide.var(1, keepdims=True) + 1e-5) * w + b
    np.testing.assert_allclose(device.read(mean), wide.mean(1), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(device.read(y), expected, rtol=2e-3, atol=2e-3)


@jit
def attention_kernel(Q, K, V, Out, scale, N, D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr):
    start_m = tl.program_id(0)
    offs_m = start_m * BLOCK_M + tl.arange(0, BLOCK_M)
    offs_n, offs_d = tl.arange(0, BLOCK_N), tl.arange(0, D)
    q = tl.load(Q + offs_m[:, None] * D + offs_d[None, :], mask=offs_m[:, None] < N, other=0.0)
    m_i = tl.zeros([BLOCK_M], dtype=tl.float32) - float("inf")
    l_i = tl.zeros([BLOCK_M], dtype=tl.float32)
    acc = tl.zeros([BLOCK_M, D], dtype=tl.float32)
    for start_n in range(0, (start_m + 1) * BLOCK_M, BLOCK_N):
        cols = start_n + offs_n
        k = tl.load(K + cols[:, None] * D + offs_d[None, :], mask=cols[:, None] < N, other=0.0)
        v = tl.load(V + cols[:, None] * D + offs_d[None, :], mask=cols[:, None] < N, other=0.0)
        qk = tl.where(offs_m[:, None] >= cols[None, :], tl.dot(q, tl.trans(k)) * scale, -float("inf"))
        m_ij = tl.maximum(m_i, tl.max(qk, 1))
        p = tl.exp2((qk - m_ij[:, None]) * 1.44269504)
        alpha = tl.exp2((m_i - m_ij) * 1.44269504)
        l_i = l_i * alpha + tl.sum(p, 1)
        acc = tl.dot(p.to(tl.float16), v, acc * alpha[:, None])
        m_i = m_ij
    tl.store(Out + offs_m[:, None] * D + offs_d[None, :], acc / l_i[:, None], mask=offs_m[:, None] < N)


def test_causal_attention_forward(device):
    n, d = 80, 16
    q, k, v = (numbers((n, d), "fp16") for _ in range(3))
    out = device.tensor(np.zeros((n, d), np.float16))
    args = (device.tensor(q), device.tensor(k), device.tensor(v), out, d**-0.5, n, d, 32, 16)
    device.launch(attention_kernel, (3,), *args)
    scores = q.astype(np.float64) @ k.T.astype(np.float64) * d**-0.5
    weights = np.where(np.tril(np.ones((n, n), bool)), np.exp(scores), 0)
    expected = weights / weights.sum(1, keepdims=True) @ v.astype(np.float64)
    np.testing.assert_allclose(device.read(out), expected, rtol=5e-3, atol=5e-3)


# -- what depends on loaded values ------------------------------------------------------------------------


def test_gather_by_loaded_indices(device):
    @jit
    def kernel(table_ptr, index_ptr, out_ptr, D, BLOCK: tl.constexpr, BLOCK_D: tl.constexpr):
        index = tl.load(index_ptr + tl.arange(0, BLOCK))
        cols = tl.arange(0, BLOCK_D)
        rows = tl.load(table_ptr + index[:, None] * D + cols[None, :], mask=cols[None, :] < D, other=-1.0)
        tl.store(out_ptr + tl.arange(0, BLOCK)[:, None] * BLOCK_D + cols[None, :], rows)

    table, index = numbers((50, 12), "fp32"), RNG.integers(0, 50, 8, dtype=np.int64)
    out = device.tensor(np.zeros((8, 16), np.float32))
    port = device.run(kernel, device.tensor(table), device.tensor(index), out, 12, BLOCK=8, BLOCK_D=16)
    expected = np.full((8, 16), -1, np.float32)
    expected[:, :12] = table[index]
    np.testing.assert_array_equal(device.read(out), expected)
    assert len(port.forced) == 1


def test_scatter_with_a_loaded_mask(device):
    @jit
    def kernel(out_ptr, flags_ptr):
        lanes = tl.arange(0, 16)
        flags = tl.load(flags_ptr + lanes)
        tl.store(out_ptr + (15 - lanes), lanes.to(tl.float32), mask=flags != 0)

    flags = RNG.integers(0, 2, 16, dtype=np.int8)
    out = device.tensor(np.full(16, -1, np.float32))
    device.run(kernel, out, device.tensor(flags))
    np.testing.assert_array_equal(device.read(out), np.where(flags, np.arange(16.0), -1)[::-1])


def test_branch_and_loop_bound_from_memory(device):
    @jit
    def kernel(out_ptr, n_ptr):
        pid = tl.program_id(0)
        n = tl.load(n_ptr + pid)
        total = 0
        if n > 2:
            for i in range(n):
                total += i
        else:
            total = n * 100
        steps = 0
        while n > 0:
            n = n // 2
            steps += 1
        tl.store(out_ptr + pid * 2, total)
        tl.store(out_ptr + pid * 2 + 1, steps)

    n = np.array([0, 1, 2, 3, 9, 64], np.int32)
    out = device.tensor(np.zeros((6, 2), np.int32))
    device.launch(kernel, (6,), out, device.tensor(n))
    expected = [(sum(range(k)) if k > 2 else k * 100, int(k).bit_length()) for k in n.tolist()]
    np.testing.assert_array_equal(device.read(out), expected)


def test_where_with_a_lazy_condition_forces_nothing(device):
    @jit
    def kernel(out_ptr, x_ptr):
        x = tl.load(x_ptr, shape=(16,))
        tl.store(out_ptr, tl.where(x > 0, x, 0.0))

    x = numbers(16, "fp32")
    out = device.tensor(np.zeros_like(x))
    port = device.run(kernel, out, device.tensor(x))
    np.testing.assert_array_equal(device.read(out), np.where(x > 0, x, 0))
    assert port.forced == []


@pytest.mark.parametrize("use", [bool, int, float, lambda x: x.item(), lambda x: [0, 1, 2][x]])
def test_what_forces(device, use):
    seen = []

    def kernel(x_ptr):
        x = tl.load(x_ptr)
        seen.append(use(x))
        seen.append(use(x))

    port = device.run(kernel, device.tensor(np.array([1], np.int32)))
    assert seen == [1, 1]
    assert len(port.forced) == 1


# -- blocks in memory -------------------------------------------------------------------------------------


def test_block_style_load_and_store(device):
    @jit
    def kernel(x_ptr, out_ptr):
        tile = tl.load(x_ptr + 2 * 10 + 3, shape=(4, 5), strides=(10, 1))
        tl.store(out_ptr, tile * 2)

    x = numbers((8, 10), "fp32")
    out = device.tensor(np.zeros((4, 5), np.float32))
    port = device.run(kernel, device.tensor(x), out)
    np.testing.assert_array_equal(device.read(out), x[2:6, 3:8] * 2)
    assert [c.name for c in port.commands] == ["load", "math", "store"]


def test_a_tuple_in_the_place_of_the_mask_is_a_shape(device):
    def kernel(x_ptr, out_ptr, tl):
        tl.store(out_ptr, tl.load(x_ptr, (4, 4), "f16") + tl.load(x_ptr, shape=(4, 4)))

    x = numbers((4, 4), "fp16")
    out = device.tensor(np.zeros_like(x))
    device.run(kernel, device.tensor(x), out)
    np.testing.assert_array_equal(device.read(out), x + x)


@pytest.mark.parametrize("dtype", ["fp16", "fp32"])
def test_composite_gemm_from_memory_to_memory(device, dtype):
    @jit
    def kernel(a_ptr, b_ptr, c_ptr, M, N, K):
        a, b = tl.ref(a_ptr, (M, K)), tl.ref(b_ptr, shape=(K, N))
        done = tl.composite("gemm", a, b, out=tl.ref(c_ptr, (M, N)))
        tl.wait(done)

    a, b = numbers((24, 40), dtype), numbers((40, 8), dtype)
    c = device.tensor(np.zeros((24, 8), a.dtype))
    port = device.run(kernel, device.tensor(a), device.tensor(b), c, 24, 8, 40)
    np.testing.assert_array_equal(
        device.read(c), (a.astype(np.float32) @ b.astype(np.float32)).astype(a.dtype)
    )
    gemm, wait = port.commands
    assert (gemm.m, gemm.n, gemm.k, gemm.tcm_bytes, wait.depends) == (24, 8, 40, 0, (gemm.result.version,))


def test_composite_math_with_a_number(device):
    @jit
    def kernel(x_ptr, out_ptr):
        tl.wait(tl.composite("maximum", tl.ref(x_ptr, (64,)), 0.5, out=tl.ref(out_ptr, (64,))))

    x = numbers(64, "bf16")
    out = device.tensor(np.zeros_like(x))
    device.run(kernel, device.tensor(x), out)
    np.testing.assert_array_equal(device.read(out), np.maximum(x, x.dtype.type(0.5)))


def test_stores_cast_to_what_the_pointer_points_to(device):
    @jit
    def kernel(out_ptr):
        tl.store(out_ptr, tl.full((4,), 1.0 / 3, tl.float32))

    out = device.tensor(np.zeros(4, ml_dtypes.bfloat16))
    device.run(kernel, out)
    np.testing.assert_array_equal(device.read(out), np.full(4, 1 / 3, np.float32).astype(ml_dtypes.bfloat16))


def test_shape_words(device):
    @jit
    def kernel(out_ptr, x_ptr):
        x = tl.load(x_ptr, shape=(4, 8))
        y = tl.reshape(x.T, (2, 16)).view(8, 4).trans(1, 0)
        z = tl.broadcast_to(tl.expand_dims(tl.sum(x, axis=1), 1), (4, 8))
        tl.store(out_ptr, y + z + x[None, :, :].reshape(4, 8))

    x = numbers((4, 8), "int32") >> 8
    out = device.tensor(np.zeros_like(x))
    device.run(kernel, out, device.tensor(x))
    expected = x.T.reshape(2, 16).reshape(8, 4).T + x.sum(1, dtype=np.int32)[:, None] + x
    np.testing.assert_array_equal(device.read(out), expected)


def test_pointer_table(device):
    @jit
    def kernel(table_ptr, out_ptr):
        for i in tl.static_range(2):
            x_ptr = tl.load(table_ptr + i).to(tl.pointer_type(tl.float32))
            tl.store(out_ptr + i, tl.load(x_ptr + 1))

    x, y = device.tensor(np.array([1, 2], np.float32)), device.tensor(np.array([3, 4], np.float32))
    table, out = device.tensor(np.array([x.va, y.va], np.int64)), device.tensor(np.zeros(2, np.float32))
    device.run(kernel, table, out)
    np.testing.assert_array_equal(device.read(out), [2, 4])


def test_dot_in_int8_of_many_terms_is_exact(device):
    @jit
    def kernel(a_ptr, b_ptr, c_ptr, K: tl.constexpr):
        acc = tl.full((16, 16), 7, tl.int32)
        c = tl.dot(tl.load(a_ptr, shape=(16, K)), tl.load(b_ptr, shape=(K, 16)), acc)
        tl.store(c_ptr, c)

    a, b = np.full((16, 2048), 127, np.int8), np.full((2048, 16), 127, np.int8)
    b[0] = 126
    c = device.tensor(np.zeros((16, 16), np.int32))
    port = device.run(kernel, device.tensor(a), device.tensor(b), c, K=2048)
    assert (device.read(c) == 127 * 127 * 2048 - 127 + 7).all()
    assert [type(x) for x in port.commands] == [DmaReadCmd, DmaReadCmd, MathCmd, GemmCmd, DmaWriteCmd]
