"""``kernbench probe`` prints one row per transfer; an error that is not 0 is a wrong result."""

import json
import sys
from dataclasses import dataclass, replace
from importlib import import_module
from types import SimpleNamespace

import pytest

from kernbench.compiled import Running, running
from kernbench.config.load import load_config
from kernbench.config.plain import config_sha256


@dataclass(frozen=True)
class Hop:
    name: str
    latency_ps: int
    serial_ps: int
    bytes_per_ns: float


@dataclass(frozen=True)
class Row:
    case: str
    src: str
    dst: str
    size_bytes: int
    simulated_ps: int
    closed_form_ps: int
    error_ps: int
    bytes_per_ns: float
    bottleneck_bytes_per_ns: float
    share: float
    hops: tuple[Hop, ...]


LOCAL = Row(
    case="pe-to-local",
    src="sip0.cube0.pe0.niu",
    dst="sip0.cube0.hbm0",
    size_bytes=4096,
    simulated_ps=160_000,
    closed_form_ps=160_000,
    error_ps=0,
    bytes_per_ns=25.6,
    bottleneck_bytes_per_ns=51.2,
    share=0.5,
    hops=(
        Hop("sip0.cube0.pe0.niu -> sip0.cube0.r0_0", 3_000, 64_000, 64.0),
        Hop("sip0.cube0.r0_0 -> sip0.cube0.hbm0", 2_000, 80_000, 51.2),
    ),
)


@pytest.fixture
def probed(monkeypatch):
    """What was asked for, and the rows that are given back."""
    asked = SimpleNamespace(rows=(LOCAL,))

    def run_probe(cases, sizes, *, topology, overrides):
        asked.cases, asked.sizes, asked.topology, asked.overrides = cases, sizes, topology, overrides
        return asked.rows

    probe = SimpleNamespace(CASES=("host-to-device", "pe-to-local"), SIZES=(4096, 8192), run_probe=run_probe)
    monkeypatch.setitem(sys.modules, "kernbench.bench.probe", probe)
    return asked


def test_a_row_shows_both_times_and_the_share_of_the_bottleneck(kernbench, probed):
    assert kernbench("probe") == (
        0,
        "case          size  simulated  closed form  error   GB/s  of bottleneck\n"
        "pe-to-local  4 KiB     160 ns       160 ns   0 ps  25.60           50 %\n"
        "\n"
        f"every error is 0\n{running().line}\n",
        "",
    )


def test_the_last_line_says_which_engine_ran_and_why(kernbench, probed, monkeypatch):
    monkeypatch.setattr(
        "kernbench.cli.probe.running", lambda: Running("reference", "nothing is compiled here")
    )
    assert kernbench("probe").out.endswith(
        "\nevery error is 0\nengine reference (nothing is compiled here)\n"
    )


def test_an_engine_can_be_asked_for(kernbench, probed):
    assert kernbench("probe", "--engine", running().engine).out.endswith(f"\n{running().line}\n")
    assert kernbench("probe", "--engine", "fast") == (
        2,
        "",
        "kernbench: --engine: 'fast' is no engine; write auto, native or reference\n",
    )


def test_what_has_no_closed_form_is_not_called_right(kernbench, probed):
    probed.rows = (replace(LOCAL, closed_form_ps=None, error_ps=None),)
    why = (
        "transfers have no closed form: their pages are more than the TLB holds (pe.mmu.tlb_entries), or their blocks "
        "in flight more than TCM does"
    )
    none = [f"1 of 1 {why}", "no transfer was compared with a closed form"]
    assert kernbench("probe").out.splitlines()[-3:-1] == none
    probed.rows += (LOCAL,)
    assert kernbench("probe").out.splitlines()[-3:-1] == [f"1 of 2 {why}", "every error is 0"]


def test_hops_are_shown_on_request(kernbench, probed):
    assert kernbench("probe", "--hops").out.splitlines()[3:7] == [
        "pe-to-local: sip0.cube0.pe0.niu -> sip0.cube0.hbm0, 4 KiB",
        "hop                                    latency  serialisation  GB/s",
        "sip0.cube0.pe0.niu -> sip0.cube0.r0_0     3 ns          64 ns    64",
        "sip0.cube0.r0_0 -> sip0.cube0.hbm0        2 ns          80 ns  51.2",
    ]


def test_by_default_all_cases_run_at_all_sizes(kernbench, probed):
    kernbench("probe")
    assert probed.cases == ("host-to-device", "pe-to-local")
    assert probed.sizes == (4096, 8192)
    assert (probed.topology, probed.overrides) == ("default", ())


def test_case_sizes_and_machine_can_be_chosen(kernbench, probed):
    kernbench(
        "probe", "pe-to-local", "--sizes", "32,2 MiB", "--topology", "tiny", "--set", "cube.hbm.queue=128"
    )
    assert probed.cases == ("pe-to-local",)
    assert probed.sizes == (32, 2 << 20)
    assert (probed.topology, probed.overrides) == ("tiny", ("cube.hbm.queue=128",))


