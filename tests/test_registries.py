"""What ships registers by being there; a file that cannot be imported takes nothing from the others."""

import subprocess
import sys

import pytest

from kernbench.bench import load_benches
from kernbench.ccl.algorithm import load_algorithms
from kernbench.components import load_components
from kernbench.components.base import COMPONENTS
from kernbench.errors import KernBenchError
from kernbench.ops import OPS
from kernbench.registry import Registry


@pytest.mark.parametrize(
    "registry", [load_algorithms(), load_benches(), COMPONENTS, OPS], ids=lambda r: r.kind
)
def test_every_file_that_ships_can_be_imported(registry):
    load_components()
    assert registry.mistakes == {}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("raise ValueError('boo')", "broken.py:1: ValueError: boo"),
        ("import no_such_module", "broken.py:1: ModuleNotFoundError: No module named 'no_such_module'"),
        ("def run(:", "broken.py:1: SyntaxError: invalid syntax"),
        ("\nraise SystemExit(0)", "broken.py:2: SystemExit: 0"),
    ],
)
def test_a_broken_file_is_an_error_of_its_own_name(tmp_path, monkeypatch, text, line):
    folder = tmp_path / "shelf"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "broken.py").write_text(text)
    (folder / "whole.py").write_text(
        "from tests.test_registries import THINGS\nTHINGS.register('whole')(1)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "tests.test_registries", sys.modules[__name__])
    things = Registry("thing", "an int", lambda thing: isinstance(thing, int))
    monkeypatch.setattr(sys.modules[__name__], "THINGS", things, raising=False)
    try:
        things.load("shelf")
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "shelf"]:
            del sys.modules[name]
    assert things.mistakes == {"broken": f"{folder}/{line}"}
    assert things["whole"] == 1
    with pytest.raises(KernBenchError) as error:
        things["broken"]
    assert str(error.value) == f"{folder}/{line}"


def test_a_module_that_ships_is_no_users_though_a_users_file_imports_it_and_it_is_compiled():
    script = """
from kernbench.components.base import COMPONENTS
from kernbench.registry import registering_from

def load():
    import kernbench.components.pe.pe_gemm

with registering_from("users.py"):
    load()
    COMPONENTS.register("own_v1")(COMPONENTS["pe_gemm_v1"])
print([COMPONENTS.source(name) for name in ("pe_gemm_v1", "own_v1")])
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "['', 'users.py']\n"
