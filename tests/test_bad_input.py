"""Whatever a user gets wrong, the real command line answers in one line (where, what, what to do), with the right
exit code, and leaves nothing half done: 2 for bad input, 3 for a simulated program that fails."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import indent

import pytest

from kernbench.bench import runner
from kernbench.cli.main import execute
from kernbench.config.load import PRESETS

PRESET = (PRESETS / "topology.yaml").read_text(encoding="utf-8")
TINY_PES = 1 + PRESET.splitlines().index("    cube.pes: {count: 4, grid: [2, 2]}")  # line of the preset


TINY = ("--topology", "tiny")
SMALL = ("run", "vector_add", "-p", "n=64", *TINY)
BAD_INPUT, PROGRAM_FAILED = 2, 3
FULL = Path("/dev/full")

BENCH = '''\
from kernbench.bench import Expected, Outcome, bench
from kernbench.lang import jit, tl
from kernbench.device.placement import DPPolicy
import numpy as np

@jit
def kernel(x):
{kernel}

@bench("mine")
def run(torch, n: int = 64):
    """A bench of the user."""
{host}
    return Outcome(outputs=(x,), expected=lambda: (Expected(values=np.zeros(n), tolerance=1e9),),
                   reference="nothing", flops=1)
'''
KERNEL_LINE = 8
MAKE_X = "x = torch.zeros(n, name='x')"
HOST_LINE = 14  # of what follows MAKE_X, with a kernel of one line


@pytest.fixture
def kernbench(capsys, monkeypatch, tmp_path):
    """Runs ``kernbench`` in a folder of its own: exit code, and what it wrote on standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)

    def run(*args: str) -> tuple[int, str]:
        code = execute(args)
        return code, capsys.readouterr().err

    return run


def mine(kernel="pass", host="kernel[(4,)](x)", make=MAKE_X):
    """``mine.py``: a bench of the user with these lines in its kernel and its host program."""
    lines = "\n".join((make, host))
    Path("mine.py").write_text(BENCH.format(kernel=indent(kernel, "    "), host=indent(lines, "    ")))
    return "mine.py"


