"""Races: what nothing orders is found, and what is ordered is never accused (ADR-0037)."""

import random

import numpy as np
import pytest

import kernbench as kb
from kernbench.ccl.algorithm import load_algorithms
from kernbench.errors import PageFaultError, RaceError, RaceWarning, UsageError
from kernbench.lang import tl
from kernbench.lang.jit import jit
from kernbench.records import as_json
from kernbench.simulation import Simulation
from tests.ccl.collective_kit import n_in, sides
from tests.laws import race_kit
from tests.laws.race_kit import N, run

MODES = ("timed", "data")
PARTS = 6  # of the random programs, for as many processes


# -- no false alarm ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", range(PARTS))
def test_random_programs_without_a_race_are_silent(part, n_races):
    for seed in range(part, n_races(2 * PARTS, 1000), PARTS):
        scripts, uses_queues = race_kit.race_free(seed)
        rng = random.Random(seed)
        for mode in MODES:
            found = race_kit.run_scripts(scripts, uses_queues, rng, mode)
            assert not found.races, f"seed {seed}, {mode}: {found.races[0]}"


@pytest.mark.parametrize("part", range(PARTS))
def test_random_programs_that_may_race_agree_in_both_modes_or_name_it_in_both(part, n_races):
    for seed in range(part, n_races(4 * PARTS, 300), PARTS):
        scripts, uses_queues = race_kit.may_race(seed)
        rng = random.Random(seed)
        timed, data = (race_kit.run_scripts(scripts, uses_queues, rng, mode) for mode in MODES)
        agree = all(np.array_equal(a, b) for a, b in zip(timed.values, data.values, strict=True))
        assert agree or (timed.races and data.races), f"seed {seed}: {timed}, {data}"


@pytest.mark.parametrize("mode", MODES)
def test_no_bench_races_or_reads_what_nobody_wrote(small_bench, mode):
    params = small_bench.typed("fp32")
    result = kb.run(
        small_bench.bench, topology="tiny", params=params, mode=mode, races="error", uninitialised="error"
    )
    assert (result.check.ok, result.races, result.unwritten) == (True, (), ())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", sorted(load_algorithms()))
def test_no_collective_races(name, mode):
    n_ranks, n_elem = load_algorithms()[name].small
    n = n_in(name, n_elem, n_ranks)
    sources = [np.arange(n, dtype=np.float32) + rank for rank in range(n_ranks)]
    done = kb.testing.run_collective(
        name, sources, mode=mode, grid=sides(n_ranks), races="error", uninitialised="error"
    )
    assert done.report.races == ()


def test_the_programs_that_may_race_do_so_now_and_then():
    """Or the law above would say nothing."""
    named = [
        bool(race_kit.run_scripts(*race_kit.may_race(seed), random.Random(seed), "data").races)
        for seed in range(16)
    ]
    assert 2 < sum(named) < 14


@jit
def boxes(x_ptr, y_ptr, W: tl.constexpr):
    """Program (i, j) of 2 x 2 owns a tile of a matrix of width 16; tiles share ranges of addresses, and no byte."""
    p = tl.program_id(0)
    rows, columns = p // 2 * 8 + tl.arange(0, 8), p % 2 * 8 + tl.arange(0, 8)
    at = rows[:, None] * W + columns[None, :]
    tl.store(x_ptr + at, tl.load(x_ptr + at) + 1.0)


@jit
def ragged(x_ptr, y_ptr, W: tl.constexpr):
    """Program p owns the elements whose bits sum to p modulo 4."""
    at = tl.arange(0, 256)
    sums = (at & 1) + (at >> 1 & 1) + (at >> 2 & 1) + (at >> 3 & 1)
    mine = sums % 4 == tl.program_id(0)
    tl.store(x_ptr + at, tl.load(x_ptr + at, mask=mask_of(mine), other=0.0) + 1.0, mask=mine)


def mask_of(mask):
    return mask


