"""A run ends when its time is over, with the map of what it was doing; and it shows that it lives until then."""

import re
import time
from contextlib import suppress
from itertools import count
from weakref import WeakSet

import pytest

import kernbench as kb
from kernbench import tl
from kernbench.cli.console import sign_of_life
from kernbench.cli.main import execute
from kernbench.errors import LimitError, UsageError
from kernbench.limits import duration_ps

BENCH = """
import kernbench as kb
from kernbench import tl


@kb.jit
def spin(x_ptr):
    n = 0
    while tl.load(x_ptr + tl.program_id(0)) == 0:
        n += 1


@kb.jit
def compute(x_ptr):
    while True:
        pass


@kb.bench("forever")
def run(torch, what: str = "spin"):
    x = torch.zeros(4)
    while what == "host":
        pass
    (spin if what == "spin" else compute)[(2,)](x)
    x.numpy()
"""


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "forever.py").write_text(BENCH)
    return "forever.py"


@pytest.fixture(autouse=True)
def no_other_machines(monkeypatch):
    """A map tells of every machine that lives, also of those that earlier tests left."""
    monkeypatch.setattr("kernbench.limits.machines", WeakSet())


@pytest.mark.parametrize(
    ("text", "ps"),
    [("10ms", 10**10), ("1.5 us", 1_500_000), (" 3ns ", 3000), ("60s", 60 * 10**12), ("0.001ns", 1)],
)
def test_a_duration_has_a_number_and_a_unit(text, ps):
    assert duration_ps(text) == ps


@pytest.mark.parametrize(
    "text", ["", "10", "ms", "10 m", "-1s", "1e3s", "1.s", ".5s", "1,5ms", "10 MS", "nan s", "٣s"]
)
def test_what_is_none_is_refused(text):
    with pytest.raises(UsageError) as raised:
        duration_ps(text)
    assert str(raised.value) == f"{text!r} is no duration; write a number and ns, us, ms or s, as in 10ms"


@pytest.mark.parametrize("text", ["0s", "0.0001ns"])
def test_no_time_is_refused(text):
    with pytest.raises(UsageError) as raised:
        duration_ps(text)
    assert str(raised.value) == f"{text!r} is no time at all; give more, as in 10ms"


@pytest.mark.parametrize("option", ["--max-time", "--max-cpu"])
def test_the_command_line_names_the_option(bench, option, capsys):
    assert execute(["run", bench, option, "3"]) == 2
    assert capsys.readouterr().err == (
        f"kernbench: {option}: '3' is no duration; write a number and ns, us, ms or s, as in 10ms\n"
    )


def test_simulated_time_ends_at_its_limit_with_a_map(bench, capsys):
    assert execute(["run", bench, "--topology", "tiny", "--max-time", "10us"]) == 3
    head, *lines = capsys.readouterr().err.rstrip().split("\n  ")
    assert head.endswith("stopped after 10.000 us of simulated time, and this was under way:")
    assert lines[:2] == [
        "sip0.cube0.pe0.pe_cpu  program (0, 0, 0) is at forever.py:9",
        "sip0.cube0.pe2.pe_cpu  program (1, 0, 0) is at forever.py:9",
    ]


def test_a_run_from_python_ends_as_one_of_the_command_line_does(bench):
    with pytest.raises(
        LimitError, match=r"stopped after 10.000 us of simulated time, .*\n  sip0.cube0.pe0.pe_cpu "
    ):
        kb.run(bench, topology="tiny", max_time="10us")
    with pytest.raises(
        LimitError, match=r"stopped after 200ms of CPU time, and this was under way:\n  no kernel"
    ):
        kb.run(bench, topology="tiny", what="host", max_cpu="200ms")


@pytest.mark.parametrize(("outer", "inner"), [("100ms", "60s"), ("150ms", "10ms")])
def test_the_narrower_of_two_limits_holds(outer, inner):
    """And the wider one again when that has ended."""

    def both() -> None:
        with kb.limited(max_cpu=outer):
            with suppress(LimitError if inner == "10ms" else ()), kb.limited(max_cpu=inner):
                for _ in count():
                    pass
            for _ in count():
                pass

    with pytest.raises(LimitError, match=f"after {outer} of CPU time"):
        both()
    with kb.limited(max_time="10us"), kb.limited(max_time="1ms"):
        assert kb.simulate("tiny").machine.engine.limit_ps == 10**7


def test_a_simulation_has_a_limit_of_its_own():
    """Whatever else is simulated in the same program."""

    @kb.jit
    def spin(x_ptr):
        while tl.load(x_ptr) == 0:
            pass

    free, bounded = kb.simulate("tiny"), kb.simulate("tiny", max_time="10us")
    for simulation in (free, bounded):
        x = simulation.torch.zeros(1 << 14)
        x.numpy()
        assert simulation.machine.now_ps > 2 * 10**6
    spin[(1,)](x)
    with pytest.raises(LimitError, match=r"stopped after 10.000 us of simulated time"):
        bounded.report()


