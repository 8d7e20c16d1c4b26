"""A file appears whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kernbench.errors import UsageError


@contextmanager
def written_whole(target: str | Path) -> Iterator[Path]:
    """The path of a temporary file that becomes ``target`` at the end, and vanishes on an error.

    What exists and is no ordinary file (a pipe, ``/dev/null``) is written in place.
    """
    path = Path(target).resolve()
    if path.exists() and not path.is_file():
        yield path
        return
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield part
        part.replace(path)
    except UsageError as error:  # whose text is about the file that the user named
        raise UsageError(str(error).replace(str(part), str(target))) from error
    finally:
        part.unlink(missing_ok=True)
