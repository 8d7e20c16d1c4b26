"""Every advice helps: applied to a kernel that gets it, each of its alternatives makes the kernel's time fall."""

import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import pytest

from kernbench import tl
from kernbench.analysis.causes import DEVICE_CAUSES, causes
from kernbench.analysis.measured import Measured
from kernbench.ccl import QueuePair, install_queues
from kernbench.device.placement import DPPolicy
from kernbench.kinds import kinds
from kernbench.messages.lines import ADD_OF_DOT, GATHER
from kernbench.simulation import Simulation

LOADS, STORES, GEMM, MATH = "pe_dma.rd", "pe_dma.wr", "pe_gemm", "pe_math"
SHORT_LOADS, SHORT_STORES = "short load", "short store"
ON_0, ON_3 = DPPolicy(only=0), DPPolicy(only=3)
ROWS = DPPolicy("replicate", "replicate", "row_wise")
ALL = DPPolicy("replicate", "replicate", "replicate")
NEXT = QueuePair("next", "prev", lambda rank, n_ranks: (rank + 1) % n_ranks)

# Machines on which one thing is slow, or does not count.
NO_WALKS = "pe.mmu.miss=preload"
FAR = ("cube.noc.router_ns=200", "cube.noc.buffer_per_vc=64KiB", NO_WALKS)
NARROW = ("cube.noc.link_bw=4", "pe.dma.bw=4", NO_WALKS)
SLOW_HBM = ("cube.hbm.pc_bw=4", NO_WALKS)
LATE_HBM = ("cube.hbm.flat_latency_ns=500", NO_WALKS)
# From PE 0 to the others, and from PE 3 and from PE 1 to PE 0: what comes back goes another way.
ONE_LINK = "overrides.sip0.cube0.r0_0->sip0.cube0.r1_0"
SLOW_OUT = ("overrides.sip0.cube0.r0_0->sip0.cube0.r1_0.latency_ns=2000", NO_WALKS)
SLOW_BACK = tuple(
    f"overrides.sip0.cube0.{router}->sip0.cube0.r0_0.latency_ns=2000" for router in ("r1_0", "r0_1")
)
FAST_MEMORY = ("pe.dma.bw=2000", "cube.noc.link_bw=2000", "cube.hbm.pc_bw=2000", NO_WALKS)


def measured(
    body, *tensors, grid=1, launches=1, place=None, on=(), mode="timing", rings=None, pes=(0, 1), **meta
):
    """What ``launches`` of ``body`` on ``tensors`` take on ``tiny`` with the overrides ``on``."""
    simulation = Simulation.of("tiny", overrides=on, mode=mode)
    torch = simulation.torch
    wiring = None
    if rings is not None:
        wiring = install_queues(torch, (NEXT,), directions=(), pes=pes, **rings)
        grid = len(pes)
    make = torch.empty if mode == "timing" else torch.zeros
    made = [make(*shape, dtype=dtype, policy=policy) for shape, dtype, policy in tensors]
    simulation.begin_window()
    for _ in range(launches):
        torch.launch(body, (grid,), made, meta, place=place, queues=wiring)
    torch.synchronize()
    return simulation.report()


def tensor(*shape, dtype="fp32", policy=ON_0):
    return shape, dtype, policy


# -- kernels ------------------------------------------------------------------------------------------------------


def nothing():
    pass


def loads(x_ptr, N: tl.constexpr, BLOCK: tl.constexpr):
    for i in range(0, N, BLOCK):
        tl.load(x_ptr + i + tl.arange(0, BLOCK))


def stores(x_ptr, N: tl.constexpr, BLOCK: tl.constexpr):
    for i in range(0, N, BLOCK):
        tl.store(x_ptr + i + tl.arange(0, BLOCK), 1.0)


def maths(x_ptr, N: tl.constexpr, BLOCK: tl.constexpr):
    x = tl.load(x_ptr + tl.arange(0, BLOCK))
    for _ in range(0, N, BLOCK):
        tl.exp(x)


