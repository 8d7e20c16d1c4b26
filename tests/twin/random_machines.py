"""Machines at random: few PEs, and latencies, rates, buffers, queues and virtual memory as no one would build them."""

from collections.abc import Sequence
from random import Random

from kernbench.config.load import load_config
from kernbench.config.schema import Config
from kernbench.errors import KernBenchError
from tests.test_odd_machines import LATENCIES, buffers, cubes, pes, sips

SHAPES = (
    (),
    (),
    pes(1, 1),
    pes(3, 1),
    pes(3, 2),
    pes(2, 1, channels=1),
    pes(2, 2, channels=8),
    (*pes(2, 1), *cubes(2, 1)),
    (*pes(2, 1), *cubes(1, 2), *sips(2)),
    (*pes(2, 2), *sips(2)),
)
UGLY = ("57.33", "13.7", "99.99", "31.41", "0.93", "7.77", "248.32", "64", "333.333", "11.1")
RATES = (
    *("cube.noc.link_bw", "cube.hbm.pc_bw", "cube.sram.bank_bw", "sip.ucie.bw", "sip.io_die.noc.link_bw"),
    *("sip.io_die.pcie_ep.bw", "system.sip_link.bw", "host.dram_bw", "pe.dma.bw", "pe.tcm.read_bw"),
    *("pe.tcm.write_bw", "pe.fetch_store.bw", "pe.regfile.read_bw", "pe.regfile.write_bw"),
)
CHOICES = {
    "cube.hbm.queue": (1, 2, 3, 64),
    "cube.hbm.flat_eff": (1, "0.92", "0.333"),
    "cube.sram.queue": (1, 2, 64),
    "cube.noc.chunk": (256, 512, 1024),
    "cube.noc.packet": (1024, 2048, "4 KiB"),
    "cube.noc.header": (0, 32, 64),
    "cube.noc.vcs": (
        "{ctl: 1, req: 1, resp: 1, comm: 1}",
        "{ctl: 1, req: 2, resp: 1, comm: 3}",
        "{ctl: 2, req: 1, resp: 4, comm: 1}",
    ),
    "host.max_inflight": (4096, "64 KiB"),
    "pe.clock_ghz": (1, "1.1", "0.333", "1.7"),
    "pe.dma.max_inflight": (4096, 5000, 8192, "1 MiB"),
    "pe.gemm.m": (7, 16, 32),
    "pe.gemm.n": (5, 16, 32),
    "pe.ipcq.buffer": ("tcm", "sram", "hbm"),
    "pe.ipcq.poll_ns": (1, 5, 33),
    "pe.ipcq.slot_size": (64, 128, 512),
    "pe.ipcq.slots": (1, 2, 3, 5),
    "pe.mmu.miss": ("walk", "walk", "preload"),
    "pe.mmu.page": (512, "4 KiB", "64 KiB"),
    "pe.mmu.tlb_entries": (1, 2, 64, 4096),
    "pe.mmu.walk_reads": (1, 2, 5),
    "pe.regfile.accumulators": ("4 KiB", "64 KiB"),
    "pe.regfile.operands": ("4 KiB", "64 KiB"),
    "pe.scheduler.tile_queue": (1, 2, 16),
    "pe.tcm.banks": (1, 16),
    "pe.tcm.size": ("32 KiB", "64 KiB", "256 KiB"),
    "sip.io_die.io_cpu.queue_depth": (1, 64),
    "cube.m_cpu.queue_depth": (1, 32),
}
N_TRIES = 30


def random_machine(rng: Random, also: Sequence[str] = ()) -> Config:
    """``tiny`` with another shape and other numbers, and ``also``; settings that exclude each other are drawn anew."""
    for _ in range(N_TRIES):
        settings = {}
        for key in rng.sample(list(CHOICES), rng.randint(0, 10)):
            settings[key] = rng.choice(CHOICES[key])
        for key in rng.sample(RATES, rng.choice((0, 2, len(RATES)))):
            settings[key] = rng.choice(UGLY)
        for key in rng.sample(LATENCIES, rng.choice((0, 3, len(LATENCIES)))):
            settings[key] = rng.choice((0, 1, "2.5", "13.337", 60))
        tight = buffers(rng.choice((1056, 1088, 2112))) if rng.random() < 0.4 else ()
        common = ("cube.sram.banks=1", "cube.sram.at=[[0, 0]]")
        chosen = tuple(f"{key}={value}" for key, value in settings.items())
        try:
            return load_config("tiny", (*common, *rng.choice(SHAPES), *tight, *chosen, *also))
        except KernBenchError:
            continue
    return load_config("tiny", also)
