"""A run's JSON is what its class declares: the same members in the same order in every mode, with exact numbers."""

import json

import jsonschema
import pytest

import kernbench as kb
from kernbench.analysis.measured import NOTHING_MEASURED
from kernbench.analysis.measures import begun
from kernbench.cpu_time import CpuParts
from kernbench.records import as_json, schema_of
from kernbench.runs.result import Check, RunResult

SCHEMA = schema_of(RunResult)
CPU = CpuParts(
    start_ns=400_000_000,
    configuration_ns=90_000_000,
    language_ns=50_000_000,
    machine_ns=300_000_000,
    values_ns=50_000_000,
    report_ns=10_000_000,
)


def result(**changes):
    fields = {
        "topology": "tiny",
        "mode": "timed",
        "check": Check.none("no bench"),
        "config_sha256": "c",
        "engine": "reference",
        "cpu": CPU,
        "peak_mb": 1.0,
        "oplog_sha256": "d",
        "machine": "tiny",
    }
    return RunResult.of(NOTHING_MEASURED, **fields | changes)


@pytest.mark.parametrize("mode", ["timed", "data", "timing"])
@pytest.mark.parametrize("name", ["vector_add", "stream"])
def test_a_run_is_as_its_schema_says(name, mode):
    document = json.loads(json.dumps(kb.run(name, topology="tiny", mode=mode).to_json()))
    jsonschema.validate(document, SCHEMA)
    assert list(document) == list(SCHEMA["properties"])
    assert document["schema"] == "kernbench.run/1"


def test_what_was_measured_by_name_has_the_members_of_a_window():
    measures = tuple(begun(name, NOTHING_MEASURED) for name in ("prefill", "decode"))
    document = result(measures=measures, apart=NOTHING_MEASURED).to_json()
    jsonschema.validate(document, SCHEMA)
    window = list(SCHEMA["$defs"]["Measured"]["properties"])
    of_window = [part for measure in document["measures"] for part in (measure["first"], measure["last"])]
    assert [list(part) for part in (*of_window, document["apart"])] == [window] * 5
    at = list(document).index(window[0])
    assert list(document)[at : at + len(window)] == window


def test_integers_of_any_size_are_exact():
    document = result(params={"n": 10**30}).to_json()
    assert document["params"] == {"n": 10**30}


def test_a_check_that_was_not_made_is_null_and_says_why():
    document = result().to_json()
    assert (document["check"], document["unchecked"]) == (None, "no bench")
    document = result(check=Check(ok=True, max_abs_err=0.25, reference="numpy")).to_json()
    assert document["check"] == {"ok": True, "max_abs_err": 0.25, "reference": "numpy"}
    assert document["unchecked"] is None


def test_the_report_of_a_simulation_is_a_result_of_no_bench():
    report = kb.simulate("tiny").report()
    document = report.to_json()
    jsonschema.validate(document, SCHEMA)
    assert (document["bench"], document["params"], document["topology"]) == ("", {}, "tiny")
    assert document["unchecked"] == "no bench says what is right"
    assert str(report).splitlines()[:2] == [
        "machine  tiny: 1 SIP x 1 cube x 4 PEs = 4 PEs",
        "time     none has passed",
    ]


def test_a_window_alone_prints_its_times():
    assert str(NOTHING_MEASURED) == (
        "device time    0 ns from the beginning to the last completion\n"
        "kernel time    0 ns from the first PE's start to the last one's end\n"
        "host software  0 ns, apart: part of neither"
    )
    assert repr(NOTHING_MEASURED) == "<Measured: kernel time 0 ns, device time 0 ns>"


def test_fields_that_json_does_not_have_are_hidden():
    assert "machine" not in result().to_json()
    assert "bound" not in as_json(NOTHING_MEASURED)


def test_cpu_seconds_are_all_parts_but_the_start():
    document = result().to_json()
    assert document["cpu_s"] == 0.5
    assert list(document["cpu"]) == [
        "start_ns",
        "configuration_ns",
        "language_ns",
        "machine_ns",
        "values_ns",
        "report_ns",
    ]
    assert sum(document["cpu"].values()) == CPU.total_ns == 900_000_000
