"""A worker sees the environment that a launcher would give its rank; the host is no rank of several."""

import os

import pytest

from kernbench.dist.environment import VARIABLES
from kernbench.errors import UsageError
from kernbench.simulation import simulate
from tests.dist.rank_kit import N, fails, joined, spawned


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    """No variable of a launcher is set."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def said():
    return {name: os.environ.get(name) for name in VARIABLES}


def expected(rank, n=N):
    ranks, sizes = dict.fromkeys(("RANK", "LOCAL_RANK"), str(rank)), ("WORLD_SIZE", "LOCAL_WORLD_SIZE")
    return {**ranks, **dict.fromkeys(sizes, str(n)), "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}


@pytest.mark.parametrize("n", [1, 3, N])
def test_each_worker_sees_its_own_whenever_it_runs_and_the_host_none(n):
    def body(rank, n, torch):
        found = [said()]
        for _ in range(2):
            torch.distributed.barrier()
            found.append(said())
        return found, torch.distributed.get_node_local_rank()

    assert spawned(joined(body), n=n) == [([expected(rank, n)] * 3, rank) for rank in range(n)]
    assert said() == dict.fromkeys(VARIABLES)


def test_what_the_host_had_is_back_afterwards_even_after_an_error(monkeypatch):
    monkeypatch.setenv("RANK", "7")
    monkeypatch.setenv("MASTER_ADDR", "elsewhere")
    before = said()

    def body(rank, n, torch):
        assert said() == expected(rank)
        torch.distributed.barrier()
        raise ZeroDivisionError("mine")

    fails(body, ZeroDivisionError)
    assert said() == before


def test_what_a_worker_writes_is_its_own_and_obeyed():
    def body(rank, n, torch):
        os.environ["RANK"] = str(n - 1 - rank)
        dist = torch.distributed
        dist.init_process_group(init_method="env://")
        dist.barrier()
        return os.environ["RANK"], dist.get_rank(), dist.get_world_size()

    assert spawned(body) == [(str(N - 1 - place), N - 1 - place, N) for place in range(N)]


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        (
            "RANK",
            "",
            "Error initializing torch.distributed using env:// rendezvous: environment variable RANK expected, but "
            "not set",
        ),
        (
            "WORLD_SIZE",
            "four",
            "invalid literal for int() with base 10: 'four': RANK and WORLD_SIZE are whole numbers",
        ),
    ],
)
def test_a_worker_whose_environment_says_nothing_is_told_so(name, value, text):
    def body(rank, n, torch):
        os.environ[name] = value
        torch.distributed.init_process_group("ahbm")

    assert fails(body, ValueError, joins=False) == text


def test_the_numbers_of_a_call_come_before_those_of_a_url_and_these_before_the_environment():
    def body(rank, n, torch):
        dist = torch.distributed
        turned = n - 1 - rank
        found = []
        for how in (
            {"init_method": f"env://?rank={turned}"},
            {"init_method": f"tcp://localhost:1?rank={rank}&world_size={n}", "rank": turned},
            {"init_method": "file:///tmp/x", "rank": turned, "world_size": n},
        ):
            dist.init_process_group("ahbm", **how)
            found.append(dist.get_rank())
            dist.destroy_process_group()
        return found

    assert spawned(body) == [[N - 1 - rank] * 3 for rank in range(N)]


REFUSED = (
    "; ranks are started by torch.multiprocessing.spawn here, one program for all: call it in a worker, or unset them "
    "to speak for all ranks at once"
)


@pytest.mark.parametrize(
    ("environment", "how", "text"),
    [
        (
            {"RANK": "2", "WORLD_SIZE": "4"},
            {"init_method": "env://"},
            "init_process_group at {here}: RANK=2 and WORLD_SIZE=4 in the environment, as of one process of several"
            + REFUSED,
        ),
        (
            {"RANK": "0", "WORLD_SIZE": "4"},
            {},
            "init_process_group at {here}: RANK=0 and WORLD_SIZE=4 in the environment, as of one process of several"
            + REFUSED,
        ),
        (
            {"RANK": "3"},
            {},
            "init_process_group at {here}: RANK=3 in the environment, as of one process of several" + REFUSED,
        ),
        (
            {},
            {"rank": 2, "world_size": 4},
            "init_process_group at {here}: rank=2 on the host, which speaks for all ranks at once; ranks are started "
            "by torch.multiprocessing.spawn here, one program for all",
        ),
        (
            {},
            {"init_method": "nowhere://"},
            "No rendezvous handler for nowhere://; give 'env://', or leave it out",
        ),
    ],
)
def test_the_host_is_no_rank_of_several(monkeypatch, environment, how, text):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    torch = simulate("tiny", mode="data").torch
    with pytest.raises(UsageError) as caught:
        torch.distributed.init_process_group("ahbm", **how)
    here = f"test_environment.py:{caught.traceback[0].lineno + 1}"
    assert str(caught.value) == text.format(here=here)


@pytest.mark.parametrize(
    ("environment", "how", "world_size"),
    [
        ({}, {}, N),
        ({"RANK": "0", "WORLD_SIZE": "1"}, {}, 1),
        ({"RANK": "2", "WORLD_SIZE": "4"}, {"world_size": 3}, 3),
        ({}, {"rank": 0, "world_size": 2}, 2),
        ({"LOCAL_RANK": "1", "MASTER_ADDR": "here"}, {"init_method": "env://"}, N),
    ],
)
def test_the_host_speaks_for_the_ranks_that_are_said(monkeypatch, environment, how, world_size):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    dist = simulate("tiny", mode="data").torch.distributed
    dist.init_process_group("ahbm", **how)
    assert (dist.get_rank(), dist.get_world_size()) == (0, world_size)


def test_without_a_launcher_there_is_no_local_rank_but_a_given_one():
    dist = simulate("tiny", mode="data").torch.distributed
    assert dist.get_node_local_rank(5) == 5
    assert not dist.is_torchelastic_launched()
    assert [dist.is_backend_available(name) for name in ("ahbm", "gloo", "nccl")] == [True, False, False]
    assert not dist.is_gloo_available()
    assert not dist.is_nccl_available()
    with pytest.raises(RuntimeError, match="LOCAL_RANK is not in the environment"):
        dist.get_node_local_rank()
