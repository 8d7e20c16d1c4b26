"""A simulation belongs to no task, context or thread; threads use it one call at a time; a kernel has one thread."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context

import numpy as np
import pytest

import kernbench as kb
from kernbench import tl
from kernbench.errors import KernelError, UsageError
from kernbench.lang import turn

HERE = "test_threads.py"
MODES = ("timed", "data")


@kb.jit
def double(x_ptr, N: tl.constexpr):
    at = tl.arange(0, N)
    tl.store(x_ptr + at, 2 * tl.load(x_ptr + at))


@kb.jit
def count(x_ptr, rounds):
    for _ in range(rounds):
        tl.store(x_ptr, tl.load(x_ptr) + 1.0)


@kb.jit
def fill(x_ptr, value):
    tl.store(x_ptr, value)


def in_thread(call, name="other"):
    """What ``call`` gives or raises in a thread of its own, which has then ended."""
    found = {}

    def work():
        try:
            found["result"] = call()
        except BaseException as error:
            found["error"] = error

    thread = threading.Thread(target=work, name=name)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    if "error" in found:
        raise found["error"]
    return found["result"]


# -- tasks and contexts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "where",
    [
        in_thread,
        lambda call: Context().run(call),
        lambda call: copy_context().run(call),
        lambda call: asyncio.run(asyncio.to_thread(call)),
    ],
    ids=["thread", "empty context", "copied context", "to_thread"],
)
def test_every_call_works_wherever_it_is_made(where, mode):
    simulation = where(lambda: kb.simulate("tiny", mode=mode))
    x = where(lambda: simulation.torch.arange(4, dtype="fp32"))
    where(lambda: double[(1,)](x, N=4))
    where(lambda: double[(1,)](x, N=4))
    assert where(x.tolist) == x.tolist() == [0.0, 4.0, 8.0, 12.0]
    assert len(where(simulation.report).launches) == (2 if mode == "timed" else 0)
    where(simulation.close)


async def several_tasks():
    """What an ``async def`` test does that pytest-asyncio or anyio runs."""

    async def doubled(value):
        torch = kb.simulate("tiny").torch
        x = torch.full((4,), value)
        await asyncio.sleep(0)
        double[(1,)](x, N=4)
        await asyncio.sleep(0)
        return x.tolist()

    found = await asyncio.gather(*(doubled(float(n)) for n in range(3)))
    assert found == [[0.0] * 4, [2.0] * 4, [4.0] * 4]


def test_simulations_of_several_tasks_do_not_meet():
    asyncio.run(several_tasks())


# -- threads --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_many_threads_share_a_simulation(mode):
    simulation = kb.simulate("tiny", mode=mode)
    torch = simulation.torch

    def work(n):
        x = torch.full((4,), float(n))
        double[(1,)](x, N=4)
        y = torch.empty(4).copy_(x)
        double[(1,)](y, N=4)
        simulation.report()
        return y.tolist()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(6))) == [[4.0 * n] * 4 for n in range(6)]


def test_many_threads_run_a_simulation_each():
    def work(n):
        torch = kb.simulate("tiny").torch
        x = torch.full((4,), float(n))
        for _ in range(3):
            double[(1,)](x, N=4)
        return x.tolist()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [[8.0 * n] * 4 for n in range(4)]


def test_kernels_of_several_threads_see_their_own_launches():
    """Each thread's launches are of a closure that only it changes."""

    def work(n):
        torch = kb.simulate("tiny").torch
        out, factor = torch.zeros(4), 0

        @kb.jit
        def fill(out_ptr, i):
            tl.store(out_ptr + i, factor)

        for i in range(4):
            factor = 10 * n + i
            fill[(1,)](out, i)
        factor = -1
        return out.tolist()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [[10.0 * n + i for i in range(4)] for n in range(4)]


def test_calls_of_threads_in_any_order_give_what_one_thread_gives():
    """Of the values: which thread comes first, only the threads know, so each works on a tensor of its own."""
    torch = kb.simulate("tiny").torch

    def work(n):
        chance, x, value = random.Random(n), torch.ones(4), 1.0
        for _ in range(5):
            what = chance.choice(["launch", "read", "write", "free", "wait", "collect"])
            if what == "launch":
                double[(1,)](x, N=4)
                value *= 2
            elif what == "read":
                assert x.tolist() == [value] * 4
            elif what == "write":
                x.copy_(np.full(4, 3.0, np.float32))
                value = 3.0
            elif what == "free":
                x.free()
                x, value = torch.ones(4), 1.0
            elif what == "wait":
                torch.synchronize()
            else:
                torch.ones(64)
                gc.collect()
        return x.tolist() == [value] * 4

    with ThreadPoolExecutor(3) as pool:
        assert all(pool.map(work, range(4)))


