"""Configurations that were resolved before, kept in the user's cache, so that a start need not read and check YAML.

A kept one is found by all that it follows from: what was asked for, the source that resolves it, and the kinds of
nodes that are known; and is used if each file that was read still says the same. What is damaged, cannot be read or
cannot be written is as if it were not there. ADR-0048 says why so.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from contextvars import Context
from decimal import Decimal
from fractions import Fraction
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from kernbench.config import ccl, machine, pe, schema
from kernbench.config.quantities import FileSpec, Spec
from kernbench.config.schema import Config
from kernbench.errors import UsageError
from kernbench.files import make_folder, written_whole
from kernbench.kinds import kinds, load_kinds
from kernbench.units import Rate

MOST_VALUES = 1000  # of what was asked
MOST_KEPT = 256  # of 25 KB: the presets, and what differed lately
BELOW = ("dtypes", "errors", "given", "kinds", "registry", "units", "wording")  # what config is built on
_EXACT: dict[str, Callable[..., Any]] = {"Rate": Rate, "Fraction": Fraction, "Decimal": Decimal}
_SPECS = {
    name: thing
    for module in (ccl, machine, pe, schema)
    for name, thing in vars(module).items()
    if isinstance(thing, type) and issubclass(thing, Spec)
}


def folder() -> Path:
    """Where configurations are kept: ``kernbench`` in ``$XDG_CACHE_HOME``, or in ``~/.cache``.

    Raises:
        RuntimeError: there is no home.
    """
    given = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(given) if Path(given).is_absolute() else Path.home() / ".cache") / "kernbench"


def text_of(path: Path) -> str:
    """What a file says. Raises OSError or UnicodeDecodeError."""
    return path.read_text(encoding="utf-8")


def place_of(*asked: Any) -> Path | None:
    """Where the answer to what was ``asked`` is kept; None if that is long, or no JSON, or there is no home."""
    mistakes = dict(load_kinds())
    words = [str(part) if isinstance(part, Path) else part for part in asked]
    words = [list(part) if isinstance(part, tuple) else part for part in words]
    if not _is_short(words):
        return None
    with suppress(TypeError, ValueError, OSError, RuntimeError):
        text = json.dumps(words)
        if json.loads(text) != words:  # a key that is no text, or the like
            return None
        known = [[kind.name, kind.part] for kind in kinds()]
        return folder() / f"{_hash(json.dumps([text, _source(), known, mistakes]))}.json"
    return None


def _is_short(asked: Any) -> bool:
    """Whether there are few enough values in ``asked`` to be a key; what has no end is refused where it is read."""
    waiting = [asked]
    for _ in range(MOST_VALUES):
        if not waiting:
            return True
        part = waiting.pop()
        waiting += (
            part.values() if isinstance(part, dict) else part if isinstance(part, (list, tuple)) else ()
        )
    return False


def found(place: Path | None) -> Config | None:
    """The configuration at ``place``; None where there is none, or it is stale or damaged."""
    if place is None:
        return None
    with suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
        checksum, _, text = text_of(place).partition("\n")
        if checksum != _hash(text):
            return None
        files, known_by, values = json.loads(text)
        if all(_hash(text_of(Path(name))) == contents for name, contents in files.items()):
            config: Config = _value(values)
            with suppress(OSError):
                os.utime(place)  # those that are used last stay
            return config.known_by(known_by)
    return None


def keep(place: Path | None, config: Config, files: Mapping[Path, str]) -> None:
    """Keep ``config``, whose hash is known and which follows from the texts of ``files``, for :func:`found`."""
    if place is None:
        return
    with suppress(TypeError, ValueError, OSError, UsageError):
        contents = {str(path): _hash(text) for path, text in files.items()}
        text = json.dumps([contents, config.sha256, _plain(config)], separators=(",", ":"))
        # In a context of its own: it appears even where the files of a command, which failed, do not.
        Context().run(_write, place, f"{_hash(text)}\n{text}")


def _write(place: Path, text: str) -> None:
    make_folder(place.parent)
    with written_whole(place) as part:
        part.write_text(text, encoding="utf-8")
    _forget(sorted(place.parent.glob("*.json"), key=lambda path: path.stat().st_mtime)[:-MOST_KEPT])


def _forget(places: Iterable[Path]) -> None:
    for place in places:
        place.unlink(missing_ok=True)


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()


@cache
def _source() -> str:
    """Hash of the presets, and of the code that resolves a configuration."""
    here = Path(__file__).parent
    files = [*here.rglob("*.py"), *here.rglob("*.yaml"), *(here.with_name(f"{name}.py") for name in BELOW)]
    return _hash("\0".join(text_of(path) for path in sorted(files)))


def _plain(value: Any) -> Any:
    """``value`` as JSON has it: what is no text, number or mapping is a list that begins with its class.

    Raises:
        TypeError: it is of a class that a user's file made.
    """
    name = type(value).__name__
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, dict):
        return {key: _plain(child) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [name, *map(_plain, value)]
    if isinstance(value, Rate):
        return [name, value.num, value.den]
    if isinstance(value, (Fraction, Decimal)):
        return [name, str(value)]
    if _SPECS.get(name) is not type(value):
        raise TypeError(f"{name} is of a user's file")
    places = value.places if isinstance(value, FileSpec) else {}
    return [name, {field: _plain(getattr(value, field)) for field in value.fields()}, places]


def _value(plain: Any) -> Any:
    """The way back."""
    if isinstance(plain, dict):
        return {key: _value(child) for key, child in plain.items()}
    if not isinstance(plain, list):
        return plain
    name, *rest = plain
    if name in _EXACT:
        return _EXACT[name](*rest)
    if name in ("list", "tuple"):
        children = [_value(child) for child in rest]
        return children if name == "list" else tuple(children)
    spec = _SPECS[name].model_construct(**_value(rest[0]))
    return spec.placed(rest[1]) if isinstance(spec, FileSpec) else spec
