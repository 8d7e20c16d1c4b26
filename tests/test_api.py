"""``import kernbench as kb`` serves a notebook: simulations side by side, tensors that come and go, clear refusals."""

import functools
import gc
import html
import inspect
import json
import re
import subprocess
import sys

import numpy as np
import pytest

import kernbench as kb
from kernbench import tl
from kernbench.cli.main import execute
from kernbench.engine.reference.log import N_COLUMNS
from kernbench.errors import (
    CapacityError,
    ConfigError,
    DTypeError,
    KernBenchError,
    PageFaultError,
    ShapeError,
    UsageError,
)

MIB = 1 << 20


@kb.jit
def increment(x, N: tl.constexpr):
    at = tl.program_id(0) * N + tl.arange(0, N)
    tl.store(x + at, tl.load(x + at) + 1)


@kb.jit
def copy(x, y):
    tl.store(y, tl.load(x))


@kb.jit
def talk(x):
    tl.device_print("here")


@kb.jit
def lost(x):
    tl.load(x + 1_000_000)


@pytest.fixture
def torch():
    return kb.simulate("tiny").torch


# -- simulations --------------------------------------------------------------------------------------------------


def test_two_simulations_in_one_process_do_not_see_each_other():
    first, second = kb.simulate("tiny"), kb.simulate("tiny")
    x, y = first.torch.zeros(64, name="x"), second.torch.zeros(64, name="y")
    for tensor in (x, y):
        increment[(4,)](tensor, 16)
        tensor.context.synchronize()
    first.begin_window()
    second.begin_window()
    for tensor in (x, y, x):
        increment[(4,)](tensor, 16)
    assert (x.tolist(), y.tolist()) == ([3.0] * 64, [2.0] * 64)
    assert first.report().kernel_time_ps == 2 * second.report().kernel_time_ps > 0


@pytest.mark.parametrize(
    "launch", [lambda x, y: copy[(1,)](x, y), lambda x, y: x.context.launch(copy, (1,), (x, y))]
)
def test_a_tensor_of_another_simulation_is_refused_by_name(launch):
    x, y = kb.simulate("tiny").torch.zeros(4, name="x"), kb.simulate("tiny").torch.zeros(4, name="y")
    with pytest.raises(UsageError) as error:
        launch(x, y)
    line = error.traceback[0].lineno - 1
    assert str(error.value) == (
        f"kernel 'copy': argument 'y' is 'y', a tensor of another simulation, made at test_api.py:{line}; copy it by "
        "way of numpy()"
    )
    assert y.copy_(x.numpy()).tolist() == [0.0] * 4


@pytest.mark.parametrize("mode", ["timed", "timing"])
def test_a_simulation_that_failed_says_so_when_it_is_used_again(mode):
    torch = kb.simulate("tiny", mode=mode).torch
    x = torch.zeros(4, name="x")
    lost[(1,)](x)
    with pytest.raises(PageFaultError):
        torch.synchronize()
    for use in (torch.synchronize, x.fetch, lambda: increment[(1,)](x, 4)):
        with pytest.raises(UsageError) as error:
            use()
        assert str(error.value).startswith(
            "this simulation stopped at 1.879 us in kernel 'lost' (PageFaultError: test_api.py:"
        )
        assert str(error.value).endswith("); begin a new one, as in kb.simulate('tiny')")


def test_mode_data_goes_on_after_a_failure():
    torch = kb.simulate("tiny", mode="data").torch
    x = torch.zeros(4)
    with pytest.raises(PageFaultError):
        lost[(1,)](x)
    increment[(1,)](x, 4)
    assert x.tolist() == [1.0] * 4


