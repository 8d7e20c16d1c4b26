"""Bad input to ``kernbench run`` is one line with the cure, exit code 2, and no file; on the real thing."""

import os
import signal
import subprocess
import sys

import pytest

TINY = ("--topology", "tiny")


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (("nowhere.py", *TINY), "nowhere.py: no such file; give a bench's name or the path of a Python file"),
        (
            ("vector_add", "--topology", "tinny"),
            "unknown topology 'tinny'; did you mean 'tiny'? (presets: default, tiny, big; or a YAML file's path)",
        ),
        (
            ("vector_add", "--topology", "nowhere.yaml"),
            "nowhere.yaml: cannot be read: No such file or directory",
        ),
        (
            ("vector_add", *TINY, "--set", "cube.hbm.chanels=8"),
            "--set cube.hbm.chanels=8: unknown key; did you mean 'channels'?",
        ),
        (
            ("vector_add", *TINY, "--set", "pe.tcm.size=64 KuB"),
            "--set pe.tcm.size=64 KuB: '64 KuB' is not a size; write bytes, or a number with KiB, MiB or GiB",
        ),
        (
            ("vector_add", *TINY, "--set", "pe.tcm"),
            "--set pe.tcm: write path=value, as in --set cube.hbm.channels=8",
        ),
        (
            ("vector_add", *TINY, "-p", "blok=64"),
            "bench 'vector_add' has no parameter 'blok'; did you mean 'block'? (known: block, dtype, n, pes)",
        ),
        (("vector_add", *TINY, "-p", "n=many"), "bench 'vector_add': parameter 'n' wants int, not 'many'"),
        (("vector_add", *TINY, "--iters", "0"), "iters=0; give a whole number, 1 or more"),
        (
            ("vector_add", *TINY, "--mode", "tmed"),
            "unknown mode 'tmed'; did you mean 'timed'? (known: data, timed, timing)",
        ),
        (("vector_add", *TINY, "--plugin", "nowhere.py"), "nowhere.py: no such file"),
        (
            ("vector_add", *TINY, "--set", "components.pe_math=pe_gemm_v1"),
            "--set components.pe_math=pe_gemm_v1: 'pe_gemm_v1' implements 'pe_gemm'; name one of: pe_math_v1",
        ),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_file(kernbench, tmp_path, monkeypatch, args, error):
    monkeypatch.chdir(tmp_path)
    assert kernbench("run", *args, "--json", "run.json", "--trace", "trace.json") == (
        2,
        "",
        f"kernbench: {error}\n",
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (("gem",), "unknown bench 'gem'; did you mean 'gemm'? (known: "),
        (("vector_add", "-p", "dtype=bf61"), "unknown dtype 'bf61'; did you mean 'bf16'? (known: "),
    ],
)
def test_an_unknown_name_gets_the_nearest_one(kernbench, args, error):
    ran = kernbench("run", *args, *TINY)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"kernbench: {error}")


ENDLESS = '''
from kernbench.bench import bench

@bench("endless")
def run(torch, n: int = 1):
    """Never ends."""
    print("running", flush=True)
    while True:
        pass
'''


def test_an_interrupted_process_exits_with_130_and_leaves_no_file(tmp_path):
    (tmp_path / "endless.py").write_text(ENDLESS)
    command = [sys.executable, "-m", "kernbench", "run", "endless.py", *TINY]
    with subprocess.Popen(
        [*command, "--json", "run.json", "--trace", "trace.json"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "running\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, "", "kernbench: interrupted\n")
    assert [path.name for path in tmp_path.iterdir()] == ["endless.py"]


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        (["x = (", ""], "SyntaxError: '(' was never closed"),
        (["import math", "math.sqrt(-1)"], "ValueError: math domain error"),
        (
            ["import json", "", "json.loads('[')"],
            "JSONDecodeError: Expecting value: line 1 column 2 (char 1)",
        ),
    ],
)
def test_a_mistake_in_a_file_of_the_user_names_its_line(kernbench, tmp_path, lines, error):
    path = tmp_path / "mine.py"
    path.write_text("\n".join(lines))
    last = 1 if "Syntax" in error else len(lines)
    assert kernbench("run", str(path), *TINY) == (2, "", f"kernbench: {path}:{last}: {error}\n")