def test_memory_that_another_thread_frees_returns():
    simulation = kb.simulate("tiny", keep_log=False)
    torch = simulation.torch
    bytes_each = simulation.device.memory_bytes() // 8

    def work(_):
        for _ in range(4):
            torch.empty(bytes_each, dtype="int8")

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, range(3)))
    torch.empty(6 * bytes_each, dtype="int8")


def begun():
    """A simulation with a kernel that has begun and not ended: another stream's tensor was mapped meanwhile."""
    simulation = kb.simulate("tiny")
    torch = simulation.torch
    x = torch.zeros(1, policy=kb.DPPolicy(only=0))
    torch.launch(count, (1,), (x, 60), place=[0], stream="a")
    y = torch.empty(4096, policy=kb.DPPolicy(only=3))
    torch.launch(fill, (1,), (y, 1.0), place=[3], stream="b")
    assert len(simulation.machine.launches) == 2
    return simulation, x, y


def test_a_kernel_goes_on_in_the_thread_in_which_it_has_begun():
    simulation, x, y = begun()
    for use in (
        x.tolist,
        simulation.torch.synchronize,
        simulation.report,
        lambda: y.copy_(np.zeros(4096, "f4")),
    ):
        with pytest.raises(UsageError) as error:
            in_thread(use)
        assert str(error.value) == (
            "kernel 'count' and kernel 'fill' has begun in thread 'MainThread', and only there can it go on; call "
            "torch.synchronize() there before thread 'other' uses this simulation"
        )
    simulation.torch.synchronize()
    assert in_thread(x.tolist) == x.tolist() == [60.0]
    assert len(simulation.report().launches) == 2


def test_a_kernel_that_has_begun_in_a_thread_that_ended_does_not_go_on():
    _, x, _ = in_thread(begun)
    with pytest.raises(UsageError) as error:
        x.tolist()
    assert str(error.value) == (
        "kernel 'count' and kernel 'fill' has begun in thread 'other', which has ended, and only there could it go on; "
        "call torch.synchronize() before a thread ends, and begin a new simulation"
    )


@pytest.mark.filterwarnings("error")
def test_a_simulation_with_kernels_under_way_may_die_in_any_thread():
    held = list(begun())
    in_thread(lambda: (held.clear(), gc.collect()))
    held += in_thread(begun)
    held.clear()
    gc.collect()


def test_a_thread_waits_until_the_other_ones_call_is_done():
    torch = kb.simulate("tiny", mode="data").torch
    x, order = torch.zeros(1), []
    is_in_kernel, goes_on = threading.Event(), threading.Event()

    @kb.jit
    def pauses(x_ptr):
        is_in_kernel.set()
        goes_on.wait(30)
        order.append("kernel")

    def read():
        is_in_kernel.wait(30)
        threading.Timer(0.05, goes_on.set).start()
        x.tolist()
        order.append("read")

    reader = threading.Thread(target=read)
    reader.start()
    pauses[(1,)](x)
    reader.join(30)
    assert order == ["kernel", "read"]


# -- a kernel's own threads -----------------------------------------------------------------------------------------


@pytest.fixture
def quiet(monkeypatch):
    """What Python does with an error of a thread, where pytest would keep it."""
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)


def by_thread(work):
    thread = threading.Thread(target=work, name="its own")
    thread.start()
    thread.join()


def by_pool(work):
    with ThreadPoolExecutor(1, thread_name_prefix="pool") as pool:
        pool.submit(work).result()


def by_copied_context(work):
    context = copy_context()
    by_thread(lambda: context.run(work))


def by_asyncio(work):
    asyncio.run(asyncio.to_thread(work))


def by_forgotten_result(work):
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work)


WAYS = (by_thread, by_pool, by_copied_context, by_asyncio, by_forgotten_result)