def test_memory_is_flat_however_many_launches(monkeypatch):
    """Once all that is bounded is full: a block of the log, the times at which the places of each buffer are free."""
    monkeypatch.setattr("kernbench.engine.reference.log.BLOCK_BYTES", 512 * N_COLUMNS)
    ports = ("sip.io_die.pcie_ep", "sip.ucie")
    simulation = kb.simulate(
        "tiny", keep_log=False, overrides=[f"{port}.buffer_per_vc=4352" for port in ports]
    )
    torch = simulation.torch
    x = torch.zeros(64)

    def blocks_after(launches):
        for _ in range(launches):
            increment[(1,)](x, 64)
        torch.synchronize()
        simulation.machine.log.forget()  # of a block that is not full, however full it is
        gc.collect()
        return sys.getallocatedblocks()

    blocks_after(500)
    early, late = blocks_after(50), blocks_after(150)
    assert late - early < 100  # of 150 launches: less than a block for each
    assert x.tolist() == [700.0] * 64


def test_importing_costs_next_to_nothing():
    code = "import sys, kernbench; print([name for name in ('numpy', 'pydantic', 'greenlet') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError) as error:
        kb.simulat  # noqa: B018
    assert str(error.value) == "module 'kernbench' has no attribute 'simulat'"


# -- runs ---------------------------------------------------------------------------------------------------------


def test_run_gives_the_result_of_the_command_line():
    result = kb.run("vector_add", topology="tiny", params={"n": 100}, overrides="pe.clock_ghz=2")
    assert (result.check.ok, result.params) == (True, {"n": 100, "dtype": "fp32", "block": 32, "pes": 4})
    assert result.config_sha256 == kb.simulate("tiny", overrides=["pe.clock_ghz=2"]).config_sha256


def test_parameters_of_a_bench_are_keywords_of_run_or_in_params():
    by_keyword = kb.run("vector_add", topology="tiny", n=100)
    by_params = kb.run("vector_add", topology="tiny", params={"n": 100})
    assert by_keyword.params == by_params.params == {"n": 100, "dtype": "fp32", "block": 32, "pes": 4}
    assert by_keyword.oplog_sha256 == by_params.oplog_sha256


CPU_S = re.compile(r"[\d.]+ CPU s, \d+ MB")


def test_print_of_a_result_is_the_page_of_the_command_line(capsys):
    result = kb.run("vector_add", topology="tiny", n=64)
    assert execute(["run", "vector_add", "--topology", "tiny", "-p", "n=64"]) == 0
    assert CPU_S.sub("", f"{result}\n") == CPU_S.sub("", capsys.readouterr().out)


def test_print_of_a_report_is_the_page_without_a_verdict():
    simulation = kb.simulate("tiny")
    increment[(4,)](simulation.torch.zeros(64), 16)
    simulation.torch.synchronize()
    page = str(simulation.report()).splitlines()
    assert page[0] == "machine        tiny: 1 SIP x 1 cube x 4 PEs = 4 PEs"
    assert "Where the kernel time went, on the PE that ended last" in page
    assert page[-2].startswith("The kernel is limited by ")
    assert not any(line.startswith("check") for line in page)


def test_print_of_a_report_without_time_says_so():
    data, nothing = kb.simulate("tiny", mode="data").report(), kb.simulate("tiny").report()
    assert str(data).splitlines()[1] == "time     none is simulated in mode data"
    assert str(nothing).splitlines()[1] == "time     none has passed"


def test_the_repr_of_what_users_hold_is_one_short_line():
    simulation = kb.simulate("tiny", overrides={"pe.clock_ghz": 2})
    assert repr(simulation) == "<Simulation of tiny: 1 SIP x 1 cube x 4 PEs = 4 PEs, mode timed>"
    assert repr(simulation.report()) == "<RunResult of tiny: kernel time 0 ns, device time 0 ns>"
    assert repr(kb.simulate("tiny", mode="data").report()) == (
        "<RunResult of tiny: no time is simulated in mode data>"
    )
    result = kb.run("vector_add", topology="tiny", mode="data", n=64)
    assert repr(result) == "<RunResult of tiny: vector_add, no time is simulated in mode data, check ok>"


TAGGED = """
import numpy as np
from kernbench.bench import Expected, Outcome, bench

@bench("<script>alert(1)</script>")
def run(torch, name: str = "&amp; <b>"):
    return Outcome(outputs=(torch.zeros(4),), expected=lambda: (Expected(values=np.zeros(4), tolerance=0),),
                   reference="</pre>", flops=0)
"""