def dots(x_ptr, N: tl.constexpr, BLOCK: tl.constexpr):
    rows, columns, k = tl.arange(0, 32)[:, None], tl.arange(0, 32)[None, :], tl.arange(0, BLOCK)
    a = tl.load(x_ptr + rows * BLOCK + k[None, :])
    b = tl.load(x_ptr + k[:, None] * 32 + columns)
    acc = tl.zeros((32, 32), tl.float32)
    for _ in range(0, N, BLOCK):
        acc = tl.dot(a, b, acc)


def one_by_one(x_ptr, N: tl.constexpr, BLOCK: tl.constexpr, EARLY: tl.constexpr = False):
    """Waits for each block before the next one is loaded, or loads all first."""
    blocks = [tl.load(x_ptr + i + tl.arange(0, BLOCK)) for i in range(0, N, BLOCK)] if EARLY else None
    for i in range(0, N, BLOCK):
        tl.wait(blocks[i // BLOCK] if EARLY else tl.load(x_ptr + i + tl.arange(0, BLOCK)))


def again(x_ptr, N: tl.constexpr, REUSE: tl.constexpr):
    x = tl.load(x_ptr + tl.arange(0, N))
    for _ in range(3):
        tl.wait(x if REUSE else tl.load(x_ptr + tl.arange(0, N)))


def rows_or_columns(x_ptr, N: tl.constexpr, COLUMNS: tl.constexpr):
    """A sixteenth of an N x N matrix."""
    lanes = tl.arange(0, N)
    for i in range(N // 16):
        tl.load(x_ptr + (lanes * N + i if COLUMNS else i * N + lanes))


def gathered(x_ptr, N: tl.constexpr, LISTED: tl.constexpr):
    """Every second element, by a list of addresses that is one in disguise, or by affine pointers."""
    lanes = tl.arange(0, N)
    tl.load(x_ptr + (lanes ^ 0 if LISTED else lanes) * 2)


def load_from_each(x_ptr, N: tl.constexpr, ROTATE: tl.constexpr = False):
    for i in range(4):
        row = (i + tl.program_id(0)) % 4 if ROTATE else i
        tl.load(x_ptr + row * N + tl.arange(0, N))


def decide(x_ptr, HOW: tl.constexpr):
    """Adds to some of eight blocks of 64."""
    flags = []
    for i in range(8):
        at = x_ptr + i * 64 + tl.arange(0, 64)
        x, flag = tl.load(at), tl.load(x_ptr + i)
        if HOW == "mask":
            x = tl.where(flag > 0, x + 1.0, x)
        elif HOW == "later":
            flags.append(flag)
        elif flag > 0:
            x = x + 1.0
        tl.store(at, x)
    for flag in flags:
        bool(flag)


def look(x_ptr, WAIT: tl.constexpr):
    for i in range(4):
        x = tl.load(x_ptr + i * 64 + tl.arange(0, 64))
        if WAIT:
            tl.wait(x)
        while not WAIT and not tl.test(x):
            pass


def matmul(
    a_ptr, b_ptr, c_ptr, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, HOW: tl.constexpr = ""
):
    for i in range(tl.program_id(0) * BM, M, tl.num_programs(0) * BM):
        for j in range(0, N, BN):
            rows, columns = i + tl.arange(0, BM)[:, None], j + tl.arange(0, BN)[None, :]
            acc = tl.zeros((BM, BN), tl.float32)
            for k in range(0, K, BK):
                ks = k + tl.arange(0, BK)
                a = tl.load(a_ptr + rows * K + ks[None, :])
                b = tl.load(b_ptr + ks[:, None] * N + columns)
                acc = acc + tl.dot(a, b) if HOW == "add" else tl.dot(a, b, acc)
            tl.store(c_ptr + rows * N + columns, acc)


def held(a_ptr, K: tl.constexpr, BLOCK: tl.constexpr, TIMES: tl.constexpr):
    """Products of blocks that are in TCM."""
    lanes, k = tl.arange(0, BLOCK), tl.arange(0, K)
    a, b = (
        tl.load(a_ptr + lanes[:, None] * K + k[None, :]),
        tl.load(a_ptr + k[:, None] * BLOCK + lanes[None, :]),
    )
    for _ in range(TIMES):
        tl.dot(a, b)


def multiply_add(x_ptr, N: tl.constexpr, FUSED: tl.constexpr = False):
    at = x_ptr + tl.program_id(0) * N + tl.arange(0, N)
    x = y = tl.load(at)
    for _ in range(4):
        y = tl.fma(x, y, x) if FUSED else x * y + x
    tl.store(at, y)


def divide(x_ptr, N: tl.constexpr, BY_MUL: tl.constexpr = False):
    at = x_ptr + tl.program_id(0) * N + tl.arange(0, N)
    x = tl.load(at)
    for _ in range(4):
        x = x * (1 / 3.0) if BY_MUL else x / 3.0
    tl.store(at, x)


def softmax(x_ptr, FUSED: tl.constexpr):
    at = x_ptr + tl.arange(0, 16)[:, None] * 128 + tl.arange(0, 128)[None, :]
    x = tl.load(at)
    e = tl.exp(x - tl.max(x, axis=1)[:, None]) if not FUSED else x
    tl.store(at, tl.softmax(x, axis=1) if FUSED else e / tl.sum(e, axis=1)[:, None])


def stream(N: tl.constexpr, MESSAGES: tl.constexpr, DTYPE: tl.constexpr = tl.float32):
    if tl.rank() == 0:
        x = tl.zeros((N,), DTYPE)
        for _ in range(MESSAGES):
            tl.send("next", x)
    if tl.rank() == 1:
        for _ in range(MESSAGES):
            tl.recv("prev", (N,), DTYPE)


def work_on_received(FREE_EARLY: tl.constexpr):
    if tl.rank() == 0:
        x = tl.zeros((128,), tl.float32)
        for _ in range(8):
            tl.send("next", x)
    if tl.rank() == 1:
        for _ in range(8):
            x = tl.recv("prev", (128,), tl.float32)
            y = x + 1.0
            if FREE_EARLY:
                del x
            for _ in range(4):
                y = tl.exp(y)
            tl.wait(y)
            if not FREE_EARLY:
                del x


def there_and_back(x_ptr, N: tl.constexpr, TURNS: tl.constexpr, EARLY: tl.constexpr = False):
    """Each rank works, sends what it had before, and needs what the other one sends."""
    x = tl.load(x_ptr + tl.arange(0, N))
    for _ in range(TURNS):
        if EARLY:
            tl.send_async("next", x)
        y = tl.exp(x)
        tl.wait(y)
        if not EARLY:
            tl.send_async("next", x)
        x = tl.recv("prev", (N,), tl.float32)


# -- what each alternative changes ---------------------------------------------------------------------------------


class Case(NamedTuple):
    """A kernel that gets an advice about ``cause``, which ``paid_by`` pays, before and after ``what`` is done."""

    cause: str
    paid_by: str
    what: str
    before: Callable[[], Measured]
    after: Callable[[], Measured]


def case(cause, paid_by, what, body, *tensors, after, **options):
    """``after`` are the options that change, "tensors" among them."""
    changed = {**options, **after}
    return Case(
        cause,
        paid_by,
        what,
        partial(measured, body, *tensors, **options),
        partial(measured, body, *changed.pop("tensors", tensors), **changed),
    )


def product(on=(), dtype="fp16", policies=(ON_0, ON_0, ON_0), out="fp32", n=64, k=128, bm=64, bn=64, bk=32):
    """Arguments of a ``matmul`` n x n x k."""
    shapes = ((n, k, dtype), (k, n, dtype), (n, n, out))
    tensors = [tensor(r, c, dtype=d, policy=p) for (r, c, d), p in zip(shapes, policies)]
    return {
        "tensors": tensors,
        "on": (*FAST_MEMORY, *on),
        "M": n,
        "N": n,
        "K": k,
        "BM": bm,
        "BN": bn,
        "BK": bk,
    }


def of_products(cause, paid_by, what, before, after, **options):
    """A case of two ``matmul``."""
    before, after = before | options, options | after
    return Case(
        cause,
        paid_by,
        what,
        partial(measured, matmul, *before.pop("tensors"), **before),
        partial(measured, matmul, *after.pop("tensors"), **after),
    )


FEWER_COMMANDS = "use larger blocks and so fewer commands"
SPREAD, ORDERS = "spread the data over more channels", "let programs touch it in different orders"
NEARER, NARROWER, MORE_PES = "place data nearer", "use a narrower dtype that needs no cast", "more PEs"
FUSE, FEWER = "fuse operations", "use fewer or cheaper operations"
IN_ARRAY = "accumulate with acc = tl.dot"
SMALL_FILE = "pe.regfile.accumulators=8KiB"
FOUR = {"grid": 4, "place": [0, 1, 2, 3]}
X2K, X4K = tensor(2048), tensor(4096)


def rings(slots, slot_bytes=512, buffer_kind="tcm", backpressure="sleep"):
    return {
        "slots": slots,
        "slot_bytes": slot_bytes,
        "buffer_kind": buffer_kind,
        "backpressure": backpressure,
    }


def of_math(cause, *, few=FUSE, on=FAST_MEMORY):
    """What helps PE_MATH, and what moves its operands and results."""
    wide, narrow = tensor(2048), tensor(2048, dtype="fp16")
    spread = tensor(2048, policy=ROWS)
    paid_by = "" if cause == "math" else MATH
    on_one = {"grid": 4, "place": [0] * 4, "N": 512}
    yield case(cause, paid_by, few, multiply_add, wide, on=on, N=2048, after={"FUSED": True})
    narrower = "a narrower dtype that needs no cast" if cause == "math" else NARROWER
    yield case(cause, paid_by, narrower, multiply_add, wide, on=on, N=2048, after={"tensors": [narrow]})
    yield case(
        cause, paid_by, MORE_PES, multiply_add, wide, on=on, **on_one, after=FOUR | {"tensors": [spread]}
    )


CASES = [
    case("launch skew", "", "put more work into one launch", nothing, grid=4, launches=4, on=FAR,
         after={"grid": 16, "launches": 1}),
    case("kernel start", "", "put more work into one launch", nothing, grid=4, launches=4,
         after={"grid": 16, "launches": 1}),
    *(case(cause, "", FEWER_COMMANDS, body, tensor(8192, dtype=dtype), on=(slow,), N=N, BLOCK=BLOCK, after={"BLOCK": N})
      for cause, slow in (("command issue", "pe.cpu.issue_ns=500"), ("dispatch", "pe.scheduler.dispatch_ns=500"))
      for body, dtype, N, BLOCK in ((loads, "fp32", 1024, 128), (stores, "fp32", 1024, 128), (maths, "fp32", 1024, 128),
                                    (dots, "fp16", 256, 32))),
    *(case("readback", "", what, decide, tensor(512), mode="timed", on=("pe.cpu.readback_ns=500", NO_WALKS), HOW="now",
           after={"HOW": how})
      for what, how in (("keep the decision in a mask", "mask"), ("need the value later", "later"))),
    case("readback", "test", "wait once with tl.wait", look, tensor(256), on=(NO_WALKS,), WAIT=False,
         after={"WAIT": True}),
    *(case("dma setup and window", unit, what, body, tensor(512), on=("pe.dma.setup_ns=300", NO_WALKS), N=512, BLOCK=64,
           after={"BLOCK": 512})
      for unit, what, body in ((LOADS, "load larger blocks", loads), (STORES, "store larger blocks", stores))),
    case("page walk", "", "touch fewer pages", rows_or_columns, tensor(128, 128), N=128, COLUMNS=True,
         after={"COLUMNS": False}),
    case("page walk", "", "fit pe.mmu.page to the shards", loads, tensor(8192), on=("pe.mmu.walk_reads=8",), N=8192,
         BLOCK=1024, after={"on": ("pe.mmu.walk_reads=8", "pe.mmu.page=32KiB")}),
    case("request on the fabric", GATHER, "let the pointers be affine in their indices", gathered, X2K, on=NARROW,
         N=1024, LISTED=True, after={"LISTED": False}),
    *(case("request on the fabric", LOADS, what, one_by_one, tensor(1024, policy=ON_3), on=SLOW_OUT, place=[0], N=1024,
           BLOCK=128, after=after)
      for what, after in ((NEARER, {"place": [3]}), ("load larger blocks", {"BLOCK": 1024}),
                          ("load earlier", {"EARLY": True}))),
    *(case("request on the fabric", STORES, what, stores, tensor(1024, policy=ON_3), on=FAR, place=[0], N=1024,
           BLOCK=32, after=after)
      for what, after in ((NEARER, {"place": [3]}), ("store larger blocks", {"BLOCK": 1024}))),
    case("hbm queue", "", SPREAD, load_from_each, tensor(4, 1024, policy=ON_0), on=SLOW_HBM, **FOUR, N=1024,
         after={"tensors": [tensor(4, 1024, policy=ROWS)]}),
    case("hbm queue", "", ORDERS, load_from_each, tensor(4, 1024, policy=ROWS), on=SLOW_HBM, **FOUR, N=1024,
         after={"ROTATE": True}),
    case("hbm", SHORT_LOADS, "load larger runs", one_by_one, tensor(1024), on=LATE_HBM, N=1024, BLOCK=128,
         after={"BLOCK": 1024}),
    *(case("hbm", unit, "load earlier", one_by_one, X2K, on=LATE_HBM, N=2048, BLOCK=BLOCK, after={"EARLY": True})
      for unit, BLOCK in ((SHORT_LOADS, 128), (LOADS, 512))),
    *(case("hbm", unit, "reuse what was loaded", again, tensor(1024), on=LATE_HBM, N=N, REUSE=False,
           after={"REUSE": True})
      for unit, N in ((SHORT_LOADS, 128), (LOADS, 1024))),
    *(case("hbm", unit, NARROWER, body, X4K, on=SLOW_HBM, N=4096, BLOCK=BLOCK,
           after={"tensors": [tensor(4096, dtype="fp16")]})
      for unit, body, BLOCK in ((LOADS, loads, 4096), (STORES, stores, 4096), (SHORT_LOADS, loads, 128),
                                (SHORT_STORES, stores, 128))),
    case("hbm", SHORT_STORES, "store larger runs", stores, tensor(1024), on=LATE_HBM, N=1024, BLOCK=16,
         after={"BLOCK": 1024}),
    *(case("data on the fabric", unit, NEARER, body, tensor(1024, policy=ON_3), on=FAR, place=[0], N=N, BLOCK=N,
           after={"place": [3]})
      for unit, body, N in ((LOADS, loads, 1024), (STORES, stores, 1024), (SHORT_LOADS, loads, 128),
                            (SHORT_STORES, stores, 128))),
    case("data on the fabric", SHORT_LOADS, "load larger runs", one_by_one, tensor(1024), on=FAR, N=1024, BLOCK=128,
         after={"BLOCK": 1024}),
    case("data on the fabric", SHORT_STORES, "store larger runs", stores, tensor(1024, policy=ON_3), on=SLOW_OUT,
         place=[0], N=1024, BLOCK=16, after={"BLOCK": 1024}),
    *(case("data on the fabric", unit, NARROWER, body, X4K, on=NARROW, N=4096, BLOCK=4096,
           after={"tensors": [tensor(4096, dtype="fp16")]})
      for unit, body in ((LOADS, loads), (STORES, stores))),
    case("data on the fabric", SHORT_LOADS, NARROWER, loads, X4K, on=NARROW[::2], N=128, BLOCK=128,
         after={"tensors": [tensor(4096, dtype="fp16")]}),
    case("data on the fabric", SHORT_STORES, NARROWER, stores, tensor(128, policy=ON_3),
         on=(f"{ONE_LINK}.bw=2", NO_WALKS), place=[0], N=128, BLOCK=128,
         after={"tensors": [tensor(128, dtype="fp16", policy=ON_3)]}),
    *(of_products(cause, ADD_OF_DOT, IN_ARRAY, product(on) | {"HOW": "add"}, product(on))
      for cause, on in (("fetch", ()), ("math", ("pe.math.rate.add=0.1",)), ("store", ("pe.tcm.write_bw=32",)))),
    of_products("fetch", GEMM, "use larger m and n that fit pe.regfile.accumulators",
                product(bm=32, bn=32), product()),
    of_products("fetch", GEMM, "use larger m and n that fit pe.regfile.accumulators",
                product([SMALL_FILE, "pe.fetch_store.bw=16"]),
                product([SMALL_FILE, "pe.fetch_store.bw=16"], bm=32, bn=32)),
    of_products("fetch", GEMM, "a narrower dtype", product(["pe.fetch_store.bw=16"], dtype="fp32", bm=32, bn=32),
                product(["pe.fetch_store.bw=16"], bm=32, bn=32)),
    of_products("gemm", "", "fill the array", product(bm=16, bn=16), product(bm=32, bn=32)),
    of_products("gemm", "", "use a narrower dtype", product(dtype="fp32"), product()),
    of_products("gemm", "", MORE_PES, product(bm=16), product(bm=16, policies=(ROWS, ALL, ROWS)) | FOUR),
    *of_math("fetch"),
    *of_math("math", few=FEWER, on=(*FAST_MEMORY, *(f"pe.math.rate.{name}=0.1" for name in ("add", "mul", "fma")))),
    *of_math("store", on=(*FAST_MEMORY, "pe.tcm.write_bw=32")),
    case("math", "", FEWER, softmax, X2K, on=FAST_MEMORY, FUSED=False, after={"FUSED": True}),
    case("math", "", FEWER, divide, X2K, on=FAST_MEMORY, N=2048, after={"BY_MUL": True}),
    of_products("store", "dot", "use m and n that fit pe.regfile.accumulators",
                product([SMALL_FILE, "pe.tcm.write_bw=8"]), product([SMALL_FILE, "pe.tcm.write_bw=8"], bm=32, bn=32)),
    of_products("store", GEMM, "store a narrower dtype", product(["pe.tcm.write_bw=8"], k=32),
                product(["pe.tcm.write_bw=8"], k=32, out="fp16")),
    of_products("store", GEMM, "use smaller blocks so that one is stored while the next is computed",
                product(["pe.regfile.read_bw=16"], k=64, bk=64),
                product(["pe.regfile.read_bw=16"], k=64, bk=64, bm=32)),
    case("credit return", "", "use more slots", stream, rings=rings(1), on=SLOW_BACK, N=128, MESSAGES=8,
         after={"rings": rings(4)}),
    case("credit return", "", "free received blocks earlier", work_on_received, rings=rings(1), on=SLOW_BACK,
         FREE_EARLY=False, after={"FREE_EARLY": True}),
    case("credit return", "", "let senders sleep instead of poll", stream, rings=rings(1, backpressure="poll"),
         on=("pe.ipcq.poll_ns=1000",), N=128, MESSAGES=8, after={"rings": rings(1)}),
    case("credit return", "", "place PEs that talk nearer", stream, rings=rings(1), on=SLOW_BACK[1:], pes=(0, 3), N=128,
         MESSAGES=8, after={"pes": (0, 1)}),
    case("send", "", "use larger slots", stream, rings=rings(64, slot_bytes=64), N=1024, MESSAGES=2,
         after={"rings": rings(4, slot_bytes=1024)}),
    case("send", "", "send fewer bytes", stream, rings=rings(2, slot_bytes=4096), N=2048, MESSAGES=4,
         after={"DTYPE": tl.float16}),
    case("message on the fabric", "", "place PEs that talk nearer", there_and_back, tensor(16, policy=ALL),
         rings=rings(2), on=FAR, pes=(0, 3), N=16, TURNS=4, after={"pes": (0, 1)}),
    case("message on the fabric", "", "send earlier", there_and_back, tensor(128, policy=ALL), rings=rings(2),
         on=FAR, N=128, TURNS=4, after={"EARLY": True}),
    case("message on the fabric", "", "send fewer and larger messages", there_and_back, tensor(64, policy=ALL),
         rings=rings(2), on=FAR, N=16, TURNS=4, after={"N": 64, "TURNS": 1}),
    case("slot to tcm", "", "let the ring lie in TCM", stream, rings=rings(4, buffer_kind="hbm"),
         on=("cube.hbm.pc_bw=1",), N=512, MESSAGES=4, after={"rings": rings(4)}),
    case("slot to tcm", "", "let it hold a whole message", stream, rings=rings(2), on=("pe.tcm.write_bw=2",), N=512,
         MESSAGES=4, after={"rings": rings(4)}),
]  # fmt: skip


def alternatives(text):
    """What an advice offers, without what stands in parentheses."""
    return re.split(r", (?:or )?", re.sub(r" ?\([^)]*\)", "", text))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.cause}-{case.paid_by}-{case.what}")
def test_an_advice_that_is_taken_makes_the_kernel_faster(case):
    known = causes()[case.cause]
    advice = known.cures[case.paid_by] if case.paid_by else known.cure
    before, after = case.before(), case.after()
    assert before.limit.startswith(f"The kernel is limited by {case.cause}, ")
    assert before.limit.endswith(f": {advice}.")
    assert case.what in alternatives(advice)
    assert after.kernel_time_ps < before.kernel_time_ps
    assert all(causes()[name].says_what_to_do for name in (*before.breakdown, *after.breakdown))


def test_every_alternative_of_every_advice_has_a_case():
    """Of the built-in units; a unit of one's own says what to do where it is described."""
    added = {
        cause.name for kind in kinds() for op in kind.ops if isinstance(op.what, str) for cause in op.causes
    }
    offered = {
        (name, paid_by, what)
        for name, cause in causes().items()
        for paid_by, text in {"": cause.cure, **cause.cures}.items()
        for what in alternatives(text)
        if text and name != "not traced" and name not in added
    }
    assert {(case.cause, case.paid_by, case.what) for case in CASES} == offered


def copies(x_ptr, y_ptr, N: tl.constexpr, BLOCK: tl.constexpr):
    for i in range(0, N, BLOCK):
        at = i + tl.arange(0, BLOCK)
        tl.store(y_ptr + at, tl.load(x_ptr + at))


def adds(x_ptr, N: tl.constexpr, CAST: tl.constexpr = False):
    total = tl.zeros((N,), tl.float32)
    for i in range(8):
        x = tl.load(x_ptr + i * N + tl.arange(0, N))
        total += x.to(tl.float32) if CAST else x
    tl.wait(total)


@pytest.mark.parametrize(
    ("body", "tensors", "what"),
    [(stores, (X4K,), "store larger runs"), (copies, (X4K, X4K), "store larger runs")],
)
def test_runs_as_long_as_the_set_up_of_pe_dma_are_not_to_be_longer(body, tensors, what):
    """16 ns at 64 GB/s are 1 KiB: up to there longer runs pay, and beyond they only overlap less."""
    on = (NO_WALKS,)
    short, shorter, long, longer = (
        measured(body, *tensors, on=on, N=4096, BLOCK=block) for block in (128, 64, 256, 4096)
    )
    assert short.kernel_time_ps < shorter.kernel_time_ps
    assert longer.kernel_time_ps >= long.kernel_time_ps
    assert [what in alternatives(run.limit.rstrip(".").partition(": ")[2]) for run in (shorter, long)] == [
        True,
        False,
    ]


def test_a_narrower_dtype_that_needs_a_cast_is_not_what_is_advised():
    before = measured(adds, tensor(8 * 256), on=FAST_MEMORY, N=256)
    after = measured(adds, tensor(8 * 256, dtype="fp16"), on=FAST_MEMORY, N=256, CAST=True)
    assert "that needs no cast" in before.limit
    assert after.kernel_time_ps > before.kernel_time_ps


# -- the device ---------------------------------------------------------------------------------------------------


def of_device(host, on=(), **how):
    """What a host program takes on ``tiny``."""
    simulation = Simulation.of("tiny", overrides=on, mode="timing")
    simulation.begin_window()
    kept = host(simulation.torch, **how)
    simulation.torch.synchronize()
    del kept
    return simulation.report()


def make(torch, tensors, n=2048):
    return [torch.empty(n // tensors) for _ in range(tensors)]


def use(torch, tensors=1, keep=False):
    """Eight turns with tensors of a turn's own, or with those of the first."""
    made = make(torch, tensors)
    for _ in range(8):
        if not keep:
            for x in made:
                x.free()
            made = make(torch, tensors)
    return made


def install(torch, times=1, pes=None, directions="NSEW"):
    for _ in range(times):
        wiring = install_queues(torch, (), pes=pes, directions=directions, slots=1, slot_bytes=256)
        if times > 1:
            torch.ahbm.remove_queues(wiring)


def copy(torch, times=1, n=4096, back=False):
    host, device = torch.empty(n, device="host"), torch.empty(n)
    for _ in range(times):
        if back:
            device.fetch()
        else:
            device.copy_(host)
    return device


def launch(torch, times):
    for _ in range(times):
        torch.launch(nothing, (8 // times,))
        torch.synchronize()


DEVICE_CASES = [
    ("map", "make fewer tensors", partial(of_device, make), {"tensors": 8}, {"tensors": 1}),
    (
        "map",
        "use larger pages",
        partial(of_device, make, tensors=1, n=65536),
        {},
        {"on": ("pe.mmu.page=64KiB",)},
    ),
    ("unmap", "make fewer tensors", partial(of_device, use), {"tensors": 8}, {"tensors": 1}),
    ("unmap", "keep them", partial(of_device, use), {"keep": False}, {"keep": True}),
    ("queues", "install them once", partial(of_device, install), {"times": 4}, {"times": 1}),
    ("queues", "install them on fewer PEs", partial(of_device, install), {}, {"pes": (0, 1)}),
    ("queues", "install fewer directions", partial(of_device, install), {}, {"directions": "EW"}),
    ("host to device", "keep tensors on the device", partial(of_device, copy), {"times": 4}, {"times": 1}),
    ("host to device", "copy less", partial(of_device, copy), {"n": 4096}, {"n": 1024}),
    ("launch", "launch less often", partial(of_device, launch), {"times": 4}, {"times": 1}),
    ("completion", "launch less often", partial(of_device, launch), {"times": 4}, {"times": 1}),
    ("device to host", "read back less", partial(of_device, copy, back=True), {"n": 65536}, {"n": 32768}),
]


@pytest.mark.parametrize(("cause", "what", "run", "before", "after"), DEVICE_CASES)
def test_an_advice_about_the_device_makes_its_time_fall(cause, what, run, before, after):
    assert what in alternatives(DEVICE_CAUSES[cause].cure)
    slow, fast = run(**before), run(**after)
    assert fast.device_time_ps < slow.device_time_ps
    assert fast.device_breakdown.get(cause, 0) < slow.device_breakdown[cause]


def test_every_alternative_about_the_device_has_a_case():
    offered = {
        (name, what) for name, cause in DEVICE_CAUSES.items() for what in alternatives(cause.cure) if what
    }
    assert {(cause, what) for cause, what, *_ in DEVICE_CASES} == offered
