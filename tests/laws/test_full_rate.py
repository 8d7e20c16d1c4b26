"""Where ``check`` warns of a buffer, a window or a queue, the rate is lower; where it is silent, nothing waits.

A link needs what is under way in a round trip, rate x 2 x latency, in whole chunks, and the next chunk. A packet of
4 KiB is four chunks: 1056 B with the header, and three of 1024 B; a buffer counts flits of 32 B.
"""

import pytest

from kernbench.bench.probe import run_probe
from kernbench.config.load import load_config
from kernbench.theory.buffers import full_rate_window
from kernbench.theory.idle_transfer import pe_requester
from kernbench.theory.lint import lint
from kernbench.theory.peaks import peaks
from kernbench.topology.builder import build_graph
from kernbench.topology.routes import Routes
from kernbench.units import KIB

AMPLE = {
    "pe.dma.max_inflight": "1 MiB",
    "host.max_inflight": "4 MiB",
    "host.dram_bw": 1000,
    "pe.mmu.page": "1 MiB",
    "pe.tcm.size": "1 MiB",
    "pe.tcm.write_bw": 1000,
    "cube.hbm.pc_bw": 500,
    "cube.hbm.queue": 256,
    "cube.noc.buffer_per_vc": "64 KiB",
    "sip.ucie.buffer_per_vc": "64 KiB",
    "sip.io_die.noc.buffer_per_vc": "64 KiB",
}
TWO_CUBES = {
    "sip.cubes": "{count: 2, grid: [2, 1]}",
    "sip.io_die.ucie_ports.attach": "[[0, 0], [1, 0]]",
    "cube.ucie_ports": '{"N": edge, "S": none, "E": edge, "W": edge}',
}
TWO_SIPS = {"system.sips": "{count: 2, grid: [2, 1]}"}
FAST_HOST = {"sip.io_die.pcie_ep.bw": 400, "sip.io_die.pcie_ep.buffer_per_vc": "1 MiB"}

# What the link of each class needs, and how it becomes the slowest one: case of the probe, key, needed, what is set.
LINKS = {
    "mesh": (
        "pe-to-same-cube",
        "cube.noc.buffer_per_vc",
        4128,
        {"cube.noc.link_ns": 20},
    ),  # 64 x 44 = 2816: 3 and 1
    "PE port": ("pe-to-local", "cube.noc.buffer_per_vc", 4128, {"cube.noc.niu_ns": 20}),  # 64 x 44
    "to a memory": (  # 64 x 60 = 3840: 4 and 1, two of them with a header
        "host-to-device",
        "cube.noc.buffer_per_vc",
        5184,
        {"cube.noc.router_ns": 30, "cube.noc.niu_ns": 0, "sip.io_die.noc.link_bw": 400, **FAST_HOST},
    ),
    "to a port": (
        "device-to-host",
        "cube.noc.buffer_per_vc",
        5184,
        {"cube.noc.router_ns": 30, "cube.noc.niu_ns": 0, "sip.io_die.noc.link_bw": 400, **FAST_HOST},
    ),
    "die to die": (  # 40 x 100 = 4000
        "pe-to-other-cube",
        "sip.ucie.buffer_per_vc",
        5184,
        {"sip.ucie": "{bw: 40, eff: 1, latency_ns: 50}", **TWO_CUBES},
    ),
    "IO die": (  # 50 x 60 = 3000
        "host-to-device",
        "sip.io_die.noc.buffer_per_vc",
        4128,
        {"sip.io_die.noc.link_bw": 50, "sip.io_die.noc.router_ns": 30, **FAST_HOST},
    ),
    "PCIe": (  # 40 x 400 = 16000: 16 and 1, five of them with a header
        "host-to-device",
        "sip.io_die.pcie_ep.buffer_per_vc",
        17568,
        {
            "sip.io_die.pcie_ep.bw": 40,
            "sip.io_die.pcie_ep.payload_eff": 1,
            "sip.io_die.pcie_ep.latency_ns": 200,
        },
    ),
    "SIP link": (  # 40 x 400, one half of the way to the switch and back
        "pe-to-other-sip",
        "system.sip_link.buffer_per_vc",
        17568,
        {"system.sip_link": "{bw: 40, payload_eff: 1, latency_ns: 400}", **TWO_SIPS},
    ),
}


def overrides(*changes):
    """As ``--set`` has them; later ones win."""
    merged = {key: value for settings in changes for key, value in settings.items()}
    return tuple(f"{key}={value}" for key, value in merged.items())


def told(settings, key):
    """The warnings of ``check`` about ``key``."""
    spec = load_config("tiny", settings).topology
    return [text for text in lint(build_graph(spec), peaks(spec)) if key in text]


def probed(case, settings, size=128 * KIB):
    (row,) = run_probe((case,), (size,), topology="tiny", overrides=settings)
    return row


@pytest.mark.parametrize("name", LINKS)
def test_a_link_is_full_with_the_buffer_it_needs_and_not_with_a_flit_less(name):
    case, key, needed, changes = LINKS[name]
    short, full = (overrides(AMPLE, changes, {key: size}) for size in (needed - 32, needed))
    assert told(full, key) == []
    assert probed(case, full).error_ps == 0  # as the closed form has it, whose buffers are without end
    text = told(short, key)[0]
    assert f"{key} is {(needed - 32) / 1024:.4g} KiB" in text
    assert f"write {needed} or more" in text
    assert probed(case, short).error_ps > 0


SHORT = {  # a copy gives room back packet by packet, 4 KiB each
    "copies from the host": (
        "host-to-device",
        "host.max_inflight",
        16384,
        1024,
        {"sip.io_die.pcie_ep.latency_ns": 50, "host.dram_latency_ns": 0},
    ),
    "entries of HBM": (
        "pe-to-local",
        "cube.hbm.queue",
        6,
        1,
        {"cube.hbm.pc_bw": 25.6, "cube.hbm.flat_latency_ns": 400},
    ),
}


@pytest.mark.parametrize("name", SHORT)
def test_a_window_and_a_queue_are_long_enough_or_told(name):
    case, key, needed, less, changes = SHORT[name]
    short, full, ample = (
        overrides(AMPLE, changes, {key: size}) for size in (needed - less, needed, 4 * needed)
    )
    (text,) = told(short, key)
    assert f"write {needed} or more" in text
    assert told(full, key) == []
    times = [probed(case, settings).simulated_ps for settings in (short, full, ample)]
    assert times[0] > times[1] == times[2]


@pytest.mark.parametrize("latency_ns", [10, 50, 150])
def test_the_window_of_loads_gives_room_back_chunk_by_chunk(latency_ns):
    changes = {"cube.hbm.pc_bw": 25.6, "cube.hbm.flat_latency_ns": latency_ns}
    graph = build_graph(
        load_config("tiny", overrides(AMPLE, changes, {"pe.dma.max_inflight": 4096})).topology
    )
    memory = graph.node("sip0.cube0.hbm0").index
    needed = full_rate_window(graph, Routes(graph), pe_requester(graph, 0), memory, is_write=False)
    times = [
        probed("pe-to-local", overrides(AMPLE, changes, {"pe.dma.max_inflight": size})).simulated_ps
        for size in (needed - 1024, needed, 4 * needed)
    ]
    assert times[0] > times[1] == times[2]