# -- names and values on the command line ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (
            ("run", "gem", *TINY),
            "unknown bench 'gem'; did you mean 'gemm'? (known: ",
        ),
        (("run", ".", *TINY), "unknown bench '.'; (known: "),
        (
            (*SMALL, "-p", "foo=1"),
            "bench 'vector_add' has no parameter 'foo'; (known: block, dtype, n, pes)",
        ),
        ((*SMALL, "-p", "=3"), "-p =3: write name=value, as in -p m=512"),
        (("run", "vector_add", "-p", "n=1e3"), "bench 'vector_add': parameter 'n' wants int, not '1e3'"),
        (
            (*SMALL, "--mode", "TIMED"),
            "unknown mode 'TIMED'; did you mean 'timed'? (known: data, timed, timing)",
        ),
        (
            (*SMALL, "--set", "cube.hbm.model=flatt"),
            "--set cube.hbm.model=flatt: unknown hbm.model 'flatt'; did you mean 'flat'? (known: flat)",
        ),
        (
            (*SMALL, "--set", "components.pe_gemm=pe_gem_v1"),
            "--set components.pe_gemm=pe_gem_v1: unknown component 'pe_gem_v1'; did you mean 'pe_gemm_v1'? (known: ",
        ),
        (
            (*SMALL, "--set", "components.pe_gemm=pe_math_v1"),
            "--set components.pe_gemm=pe_math_v1: 'pe_math_v1' implements 'pe_math'; name one of: pe_gemm_v1",
        ),
        (
            (*SMALL, "--set", "overrides.sip0.cube0.hbm1.model=flatt"),
            "--set overrides.sip0.cube0.hbm1.model=flatt: unknown hbm.model 'flatt'; did you mean 'flat'?",
        ),
        (
            (*SMALL, "--set", "pe.tcm.size="),
            "--set pe.tcm.size=: nothing is not a number; write bytes, or a number ",
        ),
        ((*SMALL, "--set", "=3"), "--set =3: write path=value, as in --set cube.hbm.channels=8"),
        (
            ("run", "vector_add", "--topology", "nope"),
            "unknown topology 'nope'; (presets: default, tiny, big; or a YAML file's path)",
        ),
        (
            ("run", "gemm", *TINY, "-p", "m=64", "-p", "dtype=fp61"),
            "unknown dtype 'fp61'; did you mean 'fp64'? (known: ",
        ),
        (("probe", "pe-to-loca", *TINY), "unknown case 'pe-to-loca'; did you mean 'pe-to-local'? (known: "),
        (("list", "opps"), "cannot list 'opps'; did you mean 'ops'? (known: "),
        (("show", "tiny", "--peeks"), "unknown option '--peeks'; did you mean '--peaks'?"),
    ],
)
def test_an_unknown_name_gets_the_nearest_one(kernbench, args, error):
    code, text = kernbench(*args)
    assert (code, text.count("\n")) == (BAD_INPUT, 1)
    assert text.startswith(f"kernbench: {error}")


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (("vector_add", "-p", "n=-5"), "n=-5: shape (-5,): every extent is an integer of 0 or more"),
        (("vector_add", "-p", "block=0"), "block=0: a block holds 1 or more"),
        (("vector_add", "-p", "block=-8"), "block=-8: a block holds 1 or more"),
        (("gemm", "-p", "block_k=-1"), "block_k=-1: a block holds 1 or more"),
        (
            ("vector_add", "-p", "n=1000", "-p", "block=100"),
            "vector_add.py:20: tl.arange(0, 100) has 100 elements; Triton needs a power of two, such as 128 with a "
            "mask (or launch with strict=False)",
        ),
        (
            ("vector_add", "-p", "n=4096", "-p", "block=4194304"),
            "vector_add.py:20: a block [4194304] has 4194304 elements; Triton's limit is 1048576: use smaller blocks "
            "(or launch with strict=False)",
        ),
        (
            ("vector_add", "-p", "n=4096", "-p", "block=32768"),
            "vector_add.py:22: fp32[32768] needs 128 KiB of TCM, and 64 KiB of 64 KiB are free; live: nothing; "
            "use smaller blocks, or drop (del) a value no longer needed",
        ),
        (
            ("vector_add", "-p", "n=1000000000"),
            "'a' [1000000000] fp32 is 3.725 GiB, and the device has 64 MiB of HBM in all; make it smaller",
        ),
        (
            ("vector_add", "-p", "n=99999999999999999999"),
            "'a' [99999999999999999999] fp32 is 3.725e+11 GiB, and the device has 64 MiB of HBM in all; "
            "make it smaller",
        ),
        (
            ("gemm", "-p", "m=1000000000"),
            "'a' [1000000000, 256] fp16 is 476.8 GiB, and the device has 64 MiB of HBM in all; make it smaller",
        ),
        (
            ("softmax", "-p", "rows=4", "-p", "columns=0"),
            "softmax: columns must be 1 or more, not 0: a row of none has no largest element",
        ),
        (
            ("gemm", "-p", "k=5", "-p", "block_m=64", "-p", "block_n=128", "-p", "block_k=128"),
            "gemm.py:61: fp32[64, 128] needs 32 KiB of TCM, and 16 KiB of 64 KiB are free; "
            "live: fp16[128, 128] 32 KiB (gemm.py:56), fp16[64, 128] 16 KiB (gemm.py:53); "
            "use smaller blocks, or drop (del) a value no longer needed",
        ),
    ],
)
def test_a_size_that_cannot_be_is_refused_at_once(kernbench, args, error):
    started_s = time.process_time()
    assert kernbench("run", *args, *TINY) == (BAD_INPUT, f"kernbench: {error}\n")
    assert time.process_time() - started_s < 5  # not after minutes of random numbers


@pytest.mark.parametrize(
    "args", [("n=1",), ("n=100", "block=1024"), ("n=1000", "block=64"), ("n=4097", "block=1024")]
)
def test_sizes_that_do_not_divide_are_right(kernbench, args):
    assert kernbench("run", "vector_add", *TINY, *(part for arg in args for part in ("-p", arg))) == (0, "")


def test_a_product_over_nothing_is_zero(kernbench):
    assert kernbench("run", "gemm", *TINY, "-p", "m=64", "-p", "n=64", "-p", "k=0") == (0, "")


