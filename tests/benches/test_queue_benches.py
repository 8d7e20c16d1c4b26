"""The benches of queues say what they measure, refuse what they cannot run, and are right on other machines."""

import re

import pytest

from kernbench.bench import run
from kernbench.errors import UnknownNameError, UsageError


def ran(name, topology="tiny", *overrides, mode="timed", **params):
    return run(name, topology=topology, overrides=overrides, params=params, mode=mode)


def printed(capsys, pattern):
    return float(re.search(pattern, capsys.readouterr().out)[1])


def test_half_a_round_trip_is_one_message_from_kernel_to_kernel(capsys):
    # issue 4, dispatch 2, set-up 16; 512 B out of TCM 4 + 6 - 4 ns, over the links 544 B / 64 B/ns = 8.5 + 11 ns, into
    # TCM 6 ns: 22 + 31.5 ns. A receive is issued while its block is on its way.
    assert ran("ping_pong", n=128, dtype="fp32").check.ok
    assert printed(capsys, r"half a round trip takes ([\d.]+) ns") == 53.5


def test_a_message_to_another_cube_and_to_another_sip_takes_longer(capsys):
    halves = []
    for dst in (1, 31, 127):
        ran("ping_pong", "default", mode="timing", dst=dst)
        halves.append(printed(capsys, r"half a round trip takes ([\d.]+) ns"))
    assert halves == sorted(set(halves))


def test_a_message_larger_than_its_ring_bounces_too():
    assert ran("ping_pong", n=1024).check.ok  # 4 KiB through 2 slots of 512 B


def test_a_deeper_ring_is_faster_up_to_its_knee(capsys):
    rates = []
    for slots in (1, 2, 4, 16):
        assert ran("stream", "default", slots=slots).check.ok
        rates.append(printed(capsys, r"([\d.]+) GB/s"))
    assert rates == sorted(set(rates))


@pytest.mark.parametrize("buffer", ["tcm", "sram", "hbm"])
@pytest.mark.parametrize("backpressure", ["poll", "sleep"])
@pytest.mark.parametrize("slots", [1, 3])
def test_a_stream_arrives_whole_through_every_kind_of_ring(buffer, backpressure, slots):
    assert ran("stream", messages=5, n=700, buffer=buffer, backpressure=backpressure, slots=slots).check.ok


def test_one_message_is_a_stream_without_a_rate(capsys):
    assert ran("stream", messages=1).check.ok
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("mode", ["timed", "data"])
@pytest.mark.parametrize(
    ("topology", "overrides"),
    [
        ("tiny", ()),
        ("tiny", ("neighbours.wrap=true",)),
        ("tiny", ("cube.pes.count=2", "cube.pes.grid=[2, 1]", "neighbours.wrap=true")),
    ],
    ids=["tiny", "torus of 4", "torus of 2"],
)
def test_halos_are_exchanged_with_those_who_are_there(topology, overrides, mode):
    """Beyond an edge is 0; on a torus there is no edge where a row or column has more than one PE."""
    assert ran("halo_exchange", topology, *overrides, mode=mode, block=4, steps=5).check.ok


@pytest.mark.parametrize("overrides", [(), ("neighbours.wrap=true",)], ids=["grid", "torus"])
def test_a_grid_goes_on_from_cube_to_cube_and_from_sip_to_sip(overrides):
    assert ran("halo_exchange", "default", *overrides, mode="data", block=4, steps=6).check.ok


def test_no_steps_leave_the_grid_as_it_is():
    assert ran("halo_exchange", steps=0).check.ok


@pytest.mark.parametrize(
    ("name", "params", "error"),
    [
        ("ping_pong", {"rounds": 0}, "ping_pong: rounds must be 1 or more, not 0"),
        (
            "ping_pong",
            {"dst": 4},
            "install_queues: rank 1 is PE 4, and PEs are 0..3; name one of them",
        ),
        ("ping_pong", {"dst": 0}, "install_queues: PE 0 has two ranks; list each PE once"),
        ("stream", {"n": 0}, "stream: messages and n must be 1 or more, not 32 and 0"),
        ("stream", {"slots": 0}, "install_queues: slots=0; give 1 or more"),
        (
            "halo_exchange",
            {"steps": -1},
            "halo_exchange: block must be 1 or more and steps 0 or more, not 32 and -1",
        ),
        (
            "halo_exchange",
            {"block": 0},
            "halo_exchange: block must be 1 or more and steps 0 or more, not 0 and 4",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(name, params, error):
    with pytest.raises(UsageError, match=re.escape(error) + r"\Z"):
        ran(name, **params)


def test_an_unknown_ring_is_answered_with_those_there_are():
    with pytest.raises(UnknownNameError, match=r"stream: no buffer 'sramm'; did you mean 'sram'\?"):
        ran("stream", buffer="sramm")
    with pytest.raises(UnknownNameError, match=r"stream: no backpressure 'pol'; did you mean 'poll'\?"):
        ran("stream", backpressure="pol")
