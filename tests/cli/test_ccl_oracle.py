"""``kernbench ccl --mode oracle``: what ``--ideal`` takes, to the picosecond, without a machine."""

import json
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from functools import cache

import pytest

from kernbench.bench.collectives import theory
from kernbench.bench.collectives.bench import CclBench
from kernbench.bench.collectives.request import Request
from kernbench.ccl.algorithm import ALGORITHMS, Algorithm, Small, load_algorithms
from kernbench.ccl.wiring import QueuePair
from kernbench.cli.ccl_table import NONE
from kernbench.config.load import load_config
from kernbench.errors import ShapeError, UsageError
from kernbench.lang import tl
from kernbench.machine.hardware import Hardware
from kernbench.memory.replay import Evaluation
from tests.ccl.collective_kit import cube_of
from tests.engines import require_reference

load_algorithms()
NAMES = sorted(ALGORITHMS)
F = Fraction
TINY = ("--topology", "tiny", "-b", "4K", "-e", "4K")
ALPHA, BETA, GAMMA = (
    F(11_000),
    F(125, 8),
    F(125, 32),
)  # ps, and ps per byte: the data sheet of `tiny` and `default`


@cache
def config_of(topology, overrides):
    return load_config(topology, overrides)


def row_of(name, *, topology="tiny", overrides=(), size=4096, **how):
    collective = ALGORITHMS[name].collective
    request = Request(collective=collective, algorithm=name, n_warmup=0, **how)
    return CclBench(config_of(topology, overrides), request).row(size)


def oracle_of(name, **how):
    return row_of(name, mode="oracle", n_checks=0, **how)


def ideal_of(name, **how):
    return row_of(name, is_ideal=True, n_checks=0, half="out", **how)


# -- it is what the ideal machine takes ------------------------------------------------------------------------

# machine, its overrides, ranks, bytes of the larger buffer, type, op: where an algorithm cannot serve, four ranks
TWO_SIPS = ("system.sips.count=2", "system.sips.grid=[2,1]", "cube.noc.link_bw=48", "cube.noc.router_ns=5")
CASES = (
    ("tiny", (), 4, 4096, "float", "sum"),
    ("tiny", ("pe.ipcq.slots=2", "pe.math.rate={add: 0.3}"), 3, 1000, "half", "avg"),
    ("tiny", tuple(cube_of(6)), 6, 1536, "int64", "max"),
    ("tiny", TWO_SIPS, 8, 720, "int8", "prod"),
    ("default", (), 16, 2048, "bfloat16", "min"),
)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_the_time_of_the_ideal_machine_to_the_picosecond(name):
    for i, (topology, overrides, n_ranks, size, dtype, op) in enumerate(CASES):
        case = {"topology": topology, "overrides": overrides, "size": size, "dtype": dtype, "op": op}
        try:
            said = oracle_of(name, n_ranks=n_ranks, root=i % 3, **case)
        except UsageError:  # it cannot serve them
            n_ranks = 4
            said = oracle_of(name, n_ranks=n_ranks, root=0, **case)
        root = said.root or 0
        run = ideal_of(name, n_ranks=n_ranks, root=root, **case)
        assert said.out_of_place.time_ps == run.out_of_place.time_ps > 0, (n_ranks, case)
        assert said.out_of_place.busbw == run.out_of_place.busbw
        if said.oracle.source == "max-plus":
            assert (said.n_steps, said.max_link_bytes) == (run.n_steps, run.max_link_bytes)