def test_a_notebook_shows_the_page_and_nothing_that_a_user_wrote_is_markup(tmp_path):
    (tmp_path / "tagged.py").write_text(TAGGED)
    result = kb.run(tmp_path / "tagged.py", topology="tiny")
    shown = result._repr_html_()
    assert re.fullmatch(r"<pre [^<]*>.*</pre>", shown, re.DOTALL)
    assert set(re.findall(r"</?(\w+)", shown)) == {"pre", "span"}
    assert "http" not in shown
    text = html.unescape(re.sub(r"<[^>]*>", "", shown))
    assert [line.rstrip() for line in text.splitlines()] == str(result).splitlines()


CLASH = """
import numpy as np
from kernbench.bench import Expected, Outcome, bench

@bench("clash")
def run(torch, mode: str = "add", bench: int = 0):
    return Outcome(outputs=(torch.zeros(4),), expected=lambda: (Expected(values=np.zeros(4), tolerance=0),),
                   reference=f"{mode} {bench}", flops=0)
"""


def test_a_parameter_that_is_named_as_an_option_goes_into_params(tmp_path):
    (tmp_path / "clash.py").write_text(CLASH)
    result = kb.run(tmp_path / "clash.py", topology="tiny", mode="data", params={"mode": "sub"}, bench=3)
    assert (result.mode, result.check.reference) == ("data", "sub 3")


def test_run_says_what_it_takes():
    signature = inspect.signature(kb.run)
    assert list(signature.parameters)[:4] == ["bench", "topology", "overrides", "params"]
    assert 'run("gemm"' in kb.run.__doc__


@pytest.mark.parametrize("overrides", [{"pe.clock_ghz": 2}, ["pe.clock_ghz=2"], "pe.clock_ghz=2"])
def test_overrides_are_a_dict_or_texts_wherever_they_are_taken(overrides):
    config_sha256 = kb.simulate("tiny", overrides=overrides).config_sha256
    assert config_sha256 == kb.simulate("tiny", overrides={"pe": {"clock_ghz": 2.0}}).config_sha256
    assert kb.run("vector_add", topology="tiny", overrides=overrides, n=64).config_sha256 == config_sha256
    slow, fast = (
        kb.testing.run(increment, (1,), [np.zeros(8)], overrides=given, N=8).kernel_time_ps
        for given in ((), overrides)
    )
    assert fast < slow
    (row,) = kb.run_probe(["pe-to-local"], [64], topology="tiny", overrides=overrides)
    assert row.error_ps == 0