# -- configuration files --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"", "my.yaml: the file is empty; begin with a line like extends: default"),
        (b"# nothing\n", "my.yaml: the file is empty; begin with a line like extends: default"),
        (b"- 1\n- 2\n", "my.yaml:1: [1, 2] is not a mapping of keys"),
        (
            b"extends: tiny\npe: [1, 2\n",
            "my.yaml:3: YAML syntax: expected ',' or ']', but got '<stream end>'",
        ),
        (
            b"extends: tiny\npe:\n\ttcm: 3\n",
            "my.yaml:3: YAML syntax: found character '\\t' that cannot start any token",
        ),
        (
            b"extends: tiny\npe:\n  clock_ghz: 1\n  clock_ghz: 2\n",
            "my.yaml:4: duplicate key 'clock_ghz'; it is already at my.yaml:3",
        ),
        (b"extends: tiny\n# caf\xe9\n", "my.yaml:2: not UTF-8 text; save the file as UTF-8"),
        ("extends: tiny\n".encode("utf-16"), "my.yaml:1: not UTF-8 text; save the file as UTF-8"),
        (b"extends: tiny\nversion: 7\n", "my.yaml:2: version: 7 is not 1"),
        (b"extends: my.yaml\n", "my.yaml: extends itself, by way of my.yaml"),
        (
            b"extends: nowhere\n",
            "my.yaml:1: extends: unknown topology 'nowhere'; (presets: default, tiny, big; or a YAML file's path)",
        ),
        (b"extends: tiny\n---\nextends: big\n", "my.yaml:2: YAML syntax: but found another document"),
        (b"extends: tiny\npe:\n", "my.yaml:2: pe: nothing is not a mapping of keys"),
        (
            b"extends: tiny\npe:\n  clock_ghz:\n",
            "my.yaml:3: pe.clock_ghz: nothing is not a number; write GHz without a unit",
        ),
        (
            b"extends: tiny\ncube.noc.link_bw: .nan\n",
            "my.yaml:2: cube.noc.link_bw: NaN is not a finite number",
        ),
        (
            b"extends: tiny\ncube.noc.link_bw: .inf\n",
            "my.yaml:2: cube.noc.link_bw: Infinity is not a finite number",
        ),
        (
            b"extends: tiny\ncube.noc.link_bw: 0\n",
            "my.yaml:2: cube.noc.link_bw: 0 is not a rate; it must be above 0 GB/s",
        ),
        (
            b"extends: tiny\ncube.noc.link_bw: -3\n",
            "my.yaml:2: cube.noc.link_bw: -3 is not a rate; it must be above 0 GB/s",
        ),
        (
            b"extends: tiny\ncube.noc.link_bw: 1e999999999\n",
            "my.yaml:2: cube.noc.link_bw: 1E+999999999 is out of all proportion; write GB/s without a unit, "
            "from 1e-18 to 1e18",
        ),
        (
            b"extends: tiny\ncube.noc.link_bw: 1e-400\n",
            "my.yaml:2: cube.noc.link_bw: 1E-400 is out of all proportion; write GB/s without a unit, "
            "from 1e-18 to 1e18",
        ),
        (
            b"extends: tiny\npe.tcm.size: " + b"9" * 5000 + b"\n",
            "my.yaml:2: a number of 5000 digits; 1000 are the most",
        ),
        (
            b"extends: tiny\nhost: " + b"[" * 1000 + b"]" * 1000 + b"\n",
            "my.yaml:2: YAML syntax: more than 64 levels of brackets or indentation",
        ),
        (
            b"extends: tiny\nsystem.sips: {count: 1000000, grid: [1000, 1000]}\n",
            f"my.yaml:2: system.sips.count: 1000000, with cube.pes.count (presets/topology.yaml:{TINY_PES}): 4 and "
            f"sip.cubes.count (presets/topology.yaml:{TINY_PES - 2}): 1, makes 4000000 PEs in all; a machine has "
            "131072 at most; write 32768 or less",
        ),
        (
            b"extends: tiny\npe.regfile.operands: 1\n",
            "my.yaml:2: pe.regfile.operands: 1 B cannot hold two elements, one in use and one on its way; "
            "write 16 or more",
        ),
        (
            b"extends: tiny\noverrides: {sip0.cube0.pe9.pe_gemm: {fill_cycles: 1}}\n",
            "my.yaml:2: overrides.sip0.cube0.pe9.pe_gemm: unknown node; did you mean 'sip0.cube0.pe3.pe_gemm'?",
        ),
        (
            b"extends: tiny\noverrides: {sip0.cube0.pe1.pe_gemm: {fil_cycles: 1}}\n",
            "my.yaml:2: overrides.sip0.cube0.pe1.pe_gemm.fil_cycles: unknown key; did you mean 'fill_cycles'?",
        ),
    ],
)
def test_a_wrong_configuration_file_is_one_line_with_its_place(kernbench, text, error):
    Path("my.yaml").write_bytes(text)
    assert kernbench("run", "vector_add", "-p", "n=64", "--topology", "my.yaml") == (
        BAD_INPUT,
        f"kernbench: {error}\n",
    )


