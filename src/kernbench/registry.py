"""A registry maps a versioned name to an implementation, and knows the nearest name when there is none.

A name is entered once; but a user's file that is run again (by a test, in a notebook) may enter its names again.
What installed distributions offer in the entry-point group ``kernbench.plugins`` is loaded when a name is asked for
that is not there, and not before: starting costs nothing.
"""

from __future__ import annotations

import difflib
import pkgutil
import sys
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Generic, TypeVar

from kernbench.errors import KernBenchError, UnknownNameError, UsageError, in_one_line
from kernbench.wording import is_name, quoted, with_article

T = TypeVar("T")
GROUP = "kernbench.plugins"
MOST_SHOWN, N_NEAREST = 12, 8  # names in an error: all of so many, or the nearest
LEAST_ALIKE, MUCH_ALIKE = (
    0.6,
    0.8,
)  # how much alike names are that are near; where most that are asked for are no typos
MOST_ASKED = 100  # characters of a name that may be a misspelt one
LOOKS_THE_SAME = (
    0.85  # how much alike two names are that begin differently, and one may be meant as the other
)
_SOURCE: ContextVar[str] = ContextVar("kernbench_source", default="")
_broken: list[str] | None = (
    None  # of the process, once entry points were loaded: a line for each that could not be
)


@contextmanager
def registering_from(source: str) -> Iterator[None]:
    """What is registered meanwhile comes from the user's file ``source``."""
    token = _SOURCE.set(source)
    try:
        yield
    finally:
        _SOURCE.reset(token)


def load_entry_points() -> Sequence[str]:
    """Load what installed distributions offer as plugins, once; gives a line for each that cannot be loaded.

    An entry point of the group ``kernbench.plugins`` names a module, whose import registers, or a function in one,
    which is called without arguments and does so. What they print goes to stderr.
    """
    global _broken
    if _broken is None:
        from importlib.metadata import entry_points

        _broken = []
        found = [
            (point, f"{point.dist.name} {point.dist.version}" if point.dist else "?")
            for point in entry_points(group=GROUP)
        ]
        for point, source in sorted(found, key=lambda pair: (pair[1], pair[0].name)):
            try:
                with registering_from(source), redirect_stdout(sys.stderr):
                    loaded = point.load()
                    if point.attr:
                        loaded()
            # Whatever a user's module raises, sys.exit included, takes nothing from others.
            except (Exception, SystemExit) as error:
                what = error if isinstance(error, KernBenchError) else in_one_line(error)
                _broken.append(f"{source}: its plugin {point.name} = {point.value} cannot be loaded: {what}")
    return _broken


def require_listed(what: str, name: object, names: Collection[str]) -> None:
    """Raise UnknownNameError, which offers the nearest, unless ``name`` is among the ``names`` of a ``what``."""
    if name not in names:
        raise UnknownNameError(f"unknown {what} {quoted(name)}; {did_you_mean(name, names)}")


def did_you_mean(
    name: object, names: Iterable[str], *, listed_by: str = "", least_alike: float = LEAST_ALIKE
) -> str:
    """The cure for a misspelt or shortened ``name``: the nearest of ``names``, and the others; of many the nearer ones.

    ``listed_by`` is the command that shows all of them; ``least_alike`` (0 to 1) is how near the nearest must be.

    >>> did_you_mean("gem", ["gemm", "softmax"])
    "did you mean 'gemm'? (known: gemm, softmax)"
    >>> did_you_mean("chain", ["chain_broadcast", "ring_all_gather"])
    "did you mean 'chain_broadcast'? (known: chain_broadcast, ring_all_gather)"
    >>> did_you_mean("ring", ["ring_all_gather", "ring_allreduce"])
    '(known: ring_all_gather, ring_allreduce)'
    >>> did_you_mean("op14", [f"op{i}" for i in range(30)], listed_by="kernbench list ops")
    "did you mean 'op14'? (known: op1, op14, op17, op18, op19, op21, op24, op4, and 22 more: kernbench list ops)"
    """
    known = sorted(names)
    shown = known
    if len(known) > MOST_SHOWN:
        asked = name[:MOST_ASKED] if isinstance(name, str) else ""
        near = sorted(difflib.get_close_matches(asked, known, n=N_NEAREST, cutoff=0))
        shown = [*near, f"and {len(known) - len(near)} more" + (f": {listed_by}" if listed_by else "")]
    return f"{nearest(name, known, least_alike)}(known: {', '.join(shown)})"


C_TYPES = (
    "bool",
    "double",
    "float",
    "half",
    "int",
    "long",
    "short",
)  # of PyTorch; functions are near to some


