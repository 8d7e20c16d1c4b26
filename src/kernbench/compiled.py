"""Which engine runs: the modules that Cython has compiled, or the Python sources that they were compiled from.

Both are the same source (ADR-0047), and give the same op logs. It is decided once in a process, when the first module
that may be compiled is imported: by ``--engine``, else by ``KERNBENCH_ENGINE``, else compiled modules are taken where
they are there for this Python and their sources have not changed since.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Literal, NamedTuple

from kernbench.errors import UsageError
from kernbench.wording import quoted

ENGINES = ("auto", "native", "reference")
VARIABLE = "KERNBENCH_ENGINE"
FOLDERS = ("components", "engine", "lang", "machine", "memory", "messages")  # where modules may be compiled
MANIFEST = "compiled.json"  # beside this file: of what the compiled modules were made
_HERE = Path(__file__).parent
_CURE = "run `make native` in a checkout, or install a wheel for this platform"


class Running(NamedTuple):
    """The engine of this process; ``because`` of what it is not the fastest, which was wanted."""

    engine: Literal["native", "reference"]
    because: str = ""

    @property
    def line(self) -> str:
        """What a page says of it.

        >>> Running("reference", "nothing is compiled here").line
        'engine reference (nothing is compiled here)'
        """
        return f"engine {self.engine}" + (f" ({self.because})" if self.because else "")


def digest(folder: Path, modules: Iterable[str]) -> str:
    """A hash of all that the compiled ``modules`` of the package in ``folder`` are made from, by contents."""
    import hashlib  # with OpenSSL: not before it is needed, as `kernbench --help` imports this file

    sha = hashlib.sha256()
    for module in sorted(modules):
        stem = folder.joinpath(*module.split(".")[1:])
        for source in (stem.with_suffix(suffix) for suffix in (".py", ".pyx", ".pxd")):
            if source.exists():
                sha.update(f"{module}{source.suffix}".encode() + source.read_bytes())
    return sha.hexdigest()


def manifest(folder: Path, modules: Sequence[str]) -> str:
    """A note of what the ``modules`` of the package in ``folder`` are compiled, for which Python; JSON."""
    import json

    made = {"python": EXTENSION_SUFFIXES[0], "sources": digest(folder, modules), "modules": sorted(modules)}
    return json.dumps(made, indent=1) + "\n"


def obstacle(folder: Path = _HERE) -> str | None:
    """Why the compiled modules of the package in ``folder`` cannot run; None if they can."""
    import json

    try:
        made = json.loads((folder / MANIFEST).read_text())
        modules, python, sources = made["modules"], made["python"], made["sources"]
    except (OSError, ValueError, KeyError, TypeError):
        return f"nothing is compiled here; {_CURE}"
    if python != EXTENSION_SUFFIXES[0]:
        return f"it is compiled for another Python; {_CURE}"
    files = [folder.joinpath(*module.split(".")[1:]).with_suffix(python) for module in modules]
    if not all(file.exists() for file in files):
        return f"a part of what was compiled is gone; {_CURE}"
    if sources != digest(folder, modules):
        return f"the sources have changed since they were compiled; {_CURE}"
    return None


class _Chooser:
    """Finds the source of a module that could be compiled, where the reference engine runs."""

    def __init__(self) -> None:
        self.wanted: str | None = None
        self.running: Running | None = None

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        parts = name.split(".")
        if len(parts) < 2 or parts[0] != "kernbench" or parts[1] not in FOLDERS or path is None:
            return None
        if self.decided().engine == "native":
            return None
        for folder in path:
            spec = FileFinder(folder, (SourceFileLoader, SOURCE_SUFFIXES)).find_spec(name)
            if spec is not None:
                return spec
        return None

    def decided(self) -> Running:
        if self.running is None:
            self.running = self._decide()
        return self.running

    def _decide(self) -> Running:
        option, wanted = "--engine", self.wanted
        if wanted is None:
            option, wanted = VARIABLE, os.environ.get(VARIABLE, "auto")
        if wanted not in ENGINES:
            raise UsageError(
                f"{option}: {quoted(wanted)} is no engine; write {', '.join(ENGINES[:-1])} or {ENGINES[-1]}"
            )
        if wanted == "reference":
            return Running("reference")
        why = obstacle()
        if why is None:
            return Running("native")
        if wanted == "native":
            raise UsageError(f"{option} native: {why}")
        return Running("reference", why)


_CHOOSER = _Chooser()


def choose_at_import() -> None:
    """Have the engine chosen when the first module that could be compiled is imported."""
    if _CHOOSER not in sys.meta_path:
        sys.meta_path.insert(0, _CHOOSER)


def choose(engine: str) -> None:
    """Ask for an engine of :data:`ENGINES` before anything of it is imported.

    Raises:
        UsageError: there is no such engine, it cannot run here, or this process has begun with the other one.
    """
    begun, _CHOOSER.wanted = _CHOOSER.running, engine
    running = _CHOOSER._decide()
    if begun is not None and begun.engine != running.engine:
        raise UsageError(
            f"--engine {engine}: this process has begun with the {begun.engine} engine; set {VARIABLE}={engine} before "
            "it starts"
        )
    _CHOOSER.running = running


def running() -> Running:
    """The engine of this process.

    >>> running().engine in ("native", "reference")
    True
    """
    return _CHOOSER.decided()


def let_others_run() -> None:
    """Nothing, in Python: its interpreter hears Ctrl-C and alarms, and gives way to other threads, at such a call.

    Compiled code does neither by itself.
    """