@pytest.mark.parametrize(
    "setting",
    [
        "pe.tcm.latency_ns=99999999999999999",
        "pe.tcm.latency_ns=5000000000000000",
        "cube.noc.link_ns=9000000000000000",
        "cube.noc.link_ns=5000000000000000",
        "pe.cpu.issue_ns=9000000000000000",
    ],
)
def test_a_time_that_no_engine_counts_is_bad_input(kernbench, setting):
    assert kernbench(*SMALL, "--set", setting) == (
        BAD_INPUT,
        "kernbench: simulated time and sizes stay below 2**62 (in picoseconds, 53 days), and there is more; look for a "
        "latency, a rate or a size out of all proportion in the configuration\n",
    )


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("nowhere.yaml", "nowhere.yaml: cannot be read: No such file or directory"),
        ("folder.yaml", "folder.yaml: cannot be read: Is a directory"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(kernbench, name, error):
    Path("folder.yaml").mkdir()
    assert kernbench("run", "vector_add", "--topology", name) == (BAD_INPUT, f"kernbench: {error}\n")


# -- kernels --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["timed", "data"])
@pytest.mark.parametrize(
    ("kernel", "code", "error"),
    [
        (
            "tl.dot(tl.zeros((16, 16), tl.float32), tl.zeros((32, 16), tl.float32))",
            BAD_INPUT,
            "tl.dot: a is [16, 16] and b is [32, 16]; a's 16 columns must equal b's 32 rows",
        ),
        (
            "tl.load(x + tl.arange(0, 16)) + tl.load(x + tl.arange(0, 32))",
            BAD_INPUT,
            "tl.add: [16] and [32] do not broadcast; dimension 0 is 16 in one and 32 in the other, and must be "
            "equal or 1",
        ),
        (
            "tl.store(x + tl.arange(0, 4), tl.zeros((8,), tl.float32))",
            BAD_INPUT,
            "tl.store: the value is [8] and the pointers are [4]; the value must broadcast to the pointers",
        ),
        (
            "tl.load(x + tl.arange(0, 4), mask=tl.arange(0, 8) < 3)",
            BAD_INPUT,
            "the mask is [8] and the pointers are [4]; they must broadcast",
        ),
        (
            "tl.load(x + tl.arange(0, 128))",
            PROGRAM_FAILED,
            "sip0.cube0.pe0 reads VA 0x400001fc, outside of tensor 'x' fp32[64] at VA [0x40000000, 0x40000100); "
            "add a mask that keeps such lanes off",
        ),
        (
            "tl.store(x - 1, 1.0)",
            PROGRAM_FAILED,
            "sip0.cube0.pe0 writes VA 0x3ffffffc, outside of tensor 'x' fp32[64] at VA [0x40000000, 0x40000100); "
            "add a mask that keeps such lanes off",
        ),
        (
            "tl.ref(x, (80, 80))",
            PROGRAM_FAILED,
            "sip0.cube0.pe0 names VA 0x400063fc, outside of tensor 'x' fp32[64] at VA [0x40000000, 0x40000100); "
            "check its shape and strides",
        ),
        (
            "tl.composite('gem', tl.ref(x, (8, 8)), tl.ref(x, (8, 8)), out=tl.ref(x, (8, 8)))",
            BAD_INPUT,
            "tl.composite: unknown op 'gem'; did you mean 'gemm'? (known: ",
        ),
        (
            "raise ValueError('two\\nlines')",
            PROGRAM_FAILED,
            "program (0, 0, 0) on sip0.cube0.pe0: ValueError: two lines",
        ),
        ("assert False", PROGRAM_FAILED, "program (0, 0, 0) on sip0.cube0.pe0: AssertionError\n"),
        (
            "foo + 1",
            PROGRAM_FAILED,
            "program (0, 0, 0) on sip0.cube0.pe0: NameError: name 'foo' is not defined",
        ),
        (
            "tl.load(x, blah=3)",
            PROGRAM_FAILED,
            "program (0, 0, 0) on sip0.cube0.pe0: TypeError: load() got an unexpected keyword argument 'blah'",
        ),
        (
            "kernel[(1,)](x)",
            BAD_INPUT,
            "a kernel cannot launch 'kernel'; call it without a grid, or launch it from the host",
        ),
        (
            "tl.load(x + 0.5)",
            BAD_INPUT,
            "a pointer moves by an integer block, not by 0.5",
        ),
    ],
)
def test_a_mistake_in_a_kernel_names_its_line(kernbench, kernel, code, error, mode):
    assert kernel.count("\n") == 0
    ran = kernbench("run", mine(kernel), *TINY, "--mode", mode)
    assert ran[0] == code
    assert ran[1].count("\n") == 1
    assert ran[1].startswith(f"kernbench: mine.py:{KERNEL_LINE}: {error}")


def test_a_block_that_does_not_fit_names_what_lives(kernbench):
    kernel = "a = tl.load(x + tl.arange(0, 64))\nb = tl.zeros((256, 256), tl.float32)\nb = b + tl.load(x)"
    assert kernbench("run", mine(kernel), *TINY) == (
        BAD_INPUT,
        "kernbench: mine.py:10: fp32[256, 256] needs 256 KiB of TCM, and 63.75 KiB of 64 KiB are free; "
        "live: fp32[64] 256 B (mine.py:8), fp32 4 B (mine.py:10); "
        "use smaller blocks, or drop (del) a value no longer needed\n",
    )


def test_an_address_of_a_freed_tensor_is_a_fault_that_names_where_it_was_freed(kernbench):
    # y is reaped when the next kernel has run; its address then is in no tensor any more
    host = """\
y = torch.zeros(4096, name="y")
address = y.data_ptr()
y.free()
torch.synchronize()
torch.launch(lambda at: tl.load(at, shape=(4,), dtype="fp32"), (1,), (address,))
torch.synchronize()"""
    code, text = kernbench("run", mine(host=host), *TINY)
    assert (code, text) == (
        PROGRAM_FAILED,
        f"kernbench: sip0.cube0.pe0: mine.py:{HOST_LINE + 4}: address 0x4000_2000 is in 'y' [4096] fp32 "
        f"(0x4000_2000..0x4000_5fff), made at mine.py:{HOST_LINE}, which was freed at mine.py:{HOST_LINE + 2}; "
        "free it after the last launch that uses it, or make a new tensor\n",
    )


def test_a_kernel_that_would_not_run_is_refused(kernbench):
    assert kernbench("run", mine("yield"), *TINY) == (
        BAD_INPUT,
        f"kernbench: mine.py:{KERNEL_LINE - 2}: kernel 'kernel' must be a plain function; "
        "one with yield or async would not run\n",
    )


# -- host programs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "error"),
    [
        (
            "x.copy_(np.zeros(63, np.float32))",
            "copy_ into 'x': it is [64] and the source is [63]; shapes must be equal",
        ),
        (
            "x.copy_(np.zeros(64))",
            "copy_ into 'x': it is fp32 and the source is fp64; convert the source with astype()",
        ),
        (
            "y = torch.empty(1024, name='y'); torch.empty(100 << 20, name='z')",
            "sip0.cube0.pe0: its slice of HBM: no room for 'z': it needs 100 MiB, and of 16 MiB 15.99 MiB are free, "
            "15.99 MiB in one piece; allocated: page directory 4 KiB, 'y' 1 KiB, 'x' 256 B, page table of 'x' 32 B; "
            "free a tensor, make it smaller or shard it over more PEs",
        ),
        ("torch.zerros(4)", "torch has no attribute 'zerros' here; did you mean 'zeros'? (known: "),
        ("torch.zeros(4, policy=3)", "policy=3 is no DPPolicy; write one, as in DPPolicy(pe='row_wise')"),
        ("torch.zeros(4, device='cuda')", "unknown device 'cuda'; (known: ahbm, cpu)"),
        ("torch.launch(3, (1,), (x,))", "a kernel is a function, not 3"),
        (
            "kernel[(1 << 30,)](x)",
            "grid (1073741824,) has 1073741824 programs, and a launch takes 1048576 at most; give each program more of "
            "the work",
        ),
        ("kernel[(-1,)](x)", "grid (-1,) must be one to three integers of 0 or more, such as (n_programs,)"),
        ("assert x", "'x'[64] is neither true nor false; read it, as in x.numpy().any()"),
        (
            "torch.empty(10**12, 10**12)",
            "shape (1000000000000, 1000000000000): more elements than 64 bits can count",
        ),
        (
            "torch.launch(kernel, (4,), (x,), place=['sip0.cube0.pe7'] * 4)",
            "launch: place of program 0: there is no PE sip0.cube0.pe7; PEs are 0..3, sip0.cube0.pe0..sip0.cube0.pe3",
        ),
    ],
)
def test_a_mistake_in_a_host_program_names_its_line(kernbench, tmp_path, host, error):
    code, text = kernbench("run", mine(host=host), *TINY)
    assert (code, text.count("\n")) == (BAD_INPUT, 1)
    assert text.startswith(f"kernbench: mine.py:{HOST_LINE}: {error}")


