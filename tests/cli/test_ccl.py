"""``kernbench ccl`` prints nccl-tests' table with our columns behind, and fails when a value or a theory is wrong."""

import inspect
import json
import re
import time
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernbench.bench.collectives.inputs import REDUCTIONS, Inputs, expected
from kernbench.bench.collectives.request import COLLECTIVES, TYPES
from kernbench.bench.collectives.row import CclRow, Half, Oracle
from kernbench.bench.collectives.theory import Theory
from kernbench.bench.collectives.volume import bus_factor
from kernbench.ccl.algorithm import ALGORITHMS, load_algorithms
from kernbench.ccl.communicator import Communicator
from kernbench.cli.ccl_page import foot_of
from kernbench.cli.ccl_sizes import sizes_of
from kernbench.cli.ccl_table import Table
from kernbench.compiled import running
from kernbench.config.load import load_config
from kernbench.config.plain import config_sha256
from kernbench.reports.output import UNBOUNDED
from kernbench.theory.ceilings import Line
from kernbench.units import Rate

load_algorithms()
TINY = ("--topology", "tiny", "-b", "256", "-e", "256")
RING = ("--algo", "ring_allreduce")


def line_of(row):
    """The whole line of a size."""
    return Table(UNBOUNDED).line(row)


def table(out):
    """The rows that are no comments, in columns."""
    return [line.split() for line in out.splitlines() if not line.startswith("#")]


def printf(form, *values):
    """What C prints; the forms here are those of nccl-tests' src/common.cu."""
    return form % values


# -- the page -------------------------------------------------------------------------------------------------

HALF = Half(
    time_ps=Fraction(2_500_000),
    window_ps=4_000_000,
    iteration_ps=(Fraction(2_500_000),),
    algbw=12.5,
    busbw=18.75,
    n_wrong=0,
    error_ps=Fraction(1200),
    stall_ps=17_000,
    credits_min=3,
    lines=(
        Line("link", Rate.of(64), Fraction("1.0078125")),
        Line("niu", Rate.of(64), Fraction("1.5")),
        Line("hbm", Rate.of("47.104"), Fraction(16, 15)),
        Line("sram", Rate.of(64), Fraction(1, 2)),
    ),
)
ROW = CclRow(
    algorithm="ring_allreduce",
    size_bytes=1024,
    n_elem=256,
    dtype="float",
    op="sum",
    root=None,
    out_of_place=HALF,
    in_place=HALF,
    n_steps=6,
    max_link_bytes=1536,
    total_bytes=6144,
    bound_ps=Fraction(1_000_000),
    bound_share=0.4,
    oracle=Oracle(Fraction(2_498_800), "closed form"),
    host_s=0.125,
)


def test_a_row_is_nccl_tests_and_ours_behind():
    half = printf("  %7s  %6.2f  %6.2f  %5d", "2.50", 12.5, 18.75, 0)
    nccl = printf("%12d  %12d  %8s  %6s  %6d", 1024, 256, "float", "sum", -1) + 2 * half
    line = line_of(ROW)
    assert line.startswith(nccl + "  ")
    assert line[len(nccl) :].split() == ["6", "1536", "40.0", "2.4988", "1.200", "0.017", "3", "125"]


def test_the_head_is_nccl_tests_and_ours_behind(kernbench):
    out = kernbench("ccl", "all_reduce", *TINY).out.splitlines()
    left = "# %10s  %12s  %8s  %6s  %6s"
    nccl = printf(left, *[""] * 5) + "           out-of-place                       in-place          "
    assert out[3] == nccl
    nccl = printf(left, "size", "count", "type", "redop", "root")
    nccl += 2 * printf("  %7s  %6s  %6s %6s", "time", "algbw", "busbw", "#wrong")
    assert out[4].startswith(nccl + "  ")
    assert out[4][len(nccl) :].split() == [
        "steps", "maxlink(B)", "%bound", "oracle(us)", "err(ns)", "stall(us)", "credits_min", "host(ms)",
    ]  # fmt: skip
    nccl = printf(left, "(B)", "(elements)", "", "", "")
    assert out[5] == nccl + 2 * printf("  %7s  %6s  %6s  %5s", "(us)", "(GB/s)", "(GB/s)", "")
    assert out[7] == "# Out of bounds values : 0 OK"
    assert re.fullmatch(r"# Avg bus bandwidth    : [\d.]+ ", out[8])
    assert out[-2:] == ["#", f"# {running().line}"]