@jit
def broadcasts(x_ptr, y_ptr, W: tl.constexpr):
    """All read one row, each stores a row of its own."""
    p = tl.program_id(0)
    row = tl.load(x_ptr + tl.arange(0, 16)[None, :] + tl.zeros((4, 1), tl.int32))
    tl.store(y_ptr + p * 64 + tl.arange(0, 4)[:, None] * 16 + tl.arange(0, 16)[None, :], row)


@jit
def equal_bits(x_ptr, y_ptr, W: tl.constexpr):
    """All store the same to the same."""
    tl.store(x_ptr + tl.arange(0, 16), tl.full((16,), 3.0, tl.float32))


@jit
def what_is_there(x_ptr, y_ptr, W: tl.constexpr):
    """One stores what others read, and what was there already."""
    at = tl.arange(0, 16)
    if tl.program_id(0) == 0:
        tl.store(x_ptr + at, at.to(tl.float32))
    else:
        tl.store(y_ptr + tl.program_id(0) * 16 + at, tl.load(x_ptr + at))


@jit
def says_that_it_polls(x_ptr, y_ptr, W: tl.constexpr):
    if tl.program_id(0) == 0:
        tl.store(x_ptr, 5.0)
    else:
        tl.load(x_ptr, volatile=True)


@jit
def bytes_of_one_element(x_ptr, y_ptr, W: tl.constexpr):
    """Each program owns a byte of each float."""
    at = x_ptr.to(tl.pointer_type(tl.int8)) + tl.arange(0, 16) * 4 + tl.program_id(0)
    tl.store(at, tl.full((16,), 1, tl.int8))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "kernel",
    [boxes, ragged, broadcasts, equal_bits, what_is_there, says_that_it_polls, bytes_of_one_element],
    ids=lambda kernel: kernel.__name__,
)
def test_is_no_race(kernel, mode):
    found = run(kernel, [np.arange(N, dtype=np.float32), np.zeros(N, np.float32)], mode=mode, W=16)
    assert found.races == []


@jit
def store_all(x_ptr, value):
    tl.store(x_ptr + tl.arange(0, 16), tl.full((16,), 1.0, tl.float32) * value)


@pytest.mark.parametrize("mode", MODES)
def test_launches_that_wait_for_each_other_and_addresses_used_again_are_no_race(mode):
    torch = Simulation.of("tiny", mode=mode, races="error").torch
    x = torch.zeros(16)
    for value in (1.0, 2.0):
        torch.launch(store_all, (1,), (x, value), place=[int(value)])
    assert x.tolist() == [2.0] * 16
    first = x.data_ptr()
    x.free()
    torch.synchronize()
    y = torch.empty(16)
    assert y.data_ptr() == first
    torch.launch(store_all, (1,), (y, 3.0), place=[3])
    torch.synchronize()


# -- planted races ------------------------------------------------------------------------------------------------


@jit
def adds_to_one_element(x_ptr, y_ptr):
    part = tl.sum(tl.load(x_ptr + tl.program_id(0) * 16 + tl.arange(0, 16)))
    tl.store(y_ptr, tl.load(y_ptr) + part)


@jit
def transposes_in_place(x_ptr, y_ptr):
    i, p = tl.arange(0, 4), tl.program_id(0)
    tl.store(x_ptr + i * 4 + p, tl.load(x_ptr + p * 4 + i))


@jit
def stores_over_each_other(x_ptr, y_ptr):
    tl.store(y_ptr + tl.arange(0, 8), tl.full((8,), 1.0, tl.float32) * (tl.program_id(0) + 1).to(tl.float32))


@jit
def reads_its_neighbours_edge(x_ptr, y_ptr):
    p, at = tl.program_id(0), tl.arange(0, 16)
    block = tl.load(x_ptr + p * 16 + at)
    edge = tl.load(x_ptr + (p * 16 + 16) % 64)
    tl.store(x_ptr + p * 16 + at, block + edge + 1.0)


