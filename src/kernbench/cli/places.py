"""Whose a place in a program is: the user's, ours, or a library's."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

from kernbench.wording import shown_path

PACKAGE = Path(__file__).parents[1]
LIBRARIES = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
COMPILED = f"src/{PACKAGE.name}/"  # how compiled modules name their sources, wherever they were built
HANDED_ON = (  # call functions with whatever arguments they were given
    str(PACKAGE / "lang" / "turn.py"),
    str(PACKAGE / "given.py"),
)


def users(error: BaseException) -> list[traceback.FrameSummary]:
    """The places an exception came by that are in the user's files, outermost first."""
    return [place for place in places(error) if not _is_ours(place.filename)]


def places(error: BaseException) -> list[traceback.FrameSummary]:
    """The places an exception came by that are in our files or in the user's, outermost first."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename not in HANDED_ON]
    return [frame for frame in frames if _is_ours(frame.filename) or not _is_library(frame.filename)]


def line_of(place: traceback.FrameSummary) -> str:
    """A place as messages name it."""
    return f"{shown_path(place.filename)}:{place.lineno}"


def is_users(filename: str) -> bool:
    """Whether it is a file of the user."""
    return not _is_ours(filename) and not _is_library(filename)


def _is_ours(filename: str) -> bool:
    return Path(filename).is_relative_to(PACKAGE) or filename.startswith(COMPILED)


def _is_library(filename: str) -> bool:
    """Whether it is an installed file, or none at all, as of compiled code."""
    return not Path(filename).is_file() or any(Path(filename).is_relative_to(folder) for folder in LIBRARIES)