FOLDED = """\
#                      out-of-place                       in-place
#       size     time   algbw   busbw #wrong     time   algbw   busbw #wrong
#        (B)     (us)  (GB/s)  (GB/s)            (us)  (GB/s)  (GB/s)
        1024     2.50   12.50   18.75      0     2.50   12.50   18.75      0
#
#       size   steps  maxlink(B)  %bound  oracle(us)     err(ns)  stall(us)
#        (B)
        1024       6        1536    40.0      2.4988       1.200      0.017
#
#       size  credits_min  host(ms)         count      type   redop    root
#        (B)                           (elements)
        1024            3       125           256     float     sum      -1
"""


def test_a_narrow_terminal_gets_what_was_measured_first_and_all_else_below():
    folded = Table(80)
    lines = [*folded.head(), folded.line(ROW), *folded.rest([ROW])]
    assert [line.rstrip() for line in lines] == [line.rstrip() for line in FOLDED.splitlines()]
    assert max(map(len, lines)) <= 80


@given(st.integers(20, 300))
def test_no_line_is_wider_than_the_terminal_and_no_column_is_lost(width):
    folded, whole = Table(width), Table(UNBOUNDED)
    rows = [folded.line(ROW), *(line for line in folded.rest([ROW]) if not line.startswith("#"))]
    widest = 12 + 40  # the size, and the columns that are the same in all rows, which stay together
    assert max(map(len, [*folded.head(), *rows])) <= max(width, widest)
    cells = sorted(cell for line in rows for cell in line.split()[1:])
    assert cells == sorted(whole.line(ROW).split()[1:])


@pytest.mark.parametrize(
    ("time_us", "text"), [(0.094, "0.09"), (99.994, "99.99"), (100, "100.0"), (12_345.6, "12346")]
)
def test_times_have_as_many_digits_as_in_nccl_tests(time_us, text):
    half = replace(HALF, time_ps=Fraction(round(time_us * 1e6)))
    assert table(line_of(replace(ROW, out_of_place=half)))[0][5] == text


def test_what_there_is_not_is_said_so():
    nothing = replace(HALF, n_wrong=None, stall_ps=None, credits_min=None, lines=())
    row = replace(ROW, out_of_place=nothing, in_place=None, bound_share=None)
    cells = table(line_of(row))[0]
    theory = ["6", "1536", "N/A", "2.4988", "1.200"]
    assert cells[5:] == ["2.50", "12.50", "18.75", *["N/A"] * 5, *theory, "N/A", "N/A", "125"]


def test_the_sums_fail_with_a_row():
    wrong = replace(ROW, in_place=replace(HALF, n_wrong=2, busbw=1.25))
    assert foot_of([ROW, wrong], [], mode="ideal") == [
        "# Out of bounds values : 1 FAILED",
        "# Avg bus bandwidth    : 14.375 ",
        "# Off their oracle     : 2 FAILED",
        "# Busiest link         : 63.50 GB/s of busbw = 64 GB/s / 1.0078 B per bus byte",
        "# Busiest NIU          : 42.67 GB/s of busbw = 64 GB/s / 1.5000 B per bus byte",
        "# Busiest HBM channel  : 44.16 GB/s of busbw = 47.104 GB/s / 1.0667 B per bus byte",
        "# Busiest SRAM bank    : 128.00 GB/s of busbw = 64 GB/s / 0.5000 B per bus byte",
        "# Bottleneck           : NIU, 43.9 % of its line reached at 1024 B",
        "#",
    ]


def test_the_bottleneck_is_that_of_the_last_size_out_of_place():
    half = replace(HALF, busbw=44.0, lines=HALF.lines[2:3])
    last = replace(ROW, size_bytes=1 << 20, out_of_place=half)
    *_, hbm, bottleneck, end = foot_of([ROW, last], [], mode="timed")
    assert hbm == "# Busiest HBM channel  : 44.16 GB/s of busbw = 47.104 GB/s / 1.0667 B per bus byte"
    assert bottleneck == "# Bottleneck           : HBM channel, 99.6 % of its line reached at 1048576 B"
    assert end == "#"


