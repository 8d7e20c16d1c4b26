"""``kernbench show`` writes the pictures it names, and prints peaks that follow from the specification."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from kernbench.bench import load_benches
from kernbench.config.load import load_config
from kernbench.config.plain import config_sha256


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_all_views_go_to_this_folder(kernbench, folder):
    files = ["tiny-system.svg", "tiny-sip.svg", "tiny-cube.svg", "tiny-pe.svg"]
    wrote = "".join(f"wrote {name}\n" for name in files)
    assert kernbench("show", "tiny") == (0, f"tiny: 1 SIP x 1 cube x 4 PEs = 4 PEs\n{wrote}", "")
    assert sorted(path.name for path in folder.iterdir()) == sorted(files)
    for name in files:
        assert ET.parse(name).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_one_view_goes_to_the_file_that_is_named(kernbench, folder):
    ran = kernbench("show", "tiny", "--view", "cube", "-o", "my.svg", "--json", "-")
    assert json.loads(ran.out) == {
        "schema": "kernbench.show/2",
        "topology": "tiny",
        "config_sha256": config_sha256(load_config("tiny")),
        "views": [{"view": "cube", "file": "my.svg"}],
        "peaks": None,
        "memory": None,
        "ranks": None,
    }
    assert [path.name for path in folder.iterdir()] == ["my.svg"]


def test_a_folder_is_made_and_a_file_keeps_its_name(kernbench):
    Path("mine.yaml").write_text("extends: tiny\n")
    kernbench("show", "mine.yaml", "--view", "pe", "-o", "pictures/today")
    assert Path("pictures/today/mine-pe.svg").is_file()


def test_any_part_of_the_machine_can_be_shown(kernbench):
    slow = "overrides.sip1.cube2.pe3.pe_gemm.fill_cycles=999"
    kernbench("show", "default", "--set", slow, "--view", "pe", "--part", "sip1.cube2.pe3", "-o", "a.svg")
    kernbench("show", "default", "--set", slow, "--view", "pe", "-o", "b.svg")
    assert "sip1.cube2.pe3" in Path("a.svg").read_text()
    assert "sip1.cube2.pe3" not in Path("b.svg").read_text()


def test_peaks_alone_draw_nothing(kernbench, folder):
    ran = kernbench("show", "default", "--peaks")
    # 1024 MAC x 2 x 1 GHz x 16 PEs x 8 cubes; 2 x 25.6 GB/s x 16 channels x 0.92; 32.768 TFLOP/s over 753.664 GB/s
    assert "  fp16, all PEs             262.1 TFLOP/s\n" in ran.out
    assert "  HBM of a cube             819.2 GB/s, of which 753.66 GB/s can be reached\n" in ran.out
    assert "  ridge of a cube           43.48 FLOP per HBM byte that can be reached\n" in ran.out
    assert list(folder.iterdir()) == []


def test_peaks_are_numbers_in_json(kernbench):
    peaks = json.loads(kernbench("show", "default", "--peaks", "--json", "-").out)["peaks"]
    assert (peaks["n_pes"], peaks["system_flops_per_ns"]) == (128, 262144)
    assert (peaks["cube_hbm_rate"], peaks["cube_hbm_reachable_rate"]) == (819.2, 753.664)
    assert peaks["ridge"] == 32768 / 753.664
    assert (peaks["sip_link_rate"], peaks["sip_link_reachable_rate"]) == (57.33, 57.33)


def test_a_machine_of_one_sip_has_no_link_to_others_in_json(kernbench):
    peaks = json.loads(kernbench("show", "tiny", "--peaks", "--json", "-").out)["peaks"]
    assert (peaks["sip_link_rate"], peaks["sip_link_reachable_rate"]) == (None, None)


# 1024 x 4 B: a page, of which each PE has a quarter: 4 segments of 32 B. Behind each tensor follows an unmapped page.
# pe0's slice begins with the directory. The entries of a, b and c lie with pe0, pe2 and pe0, by their first page.
MAP_OF_VECTOR_ADD = """\
tiny: 1 SIP x 1 cube x 4 PEs = 4 PEs
bench        vector_add n=1024 dtype=fp32 block=256 pes=4
virtual      0x4000_0000..0x7fff_ffff_ffff, in pages of 4 KiB; a page that is not mapped follows each tensor
physical     from 0x8000_0000_0000, a window of 128 MiB per cube: 64 MiB of HBM in slices of 16 MiB per PE, then \
1 MiB of SRAM in banks of 1 MiB
page tables  a copy in the HBM of each cube: a directory of 4 KiB, and the entries of each tensor

