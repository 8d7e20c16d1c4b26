"""``kernbench run`` prints what a run found, ends with what limits the kernel, and judges by its exit code."""

import json
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from kernbench.analysis.bounds import Bound
from kernbench.analysis.causes import Part
from kernbench.analysis.measured import MeasuredLaunch
from kernbench.analysis.summary import Translations, UnitUse
from kernbench.cli.files import write_text
from kernbench.cpu_time import CpuParts
from kernbench.errors import DeadlockError
from kernbench.messages.lines import Origin
from kernbench.messages.source_line import SourceLine
from kernbench.runs.result import Check, RunResult


def unit(pe, kind, busy_ps):
    return UnitUse(
        node=f"sip0.cube0.pe{pe}.{kind}",
        kind=kind,
        window_ps=10_000_000,
        busy_ps=busy_ps,
        stalls={},
        size_bytes=0,
    )


def launch(kernel, sent_ps, parts):
    """A launch on 4 PEs that start 1 us after it left the host."""
    return MeasuredLaunch(
        kernel=kernel,
        grid=(4, 2, 1),
        pes=(0, 1, 2, 3),
        sent_ps=sent_ps,
        start_ps=sent_ps + 1_000_000,
        end_ps=sent_ps + 1_000_000 + sum(parts.values()),
        done_ps=10_000_000,
        parts=parts,
    )


PARTS = {
    Part("gemm", "pe_gemm", Origin(SourceLine("my_bench.py", 9), "dot")): 2_000_000,
    Part("gemm", "pe_gemm", Origin(SourceLine("my_bench.py", 12), "dot")): 800_000,
    Part("kernel start", "pe_cpu", None): 1_200_000,
}


def result(**changes):
    """A run of 2 x 4 x 8 flops: 4 us of kernel in 10 us of device time."""
    fields = {
        "bench": "gemm",
        "params": {"m": 64, "dtype": "fp16"},
        "topology": "tiny",
        "machine": "tiny: 1 SIP x 1 cube x 4 PEs = 4 PEs",
        "mode": "timed",
        "device_time_ps": 10_000_000,
        "opened_ps": 0,
        "kernel_time_ps": 4_000_000,
        "launches": (launch("matmul", 4_000_000, PARTS),),
        "host_time_ps": 2_000_000,
        "check": Check(ok=True, max_abs_err=0.5, reference="numpy float64"),
        "flops": 8_000_000,  # / 4 us = 2 TFLOP/s
        "bytes": {"hbm": 1 << 20, "pcie": 100},
        "translations": Translations(1200, 34, 30),
        "units": (
            unit(0, "pe_gemm", 6_000_000),
            unit(1, "pe_gemm", 2_000_000),
            unit(0, "pe_dma", 100_000),
            unit(0, "pe_math", 0),
        ),
        "links": (
            UnitUse(
                node="host -> sip0.pcie_ep",
                kind="pcie",
                window_ps=10_000_000,
                busy_ps=5_000_000,
                stalls={},
                size_bytes=286_650,
            ),
        ),
        "parts": PARTS,
        "device_breakdown": {"host to device": 6_000_000, "kernel": 4_000_000},
        "config_sha256": "c" * 64,
        "events": 1234,
        "chunk_hops": 0,
        "engine": "native",
        "cpu": CpuParts(
            start_ns=10**9,
            configuration_ns=10**8,
            language_ns=0,
            machine_ns=10**8,
            values_ns=0,
            report_ns=5 * 10**7,
        ),
        "peak_mb": 99.6,
        "oplog_sha256": "d" * 64,
        "bound": Bound(time_ps=4_000_000, floors_ps={"compute": 1_000_000, "hbm": 2_000_000}),
    }
    return RunResult(**{**fields, **changes})