def test_where_nothing_moves_there_is_no_bottleneck(kernbench):
    ran = kernbench("ccl", "barrier", "--topology", "tiny", "--json", "-")
    half = json.loads(ran.out)["rows"][0]["out_of_place"]
    assert (half["lines"], half["bottleneck"]) == ({}, None)
    assert kernbench("ccl", "barrier", "--topology", "tiny").out.splitlines()[-3].startswith("# Avg bus band")


# -- sizes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "sizes"),
    [
        (("8", "128", "2", None), [8, 16, 32, 64, 128]),
        (("1K", "64K", None, None), [1024, 8192, 65536]),
        (("0", "20", None, "8"), [0, 8, 16]),
        (("8", "24", "1", "8"), [8, 16, 24]),  # as nccl-tests says that there is no factor
        (("1M", None, None, None), [1 << 20]),
        (("1g", "1GiB", None, None), [1 << 30]),
        (("0.5k", "512", None, None), [512]),
    ],
)
def test_sizes_follow_nccl_tests_flags(flags, sizes):
    assert list(sizes_of(*flags)) == sizes


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (("all_reduc",), "unknown collective 'all_reduc'; did you mean 'all_reduce'? (known: "),
        (("all_reduce", "-b", "8X"), "-b 8X: '8X' is not a size; write bytes, or a number with KiB, MiB or GiB"),
        (("all_reduce", "-b", "8K", "-e", "4K"), "-b 8K: is more than -e 4K"),
        (("all_reduce", "-b", "0"), "-b 0: no factor leads on from 0; give another -b, or steps with -i"),
        (("all_reduce", "-f", "1"), "-f 1: does not lead on; give a factor of 2 or more, or steps with -i"),
        (("all_reduce", "-f", "0"), "-f 0: does not lead on; give a factor of 2 or more, or steps with -i"),
        (("all_reduce", "-i", "0"), "-i 0: does not lead on; give a factor of 2 or more, or steps with -i"),
        (("all_reduce", "-f", "2", "-i", "4"), "-i 4: -f 2 leads from one size to the next already; give one of them"),
        (("all_reduce", "-f", "1.5"), "invalid value for '-f': '1.5' is not a whole number, 0 or more; --help "),
        (("all_reduce", "-c", "2", "--mode", "timing"), "-c 2: mode timing computes no values; leave it or --mode out"),
        (("all_reduce", "-b", "3", "-e", "3"), "-e 3: holds no element of float; give 4 or more\n"),
        (
            ("all_gather", "-b", "2", "-e", "7", "-d", "half"),
            "-e 2: holds no element of half for each of 4 ranks; give 8 or more\n",
        ),
        (
            ("all_reduce", "--ideal", "--buffer", "hbm"),
            "--buffer hbm: the ideal machine has no memories; leave it or --ideal out",
        ),
        (("all_reduce", "-n", "0"), "-n 0: nothing is timed; give 1 or more"),
        (("all_reduce", "-d", "fp8"), "unknown type 'fp8'; "),
        (("all_reduce", "-o", "mulsum"), "unknown op 'mulsum'; (known: avg, max, min, prod, sum)"),
        (("broadcast", "-r", "4"), "-r 4: ranks are 0..3; name one of them"),
        (("all_reduce", "--ranks", "5"), "--ranks 5: the machine has 4 PEs; give 1 to 4"),
        (
            ("all_reduce", "--algo", "rign_allreduce"),
            "unknown algorithm 'rign_allreduce' of all_reduce; did you mean 'ring_allreduce'? "
            "(known: double_binary_tree_allreduce, ",
        ),
        (
            ("all_reduce", "--algo", "ring_all_gather"),
            "--algo ring_all_gather: is a way to do all_gather; of all_reduce there are ",
        ),
        (
            ("all_reduce", "--algo", "recursive_doubling_allreduce", "--ranks", "3"),
            "recursive_doubling_allreduce cannot serve 3 ranks: needs a power of two; of all_reduce, ",
        ),
        (("send_recv", "--ranks", "1"), "no algorithm of send_recv can serve 1 rank (hello_send: there is nobody to "),
        (("all_reduce", "--mode", "data"), "--mode: unknown mode 'data'; (known: oracle, timed, timing)"),
        (("all_reduce", "--buffer", "dram"), "--buffer: unknown buffer 'dram'; (known: hbm, sram, tcm)"),
        (("all_reduce", "--ideal", "--mode", "timing"), "--ideal: computes values with its times; leave --mode out"),
        (("all_reduce", "--plot", "busbw.pdf"), "--plot busbw.pdf: a picture's name ends with .png or .svg"),
    ],
)  # fmt: skip
def test_wrong_input_is_one_line(kernbench, args, error):
    ran = kernbench("ccl", *args, "--topology", "tiny")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"kernbench: {error}")
    assert ran.err.count("\n") == 1


