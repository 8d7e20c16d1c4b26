"""What a program measures by name is told apart from all else, round by round; a loop over it keeps its tensors."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import kernbench as kb
from kernbench import tl
from kernbench.bench import Bench
from kernbench.errors import DTypeError, KernelError, UsageError

HERE = Path(__file__).name
N = 4096
COPIES = {"host to device", "device to host", "map", "unmap"}


@kb.jit
def double_kernel(x, y, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + at, tl.load(x + at) * 2)


@kb.jit
def failing_kernel(x):
    raise ValueError("no")


def double(x, y):
    double_kernel[(8,)](x, y, x.numel() // 8)


def tensors(torch):
    return torch.ones(N, name="x"), torch.empty(N, name="y")


def outcome(y, flops=N):
    return kb.Outcome(
        outputs=(y,),
        expected=lambda: (kb.Expected(values=np.full(N, 2.0), tolerance=0),),
        reference="two",
        flops=flops,
    )


def in_a_loop(torch):
    x, y = tensors(torch)
    for _ in torch.measure("decode"):
        double(x, y)
    return outcome(y)


def in_a_block(torch):
    x, y = tensors(torch)
    with torch.measure("decode"):
        double(x, y)
    return outcome(y)


def not_at_all(torch):
    x, y = tensors(torch)
    double(x, y)
    return outcome(y)


def two_of_them(torch):
    x, y = tensors(torch)
    with torch.measure("prefill", flops=7):
        double(x, y)
        double(x, y)
    y.free()
    z = torch.empty(N, name="z")
    for _ in torch.measure("decode"):
        double(x, z)
    return outcome(z)


def ran(host, **options):
    return kb.run(Bench(name="mine", run=host), topology="tiny", **options)


@pytest.mark.parametrize("host", [in_a_loop, in_a_block])
def test_what_is_measured_is_apart_from_copies_and_maps(host):
    """The launch takes as long as without a measure, and all else is told as well."""
    plain, found = ran(not_at_all), ran(host)
    assert found.check.ok
    assert found.kernel_time_ps == plain.kernel_time_ps
    assert found.device_breakdown.keys() == {"launch", "kernel", "completion"}
    assert found.apart.device_breakdown.keys() == COPIES
    assert found.device_time_ps + found.apart.device_time_ps == plain.device_time_ps
    assert [launch.kernel for launch in found.launches] == ["double_kernel"]
    assert (plain.measures, plain.apart, found.iterations) == ((), None, 1)
    (measure,) = found.measures
    assert (measure.name, measure.is_warm, measure.first) == ("decode", False, measure.last)


def test_every_picosecond_is_in_one_part_of_the_run():
    found = ran(two_of_them, iters=3)
    simulation = kb.simulate("tiny")
    simulation.device.measures.iters = 3
    two_of_them(simulation.torch).outputs[0].numpy()
    whole = simulation.report()
    rounds = [one for measure in found.measures for one in measure.rounds]
    assert sum(one.device_time_ps for one in rounds) + found.apart.device_time_ps == whole.device_time_ps
    assert sum(one.kernel_time_ps for one in rounds) == whole.kernel_time_ps
    assert sum(found.apart.device_breakdown.values()) == found.apart.device_time_ps
    ends = [one.opened_ps + one.device_time_ps for one in rounds]
    assert all(end <= later.opened_ps for end, later in zip(ends, rounds[1:]))


def test_rounds_have_the_same_tensors_so_that_tlbs_are_cold_in_the_first_alone():
    (measure,) = ran(in_a_loop, iters=4).measures
    assert len(measure.rounds) == 4
    assert measure.first.translations.misses > measure.last.translations.misses == 0
    cold, *warm = [one.kernel_time_ps for one in measure.rounds]
    assert warm == [measure.last.kernel_time_ps] * 3
    assert cold == measure.first.kernel_time_ps > warm[0]
    assert measure.last.opened_ps == measure.rounds[-1].opened_ps


def test_without_a_loop_all_of_the_bench_is_repeated():
    found = ran(in_a_block, iters=3)
    (measure,) = found.measures
    assert (found.iterations, len(measure.rounds)) == (3, 1)
    assert measure.last.translations.misses > 0  # its tensors are new ones
    assert "iteration      the last of 3, each with tensors of its own\n" in str(found)


def test_iters_of_its_own_go_before_those_of_the_command_line():
    def host(torch):
        x, y = tensors(torch)
        assert list(torch.measure("decode", iters=2)) == [0, 1]
        for _ in torch.measure("decode"):
            double(x, y)
        return outcome(y)

    (measure,) = ran(host, iters=3).measures
    assert [one.kernel_time_ps > 0 for one in measure.rounds] == [False, False, True, True, True]


def test_several_measures_add_up_to_the_run():
    found = ran(two_of_them, iters=2)
    prefill, decode = found.measures
    assert (prefill.name, len(prefill.rounds), decode.name, len(decode.rounds)) == ("prefill", 1, "decode", 2)
    parts = (prefill.last, decode.last)
    for name in ("device_time_ps", "kernel_time_ps", "host_time_ps", "events", "chunk_hops"):
        assert getattr(found, name) == sum(getattr(part, name) for part in parts)
    assert found.launches == (*prefill.last.launches, *decode.last.launches)
    assert sum(found.breakdown.values()) == found.kernel_time_ps
    assert sum(found.device_breakdown.values()) == found.device_time_ps
    assert found.bytes == {level: sum(part.bytes[level] for part in parts) for level in found.bytes}
    assert found.translations == prefill.last.translations + decode.last.translations
    for unit in found.units:
        assert unit.window_ps == found.device_time_ps
        assert unit.busy_ps == sum(u.busy_ps for part in parts for u in part.units if u.node == unit.node)
    assert (prefill.last.flops, decode.last.flops, found.flops) == (7, 0, 7)


def test_one_measure_without_a_count_has_that_of_the_outcome():
    def host(torch, own):
        x, y = (torch.ones(64, 64, dtype="fp16", name=name) for name in "xy")
        with torch.measure("step", **own):
            double_kernel[(4,)](x, y, 1024)
        return kb.Outcome(outputs=(), expected=tuple, reference="", flops=100, gemm="fp16")

    simulation = kb.simulate("tiny")
    outcome = host(simulation.torch, {})
    (measure,) = simulation.measures(flops=outcome.flops, gemm=outcome.gemm)
    assert (measure.last.flops, measure.first.flops) == (100, 100)
    assert measure.last.bound.time_ps == measure.last.kernel_time_ps
    other = kb.simulate("tiny")
    host(other.torch, {"flops": 9, "gemm": "fp16"})
    (own,) = other.measures(flops=100, gemm="fp16")
    assert own.last.flops == 9
    assert own.last.bound.floors_ps | {"compute": 0} == measure.last.bound.floors_ps | {"compute": 0}
    assert own.last.bound.floors_ps["compute"] < measure.last.bound.floors_ps["compute"]


def test_a_name_that_is_measured_again_has_one_round_more():
    torch = kb.simulate("tiny").torch
    x, y = tensors(torch)
    for _ in range(3):
        with torch.measure("layer"):
            double(x, y)
    (measure,) = torch.ahbm.measures.found(0, None)
    assert len(measure.rounds) == 3


def test_values_are_the_same_in_mode_data_where_no_time_passes():
    found = ran(two_of_them, iters=3, mode="data")
    assert found.check.ok
    assert [len(measure.rounds) for measure in found.measures] == [1, 3]
    assert "time      none is simulated in mode data" in str(found)
    assert "Measure" not in str(found)


def test_a_round_drops_what_the_op_log_held_before_unless_a_trace_is_asked_for(tmp_path):
    def rows_after(n_rounds, *, keeps_rows):
        simulation = kb.simulate("tiny")
        simulation.keeps_rows = keeps_rows
        x, y = tensors(simulation.torch)
        for _ in simulation.torch.measure("decode", iters=n_rounds):
            double(x, y)
        return len(simulation.machine.log.table())

    assert rows_after(2, keeps_rows=False) == rows_after(9, keeps_rows=False) == 0  # of what is apart
    assert rows_after(2, keeps_rows=True) < rows_after(9, keeps_rows=True)


def test_the_trace_shows_the_rounds(tmp_path):
    found = ran(two_of_them, iters=2, trace=tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    rounds = {event["name"]: event for event in events if "round" in event.get("name", "")}
    assert list(rounds) == ["prefill, round 1", "decode, round 1", "decode, round 2"]
    last = found.measures[1].rounds[-1]
    assert rounds["decode, round 2"]["ts"] == last.opened_ps / 1e6
    assert rounds["decode, round 2"]["dur"] == last.device_time_ps / 1e6
    assert any(event.get("name") == "host_write" for event in events)  # what is apart, too


def test_the_json_has_each_measure_and_what_is_apart():
    found = ran(two_of_them, iters=2)
    document = json.loads(json.dumps(found.to_json()))
    prefill, decode = document["measures"]
    assert (prefill["name"], len(prefill["rounds"]), len(decode["rounds"])) == ("prefill", 1, 2)
    assert decode["rounds"][1]["kernel_time_ps"] == decode["last"]["kernel_time_ps"]
    assert decode["rounds"][0]["device_time_ps"] == decode["first"]["device_time_ps"]
    assert document["device_time_ps"] == prefill["last"]["device_time_ps"] + decode["last"]["device_time_ps"]
    assert document["apart"]["device_breakdown"] == found.apart.device_breakdown
    assert document["iterations"] == 1


def test_the_page_has_a_section_for_each_of_several_measures():
    lines = str(ran(two_of_them, iters=3)).splitlines()
    assert lines[2] == "measured       prefill (one round), decode (round 3 of 3, warm)"
    heads = [line for line in lines if line.startswith("Measure ")]
    assert heads == ["Measure 'prefill', one round", "Measure 'decode', round 3 of 3, warm"]
    (cold,) = (line for line in lines if line.startswith("cold "))
    assert re.fullmatch(r"cold           kernel time [\d.]+ ns, device time [\d.]+ us in round 1", cold)
    assert sum(line.startswith("Launches; ") for line in lines) == 2


# -- what cannot be measured --------------------------------------------------------------------------------------


def line_of(host, text):
    code = host.__code__
    lines = Path(__file__).read_text().splitlines()
    return next(n for n in range(code.co_firstlineno, len(lines)) if text in lines[n - 1])


def nested(torch):
    with torch.measure("outer"), torch.measure("inner"):
        pass


def left_by_break(torch):
    for _ in torch.measure("decode"):
        break
    return outcome(torch.zeros(N))


def left_by_return(torch):
    for _ in torch.measure("decode"):
        return outcome(torch.zeros(N))
    raise AssertionError


def left_by_an_error(torch):
    try:
        with torch.measure("decode"):
            raise ValueError
    except ValueError:
        return outcome(torch.zeros(N))


def test_measures_do_not_overlap():
    at = line_of(nested, "outer")
    with pytest.raises(
        UsageError,
        match=rf"\A{HERE}:{at}: measure 'inner' begins within measure 'outer' \({HERE}:{at}\); end that first\Z",
    ):
        ran(nested)


@pytest.mark.parametrize("host", [left_by_break, left_by_return, left_by_an_error])
def test_a_round_that_does_not_come_to_its_end_is_an_error_of_the_bench(host):
    at = line_of(host, "torch.measure")
    with pytest.raises(
        UsageError,
        match=rf"\A{HERE}:{at}: measure 'decode' did not come to its end; let its block or loop run through, without "
        r"break or return\Z",
    ):
        ran(host)


def test_a_kernel_that_fails_in_a_round_is_what_is_raised():
    def host(torch):
        x = torch.zeros(4)
        for _ in torch.measure("decode"):
            failing_kernel[(1,)](x)

    with pytest.raises(KernelError, match="ValueError: no"):
        ran(host)


def test_in_a_session_of_ones_own_the_next_measure_goes_on_after_an_error():
    simulation = kb.simulate("tiny")
    torch = simulation.torch
    left_by_an_error(torch)
    x, y = tensors(torch)
    with torch.measure("next"):
        double(x, y)
    simulation.begin_window()
    with torch.measure("after"):
        double(x, y)
    assert [measure.name for measure in simulation.measures()] == ["after"]


def test_a_worker_measures_nothing():
    def worker(rank, torch):
        with torch.measure("step"):
            pass

    torch = kb.simulate("tiny").torch
    error = (
        "torch.measure('step'): a worker has no time of its own to measure; measure torch.multiprocessing.spawn(...) "
        "on the host"
    )
    with pytest.raises(UsageError, match=re.escape(error)):
        torch.multiprocessing.spawn(worker, args=(torch,), nprocs=2)
    with torch.measure("all"):
        torch.multiprocessing.spawn(lambda rank: None, nprocs=2)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"name": ""}, "torch.measure(''): give it a name, as in torch.measure('decode')"),
        ({"name": 3}, "torch.measure(3): give it a name, as in torch.measure('decode')"),
        ({"iters": 0}, "torch.measure('x'): iters=0; give a whole number, 1 or more"),
        ({"iters": True}, "torch.measure('x'): iters=True; give a whole number, 1 or more"),
        ({"flops": -1}, "torch.measure('x'): flops=-1; give a whole number, 0 or more"),
    ],
)
def test_what_names_nothing_is_refused(given, error):
    with pytest.raises(UsageError, match=rf"\A{re.escape(error)}\Z"):
        kb.simulate("tiny").torch.measure(**{"name": "x"} | given)


def test_a_dtype_that_the_array_cannot_multiply_is_refused_at_the_measure():
    with pytest.raises(DTypeError, match=rf"\A{HERE}:\d+: PE_GEMM cannot multiply fp64: "):
        kb.simulate("tiny").torch.measure("x", gemm="fp64")


def test_without_an_op_log_nothing_is_measured():
    torch = kb.simulate("tiny", keep_log=False).torch
    with pytest.raises(UsageError, match="the op log was not kept; make the simulation with keep_log=True"):
        torch.measure("x").__enter__()
