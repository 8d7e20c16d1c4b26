"""Without parameters every bench runs and is right on any machine with 64 KiB of TCM: its sizes follow from it."""

import re
from itertools import cycle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernbench.bench import Bench, Outcome, Room, load_benches, run
from kernbench.benches.halo_exchange import jacobi
from kernbench.config.load import load_config
from kernbench.dtypes import DTYPES
from kernbench.errors import KernBenchError, UnknownNameError, UsageError
from kernbench.topology.builder import build_graph
from kernbench.topology.ids import PeId

BENCHES = load_benches()
NAMES = list(BENCHES)
KIB = 1 << 10
ROOM = {
    "tiny": Room(n_pes=4, tcm_bytes=64 * KIB, accumulator_bytes=64 * KIB),
    "default": Room(n_pes=128, tcm_bytes=1024 * KIB, accumulator_bytes=64 * KIB),
    "big": Room(n_pes=8192, tcm_bytes=1024 * KIB, accumulator_bytes=64 * KIB),
}


def pes(x, y, channels=None):
    """A cube of ``x`` by ``y`` PEs, on top of ``tiny``."""
    n = x * y
    return (f"cube.pes={{count: {n}, grid: [{x}, {y}]}}", f"cube.hbm.channels={channels or n}")


MACHINES = {
    "one PE": pes(1, 1),
    "two PEs on one channel": pes(2, 1, channels=1),
    "three PEs": (*pes(3, 1), "cube.hbm.capacity=3 MiB"),
    "5 x 3 PEs of which none is alone on a torus": (
        *pes(5, 3),
        "cube.hbm.capacity=15 MiB",
        "neighbours.wrap=true",
    ),
    "two SIPs of one PE": (*pes(1, 1), "system.sips={count: 2, grid: [2, 1]}"),
    "an odd array with few registers": (
        *("pe.gemm.m=7", "pe.gemm.n=5", "pe.gemm.k=3"),
        *("pe.regfile.accumulators=1 KiB", "pe.regfile.operands=256"),
    ),
    "one PE with a smaller TCM": ("pe.tcm.size=1 MiB", "overrides.sip0.cube0.pe2.pe_tcm.size=64 KiB"),
    "little HBM in small pages": ("cube.hbm.capacity=1 MiB", "pe.mmu.page=512", "pe.mmu.tlb_entries=4"),
    "one small slot in a ring": ("pe.ipcq.slots=1", "pe.ipcq.slot_size=128"),
}

ALONE = {
    "hello_send": "no PE of an even rank has an eastern neighbour among them: nothing is sent",
    "ccl_allreduce": "world_size=1: one rank has nothing to reduce",
}
"""Why a bench that runs on one PE has nothing to check there."""


def sizes(name, room, **given):
    """The parameters of a bench on a machine with this room."""
    bench = BENCHES[name]
    return bench.fitted(bench.bind(given), room)


@pytest.mark.parametrize("name", NAMES)
def test_every_bench_is_right_on_tiny_within_two_seconds_of_cpu_time(name):
    found = run(BENCHES[name], topology="tiny")
    assert found.check.ok
    assert found.cpu_s < 2


NO_FLOATS = {dtype.name for dtype in DTYPES if not dtype.is_float}
REFUSED = {
    "softmax": NO_FLOATS,
    "gemm": {"fp64", *NO_FLOATS} - {"int8"},
    "qkv_gemm": {"fp64", *NO_FLOATS} - {"int8"},
}
"""Dtypes in which a bench makes no sense, or that PE_GEMM of the presets does not multiply."""


@pytest.mark.parametrize("name", [name for name in NAMES if "dtype" in BENCHES[name].parameters])
def test_every_bench_is_right_in_every_dtype_that_it_takes(name):
    refused = {}
    for dtype in (dtype.name for dtype in DTYPES):
        given = BENCHES[name].small_params | {"dtype": dtype}
        try:
            assert run(BENCHES[name], topology="tiny", mode="data", params=given).check.ok, dtype
        except KernBenchError as error:
            refused[dtype] = str(error)
    for dtype, text in refused.items():
        assert re.match(rf"{name}: dtype={dtype}: |\S+\.py:\d+: (tl.dot|PE_GEMM)", text)
    assert refused.keys() == REFUSED.get(name, refused.keys())
    assert len(refused) < len(DTYPES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("machine", "timed"), list(zip(MACHINES, cycle(NAMES))), ids=list(MACHINES))