Tensors, in the order they were mapped
tensor  shape   dtype  policy                                     size
a       [1024]  fp32   sip=row_wise, cube=row_wise, pe=row_wise  4 KiB
b       [1024]  fp32   sip=row_wise, cube=row_wise, pe=row_wise  4 KiB
c       [1024]  fp32   sip=row_wise, cube=row_wise, pe=row_wise  4 KiB

Their pages of 4 KiB, segments per page, and page table in each cube
tensor         virtual addresses  pages  split  segments  copies  table
a       0x4000_0000..0x4000_0fff      1      1         4       1  128 B
b       0x4000_2000..0x4000_2fff      1      1         4       1  128 B
c       0x4000_4000..0x4000_4fff      1      1         4       1  128 B

a: 4 shards
PE              elements                    physical addresses   size
sip0.cube0.pe0  [0:256]     0x8000_0000_1000..0x8000_0000_13ff  1 KiB
sip0.cube0.pe1  [256:512]   0x8000_0100_0000..0x8000_0100_03ff  1 KiB
sip0.cube0.pe2  [512:768]   0x8000_0200_0000..0x8000_0200_03ff  1 KiB
sip0.cube0.pe3  [768:1024]  0x8000_0300_0000..0x8000_0300_03ff  1 KiB

b: 4 shards
PE              elements                    physical addresses   size
sip0.cube0.pe0  [0:256]     0x8000_0000_1480..0x8000_0000_187f  1 KiB
sip0.cube0.pe1  [256:512]   0x8000_0100_0400..0x8000_0100_07ff  1 KiB
sip0.cube0.pe2  [512:768]   0x8000_0200_0400..0x8000_0200_07ff  1 KiB
sip0.cube0.pe3  [768:1024]  0x8000_0300_0400..0x8000_0300_07ff  1 KiB

c: 4 shards
PE              elements                    physical addresses   size
sip0.cube0.pe0  [0:256]     0x8000_0000_1880..0x8000_0000_1c7f  1 KiB
sip0.cube0.pe1  [256:512]   0x8000_0100_0800..0x8000_0100_0bff  1 KiB
sip0.cube0.pe2  [512:768]   0x8000_0200_0880..0x8000_0200_0c7f  1 KiB
sip0.cube0.pe3  [768:1024]  0x8000_0300_0800..0x8000_0300_0bff  1 KiB

Memory in use, at most at one time
memory                          used      least       most      of
tensors in HBM slices of PEs  4 of 4      3 KiB      3 KiB  16 MiB
page tables of cubes          1 of 1  4.375 KiB  4.375 KiB  64 MiB
tensors in banks of SRAM      0 of 1                         1 MiB
"""


def test_the_memory_map_of_a_bench_draws_nothing(kernbench, folder):
    ran = kernbench("show", "tiny", "--memory", "vector_add", "-p", "n=1024")
    assert ran == (0, MAP_OF_VECTOR_ADD, "")
    assert list(folder.iterdir()) == []


def test_the_memory_map_warns_of_shards_that_are_smaller_than_a_row_of_hbm(kernbench, folder):
    asked = ("show", "tiny", "--memory", "vector_add", "-p", "n=1020")
    warnings = [
        f"{where} [1020] fp32: 4 shards of at most 1020 B, less than a row of HBM, 1 KiB; who reads all of it makes 4 "
        "transactions: leave the policy out, or write least_bytes=1024 in it"
        for where in ("vector_add.py:46: 'a' and 1 more", "vector_add.py:47: 'c'")
    ]
    lines = kernbench(*asked).out.splitlines()
    assert [line for line in lines if line.startswith("warning")] == [f"warning: {text}" for text in warnings]
    assert json.loads(kernbench(*asked, "--json", "-").out)["memory"]["warnings"] == warnings


def test_a_machine_can_be_drawn_beside_its_memory_map(kernbench, folder):
    ran = kernbench("show", "tiny", "--memory", "vector_add", "-p", "n=1024", "--view", "pe", "-o", "pe.svg")
    assert ran == (0, f"{MAP_OF_VECTOR_ADD}wrote pe.svg\n", "")
    assert [path.name for path in folder.iterdir()] == ["pe.svg"]


def test_of_many_shards_the_first_and_the_last_are_printed(kernbench):
    out = kernbench("show", "default", "--memory", "vector_add", "-p", "n=1024").out
    # 8 elements for each of 128 PEs. A window is 32 GiB and a slice 1 GiB: the last begins 7 x 32 + 15 GiB higher.
    assert (
        """