def test_an_error_makes_the_exit_code_1(kernbench, probed):
    probed.rows = (LOCAL, replace(LOCAL, simulated_ps=160_001, error_ps=1))
    ran = kernbench("probe")
    assert ran.code == 1
    assert ran.out.splitlines()[-2] == (
        "1 of 2 transfers differ from their closed form, for which every buffer and queue is large enough; "
        "kernbench check warns of those that are not"
    )


def test_a_case_that_the_machine_has_no_place_for_is_an_error(kernbench, probed):
    probed.rows = ()
    assert kernbench("probe", "pe-to-local", "--topology", "tiny") == (
        2,
        "",
        "kernbench: probe pe-to-local: tiny has no such place; leave the case out to see what there is\n",
    )


def test_json_holds_every_field(kernbench, probed):
    document = json.loads(kernbench("probe", "--json", "-").out)
    assert document["schema"] == "kernbench.probe/1"
    assert document["config_sha256"] == config_sha256(load_config())
    assert document["engine"] == running().engine
    (row,) = document["rows"]
    assert {name: value for name, value in row.items() if name != "hops"} == {
        name: value for name, value in vars(LOCAL).items() if name != "hops"
    }
    assert row["hops"] == [vars(hop) for hop in LOCAL.hops]


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (
            ("pe-to-loca",),
            "unknown case 'pe-to-loca'; did you mean 'pe-to-local'? (known: host-to-device, pe-to-local, queue)",
        ),
        (
            ("--sizes", "4 KiB,4 XB"),
            "--sizes 4 KiB,4 XB: '4 XB' is not a size; write bytes, or a number with KiB, MiB or GiB",
        ),
        (("--sizes", "0"), "--sizes 0: a transfer moves 1 byte or more"),
        (("--depths", "1..8"), "--depths is for a queue: kernbench probe queue --depths 1..8"),
        (("pe-to-local", "--pes", "0,1"), "--pes is for a queue: kernbench probe queue --pes 0,1"),
        (("--plot", "a.png"), "--plot is for a queue: kernbench probe queue --plot a.png"),
        (("queue", "--depths", "1..b"), "--depths 1..b: '1..b' is no depth; write 4, or 1..16"),
        (("queue", "--depths", "2..1"), "--depths 2..1: 2..1 ends before it begins; write 1..16"),
        (("queue", "--depths", "0"), "--depths 0: a queue has 1 slot or more; write 4, or 1..16"),
        (("queue", "--pes", "1"), "--pes 1: write the numbers of two PEs, as in 0,1"),
        (("queue", "--plot", "knee.pdf"), "--plot knee.pdf: a picture's name ends with .png or .svg"),
        (("queue", "--plot", "no/knee.png"), "no/knee.png: there is no folder 'no'; make it first"),
    ],
)
def test_wrong_input_is_one_line(kernbench, probed, args, error):
    assert kernbench("probe", *args) == (2, "", f"kernbench: {error}\n")


def test_the_help_names_every_case(kernbench):
    help_text = "".join(kernbench("probe", "--help").out.split())
    assert all(case in help_text for case in (*import_module("kernbench.bench.probe").CASES, "queue"))


def test_on_the_real_machine_every_error_is_0(kernbench):
    ran = kernbench("probe", "--topology", "tiny", "--sizes", "4 KiB,100")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.endswith(f"\nevery error is 0\n{running().line}\n")
    # tiny has one cube: two host cases and two PE cases, at two sizes
    assert ran.out.count(" 0 ps ") == 8


# -- a queue ------------------------------------------------------------------------------------------------------

SWEEP = ("probe", "queue", "--topology", "tiny", "--sizes", "256", "--depths", "1,4,5")


def test_a_queue_is_swept_over_its_depth_and_its_knee_is_marked(kernbench):
    # by hand in tests/theory/test_idle_queue.py: m b = 16 ns, R = 59 ns
    assert kernbench(*SWEEP) == (
        0,
        "queue sip0.cube0.pe0 -> sip0.cube0.pe1, one message a slot, slots in TCM\n"
        "\n"
        "depth   size  messages/us  closed form  error  knee\n"
        "    1  256 B       16.949       16.949   0 ps\n"
        "    4  256 B       62.500       62.500   0 ps  <- D*\n"
        "    5  256 B       62.500       62.500   0 ps\n"
        "\n"
        "D slots give min(1 / (m b), D / R) messages; the knee is D* = ceil(R / (m b))\n"
        " size    m b      R  D*  what takes m b\n"
        "256 B  16 ns  59 ns   4  the set-up of a slot by PE_DMA\n"
        "\n"
        f"every error is 0\n{running().line}\n",
        "",
    )


