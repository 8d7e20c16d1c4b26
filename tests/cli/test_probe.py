"""``kernbench probe`` prints one row per transfer; an error that is not 0 is a wrong result."""

import json
import sys
from dataclasses import dataclass, replace
from importlib import import_module
from types import SimpleNamespace

import pytest

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
    monkeypatch.setitem(sys.modules, "kernbench.probe", probe)
    return asked


def test_a_row_shows_both_times_and_the_share_of_the_bottleneck(kernbench, probed):
    assert kernbench("probe") == (
        0,
        "case          size  simulated  closed form  error   GB/s  of bottleneck\n"
        "pe-to-local  4 KiB     160 ns       160 ns   0 ps  25.60           50 %\n"
        "\n"
        "every error is 0\n",
        "",
    )


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
    assert ran.out.splitlines()[-1] == (
        "1 of 2 transfers differ from their closed form, for which every buffer and queue is large enough; "
        "kernbench check warns of those that are not"
    )


def test_a_case_that_the_machine_has_no_place_for_is_an_error(kernbench, probed):
    probed.rows = ()
    assert kernbench("probe", "pe-to-local", "--topology", "tiny") == (
        2,
        "",
        "kernbench: probe pe-to-local: tiny has no such place, or its TCM is smaller than every size; "
        "leave the case out to see what there is\n",
    )


def test_json_holds_every_field(kernbench, probed):
    document = json.loads(kernbench("probe", "--json", "-").out)
    assert document["schema"] == "kernbench.probe/1"
    assert document["config_sha256"] == config_sha256(load_config())
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
            "unknown case 'pe-to-loca'; did you mean 'pe-to-local'? (known: host-to-device, pe-to-local)",
        ),
        (
            ("--sizes", "4 KB,4 XB"),
            "--sizes 4 KB,4 XB: '4 XB' is not a size; write bytes, or a number with KiB, MiB or GiB",
        ),
        (("--sizes", "0"), "--sizes 0: must hold at least one byte"),
    ],
)
def test_wrong_input_is_one_line(kernbench, probed, args, error):
    assert kernbench("probe", *args) == (2, "", f"kernbench: {error}\n")


def test_the_help_names_every_case(kernbench):
    help_text = "".join(kernbench("probe", "--help").out.split())
    assert all(case in help_text for case in import_module("kernbench.probe").CASES)


def test_on_the_real_machine_every_error_is_0(kernbench):
    ran = kernbench("probe", "--topology", "tiny", "--sizes", "4 KiB,100")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.endswith("\nevery error is 0\n")
    # tiny has one cube: two host cases and two PE cases, at two sizes
    assert ran.out.count(" 0 ps ") == 8