def test_every_bench_is_right_on_any_machine(machine, timed, name):
    """Each in mode ``data``, where no time passes but the same blocks must fit; one of them with its time."""
    overrides = ("cube.sram.banks=1", "cube.sram.at=[[0, 0]]", *MACHINES[machine])
    mode = "timed" if name == timed else "data"
    if BENCHES[name].least_pes > 1 and machine == "one PE":
        with pytest.raises(
            UsageError,
            match=f"bench '{name}' needs 2 PEs, and this machine has 1; choose another one",
        ):
            run(BENCHES[name], topology="tiny", overrides=overrides, mode=mode)
    else:
        found = run(BENCHES[name], topology="tiny", overrides=overrides, mode=mode).check
        is_alone = machine == "one PE" and name in ALONE
        assert (found.ok, found.unchecked) == ((None, ALONE[name]) if is_alone else (True, ""))


def test_the_sizes_of_the_presets():
    """The problem grows up to 128 PEs; what does not fit the TCM of ``tiny`` is halved."""
    blocks = ("block_m", "block_n", "block_k")
    for preset, side, block in (("tiny", 256, (64, 64, 64)), ("default", 1024, (64, 128, 128))):
        gemm = sizes("gemm", ROOM[preset])
        assert [gemm[name] for name in "mnk"] == [side] * 3
        assert tuple(gemm[name] for name in blocks) == block
    assert sizes("vector_add", ROOM["default"]) == {"n": 1 << 20, "dtype": "fp32", "block": 1024, "pes": 128}
    assert sizes("softmax", ROOM["tiny"]) == {"rows": 32, "columns": 1024, "dtype": "fp32", "pes": 4}
    assert sizes("ccl_allreduce", ROOM["default"])["world_size"] == 16
    for name in NAMES:
        assert sizes(name, ROOM["big"]) == sizes(name, ROOM["default"])


def test_the_room_of_a_machine_is_that_of_its_least_pe():
    config = load_config("tiny", ("pe.tcm.size=1 MiB", "overrides.sip0.cube0.pe2.pe_tcm.size=70 KiB"))
    assert Room.of(build_graph(config.topology)) == Room(
        n_pes=4, tcm_bytes=70 * KIB, accumulator_bytes=64 * KIB
    )


# 2 (64 + 64) 64 x 8 B + 64 x 64 x (8 + 8) B = 192 KiB: of 64, 64 and 64 halve the first, block_m, until 64 KiB hold
# 2 (16 + 32) 64 x 8 + 16 x 32 x 16 = 56 KiB
def test_blocks_follow_from_the_parameters_that_are_given():
    fp64 = sizes("gemm", ROOM["tiny"], dtype="fp64")
    assert [fp64[name] for name in ("block_m", "block_n", "block_k")] == [32, 32, 32]
    few = sizes("gemm", ROOM["default"], m=64, n=64, k=64)  # no smaller than 32 for the sake of more programs
    assert [few[name] for name in ("block_m", "block_n", "block_k")] == [32, 32, 64]
    many = sizes("gemm", ROOM["default"], m=4096, n=4096, k=4096)  # 64 KiB of accumulators
    assert [many[name] for name in ("block_m", "block_n", "block_k")] == [128, 128, 128]


def test_what_is_given_is_taken_as_it_is():
    given = {"m": 100, "block_n": 512, "block_k": 4096, "pes": 2}
    assert {name: sizes("gemm", ROOM["tiny"], **given)[name] for name in given} == given


@given(
    st.builds(
        Room,
        n_pes=st.integers(1, 300),
        tcm_bytes=st.integers(64 * KIB, 4096 * KIB),
        accumulator_bytes=st.integers(0, 256 * KIB),
    ),
    st.integers(1, 5000),
    st.integers(1, 5000),
    st.sampled_from(["fp64", "fp32", "fp16", "int8"]),
)
def test_blocks_fit_and_are_powers_of_two(room, m, n, dtype):
    found = sizes("gemm", room, m=m, n=n, dtype=dtype)
    rows, columns, ks = (found[f"block_{x}"] for x in "mnk")
    assert all(block & (block - 1) == 0 and 1 <= block <= 128 for block in (rows, columns, ks))
    size = {"fp64": 8, "fp32": 4, "fp16": 2, "int8": 1}[dtype]
    acc = max(4, size)
    assert 2 * (rows + columns) * ks * size + rows * columns * acc <= room.tcm_bytes
    assert rows * columns * acc <= room.accumulator_bytes or rows == columns == 1