@pytest.mark.parametrize(
    ("host", "error"),
    [
        (
            "x.free(); x.numpy()",
            f"'x'[64] was freed at mine.py:{HOST_LINE}; make a new tensor, or free it later",
        ),
        (
            "x.free(); kernel[(1,)](x)",
            f"kernel 'kernel': argument 'x' is 'x', which was freed at mine.py:{HOST_LINE}; "
            "make a new tensor, or free it later",
        ),
        ("x.free(); x.free()", f"'x'[64] was freed before, at mine.py:{HOST_LINE}; free a tensor once"),
        (
            "torch.close(); torch.zeros(4)",
            f"this context is closed (at mine.py:{HOST_LINE}); begin a new simulation, as in kb.simulate('tiny')",
        ),
    ],
)
def test_what_was_freed_too_early_names_the_line_that_freed_it_and_the_one_that_uses_it(
    kernbench, tmp_path, host, error
):
    code, text = kernbench("run", mine(host=host), *TINY)
    assert (code, text) == (BAD_INPUT, f"kernbench: mine.py:{HOST_LINE}: {error}\n")


@pytest.mark.parametrize(
    ("host", "error"),
    [
        ("raise RuntimeError('host')", "RuntimeError: host"),
        ("kernel[lambda meta: (meta['Q'],)](x)", "KeyError: 'Q'"),
    ],
)
def test_a_host_program_that_fails_is_no_mistake_of_kernbench(kernbench, tmp_path, host, error):
    assert kernbench("run", mine(host=host), *TINY) == (
        PROGRAM_FAILED,
        f"kernbench: mine.py:{HOST_LINE}: {error}; --debug shows the traceback\n",
    )


