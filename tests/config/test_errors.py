"""Every configuration error is one line: file, line, dotted path, what is wrong, the nearest valid name."""

import re
import time
from pathlib import Path

import pytest

from kernbench.config.load import PRESETS, load_config
from kernbench.config.overrides import documents_of
from kernbench.errors import ConfigError, UnknownNameError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def error_of(text: str) -> str:
    """What loading ``my.yaml`` with this text says."""
    Path("my.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config("my.yaml")
    return str(caught.value)


def error_of_set(*overrides: str, preset: str = "default") -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(preset, overrides)
    return str(caught.value)


EXTENDS = "extends: default\ncube:\n  noc:\n"


def test_an_unknown_key_gets_the_nearest_one_of_its_mapping():
    assert (
        error_of(EXTENDS + "    link_bandwidth: 64\n")
        == "my.yaml:4: cube.noc.link_bandwidth: unknown key; did you mean 'link_bw'?"
    )


def test_a_misspelt_key_of_a_complete_file_is_one_error_and_not_two():
    import kernbench.config.load as load

    text = (load.PRESETS / "topology.yaml").read_text()
    line = next(i for i, row in enumerate(text.splitlines(), 1) if "    link_bw: 64 " in row)
    misspelt = text.replace("    link_bw: 64 ", "    link_bandwidth: 64 ")
    assert (
        error_of(misspelt) == f"my.yaml:{line}: cube.noc.link_bandwidth: unknown key; did you mean 'link_bw'?"
    )


def test_an_unknown_key_that_is_near_nothing_gets_the_list():
    assert (
        error_of("extends: tiny\nhost: {qqq: 1}\n")
        == "my.yaml:2: host.qqq: unknown key; known: sw_launch_ns, dram_bw, dram_latency_ns, max_inflight, fit"
    )


def test_further_errors_are_counted():
    assert (
        error_of("extends: tiny\nhost:\n  dram_bw: fast\n  max_inflight: 1 KB/s\n  dram_latency_ns: -1\n")
        == "my.yaml:3: host.dram_bw: 'fast' is not a number; write GB/s without a unit (and 2 more)"
    )


def test_a_missing_key_is_named_at_its_mapping():
    text = (PRESETS / "topology.yaml").read_text()
    line = next(i for i, row in enumerate(text.splitlines(), 1) if row.startswith("host:"))
    without = re.sub(r"  (dram_bw|fit):.*\n", "", text)
    assert error_of(without) == f"my.yaml:{line}: host.dram_bw: this key is missing (and 1 more)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "version: 1\n",
            "1: the file extends nothing and has no preset (and 10 more); begin it with extends: default",
        ),
        (
            "cube.hbm.channels: 8\n",
            "1: the file extends nothing and has no version (and 11 more); begin it with extends: default",
        ),
        ("# mine\nextend: tiny\n", "2: extend: unknown key; did you mean 'extends'?"),
        (
            "version: 1\ncomponents: {pe_gemm: pe_gemm_v1}\n",
            "2: components: is a key of components.yaml, and this file is read as topology.yaml; set single keys of "
            "it, as in --set components.pe_gemm=pe_gemm_v1",
        ),
        (
            "version: 1\ndefaults: {slots: 3}\n",
            "2: defaults: is a key of ccl.yaml, and this file is read as topology.yaml; set single keys of it, as in "
            "--set ccl.defaults.slots=4",
        ),
    ],
)
def test_a_file_that_extends_nothing_has_every_key_or_is_told_what_it_may_have_meant(text, message):
    assert error_of(text) == f"my.yaml:{message}"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("cube.hbm.chanels=8", "unknown key; did you mean 'channels'?"),
        ("cube.hbm.pc_bw=0", "0 is not a rate; it must be above 0 GB/s"),
        ("cube.hbm.pc_bw=-1.5", "-1.5 is not a rate; it must be above 0 GB/s"),
        ("cube.hbm.pc_bw=.nan", "NaN is not a finite number"),
        ("cube.hbm.pc_bw=.inf", "Infinity is not a finite number"),
        ("cube.noc.link_bw=64 GB/s", "'64 GB/s' is not a number; write GB/s without a unit"),
        ("cube.noc.link_bw=true", "true is not a number; write GB/s without a unit"),
        ("cube.noc.router_ns=2 ns", "'2 ns' is not a number; write ns without a unit"),
        ("cube.noc.router_ns=0.0001", "0.0001 ns is not a whole number of picoseconds, zero or more"),
        ("sip.ucie.eff=1.5", "1.5 is not a share above 0 and at most 1"),
        ("pe.clock_ghz=0", "0 GHz is not a whole number of MHz above zero"),
        ("pe.tcm.size=1 XB", "'1 XB' is not a size; write bytes, or a number with KiB, MiB or GiB"),
        ("pe.tcm.size=1 MB", "MB is 1,000,000 bytes to some, 1,048,576 to others; write 1 MiB"),
        ("pe.tcm.size=64kb", "kb is 1,000 bytes to some, 1,024 to others; write 64 KiB"),
        ("pe.tcm.size=1e3 KiB", "'1e3 KiB' is not a size; write bytes, or a number with KiB, MiB or GiB"),
        ("pe.tcm.size=0.0001K", "0.0001K is not a whole number of bytes"),
        (
            "pe.tcm.size=9999999999999 GiB",
            "9999999999999 GiB is more than any machine holds; write 1,000,000,000,000,000,000 bytes at most",
        ),
        ("pe.tcm.size=1..5 MiB", "'1..5 MiB' is not a size; write bytes, or a number with KiB, MiB or GiB"),
        ("pe.tcm.size=0.5", "0.5 is not a whole number of bytes, zero or more"),
        ("pe.tcm.size=0", "must hold at least one byte"),
        ("pe.gemm.m=0", "0 is too small; it must be 1 or more"),
        ("pe.gemm.m=1.5", "1.5 is not an integer"),
        ("pe.gemm.m=many", "'many' is not an integer"),
        ("cube.hbm.refresh=sometimes", "'sometimes' is not one of 'all_bank', 'per_bank', 'none'"),
        ("host.fit=worst", "'worst' is not one of 'first', 'best'"),
        ("pe.mmu.miss=fault", "'fault' is not one of 'walk', 'preload'"),
        ("pe.mmu.tlb_entries=0", "0 is too small; it must be 1 or more"),
        ("pe.mmu.walk_reads=0", "0 is too small; it must be 1 or more"),
        ("pe.mmu.update_ns=-1", "-1 ns is not a whole number of picoseconds, zero or more"),
        ("cube.noc.routing=yx", "'yx' is not 'xy'"),
        ("units.bandwidth=Gb/s", "'Gb/s' is not 'GB/s'"),
        ("version=2", "2 is not 1"),
        ("neighbours.wrap=yes", "'yes' is not true or false"),
        ("preset=3", "3 is not text"),
        ("sip=3", "3 is not a mapping of keys"),
        ("cube.pes.grid=4", "4 is not a list"),
        ("cube.pes.grid=[4, 4, 4]", "3 values where 2 are expected"),
        ("components.pe_gem=pe_gemm_v1", "unknown key; did you mean 'pe_gemm'?"),
        ("ccl.defaults.slots=0", "0 is too small; it must be 1 or more"),
    ],
)
def test_a_wrong_value_is_shown_with_what_is_wanted(override, message):
    assert error_of_set(override) == f"--set {override}: {message}"


