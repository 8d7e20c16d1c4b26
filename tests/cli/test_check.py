"""``kernbench check`` says what a file means, or the one line that is wrong with it."""

import json
import re

import pytest
from jsonschema import Draft202012Validator

from kernbench.config.load import load_config
from kernbench.config.plain import config_sha256

# sip.ucie.bw 256 x 0.97 = 248.32 GB/s into an IO NoC of 128 GB/s; tiny has one such port
TINY_WARNING = (
    "sip0.io_ucie0: carries 248.32 GB/s but the IO NoC feeds only 128 GB/s; "
    "raise sip.io_die.noc.link_bw or lower sip.ucie.bw"
)


@pytest.fixture
def file(tmp_path):
    """Writes a YAML file and gives its path."""

    def write(text: str, name: str = "my.yaml") -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def test_a_right_file_is_explained_line_by_line(kernbench, file):
    name = file("extends: tiny\n")
    ran = kernbench("check", name)
    lines = ran.out.splitlines()
    assert ran.code == 0
    assert lines[0] == f"{name}: ok (topology)"
    assert lines[1] == "  machine                   1 SIP x 1 cube x 4 PEs = 4 PEs"
    assert "  fp16 of a PE              2.048 TFLOP/s" in lines
    assert f"  warning: {TINY_WARNING}" in lines
    assert lines[-1] == f"  config sha256 {config_sha256(load_config('tiny'))}"


def test_json_has_the_hash_of_the_resolved_configuration(kernbench, file):
    name = file("extends: tiny\n")
    document = json.loads(kernbench("check", name, "--set", "cube.hbm.queue=128", "--json", "-").out)
    assert document["schema"] == "kernbench.check/1"
    (found,) = document["files"]
    assert found["config_sha256"] == config_sha256(load_config("tiny", ["cube.hbm.queue=128"]))
    assert (found["file"], found["document"], found["ok"], found["error"]) == (name, "topology", True, None)
    assert TINY_WARNING in found["warnings"]
    assert found["meaning"]["machine"] == "1 SIP x 1 cube x 4 PEs = 4 PEs"


def test_what_is_resolved_can_be_loaded_again(kernbench, file):
    name = file(kernbench("check", "tiny", "--resolved").out)
    assert load_config(name) == load_config("tiny")


def test_a_schema_is_one_that_editors_understand(kernbench):
    schema = json.loads(kernbench("check", "--schema", "topology").out)
    Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "extends: tiny\ncube.noc.link_bandwidth: 64\n",
            ":2: cube.noc.link_bandwidth: unknown key; did you mean 'link_bw'?",
        ),
        (
            "extends: tiny\ncube.noc.link_bw: 0\n",
            ":2: cube.noc.link_bw: 0 is not a rate; it must be above 0 GB/s",
        ),
        ("extends: tiny\ncube.noc.link_bw: .nan\n", ":2: cube.noc.link_bw: NaN is not a finite number"),
        (
            "extends: tiny\ncube.hbm.model: flatt\n",
            ":2: cube.hbm.model: unknown hbm.model 'flatt'; did you mean 'flat'? (known: flat)",
        ),
    ],
)
def test_a_wrong_file_is_one_line_with_its_place(kernbench, file, text, error):
    name = file(text)
    assert kernbench("check", name) == (2, "", f"kernbench: {name}{error}\n")


def test_a_yaml_syntax_error_names_its_line(kernbench, file):
    name = file("extends: tiny\ncube: {\n")
    ran = kernbench("check", name)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"kernbench: {name}:")
    assert "YAML syntax" in ran.err
    assert ran.err.count("\n") == 1


def test_a_missing_file_is_one_line(kernbench):
    assert kernbench("check", "nowhere.yaml") == (
        2,
        "",
        "kernbench: nowhere.yaml: cannot be read: No such file or directory\n",
    )


def test_of_several_files_each_is_judged(kernbench, file):
    good, bad = file("extends: tiny\n", "good.yaml"), file("extends: tiny\ncube: 3\n", "bad.yaml")
    ran = kernbench("check", bad, good)
    assert ran.code == 2
    lines = ran.out.splitlines()
    assert lines[0] == f"{bad}: WRONG"
    assert lines[1].startswith(f"  {bad}:2: cube: 3 is not a mapping")
    assert lines[2] == f"{good}: ok (topology)"


def test_a_components_file_is_checked_against_what_is_registered(kernbench, file):
    name = file("extends: default\ncomponents.pe_gemm: pe_gem_v1\n")
    ran = kernbench("check", name)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(
        f"kernbench: {name}:2: components.pe_gemm: unknown component 'pe_gem_v1'; did you mean 'pe_gemm_v1'? (known: "
    )
    assert (
        kernbench("check", file("extends: default\n\ncomponents: {}\n"))
        .out.splitlines()[0]
        .endswith(": ok (components)")
    )


def meaning(out):
    """What is said of a file by name, without its first and last line."""
    return dict(re.split(r" {2,}", line.strip(), maxsplit=1) for line in out.splitlines()[1:-1])