ENDS = {
    "import sys; sys.exit()": "SystemExit",
    "import sys; sys.exit(0)": "SystemExit: 0",
    "quit()": "SystemExit: None",
    "raise GeneratorExit": "GeneratorExit",
    "raise KeyboardInterrupt": "KeyboardInterrupt",
    "raise BaseException('mine')": "BaseException: mine",
    "raise MemoryError": "MemoryError",
    "bytearray(1 << 62)": "MemoryError",
    "raise EOFError": "EOFError",
    "raise StopIteration": "StopIteration",
    "f = lambda n: f(n + 1); f(0)": "RecursionError: maximum recursion depth exceeded",
}


@pytest.mark.parametrize("statement", ENDS)
@pytest.mark.parametrize("mode", ["timed", "data", "timing"])
def test_whatever_a_kernel_ends_with_ends_the_run_with_its_line(kernbench, statement, mode):
    assert kernbench("run", mine(statement), *TINY, "--mode", mode) == (
        PROGRAM_FAILED,
        f"kernbench: mine.py:{KERNEL_LINE}: program (0, 0, 0) on sip0.cube0.pe0: {ENDS[statement]}\n",
    )


@pytest.mark.parametrize("statement", ENDS)
def test_whatever_a_host_program_ends_with_ends_the_run_with_its_line(kernbench, tmp_path, statement):
    assert kernbench("run", mine(host=statement), *TINY) == (
        PROGRAM_FAILED,
        f"kernbench: mine.py:{HOST_LINE}: {ENDS[statement]}; --debug shows the traceback\n",
    )


@pytest.mark.parametrize("statement", ENDS)
def test_whatever_a_plugin_ends_with_is_a_mistake_in_it(kernbench, statement):
    Path("mine.py").write_text(statement)
    assert kernbench("list", "ops", "--plugin", "mine.py") == (
        BAD_INPUT,
        f"kernbench: mine.py:1: {ENDS[statement]}\n",
    )


def test_a_kernel_that_fails_within_a_library_names_the_line_that_called_it(kernbench):
    kernel = "np.linalg.inv(np.zeros((2, 2)))"
    assert kernbench("run", mine(kernel), *TINY) == (
        PROGRAM_FAILED,
        f"kernbench: mine.py:{KERNEL_LINE}: program (0, 0, 0) on sip0.cube0.pe0: LinAlgError: Singular matrix\n",
    )


@pytest.mark.parametrize(
    ("host", "error"),
    [
        ("return None", "bench 'mine': run() must return an Outcome, not NoneType"),
        (
            "return Outcome(outputs=(x.numpy(),), expected=tuple, reference='', flops=0)",
            "mine.py:14: Outcome: outputs must be tensors on the device, not ndarray",
        ),
        (
            "return Outcome(outputs=(x,), expected=lambda: (Expected(values=x.numpy(), tolerance=0),) * 2, "
            "reference='', flops=0)",
            "mine.py:14: Outcome: expected() gives 2 for 1 output; give one Expected for each",
        ),
        (
            "n = 3",
            "mine.py:15: Expected: values are [3], and output 'x' is [64]",
        ),
    ],
)
def test_a_bench_must_return_what_can_be_judged(kernbench, host, error):
    assert kernbench("run", mine(host=host), *TINY) == (BAD_INPUT, f"kernbench: {error}\n")


# -- files of the user ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"import nowhere_at_all\n", "mine.py:1: ModuleNotFoundError: No module named 'nowhere_at_all'"),
        (b"\n1 / 0\n", "mine.py:2: ZeroDivisionError: division by zero"),
        (b"x = 1\0\n", "mine.py: SyntaxError: source code string cannot contain null bytes"),
        (b"import sys\nsys.exit(0)\n", "mine.py:2: SystemExit: 0"),
        (
            b"from kernbench.components.base import COMPONENTS\nCOMPONENTS.register('pe_gemm_v1')(int)\n",
            "mine.py:2: component 'pe_gemm_v1' is registered already; give yours another name",
        ),
    ],
)
@pytest.mark.parametrize("option", [("run",), (*SMALL, "--plugin")])
def test_a_file_that_cannot_be_loaded_is_bad_input(kernbench, text, error, option):
    Path("mine.py").write_bytes(text)
    assert kernbench(*option, "mine.py") == (BAD_INPUT, f"kernbench: {error}\n")