# -- tiny runs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("collective", COLLECTIVES)
def test_every_collective_is_right_and_as_theory_says_on_the_ideal_machine(kernbench, collective):
    ran = kernbench("ccl", collective, *TINY, "--ideal", "-w", "0", "-r", "1")
    assert (ran.code, ran.err) == (0, "")
    ((*_, err, stall, credits_min, _),) = table(ran.out)
    assert (err, stall, credits_min) == ("0.000", "N/A", "N/A")
    assert "# Off their oracle     : 0 OK" in ran.out
    assert "# ideal machine, no fabric and no units" in ran.out


@pytest.mark.parametrize("collective", COLLECTIVES)
def test_every_collective_is_right_on_the_machine(kernbench, collective):
    ran = kernbench("ccl", collective, *TINY, "-w", "0", "-r", "3", "--json", "-")
    document = json.loads(ran.out)
    assert ran.code == 0
    (row,) = document["rows"]
    halves = [row["out_of_place"], *([row["in_place"]] if row["in_place"] else [])]
    checked = None if collective == "barrier" else 0
    assert [half["n_wrong"] for half in halves] == [checked] * len(halves)
    assert (row["root"] == 3) == (collective in ("broadcast", "reduce"))
    assert (row["redop"] == "sum") == (collective in ("all_reduce", "reduce_scatter", "reduce"))
    for half in halves:
        assert half["time_ps"] >= row["bound_ps"]
        assert half["time_ps"] - row["oracle_ps"] == half["error_ps"] > 0
        assert 0 <= half["credits_min"] < 2
        assert half["stall_ps"] >= 0
    assert row["bound_share"] == row["bound_ps"] / row["out_of_place"]["time_ps"]


def test_sizes_are_those_of_the_larger_buffer(kernbench):
    for collective, size, count in (
        ("all_gather", 240, 15),
        ("all_to_all", 240, 15),
        ("all_reduce", 252, 63),
    ):
        (row,) = json.loads(
            kernbench(
                "ccl", collective, "--topology", "tiny", "--ideal", "-b", "255", "-e", "255", "--json", "-"
            ).out
        )["rows"]
        assert (row["size_bytes"], row["count"]) == (size, count)


def test_busbw_is_algbw_times_nccl_tests_factor(kernbench):
    (row,) = table(kernbench("ccl", "all_reduce", *TINY, "--mode", "timing").out)
    time_us, algbw, busbw = map(float, row[5:8])
    assert algbw == pytest.approx(256 / (time_us * 1000), rel=0.02)
    assert busbw == pytest.approx(algbw * 6 / 4, rel=0.02)
    factors = {name: bus_factor(name, 8) for name in COLLECTIVES}
    assert {name for name, factor in factors.items() if factor == 7 / 8} == {
        "all_gather",
        "reduce_scatter",
        "all_to_all",
    }
    assert factors["all_reduce"] == 14 / 8
    assert {factors[name] for name in ("broadcast", "reduce", "send_recv", "barrier")} == {1.0}


@pytest.mark.parametrize("algorithm", ["ring_allreduce", "tree_allreduce"])
def test_from_the_second_run_on_all_take_as_long(kernbench, algorithm):
    args = (
        "ccl",
        "all_reduce",
        "--topology",
        "tiny",
        "-b",
        "2K",
        "-e",
        "2K",
        "--algo",
        algorithm,
        "--json",
        "-",
    )
    (row,) = json.loads(kernbench(*args, "-w", "0", "-n", "4").out)["rows"]
    for half in (row["out_of_place"], row["in_place"]):
        first, *others = half["iteration_ps"]
        assert len(set(others)) == 1
        assert first > others[0]  # the TLBs did not hold the pages
        assert half["time_ps"] == others[-1]
    (steady,) = json.loads(kernbench(*args).out)["rows"]
    assert steady["out_of_place"]["time_ps"] == row["out_of_place"]["time_ps"]


