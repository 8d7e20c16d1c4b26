"""The host installs queues in memory that it has, launches on their ranks, and gets all of it back."""

import pytest

from kernbench.ccl import QueuePair, wire
from kernbench.errors import CapacityError, UsageError
from kernbench.messages.ipcq import RingSpec

SLOTS = 4
NEXT = QueuePair("next", "prev", lambda rank, n_ranks: (rank + 1) % n_ranks)


def wiring(torch, kind="tcm", slot_bytes=1024, pes=(0, 1, 2, 3), directions=("N", "S", "E", "W")):
    ring = RingSpec(SLOTS, slot_bytes, kind, "sleep", 1)
    machine = torch.ahbm.machine
    return wire(machine.spec, machine.pes, ring, (NEXT,), pes=pes, directions=directions)


def kernel(x=None):
    pass


def launched(torch, n_programs, **kwargs):
    torch.launch(kernel, n_programs, **kwargs)
    torch.synchronize()
    return torch.ahbm.machine.launched[-1]


def test_rings_in_tcm_take_what_kernels_have_left_of_it(torch):
    queues = torch.ahbm.install_queues(
        wiring(torch)
    )  # 2 x 2 PEs: two neighbours each, and the ring's two ends
    assert [torch.ahbm.machine.tcm_left_bytes(pe) for pe in (0, 3, 4)] == [
        (64 - 4 * 4) << 10,
        (64 - 4 * 4) << 10,
        64 << 10,
    ]
    torch.ahbm.remove_queues(queues)
    assert torch.ahbm.machine.tcm_left_bytes(0) == 64 << 10


def test_rings_that_do_not_fit_the_tcm_are_refused_with_the_sum(torch):
    with pytest.raises(CapacityError) as caught:
        torch.ahbm.install_queues(wiring(torch, slot_bytes=8192))
    assert str(caught.value) == (
        "sip0.cube0.pe0: its queues need 4 x 4 slots x 8 KiB = 128 KiB of TCM, and 64 KiB are left; use fewer or "
        "smaller slots, or a ring in sram or hbm (ccl.yaml)"
    )
    assert torch.ahbm.wirings == []


def n_allocated(torch, kind):
    """Allocations in the memories of the first four PEs."""
    return [len(torch.ahbm.heap._memory(pe, kind).blocks) for pe in range(4)]


@pytest.mark.parametrize("kind", ["hbm", "sram"])
def test_rings_in_memory_lie_one_behind_the_other_and_are_given_back(torch, kind):
    before = n_allocated(torch, kind)
    queues = torch.ahbm.install_queues(wiring(torch, kind, slot_bytes=64, directions=()))
    for pe in range(4):
        places = [(end.owner, end.pa) for end in queues.sites[pe].ends.values()]
        memory = torch.ahbm.heap._memory(pe, kind)
        assert {owner for owner, _ in places} == {memory.owner}
        assert [pa - places[0][1] for _, pa in places] == [0, SLOTS * 64]
    assert n_allocated(torch, kind) > before
    torch.ahbm.remove_queues(queues)
    assert n_allocated(torch, kind) == before


def test_rings_that_do_not_fit_a_memory_leave_nothing_behind(torch):
    with pytest.raises(CapacityError, match=r"the queues of sip0\.cube0\.pe\d, 2 x 4 slots x 1 KiB"):
        torch.ahbm.install_queues(wiring(torch, "sram", directions=()))
    assert n_allocated(torch, "sram") == [0, 0, 0, 0]
    assert torch.ahbm.wirings == []


def test_a_launch_that_names_queues_runs_on_their_ranks(torch):
    queues = torch.ahbm.install_queues(wiring(torch, pes=(5, 2, 9)))
    found = launched(torch, 6, queues=queues)
    assert [program.pe for program in found.programs] == [5, 5, 2, 2, 9, 9]
    assert found.wiring is queues
    assert [program.pe for program in launched(torch, 3, queues=queues, place=[1, 2, 3]).programs] == [
        1,
        2,
        3,
    ]


def test_a_launch_that_names_none_sees_those_that_were_installed_last(torch):
    assert launched(torch, 1).wiring is None
    first, second = torch.ahbm.install_queues(wiring(torch)), torch.ahbm.install_queues(wiring(torch))
    assert launched(torch, 1).wiring is second
    torch.ahbm.remove_queues(second)
    assert launched(torch, 1).wiring is first


def test_queues_wait_for_the_kernels_before_them(torch):
    torch.launch(kernel, 1)
    queues = torch.ahbm.install_queues(wiring(torch))
    torch.launch(kernel, 1)
    torch.ahbm.remove_queues(queues)
    assert len(torch.ahbm.machine.launched) == 2


def test_queues_that_are_not_installed_are_refused(torch):
    queues = wiring(torch)
    for use in (lambda: torch.launch(kernel, 1, queues=queues), lambda: torch.ahbm.remove_queues(queues)):
        with pytest.raises(UsageError) as caught:
            use()
        assert str(caught.value) == "these queues are not installed here, or not any more; install them again"


def test_queues_are_installed_once(torch):
    queues = torch.ahbm.install_queues(wiring(torch))
    with pytest.raises(UsageError) as caught:
        torch.ahbm.install_queues(queues)
    assert str(caught.value) == "these queues are installed already; remove them first, or wire others"


def test_closing_removes_what_is_installed(torch):
    for kind in ("tcm", "hbm", "tcm"):
        torch.ahbm.install_queues(wiring(torch, kind, slot_bytes=64))
    torch.close()
    assert torch.ahbm.wirings == []
    assert torch.ahbm.machine.tcm_left_bytes(0) == 64 << 10
    assert n_allocated(torch, "hbm") == [0, 0, 0, 0]
