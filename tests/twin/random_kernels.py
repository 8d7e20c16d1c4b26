"""Programs at random, on machines at random: loads and stores of all shapes, products, chains of arithmetic, sums of
all, of rows and of columns, products and sums that stream from memory to memory, values forced in Python, messages
round a ring, polls; several programs on a PE, launches on streams that overlap.
"""

from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple

import numpy as np

from kernbench.ccl import install_queues
from kernbench.device.placement import WAYS, DPPolicy
from kernbench.errors import KernBenchError
from kernbench.lang import tl
from kernbench.lang.jit import jit
from kernbench.simulation import Simulation
from tests.laws.race_kit import RING, barrier
from tests.twin.benches import seen
from tests.twin.random_machines import random_machine

SIDE = 64  # of the matrices
DTYPES = ("fp32", "fp16", "bf16", "fp8", "int8")
CHAINS = ("exp", "norm", "where", "fma", "half", "reduce", "softmax")


class Step(NamedTuple):
    """One thing that a program does, with the numbers that it takes."""

    act: str
    numbers: tuple[int, ...] = ()


def random_steps(rng: Random, acts: Sequence[str], n_steps: int) -> list[Step]:
    """Steps of a program; numbers are reduced to what their act can take."""
    return [Step(rng.choice(acts), tuple(rng.randrange(1 << 16) for _ in range(5))) for _ in range(n_steps)]


def flat(pointer: Any, numbers: Sequence[int]) -> tuple[Any, Any]:
    """Some elements of a matrix as it lies in memory: contiguous, every so many, ragged, or in any order."""
    shape, start, count, pace, _ = numbers
    width = (16, 64, 256, 1024)[count % 4]
    at = tl.arange(0, width)
    start %= SIDE * SIDE - width
    if shape % 4 == 0:
        return pointer + start + at, None
    if shape % 4 == 1:
        pace = 2 + pace % 15
        return pointer + at * pace % (SIDE * SIDE), None
    if shape % 4 == 2:
        return pointer + start + at, at % (2 + pace % 7) != 0
    return pointer + (at * 37 + start) % (SIDE * SIDE), at < 1 + pace % width


def tile(pointer: Any, numbers: Sequence[int], rows: int, columns: int) -> Any:
    """A tile of a matrix, which may be transposed."""
    top, left, _, turned, _ = numbers
    i = top % (SIDE - rows + 1) + tl.arange(0, rows)[:, None]
    j = left % (SIDE - columns + 1) + tl.arange(0, columns)[None, :]
    return pointer + (j * SIDE + i if turned % 3 == 0 else i * SIDE + j)


def computed(x: Any, how: str) -> Any:
    """A chain of arithmetic."""
    if how == "exp":
        return tl.exp(x.to(tl.float32) * 0.001)
    if how == "norm":
        y = x.to(tl.float32)
        return y * tl.rsqrt(tl.maximum(y * y, 1.0))
    if how == "where":
        return tl.where(x > 0.5, x + 1.0, x * 2.0)
    if how == "fma":
        y = x.to(tl.float32)
        return tl.fma(y, y, y)
    if how == "half":
        return x.to(tl.float16) + x.to(tl.float16)
    if how == "softmax":
        return tl.softmax(x.to(tl.float32))
    return x.to(tl.float32) - tl.max(x.to(tl.float32), axis=0)


def streamed(x_ptr: Any, z_ptr: Any, numbers: Sequence[int]) -> None:
    """A product, or a sum, of what lies in memory, which may be waited for."""
    m, n, k = ((16, 32, SIDE)[number % 3] for number in numbers[:3])
    if numbers[3] % 2:
        done = tl.composite("gemm", tl.ref(x_ptr, (m, k)), tl.ref(x_ptr, (k, n)), out=tl.ref(z_ptr, (m, n)))
    elif numbers[3] % 4:
        done = tl.composite("sum", tl.ref(x_ptr, (m, n)), out=tl.ref(z_ptr, (m,)), axis=1)
    else:
        done = tl.composite("add", tl.ref(x_ptr, (m, n)), 1.0, out=tl.ref(z_ptr, (m, n)))
    if numbers[4] % 2:
        tl.wait(done)


def kernel_of(scripts: Sequence[Sequence[Step]]) -> Any:
    """A kernel whose program p does what ``scripts[p]`` says."""

    @jit
    def kernel(x_ptr, y_ptr, z_ptr):
        value = None
        for act, numbers in scripts[int(tl.program_id(0))]:
            source = (x_ptr, y_ptr)[numbers[4] % 2]
            if act == "load":
                where, mask = flat(source, numbers)
                value = tl.load(where, mask=mask) if mask is None else tl.load(where, mask=mask, other=0.0)
            elif act == "poll":
                tl.load(source + numbers[0] % SIDE, volatile=True)
            elif act == "store":
                where, mask = flat(z_ptr, numbers)
                tl.store(where, tl.full(where.shape, numbers[0] % 7, tl.int8), mask=mask)
            elif act == "keep" and value is not None:
                tl.store(z_ptr + numbers[0] % SIDE + tl.arange(0, value.numel), tl.ravel(value))
            elif act == "compute" and value is not None:
                value = computed(value, CHAINS[numbers[0] % len(CHAINS)])
            elif act == "sum" and value is not None:
                tl.store(z_ptr + numbers[0] % SIDE, tl.sum(tl.ravel(value).to(tl.float32), axis=0))
            elif act == "dot":
                m, n, k = ((16, 32, 64)[number % 3] for number in numbers[:3])
                product = tl.zeros((m, n), tl.int32 if x_ptr.dtype.element_ty == tl.int8 else tl.float32)
                for part in range(1 + numbers[3] % 3):
                    a = tl.load(tile(x_ptr, numbers, m, k))
                    b = tl.load(tile(x_ptr, (part, *numbers[1:]), k, n))
                    product = tl.dot(a, b, product)
                tl.store(tile(z_ptr, (*numbers[:3], 1, 0), m, n), product.to(tl.float32))
            elif act == "stream":
                streamed(x_ptr, z_ptr, numbers)
            elif act == "reduce":
                rows = tl.load(tile(x_ptr, numbers, SIDE, SIDE)).to(tl.float32)
                tl.store(z_ptr + numbers[2] % SIDE + tl.arange(0, SIDE), tl.sum(rows, axis=numbers[3] % 2))
            elif act == "force":
                if value is not None and tl.sum(tl.ravel(value).to(tl.float32), axis=0) > 100.0:
                    value = value.to(tl.float32) * 0.125
            elif act == "barrier":
                barrier(("recv", "wait")[numbers[0] % 2])
            elif act == "ring":
                block = tl.full((1 + numbers[0] % 300,), 1, tl.int8)
                sent = tl.send_async("next", block)
                came = tl.recv_async("prev", (1 + numbers[0] % 300,), tl.int8)
                for _ in range(numbers[1] % 4):
                    tl.test(came)
                tl.store(z_ptr, tl.max(tl.wait(came)))
                tl.wait(sent)

    return kernel