@jit
def looks_for_a_flag(x_ptr, y_ptr):
    if tl.program_id(0) == 0:
        tl.store(y_ptr, 1.0)
    elif tl.load(y_ptr) == 1.0:
        tl.store(x_ptr + tl.program_id(0) * 16, 2.0)


@jit
def stores_behind_its_message(x_ptr, y_ptr):
    if tl.rank() == 0:
        tl.send("next", tl.zeros((1,), tl.float32))
        tl.store(y_ptr + tl.arange(0, 4), tl.full((4,), 7.0, tl.float32))
    elif tl.rank() == 1:
        tl.recv("prev", (1,), tl.float32)
        tl.load(y_ptr + tl.arange(0, 4))


@jit
def does_not_wait_for_what_it_receives(x_ptr, y_ptr):
    if tl.rank() == 0:
        tl.store(y_ptr + tl.arange(0, 4), tl.full((4,), 7.0, tl.float32))
        tl.send("next", tl.zeros((1,), tl.float32))
    elif tl.rank() == 1:
        future = tl.recv_async("prev", (1,), tl.float32)
        tl.load(y_ptr + tl.arange(0, 4))
        tl.wait(future)


@jit
def is_told_by_the_wrong_one(x_ptr, y_ptr):
    """Rank 2 hears from rank 1, which heard nothing from rank 0."""
    if tl.rank() == 0:
        tl.store(y_ptr, 7.0)
        tl.send("next", tl.zeros((1,), tl.float32))
    elif tl.rank() == 1:
        tl.send("next", tl.zeros((1,), tl.float32))
        tl.recv("prev", (1,), tl.float32)
    elif tl.rank() == 2:
        tl.recv("prev", (1,), tl.float32)
        tl.load(y_ptr)


@jit
def masks_one_lane_too_many(x_ptr, y_ptr):
    p, at = tl.program_id(0), tl.arange(0, 16)
    tl.store(y_ptr + p * 11 + at, at.to(tl.float32) + 1.0 + p.to(tl.float32), mask=at < 12)


@jit
def interleaves_with_a_wrong_stride(x_ptr, y_ptr):
    p, at = tl.program_id(0), tl.arange(0, 8)
    tl.store(y_ptr + p + at * 3, at.to(tl.float32) + 1.0 + p.to(tl.float32) * 8.0)


@jit
def scatters_by_a_table(x_ptr, y_ptr):
    """The table sends two programs to element 5."""
    p = tl.program_id(0)
    to = tl.load(x_ptr + p).to(tl.int32) % 3
    tl.store(y_ptr + to + 5, 1.0 + p.to(tl.float32))


@jit
def stores_bytes_of_what_others_load(x_ptr, y_ptr):
    p = tl.program_id(0)
    if p == 0:
        at = x_ptr.to(tl.pointer_type(tl.int8)) + 4 * 9 + 3
        tl.store(at, tl.full((), 99, tl.int8))
    else:
        tl.load(x_ptr + tl.arange(0, 16))


PLANTED = {
    adds_to_one_element: False,
    transposes_in_place: False,
    stores_over_each_other: False,
    reads_its_neighbours_edge: False,
    looks_for_a_flag: False,
    stores_behind_its_message: True,
    does_not_wait_for_what_it_receives: True,
    is_told_by_the_wrong_one: True,
    masks_one_lane_too_many: False,
    interleaves_with_a_wrong_stride: False,
    scatters_by_a_table: False,
    stores_bytes_of_what_others_load: False,
}
"""Kernels with a race each, and whether their programs are joined to a ring."""


