"""Whoever calls KernBench from Python with what has no meaning gets a UsageError of one short line, and no error of
Python's own."""

import numpy as np
import pytest

import kernbench as kb
from kernbench.errors import KernBenchError
from kernbench.testing import run, run_collective, run_ranks


class Mute:
    """Nothing that can be shown."""

    def __repr__(self):
        raise ValueError("no words")


def by_error(value):
    return value if isinstance(value, str) else ""


ITSELF = {}
ITSELF["pe"] = ITSELF
OFTEN = {"x": 1}
for _ in range(40):
    OFTEN = {"a": OFTEN, "b": OFTEN}


@pytest.mark.parametrize(
    ("overrides", "error"),
    [
        (ITSELF, "overrides['pe']: more than 64 levels of dicts and lists"),
        ({"pe": OFTEN}, "overrides['pe']: more than 100,000 values"),
        ({"pe.clock_ghz": 10**5000}, "overrides['pe.clock_ghz']: a number of more than 1000 digits"),
        (10**5000, "overrides: an integer of more than 4000 digits is neither a dict, as in"),
        ([[5] * 100], "overrides: [5, 5, 5, 5, 5, 5, ...] is neither a dict, as in"),
        (
            {Mute(): 1},
            "overrides: <Mute whose repr() raises ValueError> is no path of a configuration; write",
        ),
        ({"pe": {5: 1}}, "overrides: 5 is no path of a configuration; write"),
        ({100 * "a.": 1}, f"overrides['{30 * 'a.'}...']: a path of 101 steps; 64 are the most"),
    ],
    ids=by_error,
)
def test_overrides_without_end_or_words_are_refused(overrides, error):
    with pytest.raises(KernBenchError) as caught:
        kb.simulate("tiny", overrides=overrides)
    assert str(caught.value).startswith(error)
    assert len(str(caught.value)) < 300


def torch():
    return kb.simulate("tiny", mode="data").torch


def in_a_worker(call):
    """``call(torch.distributed, a tensor)`` of the one rank of a group."""
    host = torch()

    def worker(rank):
        host.distributed.init_process_group("ahbm", rank=rank, world_size=1)
        call(host.distributed, host.zeros(4))

    host.multiprocessing.spawn(worker, nprocs=1)


def spawned(**options):
    torch().multiprocessing.spawn(lambda rank: None, **options)


def ones(size, dtype="float32"):
    return np.ones(size, dtype)