@pytest.fixture
def bench(monkeypatch):
    """A bench module whose ``run`` gives ``bench.result``, or raises it; ``bench.asked`` is what it was given."""
    module = SimpleNamespace(result=result(), asked=None)

    def run(name, **asked):
        module.asked = {"bench": name, **asked}
        asked["progress"]("working")
        if asked["trace"]:
            write_text(asked["trace"], "[")
        sys.stdout.write("from a kernel\n")
        if module.result is KeyboardInterrupt:
            signal.default_int_handler(signal.SIGINT, None)
        if isinstance(module.result, BaseException):
            raise module.result
        return module.result

    module.run = run
    monkeypatch.setitem(sys.modules, "kernbench.bench", module)
    return module


def test_the_page(kernbench, bench):
    ran = kernbench("run", "gemm", "--topology", "tiny")
    assert (ran.code, ran.err) == (0, "")
    assert (
        ran.out
        == """\
from a kernel
bench          gemm m=64 dtype=fp16
machine        tiny: 1 SIP x 1 cube x 4 PEs = 4 PEs
device time    10.000 us from the first byte over PCIe to the last completion
kernel time    4.000 us from the first PE's start to the last one's end
host software  2.000 us, apart: part of neither
achieved       2 TFLOP/s
bound          2.000 us by hbm; 50 % of it is reached
bytes moved    hbm 1 MiB, pcie 100 B
translations   1,234 pages looked up: 34 TLB misses, 30 page walks

Launches
kernel   grid  PEs      sent     start       end      time  most of it
matmul  4 x 2    4  4.000 us  5.000 us  9.000 us  4.000 us  gemm 70 %, kernel start 30 %

Where the kernel time went, on the PE that ended last
cause             time  share  most at              what to do
gemm          2.800 us   70 %  my_bench.py:9 (dot)  fill the array (multiples of pe.gemm.m and n), use a narrower \
dtype, or more PEs
kernel start  1.200 us   30 %                       put more work into one launch

Where the device time went
cause               time  share  what to do
host to device  6.000 us   60 %  keep tensors on the device, or copy less
kernel          4.000 us   40 %  see the breakdown of the kernel

Busiest units, within 10.000 us
kind     units  mean   max  busiest
pe_gemm      2  40 %  60 %  sip0.cube0.pe0.pe_gemm
pe_dma       1   1 %   1 %  sip0.cube0.pe0.pe_dma

Busiest links, within 10.000 us
kind  links  mean   max  busiest
pcie      1  50 %  50 %  host -> sip0.pcie_ep

1,234 events in 0.2 CPU s, 100 MB at most; op log dddddddddddd, configuration cccccccccccc
check ok: max abs err 0.5 against numpy float64
The kernel is limited by gemm, 70 % of its time, most of it at my_bench.py:9 (dot): \
fill the array (multiples of pe.gemm.m and n), use a narrower dtype, or more PEs.
engine native
"""
    )


def test_an_engine_that_was_not_wanted_most_says_why(kernbench, bench):
    bench.result = result(engine="reference", engine_because="nothing is compiled here; run `make native`")
    assert kernbench("run", "gemm").out.splitlines()[-1] == (
        "engine reference (nothing is compiled here; run `make native`)"
    )


def test_tables_fit_a_terminal_of_80_columns(kernbench, bench, monkeypatch):
    monkeypatch.setattr("kernbench.reports.output.os.environ", {"COLUMNS": "80"})
    load = Origin(SourceLine("my_bench.py", 7), "load")
    bench.result = result(
        parts={Part("hbm queue", "pe_dma.rd", load): 3_000_000, Part("hbm", "pe_dma.rd", load): 1_000_000}
    )
    lines = kernbench("run", "gemm").out.splitlines()
    start = lines.index("Where the kernel time went, on the PE that ended last")
    assert lines[start + 1 : start + 6] == [
        "cause          time  share  most at               what to do",
        "hbm queue  3.000 us   75 %  my_bench.py:7 (load)  spread the data over more",
        "                                                  channels, or let programs",
        "                                                  touch it in different orders",
        "hbm        1.000 us   25 %  my_bench.py:7 (load)  load earlier, reuse what was",
    ]


def test_a_wrong_result_is_exit_code_1(kernbench, bench):
    bench.result = result(check=Check(ok=False, max_abs_err=float("inf"), reference="numpy float64"))
    ran = kernbench("run", "gemm")
    assert ran.code == 1
    assert ran.out.splitlines()[-3] == "check WRONG: max abs err inf against numpy float64"