@pytest.mark.parametrize(
    ("run", "error"),
    [
        ("", "mine.py: registers 0 benches; it must register one with @bench(name)"),
        (
            "@bench('gemm')\ndef run(torch): pass",
            "mine.py:2: bench 'gemm' is registered already; give yours another name",
        ),
        (
            "@bench('mine')\ndef run(): pass",
            "mine.py:2: bench 'mine': must be a function whose first parameter is torch",
        ),
        (
            "@bench('mine')\ndef run(n: int = 3): pass",
            "mine.py:2: bench 'mine': must be a function whose first parameter is torch",
        ),
        (
            "@bench('mine')\nclass Run: pass",
            "mine.py:2: bench 'mine': must be a function whose first parameter is torch",
        ),
        (
            "@bench('mine')\ndef run(torch, n=3): pass",
            "mine.py:2: bench 'mine': parameter n=3 must be an int, float, bool or str with a default of that type, "
            "as in m: int = 64, or with none if fit= gives it",
        ),
        (
            "@bench('mine')\ndef run(torch, n: int): pass",
            "mine.py:2: bench 'mine': parameter n: int must be an int, float, bool or str with a default of that type, "
            "as in m: int = 64, or with none if fit= gives it",
        ),
        (
            "@bench('mine')\ndef run(torch, n: 'Foo' = 3): pass",
            "mine.py:2: bench 'mine': annotation: name 'Foo' is not defined",
        ),
    ],
)
def test_a_bench_is_a_function_with_typed_defaults(kernbench, run, error):
    Path("mine.py").write_text(f"from kernbench.bench import bench\n{run}\n")
    assert kernbench("run", "mine.py", *TINY) == (BAD_INPUT, f"kernbench: {error}\n")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "from kernbench.components.base import COMPONENTS as R; R.register('mine_v1')(int)",
            "component 'mine_v1': must be a subclass of Component that names its kind, not <class 'int'>",
        ),
        (
            "from kernbench.components.base import COMPONENTS as R, Component; R.register('mine_v1')(Component)",
            "component 'mine_v1': must be a subclass of Component that names its kind, not "
            "<class 'kernbench.components.base.Component'>",
        ),
        (
            "from kernbench.components.base import COMPONENTS as R; R.register(int)",
            "register a component by a name, as in register('mine_v1'), not by <class 'int'>",
        ),
        (
            "from kernbench.components.memory_model import HBM_MODELS as R; R.register('mine')(3)",
            "hbm.model 'mine': must be a function or a class that makes a model, not 3",
        ),
        ("from kernbench.ops import OPS as R; R.register('mine')(3)", "op 'mine': must be an OpSpec, not 3"),
        (
            "from kernbench.ccl.algorithm import ALGORITHMS as R; R.register('mine')(3)",
            "algorithm 'mine': must be an Algorithm, not 3",
        ),
        ("from kernbench.bench import bench; bench(int)", "@bench needs a name, as in @bench('mine')"),
    ],
)
def test_what_is_registered_must_be_of_its_kind(kernbench, text, error):
    Path("mine.py").write_text(text)
    assert kernbench("list", "--plugin", "mine.py") == (BAD_INPUT, f"kernbench: mine.py:1: {error}\n")


def test_a_file_may_be_run_again_after_it_was_changed(kernbench):
    assert kernbench("run", mine(host="raise RuntimeError"), *TINY)[0] == PROGRAM_FAILED
    assert kernbench("run", mine(), *TINY) == (0, "")


# -- results --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--trace", "nodir/t.json"), "nodir/t.json: there is no folder 'nodir'; make it first"),
        (("--json", "nodir/r.json"), "nodir/r.json: there is no folder 'nodir'; make it first"),
        (("--json", "."), ".: is a folder; name a file in it"),
        (("--json", ""), "'' is no file; give the name of one"),
        (("--trace", "-"), "--trace -: a trace goes to a file; name one, as in --trace trace.json"),
        (
            ("--trace", "x.json", "--json", "./x.json"),
            "--json and --trace both name x.json; give each a file of its own",
        ),
        (
            ("--mode", "data", "--trace", "t.json"),
            "--trace: mode 'data' has no times to trace; use mode 'timed' or 'timing'",
        ),
        (("--json", "/proc/r.json"), "/proc/r.json: cannot be written: No such file or directory"),
        (("--trace", "/proc/t.json"), "/proc/t.json: cannot be written: No such file or directory"),
    ],
)
def test_a_result_that_has_no_place_is_told_before_or_not_half_written(kernbench, tmp_path, options, error):
    assert kernbench(*SMALL, *options) == (BAD_INPUT, f"kernbench: {error}\n")
    assert list(tmp_path.iterdir()) == []


def test_a_device_is_written_in_place(kernbench):
    """A trace into ``/dev/null`` must not put a file in its place, which a superuser could."""
    assert kernbench(*SMALL, "--trace", os.devnull) == (0, "")
    assert not Path(os.devnull).is_file()


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    ("options", "name"), [(("--json", "/dev/full"), "/dev/full"), (("--trace", "/dev/full"), "/dev/full")]
)
def test_a_full_disk_is_told(kernbench, options, name):
    assert kernbench(*SMALL, *options) == (
        BAD_INPUT,
        f"kernbench: {name}: cannot be written: No space left on device\n",
    )


