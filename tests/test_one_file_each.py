"""A new op, bench, collective or unit is one file, and its tests come with being registered.

The files of ``tests/samples`` go into a copy of the tree in which nothing else is edited; the tests that registries are
parameters of run there.
"""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
SAMPLES = Path(__file__).parent / "samples"
GUIDE = (ROOT / "docs/ccl-author-guide.en.md").read_text()
PLACES = {
    "softsign": "ops",
    "axpy": "benches",
    "pe_sfu": "components/pe",
    "line_allreduce": "ccl/algorithms",
}
PRESET_LINES = {  # of the unit: its numbers, and what implements it
    "topology.yaml": ("\n  ipcq:", "\n  sfu: {lanes: 16, latency_cycles: 4}\n  ipcq:"),
    "components.yaml": ("\n  pe_math: pe_math_v1", "\n  pe_math: pe_math_v1\n  pe_sfu: pe_sfu_v1"),
}
TESTS = [
    "tests/ops/test_ops.py",
    "tests/components/test_every_unit.py",
    *(f"tests/ccl/test_{what}.py" for what in ("algorithms", "bytes", "registered")),
    "tests/theory/test_closed_forms.py",
    "tests/benches/test_every_machine.py",
    "tests/golden",
    *(f"tests/laws/test_{law}.py" for law in ("accounting", "determinism", "modes", "races")),
]


def copy_of_the_tree(to):
    """Source and tests, as in a fresh clone."""
    for part in ("src", "tests"):
        shutil.copytree(ROOT / part, to / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", to)


def sample(name):
    """The text of the file: that of the collective stands in the authors' guide."""
    path = SAMPLES / f"{name}.py"
    if path.exists():
        return path.read_text()
    return GUIDE.partition(f"```python file={name}.py\n")[2].partition("```")[0]


def outcomes(tree, names):
    """How often each outcome came in the tests of the copy that are called by each of ``names``; and the output."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-n",
        "0",
        "-vv",
        "-k",
        " or ".join(names),
    ]
    done = subprocess.run(
        [*command, *TESTS],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    found = {name: Counter() for name in names}
    for test, outcome in re.findall(r"^(tests/.+) (PASSED|FAILED|ERROR|SKIPPED)", done.stdout, re.MULTILINE):
        for name in names:
            found[name][outcome] += name in test
    return found, done.stdout + done.stderr


def test_one_new_file_each_is_all_and_its_tests_pass(tmp_path):
    copy_of_the_tree(tmp_path)
    for name, place in PLACES.items():
        (tmp_path / "src/kernbench" / place / f"{name}.py").write_text(sample(name))
    for file, (line, lines) in PRESET_LINES.items():
        preset = tmp_path / "src/kernbench/config/presets" / file
        before = preset.read_text()
        assert before.count(line) == 1
        preset.write_text(before.replace(line, lines))
    found, output = outcomes(tmp_path, PLACES)
    assert found["softsign"] == Counter(PASSED=5), output
    assert found["axpy"] == Counter(PASSED=43, SKIPPED=2), output  # no golden latency yet
    assert found["pe_sfu"] == Counter(PASSED=3), output
    assert found["line_allreduce"] == Counter(PASSED=60), output