def test_an_error_inside_of_what_was_set_names_its_own_path():
    assert error_of_set("cube.noc={link_bw: 0}") == (
        "--set cube.noc={link_bw: 0}: cube.noc.link_bw: 0 is not a rate; it must be above 0 GB/s"
    )
    assert error_of_set("cube.pes.grid=[4]") == (
        "--set cube.pes.grid=[4]: cube.pes.grid.1: a value is missing"
    )


@pytest.mark.parametrize("text", ["cube.hbm.channels", "=8"])
def test_an_override_without_path_or_value_shows_how_to_write_one(text):
    assert error_of_set(text) == f"--set {text}: write path=value, as in --set cube.hbm.channels=8"


def test_yaml_syntax_errors_name_the_line():
    assert (
        error_of("extends: tiny\ncube: {noc: [}\n")
        == "my.yaml:2: YAML syntax: expected the node content, but found '}'"
    )
    assert error_of("a: 1\n b: 2\n") == "my.yaml:2: YAML syntax: mapping values are not allowed here"
    assert error_of_set("pe.tcm={") == (
        "--set pe.tcm={: YAML syntax: expected the node content, but found '<stream end>'"
    )


def test_a_key_that_is_written_twice_is_an_error():
    assert (
        error_of("extends: tiny\nhost:\n  dram_bw: 1\n  dram_bw: 2\n")
        == "my.yaml:4: duplicate key 'dram_bw'; it is already at my.yaml:3"
    )


def test_a_key_must_be_text_and_an_alias_must_end():
    assert error_of("extends: tiny\n[1, 2]: x\n") == "my.yaml:2: a key must be text"
    assert error_of("a: &a\n  b: *a\n") == "my.yaml:2: YAML syntax: an alias contains itself"


@pytest.mark.parametrize(("text", "shown"), [("[1, a]", "[1, 'a']"), ("5", "5")])
def test_a_file_must_hold_a_mapping(text, shown):
    assert error_of(text) == f"my.yaml:1: {shown} is not a mapping of keys"


def test_files_that_cannot_be_read_say_why():
    with pytest.raises(ConfigError) as caught:
        load_config("gone.yaml")
    assert str(caught.value) == "gone.yaml: cannot be read: No such file or directory"
    Path("bytes.yaml").write_bytes(b"a: \xff\n")
    with pytest.raises(ConfigError) as caught:
        load_config("bytes.yaml")
    assert str(caught.value) == "bytes.yaml:1: not UTF-8 text; save the file as UTF-8"


def test_an_unknown_topology_gets_the_nearest_preset():
    with pytest.raises(UnknownNameError) as caught:
        load_config("defalt")
    assert str(caught.value) == (
        "unknown topology 'defalt'; did you mean 'default'? (presets: default, tiny, big; or a YAML file's path)"
    )


