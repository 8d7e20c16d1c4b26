"""Files appear whole or not at all; and a file that cannot be written is an error before the work, not after."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from kernbench.errors import UsageError
from kernbench.files import when_written, written_whole

STDOUT = "-"


def require_writable(*targets: str | Path | None) -> None:
    """Raise UsageError if one of ``targets`` (``-`` and None are always right) can certainly not be written."""
    for target in targets:
        if target is None or target == STDOUT:
            continue
        if not str(target):
            raise UsageError("'' is no file; give the name of one")
        path = Path(target)
        if path.is_dir():
            raise UsageError(f"{target}: is a folder; name a file in it")
        if not path.parent.is_dir():
            raise UsageError(f"{target}: there is no folder {str(path.parent)!r}; make it first")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise UsageError(f"{target}: cannot be written: permission denied")


def write_text(target: str | Path, text: str) -> None:
    """``text`` as the file ``target``."""
    with written_whole(target) as part:
        part.write_text(text, encoding="utf-8")


def write_json(target: str, document: dict[str, Any]) -> None:
    """``document`` as the file ``target``, or to standard output for ``-``; a number that is not finite is null."""
    text = json.dumps(_finite(document), indent=2, allow_nan=False)
    if target == STDOUT:  # whose reader may go away, and the process with it: files come first
        when_written(lambda: print(text))
    else:
        write_text(target, text + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(child) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(child) for child in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