def test_too_little_memory_is_one_line(kernbench, monkeypatch):
    """Where it is a line of ours that runs out of it."""
    ours = {"__name__": "ours"}
    exec(compile("def starve(*_):\n    raise MemoryError('3.64 TiB')", runner.__file__, "exec"), ours)
    monkeypatch.setattr(runner, "load_bench", ours["starve"])
    assert kernbench(*SMALL) == (
        BAD_INPUT,
        "kernbench: this computer has too little memory; make it smaller (MemoryError: 3.64 TiB)\n",
    )


def test_an_interrupt_within_an_import_is_an_interrupt(kernbench, monkeypatch):
    def interrupted_import(*_: object) -> None:
        try:
            signal.default_int_handler(signal.SIGINT, None)
        except KeyboardInterrupt as error:
            raise ImportError("numpy failed to import") from error

    monkeypatch.setattr("kernbench.bench.runner.load_bench", interrupted_import)
    assert kernbench(*SMALL) == (130, "kernbench: interrupted\n")


INTERRUPTED_AT_AN_IMPORT = """
import signal
import sys

wanted = sys.argv[1]

class Finder:
    def find_spec(self, name, *_):
        if name == wanted:
            sys.meta_path.remove(self)
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Finder())
from kernbench_start import main
sys.argv[1:] = ["run", "gemm"]
main()
"""


@pytest.mark.parametrize("module", ["kernbench", "typer", "ml_dtypes"])
def test_an_interrupt_at_any_import_is_one_line(module):
    """The package's own first import, the command line's, and one within a library that tells and turns exceptions."""
    command = [sys.executable, "-c", INTERRUPTED_AT_AN_IMPORT, module]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "kernbench: interrupted\n")


@pytest.mark.parametrize(("args", "code"), [("list topologies", 0), ("run nope", 2)])
def test_a_message_that_cannot_be_written_leaves_the_exit_code(args, code):
    command = [sys.executable, "-m", "kernbench", *args.split()]
    with FULL.open("w") as full:
        assert subprocess.run(command, stderr=full, stdout=subprocess.PIPE, check=False).returncode == code


@pytest.mark.parametrize("args", ["list topologies", "check --schema topology"])
def test_a_result_that_cannot_be_written_is_one_line(args):
    """Once, although Python tries again to write what it has buffered when the process ends."""
    command = [sys.executable, "-m", "kernbench", *args.split()]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with FULL.open("w") as full:
        ended = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, env=buffered, check=False
        )
    assert (ended.returncode, ended.stderr) == (
        BAD_INPUT,
        "kernbench: standard output: No space left on device\n",
    )


LONG = '''
from kernbench.bench import bench
from kernbench.lang import jit, tl

@jit
def kernel(x):
    tl.device_print("running", tl.program_id(0))
    while True:
        tl.store(x, tl.load(x) + 1.0)

@bench("long")
def run(torch, n: int = 1):
    """Never ends, in simulated time."""
    x = torch.zeros(4)
    kernel[(1,)](x)
    x.numpy()
'''


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_simulation_leaves_no_file(tmp_path, number):
    (tmp_path / "long.py").write_text(LONG)
    command = [
        sys.executable,
        "-u",
        "-m",
        "kernbench",
        "run",
        "long.py",
        *TINY,
        "--json",
        "r.json",
        "--trace",
        "t.json",
    ]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert "running 0" in process.stdout.readline()
        time.sleep(0.2)
        process.send_signal(number)
        try:
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, out, err) == (130, "", "kernbench: interrupted\n")
    assert [path.name for path in tmp_path.iterdir()] == ["long.py"]


UNTIMELY = """
import signal
from contextlib import suppress

from kernbench.bench import bench

class Last:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)  # Python ignores what a destructor raises

def destructor():
    Last()

def library():
    with suppress(KeyboardInterrupt):  # as C code does that asks an object what it is, and clears its errors
        signal.raise_signal(signal.SIGINT)

@bench("untimely")
def run(torch, within: str = "destructor"):
    \"\"\"Interrupted where nobody hears it, before a loop that never ends.\"\"\"
    globals()[within]()
    while True:
        torch.zeros(4).numpy()
"""


@pytest.mark.parametrize("within", ["destructor", "library"])
def test_an_interrupt_that_is_ignored_where_it_comes_is_still_an_interrupt(tmp_path, within):
    (tmp_path / "untimely.py").write_text(UNTIMELY)
    command = [sys.executable, "-m", "kernbench", "run", "untimely.py", "-p", f"within={within}", *TINY]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "kernbench: interrupted\n")


@pytest.mark.parametrize("redirection", ["| head -1 >/dev/null; exit ${PIPESTATUS[0]}", ">&-"])
def test_a_reader_that_goes_or_never_came_is_no_traceback(redirection):
    script = f"{sys.executable} -m kernbench {' '.join(SMALL)} {redirection}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert (done.returncode in (0, 128 + signal.SIGPIPE), done.stderr) == (True, "")