@pytest.mark.parametrize("limit", ["max_time", "max_cpu"])
def test_a_limit_is_a_text_with_its_unit(limit):
    with pytest.raises(UsageError) as raised:
        kb.run("vector_add", topology="tiny", **{limit: 0.01})
    assert str(raised.value) == "0.01 is no duration; write a text with its unit, as in '10ms'"


@pytest.mark.parametrize(
    ("mode", "what", "lines"),
    [
        ("timed", "host", ["no kernel: the host's own code"]),
        ("data", "host", ["no kernel: the host's own code"]),
        (
            "timed",
            "compute",
            [
                "sip0.cube0.pe0.pe_cpu  program (0, 0, 0) is at forever.py:15",
                "sip0.cube0.pe2.pe_cpu  program (1, 0, 0) has not begun",
            ],
        ),
        (
            "data",
            "compute",
            [
                "sip0.cube0.pe0  program (0, 0, 0) is at forever.py:15",
                "sip0.cube0.pe2  program (1, 0, 0) has not begun",
            ],
        ),
        (
            "data",
            "spin",
            [
                "sip0.cube0.pe0  program (0, 0, 0) is at forever.py:9",
                "sip0.cube0.pe2  program (1, 0, 0) is at forever.py:9",
            ],
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a destructor's: raised again
def test_cpu_time_ends_wherever_it_is_spent(bench, mode, what, lines, capsys):
    args = ["run", bench, "--topology", "tiny", "--mode", mode, "-p", f"what={what}", "--max-cpu", "600ms"]
    assert execute(args) == 3
    err = re.sub(r"forever.py:(14|15)\b", "forever.py:15", capsys.readouterr().err)
    err = re.sub(r"forever.py:(8|9|10)\b", "forever.py:9", err)
    head, *found = err.rstrip().split("\n  ")
    assert head.endswith("stopped after 600ms of CPU time, and this was under way:")
    assert found == lines


def test_a_run_that_ends_in_time_is_as_without_limits():
    @kb.jit
    def kernel(x_ptr):
        tl.store(x_ptr, 1.0)

    logs = []
    for options in ({}, {"max_time": "1s", "max_cpu": "60s"}):
        with kb.limited(**options):
            simulation = kb.simulate("tiny")
            x = simulation.torch.zeros(1)
            kernel[(1,)](x)
            assert x.numpy() == 1
        logs.append(simulation.machine.log.sha256())
    assert logs[0] == logs[1]


def test_mode_data_has_no_simulated_time_to_limit(bench, capsys):
    @kb.jit
    def kernel(x_ptr):
        tl.store(x_ptr, 1.0)

    before = kb.simulate("tiny", mode="data").torch
    x = before.zeros(1)
    text = "max_time: mode 'data' has no simulated time; limit its CPU time with max_cpu, or use mode 'timed'"
    with kb.limited(max_time="10ms"):
        for call in (
            lambda: kb.simulate("tiny", mode="data"),
            lambda: kb.testing.run(kernel, (1,), [x.numpy()], mode="data"),
            lambda: kernel[(1,)](x),
            lambda: before.multiprocessing.spawn(lambda rank: kernel[(1,)](before.zeros(1)), nprocs=2),
        ):
            with pytest.raises(UsageError) as refused:
                call()
            assert str(refused.value) == text
    kernel[(1,)](x)
    assert execute(["run", bench, "--mode", "data", "--max-time", "10ms"]) == 2
    option = text.replace("max_", "--max-")
    assert capsys.readouterr().err == f"kernbench: {option}\n"


def test_a_machine_has_its_simulated_time_for_itself():
    @kb.jit
    def kernel(x_ptr):
        until_ps = tl.clock() + 5_000_000
        while tl.clock() < until_ps:
            tl.wait(tl.load(x_ptr))

    def launch(torch):
        kernel[(1,)](torch.zeros(1))
        torch.synchronize()

    with kb.limited(max_time="9us"):
        first, second = (kb.simulate("tiny", mode="timing").torch for _ in range(2))
        launch(first)
        launch(second)
        with pytest.raises(
            LimitError, match=r"^stopped after 9\.000 us of simulated time, and this was under way:"
        ):
            launch(first)
    launch(kb.simulate("tiny", mode="timing").torch)


def test_a_pipe_gets_a_line_now_and_then(monkeypatch, capsys):
    monkeypatch.setattr("kernbench.cli.console.LINE_EVERY_S", 0.05)
    with sign_of_life("loading gemm") as tell:
        tell("gemm: iteration 1 of 1")
        time.sleep(0.2)
    first, *_ = capsys.readouterr().err.splitlines()
    assert re.match(r"kernbench: gemm: iteration 1 of 1, 0 s\b", first)


def test_a_short_run_in_a_pipe_says_nothing(capsys):
    with sign_of_life("loading gemm"):
        pass
    assert capsys.readouterr().err == ""
