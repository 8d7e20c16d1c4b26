"""Copies of the checkout in which one compiled module is another than the sources say."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILD = """
import sys
from pathlib import Path
from setuptools import Extension, setup
from Cython.Build import cythonize
sys.argv = ["setup.py", "build_ext", "--inplace", "--force"]
sys.path.insert(0, "src")
text = Path("setup.py").read_text()
exec(text[text.index("DIRECTIVES"):text.index("def extensions")])
name, source, flags = {name!r}, {source!r}, {flags!r}
extensions = cythonize(
    [Extension(name, [source], extra_compile_args=flags, extra_link_args=flags)],
    build_dir="build/native",
    compiler_directives=DIRECTIVES,
    shared_utility_qualified_name=SHARED,
)
setup(package_dir={{"": "src"}}, ext_modules=extensions)
"""


def copied(folder: Path) -> Path:
    """A copy of sources, tests and what is compiled, in a new folder inside ``folder``."""
    tree = folder / "tree"
    tree.mkdir()
    for part in ("src", "tests", "setup.py", "pyproject.toml"):
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, tree / part)
    return tree


def source_of(module: str, tree: Path) -> Path:
    """What ``module`` is compiled from: its ``.pyx`` if it has one, else its ``.py``."""
    stem = tree.joinpath("src", *module.split("."))
    return next(stem.with_suffix(s) for s in (".pyx", ".py") if stem.with_suffix(s).exists())


def build(module: str, tree: Path, *flags: str) -> None:
    """Compile ``module`` alone, with ``flags`` for the compiler."""
    source = str(source_of(module, tree).relative_to(tree))
    script = BUILD.format(name=module, source=source, flags=list(flags))
    subprocess.run([sys.executable, "-c", script], cwd=tree, check=True, capture_output=True, timeout=300)