a: 128 shards
PE               elements                     physical addresses  size
sip0.cube0.pe0   [0:8]        0x8000_0000_1000..0x8000_0000_101f  32 B
sip0.cube0.pe1   [8:16]       0x8000_4000_0000..0x8000_4000_001f  32 B
sip0.cube0.pe2   [16:24]      0x8000_8000_0000..0x8000_8000_001f  32 B
... 124 more
sip1.cube3.pe15  [1016:1024]  0x803b_c000_0000..0x803b_c000_001f  32 B
"""
        in out
    )


BENCH = """
from kernbench import DPPolicy
from kernbench.bench import Outcome, bench

@bench("mine")
def run(torch, n: int = 2):
    print("I run")
    first = torch.empty(n, 1024, policy=DPPolicy(pe="column_wise"), name="first")
    del first
    nothing = torch.empty(0, name="nothing")
    torch.empty(4, policy=DPPolicy(pe="replicate", space="sram"), name="bank")
    return Outcome(outputs=(), expected=tuple, reference="none", flops=0)
"""


def test_a_map_is_numbers_in_json_with_every_tensor_there_ever_was(kernbench):
    Path("mine.py").write_text(BENCH)
    ran = kernbench("show", "tiny", "--memory", "mine.py", "--json", "-")
    assert (ran.code, ran.err) == (0, "I run\n")
    memory = json.loads(ran.out)["memory"]
    assert (memory["bench"], memory["params"], memory["layout"]["page_bytes"]) == ("mine", {"n": 2}, 4096)
    first, nothing, bank = memory["tensors"]
    shards = first.pop("shards")
    assert first == {
        "name": "first",
        "shape": [2, 1024],
        "dtype": "fp32",
        "policy": "sip=replicate, cube=row_wise, pe=column_wise",
        "va": 0x4000_0000,
        "bytes": 8192,
        "pages": 2,
        "page_bytes": 4096,
        "split_pages": 2,
        "segments": 8,
        "segments_per_page": [4, 4],
        "copies": 1,
        "table_bytes": 256,
    }
    assert shards[3] == {
        "pe": "sip0.cube0.pe3",
        "elements": "[:, 768:1024]",
        "memory": "sip0.cube0.hbm3",
        "pa": 0x8000_0300_0000,
        "bytes": 2048,
    }
    assert (nothing["pages"], nothing["shards"]) == (0, [])
    assert [(shard["memory"], shard["bytes"]) for shard in bank["shards"]] == [("sip0.cube0.sram0", 16)]
    assert memory["use"] == [
        *({"kind": "hbm", "memory": f"sip0.cube0.pe{pe}", "bytes": 2048} for pe in range(4)),
        # the directory and the entries of `first`, which was freed before `bank` was made
        {"kind": "page_tables", "memory": "sip0.cube0", "bytes": 4096 + 256},
        {"kind": "sram", "memory": "sip0.cube0.sram0", "bytes": 32},
    ]


def test_a_map_tells_of_tensors_in_sram_and_of_empty_ones(kernbench):
    Path("mine.py").write_text(BENCH)
    out = kernbench("show", "tiny", "--memory", "mine.py", "--set", "pe.mmu.miss=preload").out
    assert "page tables  none: every TLB is preloaded\n" in out
    assert (
        """