def test_a_machine_of_run_ranks_may_be_changed_too():
    done = kb.testing.run_collective(
        "ring_allreduce", [np.ones(4, np.float32)] * 2, overrides={"cube.hbm.capacity": "64 MiB"}
    )
    assert done.args[0].tolist() == [2.0] * 4


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: kb.run("vector_add", nn=3),
            "run(): 'nn' is no option, and no parameter of bench 'vector_add'; did you mean 'n'? (known: ",
        ),
        (
            lambda: kb.run("vector_add", n=3, params={"n": 4}),
            "run(): parameter 'n' is in params and a keyword too; give it once",
        ),
        (
            lambda: kb.run("vector_add", params=[("n", 3)]),
            "params must be a dict of parameters of bench 'vector_add', not list",
        ),
        (lambda: kb.run(5), "5 is no bench; give a bench's name or the path of a Python file"),
        (lambda: kb.run("vector_add", iters="3"), "iters='3'; give a whole number, 1 or more"),
        (
            lambda: kb.simulate(None),
            "the topology is a preset's name or the path of a YAML file, as in kb.simulate('tiny'), not None",
        ),
        (
            lambda: kb.simulate(5),
            "the topology is a preset's name or the path of a YAML file, as in kb.simulate('tiny'), not int",
        ),
        (
            lambda: kb.simulate({"pe.clock_ghz": 2}),
            "the topology is a preset's name or the path of a YAML file, as in kb.simulate('tiny'), not dict; "
            "what is to be changed goes into overrides",
        ),
        (
            lambda: kb.simulate("tiny", mod="data"),
            "a simulation has no option 'mod'; did you mean 'mode'? (known: ",
        ),
        (lambda: kb.simulate("tiny", mode=5), "unknown mode 5; (known: data, timed, timing)"),
        (
            lambda: kb.simulate("tiny", overrides={"pe.clock_ghz": 0}),
            "overrides['pe.clock_ghz']: 0 GHz is not a whole number of MHz above zero",
        ),
        (
            lambda: kb.simulate("tiny", overrides={"cube.noc": {"link_bw": 0}}),
            "overrides['cube.noc']: cube.noc.link_bw: 0 is not a rate; it must be above 0 GB/s",
        ),
        (
            lambda: kb.simulate("tiny", overrides={"pe.clock_ghz": 3j}),
            "overrides['pe.clock_ghz']: complex is no value of a configuration; give a number, a text, a list or a "
            "dict",
        ),
        (
            lambda: kb.simulate("tiny", overrides={3: 3}),
            "overrides: 3 is no path of a configuration; write 'cube.hbm.channels'",
        ),
        (
            lambda: kb.simulate("tiny", overrides=3),
            "overrides: 3 is neither a dict, as in {'cube.hbm.channels': 8}, nor texts, as in ['cube.hbm.channels=8']",
        ),
    ],
)
def test_a_call_that_cannot_be_served_is_one_line(call, text):
    with pytest.raises(KernBenchError) as error:
        call()
    assert str(error.value).startswith(text)
    assert str(error.value) == text or text.endswith("(known: ")


def test_run_refuses_what_the_command_line_refuses():
    with pytest.raises(UsageError, match=r"^bench 'vector_add': parameter 'n' wants int, not 1.5$"):
        kb.run("vector_add", params={"n": 1.5})
    with pytest.raises(
        ConfigError, match=r"^--set pe.clock_ghz=0: 0 GHz is not a whole number of MHz above zero$"
    ):
        kb.run("vector_add", overrides="pe.clock_ghz=0")
    with pytest.raises(UsageError, match=r"^nowhere.py: no such file$"):
        kb.run("vector_add", plugins=("nowhere.py",))


BENCH = """
import numpy as np
from kernbench.bench import Expected, Outcome, bench
from beside import VALUE

@bench("mine")
def run(torch, n: int = 4):
    x = torch.full((n,), VALUE)
    return Outcome(outputs=(x,), expected=lambda: (Expected(values=np.full(n, VALUE), tolerance=0),),
                   reference="itself", flops=0)
"""


def test_a_file_may_be_run_twice_and_may_import_what_lies_beside_it(tmp_path):
    (tmp_path / "beside.py").write_text("VALUE = 2.5\n")
    (tmp_path / "mine.py").write_text(BENCH)
    for _ in range(2):
        assert kb.run(str(tmp_path / "mine.py"), topology="tiny").check.ok
    assert sorted(path.name for path in tmp_path.iterdir()) == ["beside.py", "mine.py"]  # and no bytecode


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((8, 2), np.float32)[:, 0],
        np.asfortranarray(np.zeros((2, 4), np.float32)),
        np.broadcast_to(np.float32(0), (8,)),
        np.zeros(8, np.float32)[::-1],
    ],
)
def test_an_array_of_any_layout_is_an_argument_and_stays_as_it_was(array):
    done = kb.testing.run(increment, (1,), [array], N=8)
    np.testing.assert_array_equal(done.args[0], np.ones(array.shape))
    assert not array.any()


def test_an_array_of_another_kind_is_refused():
    with pytest.raises(
        DTypeError, match=r"^no KernBench dtype for dtype\('complex128'\); known: fp64, fp32, "
    ):
        kb.testing.run(increment, (1,), [np.zeros(4, complex)], N=4)


# -- tensors ------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::kernbench.errors.UninitialisedWarning")
def test_memory_comes_back_when_a_tensor_is_not_referred_to_any_more(torch):
    for _ in range(20):  # 4 of 64 MiB each time
        x = torch.empty(MIB)
        increment[(4,)](x, 16)
    del x
    gc.collect()
    assert torch.empty(15 * MIB).shape == (15 * MIB,)