# algorithm: ranks of 8192, bytes of the larger buffer, and the time by hand: columns of 128 x rows of 64
AT_8192 = {
    "ring_allreduce": (8192, 32768, 2 * 8191 * (ALPHA + 4 * BETA) + 8191 * 4 * GAMMA),
    "ring_sliced_allreduce": (8192, 32768, 2 * 8191 * (ALPHA + 4 * BETA) + 8191 * 4 * GAMMA),
    "ring_bidirectional_allreduce": (8192, 65536, 2 * 8191 * (ALPHA + 4 * BETA) + 8192 * 4 * GAMMA),
    "recursive_doubling_allreduce": (8192, 4096, 13 * (ALPHA + 4096 * (BETA + GAMMA))),
    "halving_doubling_allreduce": (8192, 8192, 26 * ALPHA + 8191 * (2 * BETA + GAMMA)),  # of int8
    "tree_allreduce": (8191, 1024, 12 * 2 * (ALPHA + 1024 * (BETA + GAMMA))),
    "mesh_allreduce": (
        8192, 32768,
        127 * (2 * ALPHA + 256 * (2 * BETA + GAMMA)) + 63 * (2 * ALPHA + 4 * (2 * BETA + GAMMA)),
    ),
    "torus_bucket_allreduce": (
        8192, 32768,
        127 * (2 * ALPHA + 256 * (2 * BETA + GAMMA)) + 63 * (2 * ALPHA + 4 * (2 * BETA + GAMMA)),
    ),
    "hierarchical_allreduce": (  # 16 PEs of 4 cubes of 128 SIPs
        8192, 32768,
        15 * (2 * ALPHA + 2048 * (2 * BETA + GAMMA))
        + 3 * (2 * ALPHA + 512 * (2 * BETA + GAMMA))
        + 127 * (2 * ALPHA + 4 * (2 * BETA + GAMMA)),
    ),
    "ring_reduce_scatter": (8192, 64 * 8192, 8191 * (ALPHA + 64 * (BETA + GAMMA))),
    "ring_all_gather": (8192, 64 * 8192, 8191 * (ALPHA + 64 * BETA)),
    "chain_broadcast": (8192, 1024, 8191 * (ALPHA + 1024 * BETA)),
    "chain_reduce": (8192, 1024, 8191 * (ALPHA + 1024 * (BETA + GAMMA))),
    "binomial_broadcast": (8192, 4096, 13 * (ALPHA + 4096 * BETA)),
    "binomial_reduce": (8192, 4096, 13 * (ALPHA + 4096 * (BETA + GAMMA))),
    "dissemination_barrier": (8192, 0, 13 * ALPHA),
    "hello_send": (8192, 1 << 20, ALPHA + (1 << 20) * BETA),
}  # fmt: skip


@pytest.mark.parametrize("name", AT_8192)
def test_8192_ranks_by_closed_form(name):
    n_ranks, size, time_ps = AT_8192[name]
    dtype = "int8" if name == "halving_doubling_allreduce" else "float"
    said = oracle_of(name, topology="default", n_ranks=n_ranks, size=size, dtype=dtype)
    assert said.oracle.source == "closed form"
    assert said.out_of_place.time_ps == time_ps
    assert (said.n_steps, said.max_link_bytes, said.bound_ps, said.in_place) == (None, None, None, None)


def test_ranks_beyond_the_machine_lie_on_more_sips_of_its_kind(kernbench):
    out = kernbench("ccl", "all_reduce", *TINY, "--mode", "oracle", "--ranks", "24").out.splitlines()
    assert out[0].startswith(
        "# kernbench ccl all_reduce  topology=tiny (6 SIPs x 1 cube x 4 PEs = 24 PEs)  algo="
    )
    assert out[2:4] == [
        "# theory of the ideal machine, nothing is run: a link for each queue; alpha=11 ns, 1/beta=64 GB/s, "
        "1/gamma=256 GB/s",
        "# tiny has 4 PEs; for 24 ranks, more SIPs of its kind",
    ]
    made = ("--set", "system.sips.count=6", "--set", "system.sips.grid=[3,2]")
    again = kernbench("ccl", "all_reduce", *TINY, "--mode", "oracle", "--ranks", "24", *made).out.splitlines()
    assert again[:3] == out[:3]
    assert cells("\n".join(again))[:-1] == cells("\n".join(out))[:-1]


# -- what is printed --------------------------------------------------------------------------------------------


def cells(out):
    (row,) = [line.split() for line in out.splitlines() if not line.startswith("#")]
    return row


def test_what_was_not_looked_at_is_not_available(kernbench):
    args = ("ccl", "all_reduce", "--topology", "tiny", "-b", "1K", "-e", "1K", "--mode", "oracle")
    closed = kernbench(*args, "--algo", "ring_allreduce").out
    # six steps of 256 B, 11 and 4 ns each, and three times 1 ns in the adder
    assert cells(closed)[:-1] == [
        *("1024", "256", "float", "sum", "-1"),
        *("0.09", "11.01", "16.52", NONE),
        *[NONE] * 4,
        *(NONE, NONE, NONE, "0.0930", NONE, NONE, NONE),
    ]  # fmt: skip
    assert " warmup iters: 0 iters: 0 validation: 0\n" in closed
    assert closed.splitlines()[-5:] == [
        "# Out of bounds values : N/A, nothing was checked",
        "# Avg bus bandwidth    : 16.5161 ",
        "# Oracle               : closed form at 1 size",
        "#",
        "# ccl.yaml selects recursive_doubling_allreduce at 1024 B; --compare says whether it is faster",
    ]
    worked = kernbench(*args, "--algo", "ring_allreduce", "--ranks", "3").out
    assert cells(worked)[13:15] != [NONE, NONE]
    assert "# Oracle               : max-plus at 1 size\n" in worked