def nearest(name: object, known: Iterable[str], least_alike: float = LEAST_ALIKE) -> str:
    """The cure for a misspelt or shortened ``name`` where those ``known`` are many; empty if none is near.

    A name that begins otherwise is near only where little else differs.

    >>> nearest("gem", ["gemm", "softmax"]), nearest("conv", ["gemm", "softmax"])
    ("did you mean 'gemm'? ", '')
    >>> nearest("ftiny", ["tiny"]), nearest("allclose", ["close"])
    ("did you mean 'tiny'? ", '')
    """
    known, asked = sorted(known), name if isinstance(name, str) else ""
    if not asked or len(asked) > MOST_ASKED:
        return ""
    same = [k for k in known if k.lower() == asked.lower()]
    begun = [k for k in known if k.lower().startswith(asked.lower())]
    near = [k for k in difflib.get_close_matches(asked, known, n=3, cutoff=least_alike) if _is_near(asked, k)]
    close = same or near or (begun if len(begun) == 1 else [])
    return f"did you mean {close[0]!r}? " if close else ""


def _is_ours() -> bool:
    """Whether a module of KernBench itself is being imported, be it by a user's file."""
    frame: FrameType | None = sys._getframe(1)
    # A compiled module has no frame of its own, but that of its loader.
    while frame is not None and frame.f_code.co_name not in ("<module>", "exec_module"):
        frame = frame.f_back
    if frame is None:
        return False
    module = frame.f_locals.get("module") if frame.f_code.co_name == "exec_module" else None
    name = frame.f_globals.get("__name__") if module is None else module.__name__
    return str(name).startswith("kernbench.")


def _is_near(name: str, known: str) -> bool:
    """Whether a name that looks like ``known`` may be meant as it."""
    starts_alike = name[:1].lower() == known[:1].lower()
    return starts_alike or difflib.SequenceMatcher(None, name.lower(), known.lower()).ratio() > LOOKS_THE_SAME


def mistake_in(path: Path, error: BaseException) -> str:
    """The line of the file ``path`` that led to ``error``, and what that says."""
    if isinstance(error, SyntaxError):
        file = path if error.filename in (None, str(path.absolute())) else error.filename
        place = f"{file}:{error.lineno}" if error.lineno else str(path)
        return f"{place}: {type(error).__name__}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    line = next((f":{f.lineno}" for f in reversed(frames) if Path(f.filename) == path.absolute()), "")
    return f"{path}{line}: {error if isinstance(error, KernBenchError) else in_one_line(error)}"


class Registry(Generic[T]):
    """Names of one kind of thing. Iterating gives the names, sorted; who asks for another loads entry points.

    ``form`` says what a thing must be, and ``fits`` whether it is.
    """

    def __init__(self, kind: str, form: str, fits: Callable[[object], bool]) -> None:
        self.kind = kind
        self.form = form
        self.fits = fits
        self._entries: dict[str, T] = {}
        self._sources: dict[str, str] = {}
        self._loaded: set[str] = set()
        self.mistakes: dict[str, str] = {}

    def load(self, package: str, module: str | None = None) -> Registry[T]:
        """Import every module of ``package``, once, so that what is in it is registered; gives the registry.

        Or only ``module``, if there is one of that name.
        A module that cannot be imported takes nothing from others: ``mistakes`` has its line, by the module's name,
        and asking for a thing of that name raises it.
        """
        if package not in self._loaded:
            if module is None:
                self._loaded.add(package)
            for finder, name, _ in pkgutil.iter_modules(import_module(package).__path__):
                if module not in (None, name):
                    continue
                try:
                    import_module(f"{package}.{name}")
                except (Exception, SystemExit) as error:
                    self.mistakes[name] = mistake_in(Path(finder.path) / f"{name}.py", error)  # type: ignore[union-attr]
        return self

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator, or a call with the thing: enters it under ``name``.

        Raises:
            UsageError: the name is none, or is taken, or the thing is of another kind.
        """
        if not is_name(name):
            raise UsageError(
                f"register {with_article(self.kind)} by a name, as in register('mine_v1'), not by {quoted(name)}"
            )

        def enter(thing: T) -> T:
            source = "" if _is_ours() else _SOURCE.get()
            if name in self._entries and not (source and self._sources[name] == source):
                # What ships may be loaded after a user's file, and is no mistake.
                before = self._sources[name]
                place = f"{before}: " if before and not source else ""
                raise UsageError(
                    f"{place}{self.kind} {quoted(name)} is registered already; give yours another name"
                )
            if not self.fits(thing):
                raise UsageError(f"{self.kind} {quoted(name)}: must be {self.form}, not {quoted(thing)}")
            self._entries[name] = thing
            self._sources[name] = source
            return thing

        return enter

    def source(self, name: str) -> str:
        """The user's file that ``name`` was registered from; empty for what ships."""
        return self._sources[name]

    def names_from(self, source: str) -> list[str]:
        """What the user's file ``source`` registered."""
        return [name for name in self if self._sources[name] == source]

    def forget(self, source: str) -> None:
        """Free the names that the user's file ``source`` registered."""
        for name in self.names_from(source):
            del self._entries[name], self._sources[name]

    def __getitem__(self, name: str) -> T:
        if name not in self and name in self.mistakes:
            raise UsageError(self.mistakes[name])
        if name not in self:
            cure = did_you_mean(name, self._entries, listed_by="kernbench list")
            said = (f"unknown {self.kind} {quoted(name)}", cure, *load_entry_points())
            raise UnknownNameError("; ".join(said))
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        if name not in self._entries and not name.startswith("_"):
            load_entry_points()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        return len(self._entries)