@pytest.mark.filterwarnings("ignore::kernbench.errors.UninitialisedWarning")
def test_memory_comes_back_at_the_end_of_with_even_after_an_error(torch):
    def fail():
        with torch.empty(14 * MIB, name="x") as x:
            tensors.append(x)
            increment[(4,)](x, 16)
            raise ZeroDivisionError

    tensors = []
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            fail()
    x = tensors[0]
    assert x.is_freed
    with pytest.raises(UsageError) as error:
        x.numpy()
    assert str(error.value) == (
        f"'x'[{14 * MIB}] was freed at the end of its with block at test_api.py:{fail.__code__.co_firstlineno + 1}; "
        "make a new tensor, or free it later"
    )


@pytest.mark.parametrize("mode", ["timed", "data"])
def test_a_kernel_reads_and_writes_the_bytes_of_a_view(mode):
    torch = kb.simulate("tiny", mode=mode).torch
    x = torch.arange(64, dtype="fp32", name="x")
    middle = x.narrow(0, 16, 32).view(4, 8)
    increment[(2,)](middle, 16)
    assert middle.tolist() == np.arange(17, 49).reshape(4, 8).tolist()
    increment[(1,)](x.view(8, 8).narrow(0, 3, 1), 8)
    assert x.tolist() == [*range(16), *range(17, 25), *range(26, 34), *range(33, 49), *range(48, 64)]


@pytest.mark.parametrize("mode", ["timed", "data"])
def test_a_kernel_that_leaves_its_view_faults_though_the_bytes_are_of_the_tensor(mode):
    torch = kb.simulate("tiny", mode=mode).torch
    x = torch.zeros(64, name="x")

    def run():
        increment[(1,)](x.narrow(0, 16, 12), 16)
        torch.synchronize()

    with pytest.raises(PageFaultError) as error:
        run()
    start = x.data_ptr() + 64
    assert str(error.value) == (
        f"test_api.py:{increment.fn.__code__.co_firstlineno + 3}: sip0.cube0.pe1 reads VA {start + 60:#x}, outside of "
        f"tensor 'x' fp32[12] at VA [{start:#x}, {start + 48:#x}); add a mask that keeps such lanes off"
    )


@pytest.mark.parametrize("mode", ["timed", "data"])
def test_a_kernel_on_a_view_runs_beside_its_bytes(mode):
    said = []
    x = kb.simulate("tiny", mode=mode, say=said.append).torch.zeros(64)  # 16 elements on each of 4 PEs
    increment[(2,)](x.narrow(0, 24, 16), 8)
    talk[(4,)](x.narrow(0, 16, 32))
    assert x.tolist() == [0.0] * 24 + [1.0] * 16 + [0.0] * 24
    assert sorted(line[: len("sip0.cube0.pe0")] for line in said) == [
        f"sip0.cube0.pe{pe}" for pe in (1, 1, 2, 2)
    ]


@pytest.mark.filterwarnings("ignore::kernbench.errors.UninitialisedWarning")
def test_memory_comes_back_when_the_last_view_is_gone(torch):
    for _ in range(20):  # 4 of 64 MiB each time
        view = torch.empty(MIB).view(1024, 1024).narrow(0, 0, 16)
        increment[(4,)](view, 16)
    del view
    gc.collect()
    assert torch.empty(15 * MIB).shape == (15 * MIB,)


# -- the end ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["timed", "data", "timing"])
def test_the_end_of_a_simulation_frees_its_tensors_and_reports_remain(mode):
    with kb.simulate("tiny", mode=mode) as simulation:
        line = sys._getframe().f_lineno - 1
        x = simulation.torch.zeros(64, name="x")
        increment[(4,)](x, 16)
    assert simulation.device.heap.virtual.blocks == {}
    assert (simulation.report().kernel_time_ps > 0) == (mode != "data")
    with pytest.raises(UsageError) as error:
        x.fetch()
    assert str(error.value) == (
        f"'x'[64] was freed with its context at test_api.py:{line}; make a new tensor, or free it later"
    )
    with pytest.raises(UsageError) as error:
        increment[(4,)](x, 16)
    assert str(error.value) == (
        f"this context is closed (at test_api.py:{line}); begin a new simulation, as in kb.simulate('tiny')"
    )
    simulation.close()