class Launch(NamedTuple):
    """A kernel's scripts, the tensors it gets, where it runs and on which stream."""

    scripts: list[list[Step]]
    tensors: tuple[int, int, int]
    place: list[int]
    stream: str | None
    uses_queues: bool


def random_launch(rng: Random, n_pes: int, may_force: bool) -> Launch:
    """One to six programs anywhere; where they talk to each other, one on each PE."""
    uses_queues = n_pes > 1 and rng.random() < 0.3
    acts = ["load", "load", "store", "keep", "compute", "compute", "sum", "dot", "poll", "stream", "reduce"]
    if may_force:
        acts.append("force")
    n_programs = rng.randint(2, min(4, n_pes)) if uses_queues else rng.randint(1, 6)
    place = (
        rng.sample(range(n_pes), n_programs)
        if uses_queues
        else [rng.randrange(n_pes) for _ in range(n_programs)]
    )
    scripts = [random_steps(rng, acts, rng.randint(1, 6)) for _ in place]
    if uses_queues:
        for meeting in random_steps(rng, ("barrier", "ring"), rng.randint(1, 3)):
            at = rng.random()
            for script in scripts:
                last = max(
                    (i for i, step in enumerate(script) if step.act in ("barrier", "ring")), default=-1
                )
                script.insert(max(last + 1, int(at * len(script))), meeting)
    first = 3 * rng.randrange(2)
    tensors = (first, first + 1, first + 2)
    return Launch(scripts, tensors, place, rng.choice((None, "a", "b")), uses_queues)


def random_policy(rng: Random, n_pes: int) -> DPPolicy:
    """Where a tensor lies: spread in any way, or on one PE."""
    if rng.random() < 0.3:
        return DPPolicy(only=rng.randrange(n_pes))
    ways = [rng.choice(WAYS) for _ in range(3)]
    return DPPolicy(*ways, space=rng.choice(("hbm", "hbm", "sram")))


def kernels(
    seed: int, tie_seeds: Sequence[int | None] = (None,), also: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """All that is seen of a few launches of random kernels on a random machine, under each order of ties."""
    rng = Random(seed)
    config = random_machine(rng, also)
    may_force = rng.random() < 0.25
    state = rng.getstate()
    answers = []
    for tie_seed in tie_seeds:
        rng.setstate(state)
        simulation = Simulation(
            config,
            mode="timed" if may_force or seed % 2 else "timing",
            tie_seed=tie_seed,
            races="off",
            uninitialised="ignore",
            max_time="2ms",
        )
        try:
            values = launch_all(simulation, rng, may_force)
            answers.append({"error": "", "values": values, **seen(simulation)})
        except KernBenchError as error:
            answers.append({"error": f"{type(error).__name__}: {error}", **seen(simulation)})
    return answers


def launch_all(simulation: Simulation, rng: Random, may_force: bool) -> list[bytes]:
    """Two sets of three tensors, and launches on them; what they hold, where values exist."""
    torch, n_pes = simulation.torch, simulation.graph.n_pes
    numbers = np.random.default_rng(rng.randrange(1 << 20))
    dtype = rng.choice(DTYPES)
    tensors = []
    for name in "xyzuvw":
        policy = random_policy(rng, n_pes)
        if name in "zw":
            policy = DPPolicy("row_wise", "row_wise", "row_wise") if policy.only is None else policy
            tensors.append(torch.empty(SIDE, SIDE, dtype="fp32", policy=policy, name=name))
        else:
            host = torch.from_numpy(numbers.integers(0, 3, (SIDE, SIDE)).astype(np.float32), name=name)
            tensors.append(host.to(dtype=dtype).to("ahbm", policy=policy))
    for _ in range(rng.randint(1, 3)):
        launch = random_launch(rng, n_pes, may_force)
        wiring = (
            install_queues(torch, [RING], pes=launch.place, directions=()) if launch.uses_queues else None
        )
        torch.launch(
            kernel_of(launch.scripts),
            (len(launch.place),),
            [tensors[i] for i in launch.tensors],
            place=None if wiring else launch.place,
            queues=wiring,
            stream=launch.stream,
        )
    torch.synchronize()
    return [tensor.numpy().tobytes() for tensor in tensors] if simulation.mode != "timing" else []