@pytest.mark.parametrize("kernel", PLANTED, ids=lambda kernel: kernel.__name__)
def test_a_planted_race_is_found_wherever_its_programs_run(kernel, n_races):
    uses_queues = PLANTED[kernel]
    for seed in range(n_races(4, 100)):
        rng = random.Random(seed)
        place = rng.sample(range(4), 4) if uses_queues else [rng.randrange(4) for _ in range(4)]
        for mode in MODES:
            arrays = [np.arange(N, dtype=np.float32), np.zeros(N, np.float32)]
            found = run(kernel, arrays, mode=mode, place=place, tie_seed=seed, queues=uses_queues)
            assert found.races, f"seed {seed}, {mode}, on PEs {place}"


# -- what orders ----------------------------------------------------------------------------------------------------


@jit
def hands_on(x_ptr, y_ptr, HOW: tl.constexpr):
    """Each rank changes what the one before it changed, when it hears that it may."""
    if tl.rank() > 0:
        race_kit.take(HOW)
    tl.store(y_ptr + tl.arange(0, 8), tl.load(y_ptr + tl.arange(0, 8)) + 1.0)
    if tl.rank() < 3:
        tl.send("next", tl.zeros((1,), tl.float32))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("how", ["recv", "wait", "test"])
def test_a_message_that_is_taken_orders_what_is_before_it_and_behind_it(mode, how):
    found = run(hands_on, [np.zeros(N, np.float32)] * 2, mode=mode, queues=True, HOW=how)
    assert found.races == []
    assert found.values[1][:8].tolist() == [4.0] * 8


@jit
def write_by_table(table_ptr, n):
    wait = tl.load(table_ptr)
    for _ in range(n):
        wait = wait + 0
    tl.store(tl.load(table_ptr).to(tl.pointer_type(tl.float32)), 5.0 + wait.to(tl.float32) * 0.0)


@jit
def read_one(x_ptr, out_ptr):
    tl.store(out_ptr, tl.load(x_ptr))


@pytest.mark.parametrize("mode", MODES)
def test_streams_that_meet_through_a_table_of_pointers_race(mode):
    torch = Simulation.of("tiny", mode=mode, races="error").torch
    x, out = torch.full((1,), 1.0, name="x"), torch.zeros(1)
    table = torch.tensor([x.data_ptr()])
    torch.launch(write_by_table, (1,), (table, 20), place=[0], stream="a")
    torch.launch(read_one, (1,), (x, out), place=[2], stream="b")
    with pytest.raises(
        RaceError, match=r"race on 'x' fp32\[1\], element \[0\]: .*'write_by_table'.*'read_one'|"
    ):
        torch.synchronize()


# -- how it is told ---------------------------------------------------------------------------------------------------


@jit
def two_lines(x_ptr):
    if tl.program_id(0) == 0:
        tl.store(x_ptr + tl.arange(0, 4), tl.full((4,), 1.0, tl.float32))
    else:
        tl.load(x_ptr + 2 + tl.arange(0, 4))


LINE = two_lines.fn.__code__.co_firstlineno
TEXT = (
    f"race on 'x' fp32[2, 4], 2 elements from [0, 2] to [0, 3]: test_races.py:{LINE + 3} (tl.store) by program "
    f"(0, 0, 0) of 'two_lines' on sip0.cube0.pe0, and test_races.py:{LINE + 5} (tl.load) by program (1, 0, 0) of "
    "'two_lines' on sip0.cube0.pe1; nothing orders them: give each program elements of its own, let the first send and "
    "the second receive, or use two launches"
)


def launch_two_lines(mode="data", place=(0, 1), races=None, **options):
    simulation = Simulation.of("tiny", mode=mode, **options)
    torch = simulation.torch
    x = torch.zeros(2, 4, name="x")
    torch.launch(two_lines, (2,), (x,), place=list(place), races=races)
    return simulation