def test_a_kernel_that_fails_at_the_end_of_its_simulation_is_heard_of():
    def fail():
        with kb.simulate("tiny") as simulation, simulation.torch as torch:
            tensors.append(torch.zeros(4))
            lost[(1,)](tensors[0])

    tensors = []
    with pytest.raises(PageFaultError, match=r"^test_api.py:\d+: sip0.cube0.pe0 reads VA"):
        fail()
    assert tensors[0].is_freed


def test_an_error_in_the_block_of_a_simulation_comes_through():
    def fail(wait):
        with kb.simulate("tiny") as simulation, simulation.torch as torch:
            lost[(1,)](torch.zeros(4))
            if wait:
                torch.synchronize()
            raise ZeroDivisionError

    with pytest.raises(PageFaultError):
        fail(wait=True)
    with pytest.raises(ZeroDivisionError) as error:
        fail(wait=False)
    (note,) = error.value.__notes__
    assert re.match(
        r"and in what was launched: PageFaultError: test_api.py:\d+: sip0.cube0.pe0 reads VA", note
    )


def test_an_error_that_was_caught_in_the_block_of_a_simulation_is_over():
    with kb.simulate("tiny") as simulation:
        lost[(1,)](simulation.torch.zeros(4))
        with pytest.raises(PageFaultError):
            simulation.torch.synchronize()


def test_a_tensor_reads_as_an_array_everywhere(torch):
    x = torch.arange(12, dtype="fp32")
    np.testing.assert_array_equal(np.asarray(x), np.arange(12))
    assert [float(value) for value in x] == list(range(12))
    assert x[2:8:2].tolist() == [2, 4, 6]
    assert x[::-1].tolist() == list(range(11, -1, -1))
    assert (x[3], len(x), float(np.sum(x))) == (3, 12, 66)
    assert bool(torch.ones(1)) and not torch.zeros(())  # noqa: PT018


def test_a_comparison_that_would_mean_something_else_is_refused(torch):
    x, y = torch.zeros(4, name="x"), torch.zeros(4)
    assert x in [x, y]
    with pytest.raises(UsageError) as error:
        assert x == y
    assert str(error.value) == (
        "x == y: 'x'[4] is on the device, and the host computes nothing there; give a copy on the host, as in x.cpu(), "
        "or compute it in a kernel"
    )


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (
            lambda torch: torch.tensor([[1, 2], [3]]),
            ShapeError,
            "torch.tensor: the nested lists differ in length; give rows of one length",
        ),
        (
            lambda torch: torch.randint(5, 5, (3,)),
            UsageError,
            "torch.randint(5, 5): no integer is from 5 to 4",
        ),
        (
            lambda torch: torch.arange(1, 5, 0),
            UsageError,
            "step must be nonzero: torch.arange(1, 5, 0); give 1 or -1",
        ),
        (
            lambda torch: torch.randn(3, dtype="int8"),
            DTypeError,
            "randn: int8 is no float dtype; draw fp32 and convert",
        ),
        (lambda torch: torch.zeros(-1), ShapeError, "shape (-1,): every extent is an integer of 0 or more"),
        (lambda torch: torch.cdiv(4, 0), UsageError, "torch.cdiv(4, 0): a block holds 1 or more, not 0"),
    ],
)
def test_what_cannot_be_made_is_refused_in_our_words(torch, make, kind, text):
    with pytest.raises(kind) as error:
        make(torch)
    assert str(error.value) == text


def test_the_context_knows_what_it_has():
    torch = kb.simulate("tiny").torch
    assert hasattr(torch, "zeros")
    assert not hasattr(torch, "nn")
    assert torch.ahbm.memory_bytes() == 64 * MIB