def test_a_row_does_not_depend_on_the_rows_before_it(kernbench):
    def last(*flags):
        *_, row = table(kernbench("ccl", "all_gather", "--topology", "tiny", *flags).out)
        return row[:-1]  # but for KernBench's own time

    assert last("-b", "64", "-e", "1K", "-f", "4") == last("-b", "1K", "-e", "1K")


def test_timing_checks_nothing_and_takes_as_long(kernbench):
    timed, timing = (
        table(kernbench("ccl", "all_reduce", *TINY, *mode).out)[0] for mode in ((), ("--mode", "timing"))
    )
    assert [timing[i] for i in (8, 12)] == ["N/A", "N/A"]
    assert [x for i, x in enumerate(timing[:-1]) if i not in (8, 12)] == [
        x for i, x in enumerate(timed[:-1]) if i not in (8, 12)
    ]


def test_without_check_nothing_is_checked(kernbench):
    (row,) = table(kernbench("ccl", "all_reduce", *TINY, "-c", "0", "--ideal").out)
    assert [row[i] for i in (8, 12)] == ["N/A", "N/A"]


@pytest.mark.parametrize(
    ("args", "n_checks"),
    [
        (("all_reduce", *TINY, "-c", "0"), 0),
        (("all_reduce", *TINY, "--mode", "timing"), 0),
        (("barrier", *TINY[:2]), 0),
    ],
)
def test_what_was_not_checked_is_not_called_ok(kernbench, args, n_checks):
    out = kernbench("ccl", *args).out
    assert f" validation: {n_checks}\n" in out
    assert "# Out of bounds values : N/A, nothing was checked\n" in out


def test_a_size_of_no_element_is_a_row_of_a_sweep_in_which_nothing_is_checked(kernbench):
    ran = kernbench("ccl", "all_gather", "--topology", "tiny", "-b", "8", "-e", "16", "-f", "2", "--ideal")
    empty, full = table(ran.out)
    assert ([empty[i] for i in (0, 1, 8, 12)], [full[i] for i in (0, 1, 8, 12)]) == (
        ["0", "0", "N/A", "N/A"],
        ["16", "1", "0", "0"],
    )
    ran = kernbench(
        "ccl", "all_reduce", "--topology", "tiny", "-b", "0", "-e", "0", "-f", "1", "-i", "4", "--ideal"
    )
    assert (ran.code, table(ran.out)[0][1]) == (0, "0")
    assert "nothing was checked" in ran.out


def test_the_sizes_that_were_asked_for_are_in_the_head(kernbench):
    out = kernbench(
        "ccl", "all_reduce", "--topology", "tiny", "-b", "64", "-e", "1K", "-f", "10", "--ideal"
    ).out
    assert "# minBytes 64 maxBytes 1024 sizes: 2 " in out


def test_ranks_algorithm_type_op_and_buffer_can_be_chosen(kernbench):
    ran = kernbench(
        "ccl", "all_reduce", *TINY, "--algo", "tree_allreduce", "--ranks", "3", "-d", "half", "-o", "max",
        "--buffer", "hbm", "--set", "pe.ipcq.slots=3",
    )  # fmt: skip
    assert ran.code == 0
    assert "algo=tree_allreduce  ranks=3  mode=timed" in ran.out
    assert table(ran.out)[0][:5] == ["256", "128", "half", "max", "-1"]


def test_a_size_has_the_algorithm_that_ccl_yaml_selects(kernbench):
    selection = "ccl.selection.all_reduce=tree_allreduce:0-255;ring_allreduce:256-max"
    args = ("ccl", "all_reduce", "--topology", "tiny", "--ideal", "-b", "128", "-e", "256", "-f", "2")
    document = json.loads(kernbench(*args, "--set", selection, "--json", "-").out)
    assert [row["algorithm"] for row in document["rows"]] == ["tree_allreduce", "ring_allreduce"]


# -- JSON and the picture --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [("--ideal",), ("--mode", "timed"), ("--mode", "oracle")])
def test_json_splits_the_cpu_time_of_all_rows(kernbench, mode):
    before_ns = time.process_time_ns()
    cpu = json.loads(kernbench("ccl", "all_reduce", *TINY, *RING, *mode, "--json", "-").out)["cpu"]
    passed_ns = time.process_time_ns() - before_ns
    assert list(cpu) == [
        "start_ns",
        "configuration_ns",
        "language_ns",
        "machine_ns",
        "values_ns",
        "report_ns",
    ]
    assert min(cpu.values()) >= 0
    assert 0 < sum(cpu.values()) <= passed_ns
    assert (cpu["machine_ns"] > 0) == ("timed" in mode)
    assert (cpu["language_ns"] > 0) == ("oracle" not in mode)  # which has a closed form


