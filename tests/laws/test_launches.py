"""A launch is complete before anything is said of it, and each has its own row in what is said."""

import json
import re
import signal
import warnings
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kernbench as kb
from kernbench import tl
from kernbench.bench import Bench, Expected, Outcome, run
from kernbench.ccl import install_queues
from kernbench.device.placement import DPPolicy
from kernbench.ending import complete_all
from kernbench.errors import DeadlockError, KernelError, PageFaultError, UsageError
from kernbench.machine.kernel_runner import ProgramRun

N = 64


@kb.jit
def double(x_ptr, N: tl.constexpr):
    at = tl.program_id(0) * N + tl.arange(0, N)
    tl.store(x_ptr + at, 2 * tl.load(x_ptr + at))


@kb.jit
def fill(x_ptr, N: tl.constexpr):
    tl.store(x_ptr + tl.program_id(0) * N + tl.arange(0, N), tl.full((N,), 1.0, tl.float32))


@kb.jit
def fails(x_ptr):
    raise ValueError("of its own")


@kb.jit
def lost(x_ptr):
    tl.load(x_ptr + 10**6)


def launched(mode="timed", n_launches=1):
    simulation = kb.simulate("tiny", mode=mode)
    x = simulation.torch.zeros(4 * N)
    for _ in range(n_launches):
        double[(4,)](x, N=N)
    return simulation, x


# -- whether or not anything waits --------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["timed", "timing"])
def test_a_report_is_the_same_whether_or_not_anything_waited(mode):
    waited, _ = launched(mode)
    waited.torch.synchronize()
    asked, _ = launched(mode)
    assert asked.report().kernel_time_ps == waited.report().kernel_time_ps > 0
    assert asked.report() == asked.report()


def test_a_window_does_not_hold_what_was_launched_before_it():
    simulation, x = launched()
    simulation.begin_window()
    assert simulation.report().launches == ()
    double[(4,)](x, N=N)
    assert [launch.kernel for launch in simulation.report().launches] == ["double"]


@pytest.mark.parametrize("wait", ["report", "begin_window", "close"])
@pytest.mark.parametrize("mode", ["timed", "timing"])
def test_a_fault_is_seen_by_whatever_waits_first(mode, wait):
    simulation = kb.simulate("tiny", mode=mode)
    fails[(1,)](simulation.torch.zeros(4))
    with pytest.raises(KernelError, match=r"test_launches.py:\d+: .* ValueError: of its own"):
        getattr(simulation, wait)()


@pytest.mark.parametrize("wait", ["report", "write_trace"])
def test_a_report_and_a_trace_leave_the_times_of_what_follows_as_they_are(wait, tmp_path):
    """Neither waits for maps, nor lets memory return."""

    def run(between):
        simulation, x = launched()
        torch = simulation.torch
        del x
        y = torch.empty(4 * N)
        between(simulation)
        fill[(4,)](y, N=N)
        torch.synchronize()
        return simulation.machine.log.sha256()

    asks = {
        "report": lambda simulation: simulation.report(),
        "write_trace": lambda simulation: simulation.write_trace(tmp_path / "trace.json"),
    }
    assert run(asks[wait]) == run(lambda simulation: simulation.device.complete_launches())


# -- a row for each -----------------------------------------------------------------------------------------------

LAUNCHES = st.lists(st.tuples(st.integers(1, 6), st.sampled_from([None, "a", "b"])), min_size=1, max_size=5)


@settings(max_examples=8)
@given(LAUNCHES)
def test_the_rows_are_the_launches_in_their_order_and_add_up_to_the_sum(launches):
    simulation = kb.simulate("tiny")
    torch = simulation.torch
    xs = [torch.zeros(8, policy=DPPolicy(only=pe)) for pe in range(4)]
    for i, (programs, stream) in enumerate(launches):
        torch.launch(double, (programs,), (xs[i % 4],), {"N": 1}, place=[i % 4] * programs, stream=stream)
    report = simulation.report()
    rows = report.launches
    assert [(row.kernel, row.grid, row.pes) for row in rows] == [
        ("double", (programs, 1, 1), (i % 4,)) for i, (programs, _) in enumerate(launches)
    ]
    for row in rows:
        assert row.sent_ps < row.start_ps < row.end_ps < row.done_ps <= report.device_time_ps
        assert sum(row.breakdown.values()) == row.time_ps == row.end_ps - row.start_ps
    assert sum(row.time_ps for row in rows) == report.kernel_time_ps
    assert {cause: sum(row.breakdown.get(cause, 0) for row in rows) for cause in report.breakdown} == (
        report.breakdown
    )
    for row, after in zip(rows, rows[1:]):
        assert row.sent_ps <= after.sent_ps


