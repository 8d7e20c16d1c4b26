"""One process has one engine, and says which; what runs compiled is never older than its source."""

import json
import os
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES

import pytest

from kernbench import compiled
from kernbench.errors import UsageError

CURE = "run `make native` in a checkout, or install a wheel for this platform"


@pytest.fixture
def package(tmp_path):
    """A package with one compiled module, ``kernbench.engine.wire``, and its note."""
    (tmp_path / "engine").mkdir()
    wire = tmp_path / "engine" / "wire"
    for suffix in (".py", ".pxd", EXTENSION_SUFFIXES[0]):
        wire.with_suffix(suffix).write_text("")
    (tmp_path / compiled.MANIFEST).write_text(compiled.manifest(tmp_path, ["kernbench.engine.wire"]))
    return tmp_path


def test_what_is_compiled_of_these_sources_can_run(package):
    assert compiled.obstacle(package) is None


@pytest.mark.parametrize("suffix", [".py", ".pxd"])
def test_a_source_that_has_changed_is_not_run_compiled(package, suffix):
    (package / "engine" / "wire").with_suffix(suffix).write_text("pass")
    assert compiled.obstacle(package) == f"the sources have changed since they were compiled; {CURE}"


def test_a_source_that_is_new_beside_it_is_a_change(package):
    (package / "engine" / "wire.pyx").write_text("")
    assert compiled.obstacle(package) == f"the sources have changed since they were compiled; {CURE}"


def test_a_part_that_is_gone_is_an_obstacle(package):
    (package / "engine" / "wire").with_suffix(EXTENSION_SUFFIXES[0]).unlink()
    assert compiled.obstacle(package) == f"a part of what was compiled is gone; {CURE}"


def test_another_python_is_an_obstacle(package):
    note = package / compiled.MANIFEST
    note.write_text(json.dumps({**json.loads(note.read_text()), "python": ".cpython-39-darwin.so"}))
    assert compiled.obstacle(package) == f"it is compiled for another Python; {CURE}"


@pytest.mark.parametrize("text", ["", "{}", "[]", "3", '{"modules": []}'])
def test_a_damaged_note_is_none(package, text):
    (package / compiled.MANIFEST).write_text(text)
    assert compiled.obstacle(package) == f"nothing is compiled here; {CURE}"


def test_without_a_note_nothing_is_compiled(tmp_path):
    assert compiled.obstacle(tmp_path) == f"nothing is compiled here; {CURE}"


def run(code, **environment):
    """What a fresh Python prints, or the last line of its error."""
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return ran.stdout.strip() or ran.stderr.strip().splitlines()[-1]


WHERE = "from kernbench import compiled, engine; import sys; print(compiled.running().engine, {})".format(
    "sys.modules[engine.Chunk.__module__].__file__.rpartition('.')[2]"
)


def test_the_reference_is_the_python_even_where_a_compiled_one_is_there():
    assert run(WHERE, KERNBENCH_ENGINE="reference") == "reference py"


@pytest.mark.skipif(compiled.obstacle() is not None, reason="nothing is compiled here")
@pytest.mark.parametrize("wanted", ["native", "auto"])
def test_the_native_one_is_compiled(wanted):
    assert run(WHERE, KERNBENCH_ENGINE=wanted) in ("native so", "native pyd")


@pytest.mark.parametrize("wanted", ["", "fast", "Native"])
def test_there_is_no_other_engine(wanted):
    assert run(WHERE, KERNBENCH_ENGINE=wanted) == (
        f"kernbench.errors.UsageError: KERNBENCH_ENGINE: {wanted!r} is no engine; write auto, native or reference"
    )


def test_a_process_has_one_engine():
    code = (
        "import kernbench.engine\nfrom kernbench.compiled import choose\nchoose('reference')\nprint('again')\n"
        "import kernbench.compiled as compiled\ncompiled.obstacle = lambda folder=None: None\nchoose('native')"
    )
    assert run(code.replace("print('again')\n", ""), KERNBENCH_ENGINE="reference") == (
        "kernbench.errors.UsageError: --engine native: this process has begun with the reference engine; "
        "set KERNBENCH_ENGINE=native before it starts"
    )


def test_the_native_engine_is_refused_where_it_cannot_run(monkeypatch):
    monkeypatch.setattr(compiled, "obstacle", lambda: f"nothing is compiled here; {CURE}")
    with pytest.raises(UsageError) as raised:
        compiled.choose("native")
    assert str(raised.value) == f"--engine native: nothing is compiled here; {CURE}"


def test_auto_falls_back_and_says_why(monkeypatch):
    monkeypatch.setattr(compiled, "obstacle", lambda: f"nothing is compiled here; {CURE}")
    monkeypatch.setattr(compiled._CHOOSER, "wanted", "auto")
    assert compiled._CHOOSER._decide() == ("reference", f"nothing is compiled here; {CURE}")