def test_a_race_is_warned_of_in_one_line_once_for_each_tensor_and_pair_of_lines():
    simulation = launch_two_lines()
    with pytest.warns(RaceWarning) as caught:
        simulation.torch.synchronize()
    (warning,) = caught
    assert str(warning.message) == TEXT
    assert (warning.filename, warning.lineno) == ("test_races.py", LINE + 5)
    simulation.torch.launch(two_lines, (2,), (simulation.torch.zeros(2, 4, name="x"),), place=[0, 1])
    simulation.torch.synchronize()
    (race,) = simulation.report().races
    assert as_json(race) == {
        "tensor": "x",
        "shape": [2, 4],
        "dtype": "fp32",
        "elements": 2,
        "first_element": 2,
        "last_element": 3,
        "first": {
            "verb": "tl.store",
            "file": "test_races.py",
            "line": LINE + 3,
            "kernel": "two_lines",
            "program": [0, 0, 0],
            "pe": "sip0.cube0.pe0",
            "time_ps": 0,
        },
        "second": {
            "verb": "tl.load",
            "file": "test_races.py",
            "line": LINE + 5,
            "kernel": "two_lines",
            "program": [1, 0, 0],
            "pe": "sip0.cube0.pe1",
            "time_ps": 0,
        },
        "pairs": 2,
    }


def test_that_two_programs_ran_in_turn_on_one_pe_is_said_to_be_no_order():
    simulation = launch_two_lines(place=(0, 0))
    with pytest.warns(RaceWarning, match="; that both ran on one PE is no order: give each program"):
        simulation.torch.synchronize()


@pytest.mark.parametrize("mode", MODES)
def test_a_race_is_an_error_where_races_are(mode):
    for simulation in (launch_two_lines(mode, races="error"), launch_two_lines(mode, races="error")):
        with pytest.raises(RaceError, match=r"\Atest_races.py:\d+: race on 'x' fp32\[2, 4\], 2 elements"):
            simulation.torch.synchronize()


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_said_where_races_are_off_and_nothing_in_mode_timing(mode):
    launch_two_lines(mode, races="off").torch.synchronize()
    Simulation.of("tiny", races="off").report()
    simulation = launch_two_lines("timing", races="error")
    simulation.torch.synchronize()
    assert simulation.report().races == ()


def test_a_launch_may_look_for_races_where_the_simulation_does_not():
    simulation = Simulation.of("tiny", mode="data", races="off", uninitialised="ignore")
    torch = simulation.torch
    torch.launch(two_lines, (2,), (torch.zeros(2, 4, name="x"),), place=[0, 1], races="error")
    with pytest.raises(RaceError):
        torch.synchronize()


def test_an_unknown_setting_is_refused():
    with pytest.raises(UsageError, match=r"races='warm' is unknown; did you mean 'warn'\?"):
        Simulation.of("tiny", races="warm")
    with pytest.raises(UsageError, match=r"uninitialised='off' is unknown; \(known: error, ignore, warn\)"):
        Simulation.of("tiny", uninitialised="off")
    torch = Simulation.of("tiny").torch
    with pytest.raises(UsageError, match="races='no' is unknown"):
        torch.launch(store_all, (1,), (torch.zeros(16), 1.0), races="no")


def test_a_run_that_fails_tells_of_the_race_too():
    @jit
    def faults(x_ptr):
        two_lines.fn(x_ptr)
        if tl.program_id(0) == 2:
            tl.load(x_ptr + 1000)

    torch = Simulation.of("tiny", mode="data").torch
    x = torch.zeros(2, 4, name="x")
    with pytest.warns(RaceWarning), pytest.raises(PageFaultError, match="outside of tensor 'x'"):
        torch.launch(faults, (3,), (x,), place=[0, 1, 2])


# -- what it costs --------------------------------------------------------------------------------------------


def test_the_op_log_does_not_know_whether_anybody_watches():
    arrays = [np.arange(N, dtype=np.float32), np.zeros(N, np.float32)]
    logs = {
        run(adds_to_one_element, arrays, mode="timed", races=races).report.oplog_sha256
        for races in ("warn", "off")
    }
    assert len(logs) == 1