def test_a_row_says_which_pes_ran_it_and_when_on_the_clock_that_a_kernel_reads():
    simulation = kb.simulate("tiny", say=(said := []).append)
    x = simulation.torch.zeros(2)

    @kb.jit
    def tell(x_ptr):
        tl.device_print("here")

    simulation.begin_window()
    simulation.torch.launch(tell, (2, 1), (x,), place=[1, 3])
    report = simulation.report()
    (row,) = report.launches
    assert (row.kernel, row.grid, row.pes) == ("tell", (2, 1, 1), (1, 3))
    assert [text.split(" ")[0] for text in said] == ["sip0.cube0.pe1", "sip0.cube0.pe3"]
    told = [round(1_000_000 * float(text.split(" ")[1])) for text in said]
    assert all(row.start_ps - 1000 < ps < row.end_ps + 1000 for ps in told)  # told in whole ns
    assert report.opened_ps < row.sent_ps


def test_mode_data_has_no_rows():
    simulation, _ = launched("data")
    assert simulation.report().launches == ()


def test_an_empty_grid_launches_nothing():
    simulation, x = launched()
    for grid in ((0,), (3, 0), (0, 1 << 30, 1 << 30), lambda meta: (0,)):
        double[grid](x, N=N)
        simulation.torch.launch(fails, (2, 0), (x,), place=[])
    assert len(simulation.report().launches) == 1


def test_the_arguments_of_an_empty_grid_are_checked_all_the_same():
    _, x = launched()
    x.free()
    with pytest.raises(UsageError, match="which was freed at"):
        double[(0,)](x, N=N)


def test_memory_is_flat_without_the_log(monkeypatch):
    simulation = kb.simulate("tiny", keep_log=False)
    x = simulation.torch.zeros(N)
    for _ in range(10):
        double[(1,)](x, N=N)
        simulation.device.complete_launches()
    assert (len(simulation.machine.spans), len(simulation.machine.launches)) == (0, 0)


# -- the trace ----------------------------------------------------------------------------------------------------


def traced(simulation, path):
    """The slices of the launches in the trace of ``simulation``, by thread."""
    simulation.write_trace(path)
    events = json.loads(path.read_text())["traceEvents"]
    host = next(e["pid"] for e in events if e["name"] == "process_name" and e["args"]["name"] == "host")
    threads = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name" and e["pid"] == host}
    of = {}
    for e in events:
        if e["ph"] == "X" and threads.get(e["tid"], "").startswith("launches"):
            of.setdefault(threads[e["tid"]], []).append(e)
    return of


def test_a_trace_shows_each_launch_with_its_row(tmp_path):
    simulation, _ = launched(n_launches=2)
    found = traced(simulation, tmp_path / "trace.json")
    rows = simulation.report().launches
    assert list(found) == ["launches 0"]
    assert [e["name"] for e in found["launches 0"]] == ["double", "double"]
    assert [(round(e["ts"] * 1e6), round(e["dur"] * 1e6)) for e in found["launches 0"]] == [
        (row.start_ps, row.time_ps) for row in rows
    ]
    assert [e["args"] for e in found["launches 0"]] == [
        {
            "grid": [4, 1, 1],
            "pes": "0-3",
            "sent_ps": row.sent_ps,
            "done_ps": row.done_ps,
            "causes_ps": row.breakdown,
        }
        for row in rows
    ]


def test_launches_that_overlap_have_a_thread_each(tmp_path):
    simulation = kb.simulate("tiny")
    torch = simulation.torch
    xs = [torch.zeros(4096, policy=DPPolicy(only=pe)) for pe in (0, 3)]
    for pe, x in zip((0, 3), xs):
        torch.launch(double, (1,), (x,), {"N": 4096}, place=[pe], stream=pe)
    assert list(traced(simulation, tmp_path / "trace.json")) == ["launches 0", "launches 1"]


def test_a_trace_of_a_run_that_stopped_ends_there_and_says_so(tmp_path):
    simulation, x = launched()
    lost[(1,)](x)
    with pytest.raises(PageFaultError):
        simulation.torch.synchronize()
    _, stopped = traced(simulation, tmp_path / "trace.json")["launches 0"]
    assert stopped["name"] == "lost"
    assert stopped["args"]["stopped"].startswith(
        "at 3.448 us in kernel 'lost' (PageFaultError: test_launches.py:"
    )
    assert round((stopped["ts"] + stopped["dur"]) * 1e6) == simulation.machine.now_ps