def test_without_values_there_is_no_check(kernbench, bench):
    bench.result = result(check=Check.none("mode timing computes no values"), mode="timing")
    ran = kernbench("run", "gemm", "--mode", "timing")
    assert ran.code == 0
    assert ran.out.splitlines()[-3] == "check not made (mode timing)"


def test_without_time_there_is_only_the_check(kernbench, bench):
    nothing = {
        "device_time_ps": 0,
        "kernel_time_ps": 0,
        "launches": (),
        "host_time_ps": 0,
        "bound": None,
        "units": (),
        "links": (),
    }
    bench.result = result(mode="data", parts={}, device_breakdown={}, **nothing)
    assert kernbench("run", "gemm", "--mode", "data").out.splitlines()[3:5] == [
        "time     none is simulated in mode data",
        "",
    ]


def test_everything_asked_for_reaches_the_run(kernbench, bench, tmp_path):
    kernbench(
        *("run", "my.py", "-p", "m=8", "-p", "name=a=b", "--set", "pe.tcm.size=64 KiB", "--topology", "tiny"),
        *("--mode", "timing", "--iters", "3", "--seed", "7", "--races", "error", "--uninitialised", "ignore"),
        *("--plugin", "a.py", "--plugin", "b.py"),
    )
    bench.asked.pop("progress")
    assert bench.asked == {
        "bench": "my.py",
        "params": {"m": "8", "name": "a=b"},
        "overrides": ("pe.tcm.size=64 KiB",),
        "topology": "tiny",
        "mode": "timing",
        "iters": 3,
        "seed": 7,
        "races": "error",
        "uninitialised": "ignore",
        "plugins": (Path("a.py"), Path("b.py")),
        "trace": None,
    }


def test_json_on_standard_output_stands_alone(kernbench, bench):
    ran = kernbench("run", "gemm", "--json", "-")
    document, known = json.loads(ran.out), json.loads(json.dumps(bench.result.to_json()))
    making_ns = document["cpu"].pop("report_ns") - known["cpu"].pop("report_ns")  # of the JSON itself
    assert document.pop("cpu_s") == pytest.approx(known.pop("cpu_s") + making_ns / 1e9)
    assert making_ns > 0
    assert document == known
    assert ran.err == "from a kernel\n"


def test_json_in_a_file_comes_with_the_page(kernbench, bench, tmp_path):
    ran = kernbench("run", "gemm", "--json", str(tmp_path / "result.json"))
    assert json.loads((tmp_path / "result.json").read_text())["schema"] == "kernbench.run/1"
    assert "check ok" in ran.out


def test_the_trace_appears_when_the_run_is_done(kernbench, bench, tmp_path):
    kernbench("run", "gemm", "--trace", str(tmp_path / "trace.json"))
    assert [path.name for path in tmp_path.iterdir()] == ["trace.json"]


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (KeyboardInterrupt, 130, "interrupted"),
        (DeadlockError("at 1 ns: k.py:3 waits"), 3, "at 1 ns: k.py:3 waits"),
    ],
)
def test_a_run_that_ends_early_leaves_no_file(kernbench, bench, tmp_path, error, code, text):
    bench.result = error
    ran = kernbench(
        "run", "gemm", "--trace", str(tmp_path / "trace.json"), "--json", str(tmp_path / "run.json")
    )
    assert (ran.code, ran.err) == (code, f"kernbench: {text}\n")
    assert list(tmp_path.iterdir()) == []


def test_a_parameter_needs_a_value(kernbench):
    assert kernbench("run", "gemm", "-p", "m") == (
        2,
        "",
        "kernbench: -p m: write name=value, as in -p m=512\n",
    )


def test_a_result_that_cannot_be_written_is_found_before_the_run(kernbench, bench):
    ran = kernbench("run", "gemm", "--json", "/nowhere/run.json")
    assert (ran.code, ran.err) == (
        2,
        "kernbench: /nowhere/run.json: there is no folder '/nowhere'; make it first\n",
    )
    assert bench.asked is None