# -- benches of a user --------------------------------------------------------------------------------------------


def bench_of(run, **options):
    return Bench(name="mine", run=run, **options)


def takes_n(torch, *, n: int, m: int = 3) -> Outcome:
    raise AssertionError


def test_a_parameter_without_a_default_follows_from_the_machine():
    bench = bench_of(takes_n, fit=lambda room, given: {"n": room.n_pes * given["m"]})
    assert bench.parameters == {"n": (int, None), "m": (int, 3)}
    assert bench.fitted(bench.bind({}), ROOM["tiny"]) == {"n": 12, "m": 3}
    assert bench.fitted(bench.bind({"m": "5", "n": "auto"}), ROOM["tiny"]) == {"n": 20, "m": 5}
    assert bench.fitted(bench.bind({"n": "7"}), ROOM["tiny"]) == {"n": 7, "m": 3}


@pytest.mark.parametrize(
    ("fit", "error"),
    [
        (
            None,
            "bench 'mine': parameter n: int must be an int, float, bool or str with a default of that type, as in m: "
            "int = 64, or with none if fit= gives it",
        ),
        (
            lambda room, given: {"m": 1},
            "bench 'mine': fit() gives n=None; parameter 'n' wants int",
        ),
        (
            lambda room, given: {"n": 1.5},
            "bench 'mine': fit() gives n=1.5; parameter 'n' wants int",
        ),
    ],
)
def test_what_nothing_gives_is_refused(fit, error):
    bench = bench_of(takes_n, fit=fit)
    with pytest.raises(UsageError, match=re.escape(error)):
        bench.fitted(bench.bind({}), ROOM["tiny"])


def test_auto_is_for_what_follows_from_the_machine():
    bench = bench_of(takes_n, fit=lambda room, given: {"n": 1})
    with pytest.raises(UsageError, match=r"bench 'mine': parameter 'm' wants int, not 'auto'"):
        bench.bind({"m": "auto"})


def test_small_sizes_are_those_that_the_bench_registered():
    assert bench_of(takes_n, fit=dict, small={"n": "4"}).small_params == {"n": 4, "m": 3}
    with pytest.raises(
        UsageError,
        match=re.escape(
            """bench 'mine' has no small sizes; write @bench('mine', small={"n": ..., "m": ...}) with those at """
            "which it runs in less than a second"
        ),
    ):
        _ = bench_of(takes_n, fit=dict).small_params
    with pytest.raises(UnknownNameError, match="bench 'mine' has no parameter 'q'"):
        _ = bench_of(takes_n, fit=dict, small={"q": 1}).small_params


@pytest.mark.parametrize("pes", [0, 5])
@pytest.mark.parametrize("name", [name for name in NAMES if "pes" in BENCHES[name].parameters])
def test_more_pes_than_there_are_is_one_line(name, pes):
    error = re.escape(f"pes={pes}: this machine has 4 PEs; give a number from 1 to that")
    with pytest.raises(UsageError, match=error):
        run(BENCHES[name], topology="tiny", params={"pes": pes})


@pytest.mark.parametrize("name", [name for name in NAMES if "pes" in BENCHES[name].parameters])
def test_a_bench_runs_on_some_of_the_pes(name):
    found = run(BENCHES[name], topology="tiny", params={"pes": 3})
    assert found.check.ok


@pytest.mark.parametrize("wrap", ["false", "true"])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_where_the_grid_has_no_tile_it_is_zero(n, wrap):
    """PEs 0, 1 and 2 of a grid of 2 x 2, one cell each: quarters of neighbours, twice on a torus of two."""
    spec = load_config("tiny", (f"neighbours.wrap={wrap}",)).topology
    tiles = np.array([[4.0], [8.0], [12.0]], np.float32)[:n]
    found = jacobi(spec, [PeId(0, 0, pe) for pe in range(n)], tiles, 1, 1)
    times = 2 if wrap == "true" else 1
    beside = {1: [0], 2: [8, 4], 3: [8 + 12, 4, 4]}[n]
    assert found.ravel().tolist() == [times * cells / 4 for cells in beside]
