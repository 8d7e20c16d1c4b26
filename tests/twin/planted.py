"""Plants a wrong comparison in a copy of each compiled module, builds that alone, and looks whether the twins differ.

``make test-planted`` runs it: ten seconds for each mistake, so that `make test` does not. What is compared may decide
nothing but the words of an error, or a case that random kernels do not meet: then the next mistake of the module is
planted. Its exit code is the number of modules of which none was noticed. A module that compares nothing is named.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from tests.twin.copies import ROOT, build, copied, source_of

OPPOSITE = {
    " < ": " >= ",
    " > ": " <= ",
    " == ": " != ",
    " >= ": " < ",
    " <= ": " > ",
    " != ": " == ",
    " is not ": " is ",
    " is ": " is not ",
}
MOST_MISTAKES = 5  # of one module
COMPARISON = re.compile(
    r"^\s+(?:if\b|elif\b|while\b|return\b|\w+ =).*?( < | > | == | >= | <= | != | is not | is )"
)
LOOK = """
if __name__ == "__main__":  # the twins import this file, too, before they choose their engines
    from kernbench.bench import load_benches
    from tests.twin.benches import bench
    from tests.twin.random_kernels import kernels
    from tests.twin.random_traffic import traffic
    from tests.twin.test_failures import FAILING, ended
    from tests.twin.twins import Twins

    twins = Twins()
    try:
        twins.agreed(traffic, [(seed,) for seed in range(20)])
        twins.agreed(kernels, [(seed,) for seed in range(20)])
        benches = load_benches()
        twins.agreed(bench, [(name, "tiny", benches[name].small_params, "timed") for name in benches])
        twins.agreed(ended, list(FAILING.values()))
    finally:
        twins.close()
"""


def mistakes(right: str) -> Iterator[tuple[str, str]]:
    """Where a source decides something by comparing, and more than what to refuse: the line, and the source with the
    opposite there.
    """
    lines = right.splitlines(keepends=True)
    for number, line in enumerate(lines):
        found = COMPARISON.match(line)
        if found and not lines[number + 1].lstrip().startswith("raise "):
            at = found.start(1)
            wrong = line[:at] + OPPOSITE[found[1]] + line[found.end(1) :]
            yield f"{number + 1}: {wrong.strip()}", "".join([*lines[:number], wrong, *lines[number + 1 :]])


def noticed(module: str, tree: Path) -> bool | None:
    """Whether the twins differ, or end, with one of the first mistakes in ``module``; None if it compares nothing."""
    source = source_of(module, tree)
    right = source.read_text()
    found = None
    for place, wrong in islice(mistakes(right), MOST_MISTAKES):
        source.write_text(wrong)
        build(module, tree, "-O0", "-g0")
        source.write_text(right)  # the reference stays right, and the note of the sources true
        difference = differ(tree)
        say(f"{module}:{place}\n    {difference or 'not noticed'}")
        found = bool(difference)
        if found:
            break
    if found is None:
        say(f"{module}: compares nothing")
    return found


def differ(tree: Path) -> str:
    """How the twins of a tree differ; empty if they do not."""
    (tree / "look.py").write_text(LOOK)
    paths = os.pathsep.join((str(tree / "src"), str(tree)))
    looked = subprocess.run(
        [sys.executable, "look.py"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return looked.stderr.strip().splitlines()[-1][:160] if looked.returncode else ""


def say(text: str) -> None:
    """Tell at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def compiled() -> list[str]:
    """The modules that are compiled of a source here: not what Cython adds to them, ``kernbench._cython``."""
    modules = json.loads((ROOT / "src/kernbench/compiled.json").read_text())["modules"]
    return [module for module in modules if not module.startswith("kernbench._")]


def main() -> int:
    """All compiled modules, or those named as arguments."""
    missed = 0
    for module in (None, *(sys.argv[1:] or compiled())):
        with tempfile.TemporaryDirectory() as folder:
            tree = copied(Path(folder))
            if module is None:
                if difference := differ(tree):
                    sys.exit(f"the engines differ before anything is planted: {difference}")
            else:
                missed += noticed(module, tree) is False
    return missed


if __name__ == "__main__":
    sys.exit(main())
