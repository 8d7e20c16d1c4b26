"""Rows and short texts say what the numbers say, no more."""

from fractions import Fraction

import pytest

from kernbench.analysis.summary import UnitUse
from kernbench.config.load import load_config
from kernbench.reports.tables import KindUse, machine, peak_rows, percent, share_rows, use_by_kind
from kernbench.theory.peaks import peaks


def unit(node: str, busy_ps: int) -> UnitUse:
    return UnitUse(
        node=node, kind=node.split(".")[-1], window_ps=100, busy_ps=busy_ps, stalls={}, size_bytes=0
    )


def test_a_kind_is_as_busy_as_its_units_on_average_and_as_its_busiest():
    units = [unit("pe0.pe_gemm", 30), unit("pe1.pe_gemm", 50), unit("pe0.pe_dma", 60), unit("pe0.pe_math", 0)]
    assert use_by_kind(units) == (
        KindUse(kind="pe_dma", n_units=1, mean=0.6, max=0.6, busiest="pe0.pe_dma"),
        KindUse(kind="pe_gemm", n_units=2, mean=0.4, max=0.5, busiest="pe1.pe_gemm"),
    )


def test_shares_are_of_the_sum_and_a_cause_without_time_is_left_out():
    assert share_rows({"a": 0, "b": 1, "c": 3}) == [("c", "0.003 ns", "75 %"), ("b", "0.001 ns", "25 %")]
    assert share_rows({}) == []


@pytest.mark.parametrize(
    ("share", "text"), [(0.00049, "<0.1 %"), (0.0005, "0.1 %"), (0.9996, "100 %"), (0, "0 %")]
)
def test_a_share_that_is_there_is_never_shown_as_none(share, text):
    assert percent(share) == text


def test_a_machine_is_counted_in_words():
    assert machine(load_config("big").topology) == "8 SIPs x 16 cubes x 64 PEs = 8192 PEs"


def test_peaks_of_the_default_follow_from_its_numbers():
    rows = dict(peak_rows(peaks(load_config().topology)))
    tera = Fraction(1024 * 2 * 16, 1000)  # MACs x 2 flops x PEs of a cube, at 1 GHz
    assert rows["fp16 of a cube"] == f"{float(tera):.4g} TFLOP/s"
    assert (
        rows["HBM of all cubes"] == "6553.6 GB/s, of which 6029.3 GB/s can be reached"
    )  # 8 x 16 x 2 x 25.6; x 0.92
    assert rows["link to other SIPs"] == "57.33 GB/s"
    assert rows["host link of a SIP"] == "57.33 GB/s"  # 63 x 0.91


def test_what_a_machine_does_not_have_has_no_row():
    rows = dict(peak_rows(peaks(load_config("tiny").topology)))
    assert "link to other SIPs" not in rows
    one_pe = load_config("tiny", ["cube.pes={count: 1, grid: [1, 1]}", "cube.hbm.channels=1"]).topology
    assert "mesh bisection of a cube" not in dict(peak_rows(peaks(one_pe)))


def test_large_rates_are_in_tb_and_pflop():
    rows = dict(peak_rows(peaks(load_config("big").topology)))
    assert rows["fp16, all PEs"] == "16.78 PFLOP/s"
    assert rows["HBM of all cubes"] == "262.14 TB/s, of which 214.96 TB/s can be reached"