@pytest.mark.parametrize("mode", [*MODES, "timing"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_tl_in_a_thread_of_a_kernels_own_is_an_error_of_the_kernel(way, mode, quiet, capfd):
    @kb.jit
    def kernel(x_ptr):
        way(lambda: tl.store(x_ptr, 1.0))
        tl.store(x_ptr, 2.0)

    line = kernel.__wrapped__.__code__.co_firstlineno + 2
    torch = kb.simulate("tiny", mode=mode).torch
    x = torch.zeros(1)
    with pytest.raises(KernelError) as error:  # noqa: PT012
        kernel[(2,)](x)
        torch.synchronize()
    name = str(error.value).split("'")[1]
    assert str(error.value) == (
        f"{HERE}:{line}: thread '{name}' calls tl, and only the thread that runs a kernel may; let the kernel do it, "
        "or compute in the thread with numpy"
    )
    assert error.value.exit_code == 3
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("mode", MODES)
def test_a_thread_of_a_kernels_own_may_compute(mode):
    @kb.jit
    def kernel(x_ptr):
        found = []
        by_thread(lambda: found.append(float(np.sum(np.ones(3)))))
        tl.store(x_ptr, found[0])

    torch = kb.simulate("tiny", mode=mode).torch
    x = torch.zeros(1)
    kernel[(1,)](x)
    assert x.tolist() == [3.0]


@pytest.mark.parametrize("mode", MODES)
def test_a_kernel_that_waits_for_a_thread_that_waits_for_it_is_an_error(mode, quiet, capfd, monkeypatch):
    monkeypatch.setattr(turn, "PATIENCE_S", 0.05)
    torch = kb.simulate("tiny", mode=mode).torch
    x = torch.zeros(1)

    @kb.jit
    def kernel(x_ptr):
        by_thread(x.tolist)

    line = by_thread.__code__.co_firstlineno + 3
    with pytest.raises(KernelError) as error:  # noqa: PT012
        kernel[(1,)](x)
        torch.synchronize()
    assert str(error.value) == (
        f"{HERE}:{line}: the kernel waits here for thread 'its own', which asks for the simulation that runs the "
        "kernel; ask before the launch, and give the kernel what it needs"
    )
    assert capfd.readouterr() == ("", "")


def test_tl_outside_of_all_kernels_is_the_hosts_error_in_any_thread():
    for where in (in_thread, lambda call: call()):
        with pytest.raises(UsageError) as error:
            where(lambda: tl.arange(0, 4))
        assert str(error.value) == (
            "tl functions work inside a running kernel only; launch it with kernel[grid](...)"
        )


# -- pickles and copies ---------------------------------------------------------------------------------------------

A_SIMULATION = (
    "a simulation is a machine at work, and can be neither pickled nor copied; make another, as in "
    "kb.simulate('tiny'), and take tensors along as arrays, with x.numpy()"
)
A_TENSOR = (
    "'x'[2] belongs to a simulation, and can be neither pickled nor copied by Python; take x.numpy(), of which "
    "torch.from_numpy() makes a tensor again, or copy it with x.to('ahbm', copy=True)"
)


@pytest.mark.parametrize("how", [pickle.dumps, copy.copy, copy.deepcopy])
@pytest.mark.parametrize("of", [lambda s: s, lambda s: s.torch])
def test_a_simulation_says_how_to_take_it_along(of, how):
    with pytest.raises(UsageError) as error:
        how(of(kb.simulate("tiny")))
    assert str(error.value) == A_SIMULATION


@pytest.mark.parametrize("how", [pickle.dumps, copy.deepcopy])
@pytest.mark.parametrize("of", [lambda s: {"deep": [s]}, lambda s: s.torch.Event()])
def test_what_holds_a_simulation_says_so_too(of, how):
    with pytest.raises(UsageError) as error:
        how(of(kb.simulate("tiny")))
    assert str(error.value) == A_SIMULATION


@pytest.mark.parametrize("how", [pickle.dumps, copy.copy])
@pytest.mark.parametrize("of", [lambda x: x, lambda x: x.view(2)])
def test_a_tensor_says_how_to_take_it_along(of, how):
    with pytest.raises(UsageError) as error:
        how(of(kb.simulate("tiny").torch.zeros(2, name="x")))
    assert str(error.value) == A_TENSOR


def test_a_tensor_on_the_host_is_copied_but_not_pickled():
    host = kb.simulate("tiny").torch.zeros(2, device="host", name="x")
    deep, shallow = copy.deepcopy(host), copy.copy(host)
    host.array[0] = 1.0
    assert (deep.tolist(), shallow.tolist()) == ([0.0, 0.0], [1.0, 0.0])
    with pytest.raises(UsageError) as error:
        pickle.dumps(host)
    assert str(error.value) == A_TENSOR


@pytest.mark.parametrize("mode", [*MODES, "timing"])
def test_reports_and_results_are_pickled_and_copied(mode):
    simulation = kb.simulate("tiny", mode=mode)
    double[(1,)](simulation.torch.zeros(4), N=4)
    for found in (simulation.report(), kb.run("vector_add", topology="tiny", mode=mode, n=256)):
        assert pickle.loads(pickle.dumps(found)) == copy.deepcopy(found) == found


def test_a_kernel_of_a_module_is_pickled_by_name():
    assert pickle.loads(pickle.dumps(double)) is copy.deepcopy(double) is double