def test_json_has_null_where_nothing_was_looked_at(kernbench):
    size = ("--topology", "tiny", "-b", "1K", "-e", "1K")
    args = ("ccl", "all_reduce", *size, "--mode", "oracle", "--algo", "ring_allreduce", "--json", "-")
    document = json.loads(kernbench(*args).out)
    assert {name: document[name] for name in ("mode", "n_iters", "n_warmup", "n_ranks", "faster")} == {
        "mode": "oracle", "n_iters": 0, "n_warmup": 0, "n_ranks": 4, "faster": None,
    }  # fmt: skip
    (row,) = document["rows"]
    half = row["out_of_place"]
    assert half["time_ps"] == row["oracle_ps"]
    nothing = {"iteration_ps": [], "n_wrong": None, "error_ps": None, "stall_ps": None, "credits_min": None}
    assert {name: half[name] for name in nothing} == nothing
    assert (half["lines"], half["bottleneck"]) == ({}, None)
    names = ("in_place", "steps", "max_link_bytes", "bound_ps", "bound_share")
    assert [row[name] for name in names] == [None] * 5
    assert row["oracle_source"] == "closed form"


def test_theory_has_no_engine(kernbench):
    args = ("ccl", "all_reduce", *TINY, "--mode", "oracle")
    assert "engine" not in kernbench(*args).out
    assert json.loads(kernbench(*args, "--json", "-").out)["engine"] is None


def test_theory_compares_all_algorithms_at_once(kernbench):
    args = ("ccl", "broadcast", *TINY, "--algo", "binomial_broadcast", "--compare")
    oracle = kernbench(*args, "--mode", "oracle").out.splitlines()[-1]  # which no engine runs
    ideal = kernbench(*args, "--ideal").out.splitlines()[-2]
    assert oracle == ideal
    assert oracle.endswith(" times faster here, at 4096 B; --algo chain_broadcast")


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (("-c", "1"), "-c 1: mode oracle computes no values; leave it or --mode out"),
        (("-n", "2"), "-n 2: mode oracle runs nothing; leave it or --mode out"),
        (("-w", "3"), "-w 3: mode oracle runs nothing; leave it or --mode out"),
        (("--half", "in"), "--half in: theory knows one time for both halves; leave it or --mode out"),
        (("--ideal",), "--ideal: mode oracle is theory of the ideal machine; leave one of them out"),
        (("--buffer", "hbm"), "--buffer hbm: the ideal machine has no memories; leave it or --mode out"),
        (("--max-time", "1ms"), "--max-time: mode oracle has no clock to stop; use --max-cpu, or leave --mode out"),
        (("--tune",), "--mode oracle: --tune asks theory with --ideal; leave --mode out"),
        (("--ranks", "8193"), "--ranks 8193: theory has room for 8,192 ranks; give 1 to 8192"),
        (("--ranks", "0"), "--ranks 0: theory has room for 8,192 ranks; give 1 to 8192"),
        (("--races", "error"), "unknown option '--races'; did you mean '--ranks'?"),
        (
            ("--ranks", "2048", "--algo", "double_binary_tree_allreduce", "-e", "256K", "-b", "256K"),
            "--mode oracle: no closed form of double_binary_tree_allreduce holds for 262144 B on 2048 ranks, and its "
            "messages, 2,096,128 or so, are more than the 1,000,000 that max-plus works through; give fewer --ranks",
        ),
    ],
)  # fmt: skip
def test_what_theory_has_not_is_refused_in_a_line(kernbench, args, error):
    ran = kernbench("ccl", "all_reduce", "--topology", "tiny", "--mode", "oracle", *args)
    assert (ran.code, ran.err) == (2, f"kernbench: {error}\n")