CALLS = [
    (
        lambda: torch().zeros(4, name="x").copy_(5),
        "copy_ into 'x': give a tensor or an array, not 5; torch.full(",
    ),
    (lambda: torch().zeros(4, name="x").size(5), "size(): 'x'[4] has no dimension 5; give one from -1 to 0"),
    (
        lambda: torch().zeros(4, name="x").stride("x"),
        "stride(): 'x'[4] has no dimension 'x'; give one from -1 to 0",
    ),
    (lambda: torch().zeros(4).view_as(5), "view_as(): argument 'other' must be Tensor, not 5"),
    (
        lambda: torch().sum(torch().ones(4, device="cpu"), 0, keepdim=None),
        "sum(): argument 'keepdim' must be bool, not None",
    ),
    (
        lambda: torch().round(torch().ones(4, device="cpu"), decimals=10**400),
        f"round(): argument 'decimals' must be int, not 1{59 * '0'}...",
    ),
    (lambda: torch().cdiv(5, None), "cdiv(): argument 'b' must be int, not None"),
    (lambda: torch().linspace(0, 1, "x"), "linspace(): argument 'steps' must be int, not 'x'"),
    (lambda: torch().linspace(0, 1, -1), "linspace("),
    (
        lambda: torch().zeros(Mute()),
        "shape (<Mute whose repr() raises ValueError>,): every extent is an integer",
    ),
    (lambda: kb.as_dtype(Mute()), "no KernBench dtype for <Mute whose repr() raises ValueError>; known: "),
    (
        lambda: kb.on_first(9, torch(), kb.DPPolicy()),
        "pes=9: this machine has 4 PEs; give a number from 1 to that",
    ),
    (lambda: kb.on_first("x", torch(), kb.DPPolicy()), "pes='x'; give a whole number"),
    (lambda: kb.on_first(1, 5, kb.DPPolicy()), "on_first(1, 5, DPPolicy("),
    (lambda: kb.block_of(1.5, 8), "block_of(): argument 'extent' must be int, not 1.5"),
    (lambda: kb.side(-1), "side(-1): ValueError: "),
    (lambda: kb.rounding(None, "fp32"), "rounding(): argument 'values' must be ndarray, not None"),
    (lambda: kb.accumulate_type(5), "accumulate_type(): argument 'dtype' must be DType, not 5"),
    (lambda: kb.Simulation(5), "Simulation(5): give a Config; kb.simulate('tiny') makes one by name"),
    (lambda: kb.simulate("tiny", say=5), "say must be a function that gets what kernels print, not 5"),
    (lambda: kb.simulate("tiny").report(flops="x"), "report(): flops='x'; give a whole number, 0 or more"),
    (lambda: kb.jit(int), "a kernel is a function, not <class 'int'>"),
    (
        lambda: kb.limited(max_time=5).__enter__(),
        "5 is no duration; write a text with its unit, as in '10ms'",
    ),
    (lambda: kb.run_probe(5), "run_probe: cases=5; give a tuple of names"),
    (lambda: kb.run_probe(sizes=("x",)), "run_probe: a size='x'; give a whole number, 1 or more"),
    (
        lambda: kb.bench("b", fit=5)(lambda torch: None),
        "bench 'b': fit must be a function of room and given, not 5",
    ),
    (
        lambda: kb.bench("b", small=5)(lambda torch: None),
        "bench 'b': small must be a dict of parameters, not 5",
    ),
    (lambda: kb.install_queues(5), "install_queues: 5 is no device; give the torch of a simulation"),
    (lambda: kb.install_queues(torch(), [5]), "install_queues: 5 is no QueuePair; give a list of them"),
    (lambda: kb.install_queues(torch(), pes=5), "install_queues: pes=5; give a list of numbers of PEs"),
    (
        lambda: kb.install_queues(torch(), directions=5),
        "install_queues: directions=5; give a list, as in",
    ),
    (
        lambda: kb.install_queues(torch(), slots=10**400),
        f"install_queues: slots=1{59 * '0'}...; give 1,000,000,",
    ),
    (lambda: run_collective("ring_allreduce", []), "run_collective: sources=[]; give an array for each rank"),
    (lambda: run_collective("ring_allreduce", 5), "run_collective: sources=5; give an array for each rank"),
    (
        lambda: run_collective("ring_allreduce", [[1, 2]]),
        "run_collective: sources=[[1, 2]]; give an array for",
    ),
    (
        lambda: run_collective("ring_allreduce", [ones(4), ones(3)]),
        "run_collective: rank 0 has 4 elements of float32, and rank 1 3 of float32; give each rank as many",
    ),
    (
        lambda: run_collective("ring_allreduce", [ones(4)], rings={"slot": 4}),
        "rings: no setting 'slot'; did you mean",
    ),
    (lambda: run_collective("ring_allreduce", [ones(4)], rings=5), "rings=5; give a dict of settings, as in"),
    (lambda: run_ranks(lambda x: None, None, []), "ranks=None; give a whole number, 1 or more"),
    (lambda: run_ranks(lambda x: None, (1, 2, 3), []), "ranks=(1, 2, 3); give how many, or (columns, rows)"),
    (lambda: run(lambda x: None, (1,), 5), "run: args=5; give a list of the kernel's arguments"),
    (lambda: run([], (1,), []), "a kernel is a function, not []"),
    (lambda: spawned(nprocs=None), "torch.multiprocessing.spawn: nprocs=None; give a whole number"),
    (lambda: spawned(nprocs=1.5), "torch.multiprocessing.spawn: nprocs=1.5; give a whole number"),
    (lambda: spawned(args=5), "torch.multiprocessing.spawn: args=5; give a tuple, as in args=(x,)"),
    (
        lambda: torch().distributed.init_process_group(rank="0"),
        "init_process_group: rank='0'; give a whole number, -1 or more",
    ),
    (
        lambda: in_a_worker(lambda dist, x: dist.broadcast(x, src="x")),
        "ProcessGroupAhbm::broadcast: invalid root rank: 'x'",
    ),
    (lambda: in_a_worker(lambda dist, x: dist.send(x, "x")), "send: rank 'x' of"),
    (lambda: in_a_worker(lambda dist, x: dist.new_group(5)), "new_group: ranks=5; give a list of ranks"),
    (
        lambda: in_a_worker(lambda dist, x: dist.new_group(["x"])),
        "new_group: a rank='x'; give a whole number",
    ),
    (
        lambda: in_a_worker(lambda dist, x: dist.all_reduce(x, group=Mute())),
        "Process group <Mute whose repr() raises",
    ),
    (
        lambda: in_a_worker(lambda dist, x: dist.ReduceOp(5)),
        "ReduceOp(5): name one of them, as in ReduceOp.SUM",
    ),
    (
        lambda: kb.run("vector_add", plugins=5),
        "plugins must be a list of Python files, as in plugins=['mine.py'], not 5",
    ),
    (
        lambda: kb.run("vector_add", plugins="nofile.py"),
        "plugins must be a list of Python files, as in plugins=['mine.py'], not 'nofile.py'",
    ),
    (
        lambda: kb.run("vector_add", progress=5),
        "progress must be a function that is told what is done, not 5",
    ),
    (lambda: kb.run("vector_add", iters=10**30), "iters=1000000000000000000000000000000; give 1,000,000,"),
]


@pytest.mark.parametrize(("call", "error"), CALLS, ids=by_error)
def test_an_argument_of_a_wrong_kind_is_named(call, error):
    with pytest.raises(KernBenchError) as caught:
        call()
    assert str(caught.value).startswith(error)