def test_a_ccl_file_says_what_the_queues_are(kernbench, file):
    name = file("extends: default\ndefaults.slots: 4\n")
    out = kernbench("check", name).out
    assert out.splitlines()[0] == f"{name}: ok (ccl)"
    assert (
        meaning(out).items()
        >= {
            "slots": "4",
            "slot size": "the machine's (pe.ipcq)",
            "memory": "the machine's (pe.ipcq)",
            "back-pressure": "sleep",
            "credits together": "1",
        }.items()
    )


def test_a_ccl_file_that_describes_the_rings_needs_no_machine(kernbench, file):
    rings = "defaults: {buffer_kind: sram, slot_size: 512, backpressure: poll, credit_batch: 2}\n"
    assert (
        meaning(kernbench("check", file(f"extends: default\n{rings}")).out).items()
        >= {
            "slots": "the machine's (pe.ipcq)",
            "slot size": "512 B",
            "memory": "sram",
            "back-pressure": "poll",
            "credits together": "2",
        }.items()
    )


def test_without_a_file_it_says_what_to_give(kernbench):
    assert kernbench("check").err == (
        "kernbench: check: name a file, as in kernbench check my_topology.yaml; or --schema topology\n"
    )
    assert kernbench("check", "--schema", "topolgy").err == (
        "kernbench: unknown document 'topolgy'; did you mean 'topology'? (known: ccl, components, topology)\n"
    )


BENCH = """\
import kernbench as kb


@kb.bench("cuts", small={"n": 64})
def run(torch, n: int = 128):
    rows = kb.DPPolicy(sip="row_wise")
    for i in range(3):
        torch.empty(n, dtype="fp16", policy=rows, name=f"w{i}")
    torch.empty(n, 512, policy=rows, name="large")
    torch.empty(n, 512, dtype="int8", policy=kb.DPPolicy(pe="column_wise", least_bytes=1024), name="joined")
    torch.empty(n, policy=kb.DPPolicy(pe="replicate", cube="replicate"), name="copies")
    torch.empty(n, name="default")
    y = torch.empty(n, 16, dtype="int8", policy=kb.DPPolicy(sip="column_wise"), name="y")
    return kb.Outcome(outputs=(y,), expected=tuple, reference="nothing", flops=0)
"""


def test_a_bench_is_run_and_told_where_its_own_policies_cut_smaller_than_a_row_of_hbm(kernbench, file):
    """Of 4 PEs each has 32 elements of w0, 64 B, and 32 rows of y, 512 B. All tensors have 323.75 KiB."""
    name = file(BENCH, "cuts.py")
    ran = kernbench("check", name, "--topology", "tiny")
    sha256 = config_sha256(load_config("tiny"))
    cure = "leave the policy out, or write least_bytes=1024 in it"
    cut = "less than a row of HBM, 1 KiB; who reads all of it makes"
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (
        f"{name}: ok (bench)\n"
        "  bench          cuts n=128\n"
        "  machine        tiny: 1 SIP x 1 cube x 4 PEs = 4 PEs\n"
        "  on the device  8 tensors, 323.8 KiB\n"
        f"  warning: cuts.py:8: 'w0' and 2 more [128] fp16: 4 shards of at most 64 B, {cut} 4 transactions: {cure}\n"
        f"  warning: cuts.py:13: 'y' [128, 16] int8: 4 shards of at most 512 B, {cut} 4 transactions: {cure}\n"
        f"  config sha256 {sha256}\n"
    )


def test_a_bench_has_the_machine_and_the_parameters_that_are_given(kernbench, file):
    name = file(BENCH, "cuts.py")
    asked = (
        "check",
        name,
        "--topology",
        "tiny",
        "-p",
        "n=2048",
        "--set",
        "cube.hbm.org.row=512",
        "--json",
        "-",
    )
    (found,) = json.loads(kernbench(*asked).out)["files"]
    assert (found["document"], found["ok"], found["warnings"]) == ("bench", True, [])
    assert found["meaning"]["bench"] == "cuts n=2048"
    assert found["config_sha256"] == config_sha256(load_config("tiny", ["cube.hbm.org.row=512"]))


def test_a_bench_beside_files_is_a_finding_of_its_own(kernbench, file):
    wrong = file("raise OSError('gone')\n", "wrong.py")
    ran = kernbench("check", "vector_add", wrong, "tiny", "-p", "n=131072")
    assert ran.code == 2
    assert [line for line in ran.out.splitlines() if not line.startswith("  ")] == [
        "vector_add: ok (bench)",
        f"{wrong}: WRONG",
        "tiny: ok (topology)",
    ]


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (("tiny", "-p", "n=1"), "-p n=1: no bench is checked; name one, as in kernbench check gemm"),
        (
            ("tiny", "--topology", "big"),
            "--topology big: no bench is checked; name one, as in kernbench check gemm",
        ),
        (("gemm", "--resolved"), "--resolved: gemm is a bench; name a configuration file"),
        (("gone.py",), "gone.py: no such file; give a bench's name or the path of a Python file"),
    ],
)
def test_options_of_benches_are_for_benches(kernbench, args, error):
    assert kernbench("check", *args) == (2, "", f"kernbench: {error}\n")