def test_json_says_what_was_measured_on_what(kernbench, tmp_path):
    path = tmp_path / "ccl.json"
    ran = kernbench("ccl", "all_reduce", *TINY, *RING, "--ideal", "--json", str(path))
    document = json.loads(path.read_text())
    assert table(ran.out)
    assert document["schema"] == "kernbench.ccl/1"
    assert document["config_sha256"] == config_sha256(load_config("tiny"))
    assert {
        name: document[name] for name in ("topology", "collective", "n_ranks", "mode", "engine", "dtype")
    } == {
        "topology": "tiny",
        "collective": "all_reduce",
        "n_ranks": 4,
        "mode": "ideal",
        "engine": running().engine,
        "dtype": "float",
    }
    # two PEs side by side: 3 ns into a router, its 2, a link of 1, the next one's 2, and 3 ns out; 64 lanes of fp32
    assert document["model"] == {"alpha_ps": 11_000, "beta_ps_per_byte": 15.625, "gamma_ps_per_byte": 3.90625}
    (row,) = document["rows"]
    # 6 steps of 64 B over 64 B/ns, and 3 of them reduced at 256 B/ns
    assert row["out_of_place"]["time_ps"] == row["oracle_ps"] == 6 * (11_000 + 1000) + 3 * 250
    assert (row["steps"], row["max_link_bytes"], row["total_bytes"]) == (6, 6 * 64, 4 * 6 * 64)
    assert row["out_of_place"]["lines"] == {"link": {"rate": 64, "bytes_per_bus_byte": 1, "busbw": 64}}
    assert row["out_of_place"]["bottleneck"] == "link"


def test_text_and_json_name_the_lines_of_links_nius_and_hbm(kernbench):
    """4 ranks: of 256 B, 6/4 are bus bytes; a rank reads 256 B of HBM and writes as many, at 2 x 25.6 GB/s."""
    args = ("ccl", "all_reduce", *TINY, "--mode", "timing")
    half = json.loads(kernbench(*args, "--json", "-").out)["rows"][0]["out_of_place"]
    lines = half["lines"]
    assert list(lines) == ["link", "niu", "hbm"]
    assert lines["hbm"] == {
        "rate": 51.2, "bytes_per_bus_byte": float(Fraction(4, 3)), "busbw": float(Fraction("51.2") * 3 / 4)
    }  # fmt: skip
    assert all(half["busbw"] < line["busbw"] for line in lines.values())
    assert half["bottleneck"] == min(lines, key=lambda level: lines[level]["busbw"])
    *_, link, niu, hbm, bottleneck, _, _ = kernbench(*args).out.splitlines()
    names = {"link": "link", "niu": "NIU", "hbm": "HBM channel"}
    for text, (level, line) in zip((link, niu, hbm), lines.items(), strict=True):
        assert text == (
            f"# {'Busiest ' + names[level]:<20} : {line['busbw']:.2f} GB/s of busbw = {line['rate']:g} GB/s / "
            f"{line['bytes_per_bus_byte']:.4f} B per bus byte"
        )
    share = 100 * half["busbw"] / lines[half["bottleneck"]]["busbw"]
    assert bottleneck == (
        f"# Bottleneck           : {names[half['bottleneck']]}, {share:.1f} % of its line reached at 256 B"
    )


def test_rings_in_sram_have_a_line_of_their_own(kernbench):
    out = kernbench("ccl", "all_reduce", *TINY, *RING, "--mode", "timing", "--buffer", "sram", "-w", "0").out
    # 24 messages of 64 B, each written once and read once, through one bank; 384 bus bytes
    assert "# Busiest SRAM bank    : 8.00 GB/s of busbw = 64 GB/s / 8.0000 B per bus byte" in out


