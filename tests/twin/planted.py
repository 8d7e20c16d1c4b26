"""Plants a wrong comparison in a copy of each compiled module, builds that alone, and looks whether the twins differ.

``make test-planted`` runs it: a minute for each module, so that `make test` does not. Its exit code is the number of
modules whose mistake nobody noticed. A module that compares nothing is named.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.twin.copies import ROOT, build, copied, source_of

OPPOSITE = {" < ": " >= ", " > ": " <= ", " == ": " != ", " >= ": " < ", " <= ": " > "}
COMPARISON = re.compile(r"^\s+(?:if|elif|while|return)\b.*?( < | > | == | >= | <= )")
LOOK = """
if __name__ == "__main__":  # the twins import this file, too, before they choose their engines
    from tests.twin.random_kernels import kernels
    from tests.twin.random_traffic import traffic
    from tests.twin.twins import Twins

    twins = Twins()
    try:
        twins.agreed(traffic, [(seed,) for seed in range(60)])
        twins.agreed(kernels, [(seed,) for seed in range(10)])
    finally:
        twins.close()
"""


def planted(source: Path) -> str | None:
    """Turn the first comparison of a file that decides something into its opposite; the line, or None."""
    lines = source.read_text().splitlines(keepends=True)
    for number, line in enumerate(lines):
        if found := COMPARISON.match(line):
            at = found.start(1)
            lines[number] = line[:at] + OPPOSITE[found[1]] + line[found.end(1) :]
            source.write_text("".join(lines))
            return f"{number + 1}: {lines[number].strip()}"
    return None


def noticed(module: str, tree: Path) -> bool | None:
    """Whether the twins differ, or end, with a mistake in ``module``; None if it compares nothing."""
    source = source_of(module, tree)
    right = source.read_text()
    place = planted(source)
    if place is None:
        say(f"{module}: compares nothing")
        return None
    build(module, tree, "-O0", "-g0")
    source.write_text(right)  # the reference stays right, and the note of the sources true
    difference = differ(tree)
    say(f"{module}:{place}\n    {difference or 'NOT NOTICED'}")
    return bool(difference)


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


def main() -> int:
    """All compiled modules, or those named as arguments."""
    modules = sys.argv[1:] or json.loads((ROOT / "src/kernbench/compiled.json").read_text())["modules"]
    missed = 0
    for module in (None, *modules):
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
