"""Runs the engine's laws with what is written for the compiler by hand under ASan and UBSan: ``make test-sanitize``.

Leaks are not looked for, nor uses of a stack frame that is gone: Python keeps what it has until it ends, and greenlets
change stacks. Arguments are pytest's; without any, the laws and the golden op logs.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.twin.copies import ROOT, build, copied

FLAGS = ("-O1", "-g1", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
LAWS = ("tests/engine", "tests/golden", "tests/laws/test_queue_traffic.py", "tests/twin/test_fabric.py")


def by_hand() -> list[str]:
    """Modules with a body of their own for the compiler."""
    found = (path.relative_to(ROOT / "src").with_suffix("") for path in (ROOT / "src").rglob("*.pyx"))
    return sorted(".".join(path.parts) for path in found)


def main() -> int:
    """The exit code of pytest, in a copy of the checkout."""
    runtime = subprocess.check_output(["gcc", "-print-file-name=libasan.so"], text=True).strip()
    with tempfile.TemporaryDirectory() as folder:
        tree, reports = copied(Path(folder)), Path(folder) / "report"
        for module in by_hand():
            build(module, tree, *FLAGS)
        environment = {
            **os.environ,
            "ASAN_OPTIONS": f"detect_leaks=0:detect_stack_use_after_return=0:log_path={reports}",
            "KERNBENCH_ENGINE": "native",
            "LD_PRELOAD": runtime,
            "PYTHONMALLOC": "malloc",  # so that a freed object of Python is seen to be one
            "PYTHONPATH": os.pathsep.join((str(tree / "src"), str(tree))),
            "UBSAN_OPTIONS": f"print_stacktrace=1:log_path={reports}",
        }
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-n",
            "2",
            "-p",
            "no:cacheprovider",
            *(sys.argv[1:] or LAWS),
        ]
        code = subprocess.run(command, cwd=tree, env=environment, timeout=900).returncode
        found = sorted(reports.parent.glob("report.*"))
        sys.stderr.write("".join(file.read_text() for file in found))
        return code or len(found)


if __name__ == "__main__":
    sys.exit(main())