@pytest.mark.parametrize(
    ("size", "what"), [(64 << 20, "messages, 134,201,344"), (128 << 10, "queues, 67,100,672")]
)
def test_what_is_too_much_is_known_before_a_queue_is_made(kernbench, size, what):
    args = ("ccl", "all_to_all", "-b", str(size), "-e", str(size), "--mode", "oracle", "--ranks", "8192")
    assert kernbench(*args).err == (
        f"kernbench: --mode oracle: no closed form of pairwise_all_to_all holds for {size} B on 8192 ranks, and its "
        f"{what} or so, are more than the 1,000,000 that max-plus works through; give fewer --ranks\n"
    )


def test_messages_are_counted_where_the_first_ranks_say_nothing(monkeypatch, kernbench):
    monkeypatch.setattr(theory, "MOST_MESSAGES", 23)  # 3 ranks, 8 slices: each sends to the root
    args = ("ccl", "reduce", *TINY, "--ranks", "4", "--mode", "oracle", "--algo", "binomial_reduce")
    assert kernbench(*args).err == (
        "kernbench: --mode oracle: no closed form of binomial_reduce holds for 4096 B on 4 ranks, and its messages, "
        "24 or so, are more than the 23 that max-plus works through; give fewer --ranks\n"
    )
    monkeypatch.setattr(theory, "MOST_MESSAGES", 24)
    assert kernbench(*args).code == 0


# -- nothing is run ---------------------------------------------------------------------------------------------

ALONE = """
import sys
from kernbench.cli.main import execute
code = execute(sys.argv[1:])
floors = ("torch", "dist.backend", "dist.ranks", "device", "machine", "simulation", "engine.engine")
made = [name for name in sys.modules if name.startswith(tuple(f"kernbench.{floor}" for floor in floors))]
print(code, sorted(made), file=sys.stderr)
"""


@pytest.mark.parametrize("algorithm", ["ring_allreduce", "double_binary_tree_allreduce"])
def test_no_machine_is_made_nor_what_makes_one_imported(algorithm):
    args = ("ccl", "all_reduce", *TINY, "--mode", "oracle", "--algo", algorithm)
    ran = subprocess.run([sys.executable, "-c", ALONE, *args], capture_output=True, text=True, check=True)
    assert ran.stderr == "0 []\n"


@pytest.mark.parametrize("name", NAMES)
def test_no_algorithm_needs_a_machine(name, monkeypatch):
    monkeypatch.setattr(Hardware, "__init__", lambda *_, **__: pytest.fail("a machine was made"))
    for size in (6000, 1236):
        oracle_of(name, n_ranks=4, size=size)


# -- what was not asked for -------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [(), ("--mode", "timing"), ("--ideal",)])
def test_a_half_alone_takes_as_long_and_the_other_is_not_available(kernbench, how):
    args = ("ccl", "all_gather", *TINY, *how)
    both = cells(kernbench(*args).out)
    out, inside = (cells(kernbench(*args, "--half", half).out) for half in ("out", "in"))
    assert out[:9] == both[:9]
    assert out[9:13] == [NONE] * 4
    assert inside[:5] == both[:5]
    assert inside[5:9] == [NONE] * 4
    assert inside[9:13] == both[9:13]
    assert out[13:15] == inside[13:15] == both[13:15]


def test_json_has_null_for_the_other_half(kernbench):
    (row,) = json.loads(kernbench("ccl", "all_gather", *TINY, "--ideal", "--half", "in", "--json", "-").out)[
        "rows"
    ]
    assert row["out_of_place"] is None
    assert row["in_place"]["error_ps"] == row["in_place"]["n_wrong"] == 0
    assert row["bound_share"] == row["bound_ps"] / row["in_place"]["time_ps"]


@pytest.mark.parametrize("how", [(), ("--ideal",)])
def test_values_that_nobody_checks_are_not_computed(kernbench, monkeypatch, how):
    require_reference()
    args = ("ccl", "all_reduce", *TINY, *how)
    checked = cells(kernbench(*args).out)
    monkeypatch.setattr(Evaluation, "run", lambda _: pytest.fail("a value was computed"))
    unchecked = cells(kernbench(*args, "-c", "0").out)
    assert [unchecked[i] for i in (8, 12)] == [NONE, NONE]
    assert [x for i, x in enumerate(unchecked[:-1]) if i not in (8, 12)] == [
        x for i, x in enumerate(checked[:-1]) if i not in (8, 12)
    ]


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (("all_reduce", "--half", "both"), "--half: unknown half 'both'; (known: in, out)"),
        (("barrier", "--half", "in"), "--half in: a barrier moves nothing, in place or not; leave it out"),
        (
            ("--tune", "--half", "out"),
            "--half out: --tune compares all algorithms, without values; leave it or --tune out",
        ),
        (("--tune", "--compare"), "--compare: --tune compares all algorithms; leave one of them out"),
    ],
)  # fmt: skip
def test_halves_that_there_are_not_are_refused_in_a_line(kernbench, args, error):
    ran = kernbench("ccl", *args, "--topology", "tiny")
    assert (ran.code, ran.out, ran.err) == (2, "", f"kernbench: {error}\n")