def test_on_request_a_queue_shows_what_its_closed_form_is_made_of(kernbench):
    lines = kernbench(*SWEEP, "--hops").out.splitlines()
    assert lines[lines.index("256 B: round trip of a slot") :][1:5] == [
        "16 ns    set-up",
        "27.5 ns  data",
        "4 ns     next receive",
        "11.5 ns  credit",
    ]
    assert "4.5 ns  the link sip0.cube0.r0_0 -> sip0.cube0.r1_0" in lines


@pytest.mark.parametrize(
    "machine",
    [
        ("--topology", "tiny", "--pes", "3,0"),
        ("--topology", "default", "--pes", "0,31", "--depths", "1,3,10"),
        ("--topology", "default", "--pes", "0,127", "--depths", "2,24"),
        ("--topology", "tiny", "--set", "pe.dma.setup_ns=0", "--set", "pe.cpu.issue_ns=1"),
        ("--topology", "tiny", "--set", "pe.tcm.write_bw=33.1", "--set", "pe.cpu.issue_ns=30"),
        ("--topology", "default", "--pes", "5,40", "--set", "cube.noc.link_bw=17.3", "--depths", "2,9"),
        ("--topology", "default", "--set", "cube.noc.chunk=256", "--set", "cube.noc.packet=1 KiB"),
    ],
    ids=["across", "other cube", "other SIP", "by receives", "by a port", "between picoseconds", "chunks"],
)
def test_the_simulator_agrees_with_the_closed_form_of_a_queue(kernbench, machine):
    depths = () if "--depths" in machine else ("--depths", "1..6")
    ran = kernbench("probe", "queue", *depths, "--sizes", "1,100,1000,4096,10000", *machine)
    assert ran.out.endswith(f"\nevery error is 0\n{running().line}\n")
    assert ran.code == 0


def test_a_queue_that_something_else_limits_differs_from_its_closed_form(kernbench):
    # 8 KiB in flight are too few for TCM's 100 ns of latency
    ran = kernbench(*SWEEP[:4], "--sizes", "4KiB", "--depths", "4,5", "--set", "pe.tcm.latency_ns=100")
    assert ran.code == 1
    assert ran.out.splitlines()[-2] == (
        "1 of 2 rows differ from their closed form, for which every buffer, window and queue but the ring is large "
        "enough; kernbench check warns of those that are not"
    )


def test_json_holds_the_rows_of_a_queue(kernbench):
    document = json.loads(kernbench(*SWEEP, "--json", "-").out)
    assert (document["schema"], document["topology"]) == ("kernbench.probe/1", "tiny")
    rows = document["rows"]
    assert [(row["depth"], row["is_knee"], row["error_ps"]) for row in rows] == [
        (1, False, 0),
        (4, True, 0),
        (5, False, 0),
    ]
    assert rows[0] == {
        "case": "queue",
        "src": "sip0.cube0.pe0",
        "dst": "sip0.cube0.pe1",
        "size_bytes": 256,
        "depth": 1,
        "n_messages": 4,
        "simulated_ps": 4 * 59_000,
        "closed_form_ps": 4 * 59_000,
        "error_ps": 0,
        "messages_per_us": pytest.approx(1000 / 59),
        "closed_form_messages_per_us": pytest.approx(1000 / 59),
        "interval_ps": 16_000.0,
        "limit": "the set-up of a slot by PE_DMA",
        "round_trip_ps": 59_000,
        "trip_ps": {"set-up": 16_000, "data": 27_500, "next receive": 4_000, "credit": 11_500},
        "knee": 4,
        "is_knee": False,
    }


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (("--pes", "1,1"), "probe queue: a queue joins two PEs of 0..3, not PE 1 and PE 1"),
        (("--pes", "0,4"), "probe queue: a queue joins two PEs of 0..3, not PE 0 and PE 4"),
        (
            ("--sizes", "64KiB"),
            "probe queue: no ring of these depths and sizes fits a TCM of 65536 B beside one more message; of depth 1 "
            "a message has 32768 B at most",
        ),
    ],
)
def test_a_queue_that_cannot_be_is_one_line(kernbench, args, error):
    assert kernbench("probe", "queue", "--topology", "tiny", *args) == (2, "", f"kernbench: {error}\n")


@pytest.mark.parametrize(("suffix", "begins"), [(".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_a_sweep_is_drawn(kernbench, tmp_path, suffix, begins):
    target = tmp_path / f"knee{suffix}"
    assert kernbench(*SWEEP, "--plot", str(target)).code == 0
    assert target.read_bytes().startswith(begins)


def test_the_same_sweep_is_the_same_picture(kernbench, tmp_path):
    pictures = [tmp_path / name for name in ("a.svg", "b.svg")]
    for picture in pictures:
        kernbench(*SWEEP, "--plot", str(picture))
    assert pictures[0].read_bytes() == pictures[1].read_bytes()


def test_without_matplotlib_a_picture_is_one_line(kernbench, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert kernbench(*SWEEP, "--plot", "knee.png") == (
        2,
        "",
        "kernbench: --plot draws with matplotlib, which is not installed: pip install kernbench[plot]\n",
    )