def test_random_numbers_follow_from_the_seed_alone():
    draws = [kb.simulate("tiny", seed=seed).torch.randn(8).tolist() for seed in (3, 3, 4)]
    assert draws[0] == draws[1] != draws[2]


def test_a_tensor_that_cannot_fit_is_refused_before_it_is_filled(torch):
    with pytest.raises(CapacityError, match="no room for 'huge': it needs 8192 GiB"):
        torch.zeros(1 << 45, dtype="int8", name="huge", policy=kb.DPPolicy(pe="row_wise"))


# -- arguments ----------------------------------------------------------------------------------------------------


class Adder:
    """A kernel that is an object, or one of its methods."""

    def __call__(self, x, y):
        tl.store(y, tl.load(x) + 2.0)

    def method(self, x, y):
        self(x, y)


def starred(*tensors):
    tl.store(tensors[1], tl.load(tensors[0]) + len(tensors))


def keywords(x, **named):
    tl.store(named["y"], tl.load(x) + named["c"])


def defaults(x, /, y=None, *, c=2.0):
    if y is not None:
        tl.store(y, tl.load(x) + c)


def of_one(both):
    x, y = both.values() if isinstance(both, dict) else both
    tl.store(y, tl.load(x) + 2.0)


@pytest.mark.parametrize(
    ("kernel", "args"),
    [
        (starred, lambda x, y: ((x, y), {})),
        (keywords, lambda x, y: ((x,), {"y": y, "c": 2.0})),
        (defaults, lambda x, y: ((x, y), {})),
        (functools.partial(defaults, c=2.0), lambda x, y: ((x,), {"y": y})),
        (of_one, lambda x, y: (((x, y),), {})),
        (of_one, lambda x, y: (([x, y],), {})),
        (of_one, lambda x, y: (({"x": x, "y": y},), {})),
        (Adder(), lambda x, y: ((x, y), {})),
        (Adder().method, lambda x, y: ((x, y), {})),
    ],
)
@pytest.mark.parametrize("mode", ["timed", "data"])
def test_a_kernel_takes_its_arguments_as_any_function_does(kernel, args, mode):
    torch = kb.simulate("tiny", mode=mode).torch
    x, y = torch.full((4,), 3.0), torch.zeros(4)
    positional, named = args(x, y)
    torch.launch(kernel, (1,), positional, named)
    assert y.tolist() == [5.0, 0.0, 0.0, 0.0]


def test_tensors_within_an_argument_are_checked_and_say_where_programs_run(torch):
    ours, theirs = torch.zeros(4, name="ours"), kb.simulate("tiny").torch.zeros(4, name="theirs")
    with pytest.raises(UsageError) as error:
        torch.launch(of_one, (1,), ([ours, theirs],))
    line = error.traceback[0].lineno - 1
    assert str(error.value) == (
        "kernel 'of_one': argument 'both' is 'theirs', a tensor of another simulation, made at "
        f"test_api.py:{line}; copy it by way of numpy()"
    )


def test_a_trace_of_a_run_is_what_a_viewer_takes(tmp_path):
    """Every slice has a named process and thread, begins at or after 0, and meets no other of its thread."""
    params = dict.fromkeys(("m", "n", "k"), 64) | dict.fromkeys(("block_m", "block_n", "block_k"), 32)
    assert kb.run("gemm", topology="tiny", params=params, trace=tmp_path / "t.json").check.ok
    events = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    named = {(e["name"], e["pid"], e["tid"]) for e in events if e["ph"] == "M"}
    slices = sorted((e["pid"], e["tid"], e["ts"], e["dur"]) for e in events if e["ph"] == "X")
    assert len(events) == len(slices) + sum(e["ph"] == "M" for e in events)
    free_us = {}
    for pid, tid, start_us, spent_us in slices:
        assert ("process_name", pid, 0) in named
        assert ("thread_name", pid, tid) in named
        assert spent_us >= 0
        assert start_us >= free_us.get((pid, tid), 0) - 1e-9
        free_us[pid, tid] = start_us + spent_us