# -- an algorithm of a user's own -------------------------------------------------------------------------------


def line_up(src, dst, *, n_elem):
    """Rank r sends what it has to rank r + 1, which adds its own."""
    block = tl.load(src, shape=(n_elem,))
    if tl.rank():
        block = block + tl.recv("prev", (n_elem,), src.dtype.element_ty)
    if tl.rank() < tl.num_ranks() - 1:
        tl.send_async("next", block)
    tl.store(dst, block)


def line_up_if_not_zero(src, dst, *, n_elem):
    """Looks at what has come, and sends it either way."""
    block = tl.load(src, shape=(n_elem,))
    if tl.rank():
        come = tl.recv("prev", (n_elem,), src.dtype.element_ty)
        if float(tl.sum(come, axis=0)) >= 0:
            block = block + come
    if tl.rank() < tl.num_ranks() - 1:
        tl.send_async("next", block)
    tl.store(dst, block)


def line_up_one_short(src, dst, *, n_elem):
    """The receiver expects an element less."""
    if tl.rank():
        tl.recv("prev", (n_elem - 1,), src.dtype.element_ty)
    if tl.rank() < tl.num_ranks() - 1:
        tl.send_async("next", tl.load(src, shape=(n_elem,)))


@pytest.fixture
def own(monkeypatch):
    """Registers an algorithm of a kernel for as long as the test lasts."""

    def register(kernel, **more):
        algorithm = Algorithm(
            collective="reduce",
            kernel=kernel,
            queues=lambda group: (QueuePair("next", "prev", lambda r, n: r + 1 if r + 1 < n else None),),
            elems_sent=lambda n_ranks, n_elem: (n_ranks - 1) * n_elem,
            source="derived",
            small=Small(n_ranks=4, n_elem=16),
        )
        monkeypatch.setitem(ALGORITHMS._entries, "own", replace(algorithm, **more))
        return "own"

    return register


def test_own_algorithms_have_an_oracle_whether_or_not_there_is_a_form(own, monkeypatch):
    name = own(line_up)
    worked, run = oracle_of(name, size=256), ideal_of(name, size=256)
    assert worked.oracle == (run.out_of_place.time_ps, "max-plus")
    assert (worked.n_steps, worked.max_link_bytes) == (3, 256)
    own(line_up, closed_form=lambda problem, model: (problem.n_ranks - 1) * (
        model.alpha + problem.size_bytes * (model.beta + model.gamma)))  # fmt: skip
    assert oracle_of(name, size=256).oracle == (worked.oracle.time, "closed form")


def test_a_kernel_that_looks_at_values_has_an_oracle_and_a_time_without_a_check(own):
    name = own(line_up_if_not_zero)
    said, run = oracle_of(name, size=256), ideal_of(name, size=256)
    assert said.oracle == (run.out_of_place.time_ps, "max-plus")
    timed = row_of(name, size=256, n_checks=0, half="out")
    assert (timed.out_of_place.n_wrong, timed.out_of_place.time_ps > said.oracle.time) == (None, True)


def test_a_mistake_is_told_as_a_machine_would(own):
    name = own(line_up_one_short)
    texts = []
    for ask in (oracle_of, ideal_of):
        with pytest.raises(ShapeError) as error:
            ask(name, size=256)
        texts.append(str(error.value))
    assert texts[0] == texts[1]


def test_a_claim_that_is_wrong_is_told(own):
    name = own(line_up, elems_sent=lambda n_ranks, n_elem: n_ranks * n_elem)
    with pytest.raises(UsageError) as error:
        oracle_of(name, size=256)
    assert str(error.value) == (
        "own: its elems_sent claims 256 elements (world_size=4, n_elem=64), and its kernel has sent 192; correct the "
        "one that is wrong"
    )
