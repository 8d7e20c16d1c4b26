"""``make`` builds the compiled engine where it can be built; where not, all else goes on, and one line says so."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOT_BUILT = (
    "the reference engine runs, as the compiled one was not built (build/compiled.log says why): it needs a C "
    "compiler, Python's headers and Cython, as from `apt install gcc python3-dev` and `.venv/bin/pip install cython`; "
    "then run `make native`\n"
)


@pytest.fixture
def make(tmp_path):
    """``make`` in a checkout whose Python does what ``python`` says, as a script, and whose bench prints its name."""
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("pyproject.toml", "setup.py"):
        (tmp_path / name).touch()
    (tmp_path / "src" / "kernbench").mkdir(parents=True)
    (programs.parent / ".ready").touch()

    def run(target, *, python):
        for name, script in (("python", python), ("kernbench", 'echo "$@"')):
            (programs / name).write_text(f"#!/bin/sh\n{script}\n")
            (programs / name).chmod(0o755)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        ran = subprocess.run(
            ["make", "-s", target], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
        )
        assert ran.stderr == ""
        return ran.returncode, ran.stdout

    return run


FAILS = "echo why; echo error >&2; exit 1"


def test_a_build_that_fails_ends_in_one_line_with_the_cure(make, tmp_path):
    assert make("native", python=FAILS) == (0, NOT_BUILT)
    assert (tmp_path / "build" / "compiled.log").read_text() == "why\nerror\n"


def test_what_runs_goes_on_without_it(make):
    assert make("demo", python=FAILS) == (0, NOT_BUILT + "run gemm\n")


def test_a_build_that_succeeds_says_nothing(make):
    assert make("demo", python="exit 0") == (0, "run gemm\n")


def test_it_is_built_once_and_again_only_if_it_cannot_run(make, tmp_path):
    """``python -c`` asks whether what is compiled can run; ``python setup.py`` builds it."""
    log = tmp_path / "log"
    written = f'echo "$1" >>{log}; touch src/kernbench/compiled.json'
    for answer in ("exit 0", '[ "$1" != -c ]', "exit 0"):
        assert make("native", python=f"{written}; {answer}") == (0, "")
    assert log.read_text().split() == ["setup.py", "-c", "setup.py", "-c"]


def test_one_more_module_to_compile_is_built(make, tmp_path):
    log = tmp_path / "log"
    script = f'echo "$1" >>{log}; touch src/kernbench/compiled.json'
    make("native", python=script)
    declared = tmp_path / "src" / "kernbench" / "new.pxd"
    declared.touch()
    os.utime(declared, (2**32, 2**32))
    make("native", python=script)
    assert log.read_text().split() == ["setup.py", "setup.py"]