def test_a_picture_has_a_line_for_each_algorithm_that_can_serve(kernbench, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "busbw.svg"
    ran = kernbench("ccl", "all_gather", *TINY, "--ideal", "--plot", str(path))
    assert ran.code == 0
    assert path.read_text().startswith("<?xml")
    assert all(f"<!-- {name} -->" in path.read_text() for name in ("ring_all_gather", "bucket_all_gather"))


def test_algorithms_that_are_equal_at_every_size_are_one_line_of_a_picture():
    from kernbench.cli.ccl_plot import _alike

    faster = replace(ROW, size_bytes=2048, out_of_place=replace(HALF, busbw=20.0))
    rows = {"mesh": [ROW, faster], "ring": [faster], "torus": [ROW, faster]}
    assert _alike(rows) == [(["mesh", "torus"], {1024: 18.75, 2048: 20.0}), (["ring"], {2048: 20.0})]


# -- what makes the exit code 1 -------------------------------------------------------------------------------


def test_a_wrong_value_makes_the_exit_code_1(kernbench, monkeypatch):
    chosen = ALGORITHMS["ring_allreduce"]

    def forgets(src, dst, **named):
        chosen.kernel(src, dst, **{**named, "op": "max"})

    forgets.__signature__ = inspect.signature(chosen.kernel)
    broken = replace(chosen, kernel=forgets)
    monkeypatch.setitem(ALGORITHMS._entries, "ring_allreduce", broken)
    ran = kernbench("ccl", "all_reduce", *TINY, "--algo", "ring_allreduce")
    assert ran.code == 1
    row = table(ran.out)[0]
    assert int(row[8]) > 0
    assert "# Out of bounds values : 2 FAILED" in ran.out


def test_each_checked_run_has_values_of_its_own(kernbench, monkeypatch):
    """A run that writes nothing leaves what was there: all of it is wrong, as often as it is checked."""
    kernel = ALGORITHMS["binomial_broadcast"].kernel
    runs = []

    def only_once(src, dst, **named):
        runs.append(1)
        if len(runs) <= 4 * 2:  # four ranks, a warm-up run and a timed one
            kernel(src, dst, **named)

    only_once.__signature__ = inspect.signature(kernel)
    broken = replace(ALGORITHMS["binomial_broadcast"], kernel=only_once)
    monkeypatch.setitem(ALGORITHMS._entries, "binomial_broadcast", broken)
    monkeypatch.setattr(Communicator, "require_claimed", lambda *_: None)
    args = ("ccl", "broadcast", *TINY, "--algo", "binomial_broadcast", "--json", "-", "-c")
    (row,) = json.loads(kernbench(*args, "1").out)["rows"]
    assert row["out_of_place"]["n_wrong"] == 0
    runs.clear()
    (row,) = json.loads(kernbench(*args, "3").out)["rows"]
    assert row["out_of_place"]["n_wrong"] == 2 * 4 * 64


def test_an_error_against_theory_makes_the_exit_code_1_on_the_ideal_machine_only(kernbench, monkeypatch):
    monkeypatch.setattr(Theory, "oracle", Oracle(Fraction(1), "max-plus"))
    ran = kernbench("ccl", "all_reduce", *TINY, "--ideal")
    assert ran.code == 1
    assert "# Off their oracle     : 1 FAILED" in ran.out
    assert kernbench("ccl", "all_reduce", *TINY).code == 0


# -- inputs ---------------------------------------------------------------------------------------------------


@given(
    p=st.integers(1, 300),
    n=st.integers(0, 700),
    dtype=st.sampled_from(sorted(TYPES)),
    op=st.sampled_from(sorted(REDUCTIONS)),
    seed=st.integers(0, 5),
    turn=st.integers(0, 3),
)
def test_inputs_reduce_exactly_in_their_own_type_in_any_order(p, n, dtype, op, seed, turn):
    inputs = [Inputs(p, TYPES[dtype], op, turn).of("all_reduce", rank, n) for rank in range(p)]
    wanted = dict(expected("all_reduce", op, 0, inputs))[0]
    order = np.random.default_rng(seed).permutation(p)
    total = inputs[order[0]]
    for rank in order[1:]:
        function = {"max": np.maximum, "min": np.minimum, "prod": np.multiply}.get(op, np.add)
        total = function(total, inputs[rank], dtype=total.dtype)
    if op == "avg":
        wide = total.astype(np.int64) // p if total.dtype.kind in "iu" else total.astype(np.float64) / p
        total = wide.astype(total.dtype)
    assert total.tobytes() == wanted.tobytes()
