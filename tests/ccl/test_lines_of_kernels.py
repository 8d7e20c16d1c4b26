"""A user's kernel that calls what kernels of collectives share is told its own line, wherever it went wrong."""

from pathlib import Path

import pytest

import kernbench as kb
from kernbench.ccl.kernels.spans import Span, read, receive, whole
from kernbench.errors import DeadlockError, KernelError, PageFaultError


def read_beyond(x):
    return read(x + (1 << 20), Span(0, 4))  # the line of a fault


@kb.jit
def faults(x):
    read_beyond(x)


@kb.jit
def waits_in_vain(x):
    receive("E", Span(0, 4), x)  # the line of a wait


@kb.jit
def raises(x):
    whole(4, 0)  # the line of an exception


@kb.jit
def loads(x):
    read(x, Span(0, 4))  # the line of a load


def line_of(what: str) -> str:
    lines = Path(__file__).read_text().splitlines()
    number = next(i for i, text in enumerate(lines, 1) if text.endswith(f"# the line of {what}"))
    return f"test_lines_of_kernels.py:{number}"


def launched(kernel):
    with kb.simulate("tiny") as simulation:
        torch = simulation.torch
        kb.install_queues(torch, directions=("E", "W"))
        kernel[(1,)](torch.zeros(4))
        return simulation.report()


def test_a_fault_is_at_the_users_line():
    with pytest.raises(PageFaultError, match=f"^{line_of('a fault')} in read: sip0.cube0.pe0 reads VA "):
        launched(faults)


def test_a_wait_is_at_the_users_line():
    with pytest.raises(DeadlockError, match=f" {line_of('a wait')} in receive "):
        launched(waits_in_vain)


def test_an_exception_is_at_the_users_line():
    with pytest.raises(KernelError, match=f"^{line_of('an exception')} in whole: program .* ValueError: "):
        launched(raises)


def test_time_is_at_the_users_line():
    parts = launched(loads).parts
    assert {str(part.origin.line) for part in parts if part.origin} == {f"{line_of('a load')} in read"}


def test_what_comes_with_kernbench_is_named_itself():
    simulation = kb.simulate("tiny")
    torch = simulation.torch

    def worker(rank: int) -> None:
        torch.distributed.init_process_group("ahbm", rank=rank, world_size=4)
        torch.distributed.all_reduce(torch.ones(64))

    torch.multiprocessing.spawn(worker, nprocs=4)
    named = {part.origin.line for part in simulation.report().parts if part.origin}
    assert {line.file for line in named} >= {"spans.py"}
    assert not any(line.inside for line in named)
