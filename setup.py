"""Compiles the modules that have a ``.pxd`` beside them; all else about the package is in pyproject.toml.

``KERNBENCH_PURE=1`` compiles nothing. What was compiled is noted beside it, see :mod:`kernbench.compiled`.
"""

import os
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCES = Path("src")
sys.path.insert(0, str(SOURCES))

from kernbench.compiled import MANIFEST, manifest  # noqa: E402 (the package is not installed yet)

DIRECTIVES = {
    "language_level": 3,
    "annotation_typing": False,  # what is typed for C stands in the .pxd, and nowhere else
    "overflowcheck": True,  # whole numbers of C: 64 bits, and an error beyond
    "overflowcheck.fold": True,
    "boundscheck": True,
    "initializedcheck": False,
    "nonecheck": True,
    "auto_pickle": False,  # nothing that is compiled is pickled
}
# What Cython adds to all modules, once for all: a third of the C that there would be.
SHARED = "kernbench._cython"


def shared(folder):
    """The extension that has what the others share; its C is generated in ``folder``, if it is not there."""
    path = folder / "shared.c"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "cython", "generate-shared", "--module-name", SHARED, str(path)]
        subprocess.run(command, check=True)
    return Extension(SHARED, [str(path)], extra_compile_args=["-O2", "-g0"])


def extensions():
    """An extension for each ``.pxd``: of the ``.pyx`` beside it if there is one, else of the ``.py``."""
    found = []
    for declared in sorted(SOURCES.rglob("*.pxd")):
        source = next(declared.with_suffix(s) for s in (".pyx", ".py") if declared.with_suffix(s).exists())
        name = ".".join(declared.relative_to(SOURCES).with_suffix("").parts)
        level = "-O2" if "engine" in source.parts else "-O1"  # 3 s to 5 for a file, and units run as fast
        found.append(Extension(name, [str(source)], extra_compile_args=[level, "-g0"]))
    return found


class Build(build_ext):
    """Builds all of them or none, and notes of what."""

    def finalize_options(self):
        """Turn the sources into C, side by side; compile as many at a time as there are cores."""
        from Cython import __version__
        from Cython.Build import cythonize

        folder = Path("build/native") / __version__  # C of two versions does not go together
        self.parallel = self.parallel or os.cpu_count()
        modules = cythonize(
            self.distribution.ext_modules,
            build_dir=str(folder),
            compiler_directives=DIRECTIVES,
            shared_utility_qualified_name=SHARED,
        )
        self.distribution.ext_modules = [shared(folder), *modules]
        super().finalize_options()

    def run(self):
        """Build, then write the manifest where the modules are; nothing compiled stays there that is none of them."""
        super().run()
        root = SOURCES if self.inplace else Path(self.build_lib)
        names = [extension.name for extension in self.extensions]
        built = {(root / self.get_ext_filename(name)).resolve() for name in names}
        for found in (root / "kernbench").rglob(f"*{EXTENSION_SUFFIXES[0]}"):
            if found.resolve() not in built:
                found.unlink()
        (root / "kernbench" / MANIFEST).write_text(manifest(SOURCES / "kernbench", names))


if os.environ.get("KERNBENCH_PURE") == "1":
    setup()
else:
    setup(ext_modules=extensions(), cmdclass={"build_ext": Build})
