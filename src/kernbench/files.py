"""Files appear whole or not at all, and those of one command all together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from kernbench.errors import UsageError


@dataclass(slots=True)
class _Staged:
    """What a block of :func:`together` has done so far: temporary files by target, folders; and what is to be done."""

    parts: dict[Path, Path] = field(default_factory=dict)
    folders: list[Path] = field(default_factory=list)
    ends: list[Callable[[], None]] = field(default_factory=list)

    def appear(self) -> None:
        """Give every file its name; if one cannot have it, take away those that were not there before."""
        new: list[Path] = []
        for target, part in self.parts.items():
            was_there = target.exists()
            try:
                part.replace(target)
            except OSError as error:
                for path in new:
                    path.unlink(missing_ok=True)
                raise UsageError(f"{target}: cannot be written: {error.strerror}") from error
            if not was_there:
                new.append(target)

    def vanish(self) -> None:
        """Remove what was written and made."""
        for part in self.parts.values():
            part.unlink(missing_ok=True)
        for folder in reversed(self.folders):
            with suppress(OSError):  # something else is in it
                folder.rmdir()


_STAGED: ContextVar[_Staged | None] = ContextVar("kernbench_staged", default=None)


@contextmanager
def together() -> Iterator[None]:
    """Files that are written within appear at the end, all of them or, after an error, none."""
    staged = _Staged()
    token = _STAGED.set(staged)
    try:
        yield
        staged.appear()
    except BaseException:
        staged.vanish()
        raise
    finally:
        _STAGED.reset(token)
    for act in staged.ends:
        act()


@contextmanager
def written_whole(target: str | Path) -> Iterator[Path]:
    """The path of a temporary file that becomes ``target`` at the end, and vanishes on an error.

    Within :func:`together`, the end is that of the block. What exists and is no ordinary file (a pipe, ``/dev/null``)
    is written in place. Raises UsageError when the file cannot be written.
    """
    staged, part = _STAGED.get(), None
    try:
        path = Path(target).resolve()
        if path.exists() and not path.is_file():
            yield path
            return
        if staged is not None and path in staged.parts:
            raise UsageError(f"{target}: two results would go there; give each a file of its own")
        part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
        yield part
        if staged is None:
            part.replace(path)
        else:
            staged.parts[path] = part
    except OSError as error:
        raise UsageError(f"{target}: cannot be written: {error.strerror}") from error
    except UsageError as error:  # whose text is about the file that the user named
        raise UsageError(str(error).replace(str(part or target), str(target))) from error
    finally:
        if part is not None and (staged is None or path not in staged.parts):
            part.unlink(missing_ok=True)


def when_written(act: Callable[[], None]) -> None:
    """Do ``act`` now; within :func:`together`, when its files have appeared."""
    staged = _STAGED.get()
    if staged is None:
        act()
    else:
        staged.ends.append(act)


def make_folder(folder: Path) -> None:
    """Make ``folder`` with all above it; within :func:`together`, an error at the end takes back what was made."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be made: {error.strerror}") from error
    staged = _STAGED.get()
    if staged is not None:
        staged.folders += reversed(missing)