# -- a run that stopped -------------------------------------------------------------------------------------------

STOPPED = (
    r"^this simulation stopped at [\d.]+ [mun]s in kernel '{}'{} \({}.*\); "
    r"begin a new one, as in kb.simulate\('tiny'\)$"
)


def interrupted(x_ptr):
    signal.raise_signal(signal.SIGINT)


INTERRUPTED_AT = f" at test_launches.py:{interrupted.__code__.co_firstlineno + 1}"


def waits_for_ever(x_ptr):
    tl.recv("E", (1,), tl.float32)


@pytest.mark.parametrize("mode", ["timed", "timing"])
@pytest.mark.parametrize(
    ("kernel", "at", "kind"),
    [
        (lost, "", "PageFaultError"),
        (fails, "", "KernelError"),
        (interrupted, INTERRUPTED_AT, "KeyboardInterrupt"),
    ],
)
def test_a_report_after_a_run_that_stopped_says_so_and_where(mode, kernel, at, kind):
    simulation, x = launched(mode)
    simulation.report()
    simulation.torch.launch(kernel, (1,), (x,))
    with pytest.raises((PageFaultError, KernelError, KeyboardInterrupt)) as stop:
        simulation.torch.synchronize()
    assert type(stop.value).__name__ == kind
    for use in (simulation.report, simulation.begin_window):
        with pytest.raises(UsageError, match=STOPPED.format(kernel.__name__, at, kind)):
            use()


def test_a_report_after_a_deadlock_says_where():
    simulation = kb.simulate("tiny")
    install_queues(simulation.torch, ())
    simulation.torch.launch(waits_for_ever, (1,), (simulation.torch.zeros(4),))
    with pytest.raises(DeadlockError):
        simulation.report()
    with pytest.raises(UsageError, match=STOPPED.format("waits_for_ever", "", "DeadlockError")):
        simulation.report()


def test_mode_data_reports_no_window_in_which_a_launch_failed():
    simulation, x = launched("data")
    with pytest.raises(PageFaultError):
        lost[(1,)](x)
    with pytest.raises(UsageError) as error:
        simulation.report()
    assert str(error.value).startswith(
        "report(): a launch failed in kernel 'lost' (PageFaultError: test_launches.py:"
    )
    assert str(error.value).endswith(
        "), and what came before it says nothing about it; begin_window() measures from then on"
    )
    simulation.begin_window()
    simulation.report()
    with pytest.raises(KeyboardInterrupt):
        simulation.torch.launch(interrupted, (1,), (x,))
    with pytest.raises(UsageError) as error:
        simulation.report()
    assert str(error.value).startswith(
        f"report(): a launch failed in kernel 'interrupted'{INTERRUPTED_AT} (KeyboardInterrupt), and"
    )


def test_who_is_interrupted_outside_of_the_kernel_is_told_where_that_is(monkeypatch):
    def kernel(x_ptr):
        int(tl.load(x_ptr))

    class Interrupted(ProgramRun):
        def next_item(self):
            if self.kernel is not None:
                signal.raise_signal(signal.SIGINT)
            return super().next_item()

    monkeypatch.setattr("kernbench.machine.machine.ProgramRun", Interrupted)
    simulation = kb.simulate("tiny")
    simulation.torch.launch(kernel, (1,), (simulation.torch.zeros(4),))
    with pytest.raises(KeyboardInterrupt):
        simulation.torch.synchronize()
    at = f"test_launches.py:{kernel.__code__.co_firstlineno + 1}"
    assert simulation.machine.failure.endswith(f" in kernel 'kernel' at {at} (KeyboardInterrupt)")


# -- the end of the program ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["timed", "data"])
@pytest.mark.parametrize("use", [lambda x: lost[(1,)](x), lambda x: x.numpy()])
def test_a_fault_that_the_program_handled_is_none_of_its_end(use, mode, capsys):
    simulation = kb.simulate("tiny", mode=mode)
    x = simulation.torch.zeros(4)
    with suppress(PageFaultError):
        lost[(1,)](x)
        use(x)
    assert (complete_all(), capsys.readouterr().err) == (0, "")