tensor          virtual addresses  pages  split  segments  copies  table
first    0x4000_0000..0x4000_1fff      2      2         4       1   none
nothing               0x4000_0000      0      0         0       0   none
bank     0x4000_1000..0x4000_100f      1      0         1       1   none
"""
        in out
    )
    assert "nothing: no shards\nit has no elements\n" in out
    assert "sip0.cube0.pe0 in sram0  [:]       0x8000_0400_0000..0x8000_0400_000f  16 B\n" in out


def test_a_bench_without_tensors_has_an_empty_map(kernbench):
    Path("mine.py").write_text(BENCH[: BENCH.index("    first")] + BENCH[BENCH.index("    return") :])
    assert kernbench("show", "tiny", "--memory", "mine.py").out.endswith(
        "\n\nTensors, in the order they were mapped\nnone: this bench puts nothing on the device\n"
    )


def test_a_bench_that_fails_has_no_map(kernbench):
    Path("mine.py").write_text(BENCH.replace('print("I run")', "torch.zeros(1 // 0)"))
    code, out, err = kernbench("show", "tiny", "--memory", "mine.py", "-o", "pictures")
    assert (code, out) == (3, "")
    what = "ZeroDivisionError: integer division or modulo by zero; --debug shows the traceback"
    assert err.endswith(f"mine.py:7: {what}\n")
    assert not Path("pictures").exists()


def test_a_plugin_is_run_before_the_bench(kernbench):
    Path("parts.py").write_text("raise SystemExit")
    ran = kernbench("show", "tiny", "--memory", "vector_add", "--plugin", "parts.py")
    assert ran == (2, "", "kernbench: parts.py:1: SystemExit\n")


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (
            ("defualt",),
            "unknown topology 'defualt'; did you mean 'default'? (presets: default, tiny, big; or a YAML file's path)",
        ),
        (
            ("tiny", "--view", "cub"),
            "unknown view 'cub'; did you mean 'cube'? (known: all, cube, pe, sip, system)",
        ),
        (
            ("tiny", "-o", "all.svg"),
            "-o all.svg: 4 views do not fit one file; name a folder, or one view with --view",
        ),
        (("tiny", "--part", "cube1"), "--part cube1: write it like sip0, sip0.cube1 or sip0.cube1.pe3"),
        (("tiny", "--part", "sip1"), "unknown PE 'sip1.cube0.pe0'; there are 1 SIP of 1 cube of 4 PEs"),
        (
            ("tiny", "--set", "cube.hbm.chanels=8"),
            "--set cube.hbm.chanels=8: unknown key; did you mean 'channels'?",
        ),
        (
            ("tiny", "--memory", "gem"),
            f"unknown bench 'gem'; did you mean 'gemm'? (known: {', '.join(sorted(load_benches()))})",
        ),
        (
            ("tiny", "--memory", "mine.py"),
            "mine.py: no such file; give a bench's name or the path of a Python file",
        ),
        (
            ("tiny", "--memory", "gemm", "-p", "mm=1"),
            "bench 'gemm' has no parameter 'mm'; did you mean 'm'? "
            "(known: block_k, block_m, block_n, dtype, k, m, n, pes)",
        ),
        (("tiny", "--memory", "gemm", "-p", "m"), "-p m: write name=value, as in -p m=512"),
        (("tiny", "-p", "m=1"), "-p m=1: no bench runs; name one, as in --memory gemm"),
        (("tiny", "--plugin", "parts.py"), "parts.py: no such file"),
    ],
)
def test_wrong_input_is_one_line_and_leaves_no_file(kernbench, folder, args, error):
    assert kernbench("show", *args) == (2, "", f"kernbench: {error}\n")
    assert list(folder.iterdir()) == []


# -- ranks ----------------------------------------------------------------------------------------------------


RING_OF_A_CUBE = ("show", "default", "--ranks", "--algo", "ring_allreduce", "--part", "sip0.cube0")


def test_ranks_draws_an_algorithms_edges_with_their_hops(kernbench, tmp_path):
    path = tmp_path / "ring.svg"
    assert kernbench(*RING_OF_A_CUBE, "-o", str(path)) == (
        0,
        "default: 2 SIPs x 4 cubes x 16 PEs = 128 PEs\n"
        "algorithm  ring_allreduce on 16 ranks\n"
        "edges      16, in one direction each\n"
        "hops       1 at most, 16 in all\n"
        "shared     up to 1 edges on a link\n"
        f"wrote {path}\n",
        "",
    )
    svg = path.read_text()
    assert svg.count(" hop</title>") == 16
    assert "<title>rank 0 -&gt; 1: 1 hop</title>" in svg
    assert "<title>rank 4 -&gt; 0: 1 hop</title>" in svg


def test_ranks_are_all_pes_and_the_algorithm_can_be_chosen(kernbench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    document = json.loads(kernbench("show", "tiny", "--ranks", "--algo", "tree_allreduce", "--json", "-").out)
    assert (document["views"], document["peaks"], document["memory"]) == ([], None, None)
    # places 0 1 3 2 of the ring: 1 and 3 hang on 0, 2 on 1; from 2 in the lower row to 1 in the upper, two hops
    assert document["ranks"] == {
        "algorithm": "tree_allreduce",
        "n_ranks": 4,
        "most_shared": 2,
        "edges": [
            {"from": 0, "to": 1, "hops": 1, "is_mutual": True},
            {"from": 0, "to": 3, "hops": 2, "is_mutual": True},
            {"from": 1, "to": 2, "hops": 2, "is_mutual": True},
        ],
        "file": "tiny-tree_allreduce.svg",
    }
    assert (tmp_path / "tiny-tree_allreduce.svg").read_text().count("&lt;-&gt;") == 3


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (("--algo", "tree_allreduce"), "--algo tree_allreduce: no ranks are drawn; add --ranks"),
        (("--ranks", "--part", "sip1"), "--part sip1: the machine has no such part"),
        (("--ranks", "--part", "x"), "--part x: write it like sip0, sip0.cube1 or sip0.cube1.pe3"),
    ],
)
def test_wrong_ranks_are_one_line(kernbench, args, error):
    ran = kernbench("show", "tiny", *args)
    assert (ran.code, ran.out) == (2, "")
    assert error in ran.err
    assert ran.err.count("\n") == 1