def test_extends_must_name_something_that_does_not_come_back():
    assert error_of("extends: tinny\n") == (
        "my.yaml:1: extends: unknown topology 'tinny'; did you mean 'tiny'? "
        "(presets: default, tiny, big; or a YAML file's path)"
    )
    assert error_of("extends: [tiny]\n") == "my.yaml:1: extends: ['tiny'] is not a preset or a file"
    Path("other.yaml").write_text("extends: my.yaml\n")
    assert error_of("extends: other.yaml\n") == "my.yaml: extends itself, by way of my.yaml, other.yaml"


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (
            "cube.noc.link_bw: 32",
            "my.yaml:3: cube.noc.link_bw is set already, by my.yaml:2; keep one of the two",
        ),
        (
            "cube.noc: {link_bw: 32}",
            "my.yaml:3: cube.noc.link_bw is set already, by my.yaml:2; keep one of the two",
        ),
        ("cube.noc: 5", "my.yaml:3: cube.noc is set already, by my.yaml:2; keep one of the two"),
    ],
)
def test_a_key_may_be_set_once_in_a_file_however_it_is_spelt(second, message):
    assert error_of(f"extends: tiny\ncube: {{noc: {{link_bw: 64}}}}\n{second}\n") == message


def test_a_key_may_be_set_once_on_a_command_line_however_it_is_spelt():
    assert error_of_set("cube.noc={link_bw: 64}", "pe.clock_ghz=2", "cube.noc.link_bw=32") == (
        "--set cube.noc.link_bw=32: cube.noc.link_bw is set already, by --set cube.noc={link_bw: 64}; "
        "keep one of the two"
    )


def test_keys_of_one_mapping_may_be_spelt_in_several_ways():
    Path("my.yaml").write_text("extends: tiny\ncube: {noc: {link_bw: 32}}\ncube.noc.router_ns: 3\n")
    noc = load_config("my.yaml", ["cube.noc.link_ns=2", "cube.noc={buffer_per_vc: 8192}"]).topology.cube.noc
    assert (float(noc.link_rate), noc.router_ps, noc.link_ps, noc.buffer_per_vc_bytes) == (
        32,
        3000,
        2000,
        8192,
    )


# -- files that never end ---------------------------------------------------------------------------------------


BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi")
)
CHAIN = "a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 200))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "my.yaml:4: 11,111 values, aliases written out; 10,000 are the most"),
        (CHAIN, "my.yaml:64: YAML syntax: more than 64 levels of brackets or indentation"),
        ("[" * 3000 + "]" * 3000, "my.yaml:1: YAML syntax: more than 64 levels of brackets or indentation"),
        ("- " * 300, "my.yaml:1: YAML syntax: more than 64 levels of brackets or indentation"),
        (
            "{a: " * 3000 + "}" * 3000,
            "my.yaml:1: YAML syntax: more than 64 levels of brackets or indentation",
        ),
        (
            "".join(" " * i + f"k{i}:\n" for i in range(300)),
            "my.yaml:64: YAML syntax: more than 64 levels of brackets or indentation",
        ),
        ("a: &a [*a]\n", "my.yaml:1: YAML syntax: an alias contains itself"),
    ],
    ids=["aliases of aliases", "a chain of aliases", "brackets", "dashes", "braces", "indentation", "itself"],
)
def test_what_expands_without_end_is_refused_at_once(text, message):
    begin_s = time.process_time()
    assert error_of(text) == message
    assert time.process_time() - begin_s < 1


@pytest.mark.parametrize(
    ("head", "line", "n", "message"),
    [
        (
            "",
            "k{}: 1",
            10_000,
            "my.yaml:5000: YAML syntax: more than 10,000 values; give the rest as overrides= from Python",
        ),
        (
            "",
            "cube.k{}: 1",
            1500,
            "my.yaml:2: cube.k0: unknown key; known: pes, m_cpu, noc, ucie_ports, sram, hbm (and 1499 more)",
        ),
        (
            "pe.gemm.macs_per_cycle:\n",
            "  fp3{}: 1",
            1500,
            "my.yaml:3: pe.gemm.macs_per_cycle.fp30: unknown dtype; did you mean 'fp32'? (and 100 or more)",
        ),
    ],
    ids=["too many", "unknown keys", "broken rules"],
)
def test_a_long_list_of_mistakes_is_answered_at_once(head, line, n, message):
    begin_s = time.process_time()
    assert error_of("extends: tiny\n" + head + "".join(f"{line.format(i)}\n" for i in range(n))) == message
    assert time.process_time() - begin_s < 2


def test_overrides_from_python_are_as_many_as_one_wants():
    """Laid side by side in a time that goes with their number."""
    begin_s = time.process_time()
    many = {f"overrides.sip0.cube0.pe{i}.pe_gemm.fill_cycles": 1 for i in range(10_000)}
    assert len(documents_of(many)["topology"].value["overrides"].value) == 10_000
    assert time.process_time() - begin_s < 2