def test_a_fault_that_nobody_saw_is_a_line_and_the_exit_code(capsys):
    lost[(1,)](kb.simulate("tiny").torch.zeros(4))
    assert complete_all() == 3
    assert re.match(
        r"kernbench: test_launches\.py:\d+: sip0.cube0.pe0 reads VA .*\n$", capsys.readouterr().err
    )


@pytest.mark.parametrize("mode", ["timed", "data"])
def test_a_race_is_a_line_and_the_exit_code_where_warnings_are_errors(mode, capsys):
    def kernel(x_ptr):
        tl.store(x_ptr, tl.program_id(0) + 1.0)

    torch = kb.simulate("tiny", mode=mode).torch
    torch.launch(kernel, (4,), (torch.zeros(4),))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert complete_all() == 3
    assert re.match(r"kernbench: race on 'tensor1' fp32\[4\], .*\n$", capsys.readouterr().err)


def test_a_fault_is_told_before_a_race_where_warnings_are_errors(capsys):
    def kernel(x_ptr):
        tl.store(x_ptr, tl.program_id(0) + 1.0)
        if tl.program_id(0) == 3:
            raise ValueError("of its own")

    torch = kb.simulate("tiny", mode="data").torch
    x = torch.zeros(4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(KernelError, match="of its own"):
            torch.launch(kernel, (4,), (x,))
    assert capsys.readouterr().err.startswith("kernbench: race on 'tensor1' fp32[4], element [0]: ")


# -- benches ------------------------------------------------------------------------------------------------------


def bench_of(measured):
    return Bench(name="of_a_test", run=measured)


def outcome(outputs=(), expected=lambda: ()):
    return Outcome(outputs=outputs, expected=expected, reference="numpy", flops=0)


def test_a_bench_is_judged_when_its_launches_are_complete():
    def measured(torch):
        x = torch.zeros(4 * N)
        double[(4,)](x, N=N)
        return outcome()

    one, three = (run(bench_of(measured), topology="tiny", iters=iters) for iters in (1, 3))
    assert one.kernel_time_ps == three.kernel_time_ps > 0
    assert len(three.launches) == 1
    assert three.opened_ps > 0 == one.opened_ps


def test_a_bench_whose_last_launch_fails_fails():
    def measured(torch):
        fails[(1,)](torch.zeros(4))
        return outcome()

    for mode in ("timed", "data", "timing"):
        with pytest.raises(KernelError, match="of its own"):
            run(bench_of(measured), topology="tiny", mode=mode)


ONES = Expected(values=np.ones(4), tolerance=0)


@pytest.mark.parametrize(
    ("shape", "expected", "why"),
    [
        (None, lambda: (), "the Outcome names no outputs"),
        (None, lambda: None, "the Outcome names no outputs"),
        ((4,), lambda: (), "the Outcome expects no values"),
        ((4,), lambda: None, "the Outcome expects no values"),
        ((0,), lambda: (Expected(values=np.ones(0), tolerance=0),), "its outputs have no elements"),
    ],
)
@pytest.mark.parametrize("mode", ["timed", "data"])
def test_nothing_is_ok_where_nothing_was_checked(shape, expected, why, mode):
    def measured(torch):
        return outcome(() if shape is None else (torch.ones(shape),), expected)

    result = run(bench_of(measured), topology="tiny", mode=mode)
    assert (result.check.ok, result.check.unchecked) == (None, why)
    found = result.to_json()
    assert (found["check"], found["unchecked"]) == (None, why)


def test_a_bench_says_itself_why_there_is_nothing_to_check():
    def measured(torch):
        return Outcome(
            outputs=(torch.ones(4),),
            expected=lambda: 1 / 0,
            reference="",
            flops=0,
            unchecked="no step was taken",
        )

    page = str(run(bench_of(measured), topology="tiny")).splitlines()
    assert page[-3:-1] == ["check: none (no step was taken)", "No kernel ran."]


def test_outputs_that_nobody_named_are_no_excuse():
    def measured(torch):
        return outcome((), lambda: (ONES,))

    with pytest.raises(UsageError, match=r"expected\(\) gives 1 for 0 outputs; give one Expected for each"):
        run(bench_of(measured), topology="tiny")


def test_one_output_with_elements_is_checked():
    def measured(torch):
        return outcome(
            (torch.ones(0), torch.ones(4)), lambda: (Expected(values=np.ones(0), tolerance=0), ONES)
        )

    result = run(bench_of(measured), topology="tiny")
    assert (result.check.ok, result.to_json()["unchecked"]) == (True, None)
