"""What pydantic found wrong, as one line: place, dotted path with the YAML's key names, what is wrong, the cure."""

from __future__ import annotations

import difflib
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from kernbench.config.model import model_of
from kernbench.config.quantities import Spec
from kernbench.config.tree import Path, shown

if TYPE_CHECKING:  # who explains an error has imported what raised it
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

MOST_HINTS = 100  # unknown keys that are looked at for what they may mean


def line(place: str, path: Path, message: str) -> str:
    """The error's one line. A place that is an override with this path already shows it.

    >>> line("topology.yaml:41", ("pe", "tcm"), "is missing")
    'topology.yaml:41: pe.tcm: is missing'
    >>> line("--set pe.tcm=3", ("pe", "tcm"), "3 is not a mapping of keys")
    '--set pe.tcm=3: 3 is not a mapping of keys'
    >>> line("overrides['pe.tcm']", ("pe", "tcm"), "3 is not a mapping of keys")
    "overrides['pe.tcm']: 3 is not a mapping of keys"
    """
    dotted = ".".join(path)
    given = place.partition("=")[0] if place.startswith("--set ") else place.removesuffix("']")
    is_shown = place.startswith(("--set ", "overrides['")) and given.endswith(dotted)
    return f"{place}: {message}" if is_shown or not dotted else f"{place}: {dotted}: {message}"


def explain(
    error: ValidationError, model: type[Spec], place_of: Callable[[Path], str], prefix: Path = ()
) -> str:
    """The most telling error in full, and how many more there are.

    ``model`` refused what the file says at ``prefix``; ``place_of`` gives the place of a path in that file.
    """
    found = error.errors(include_url=False)
    absent: dict[tuple[str | int, ...], list[str]] = {}
    for e in found:
        if e["type"] == "missing":
            absent.setdefault(e["loc"][:-1], []).append(str(e["loc"][-1]))
    strange = [e for e in found if e["type"] == "extra_forbidden"]
    unknown = [(e, _hint(e, model, absent)) for e in strange[:MOST_HINTS]]
    misspelt = {(*e["loc"][:-1], hint) for e, hint in unknown if hint}
    wrong = [e for e in found if e["type"] not in ("extra_forbidden", "missing")]
    missing = [e for e in found if e["type"] == "missing" and e["loc"] not in misspelt]
    details = [(e, _unknown_key(hint, _keys(model, e["loc"][:-1]))) for e, hint in unknown]
    details += [(e, _message(e)) for e in (*wrong, *missing)][:1]
    first, message = details[0]
    n_more = len(strange) + len(wrong) + len(missing) - 1
    path = (*prefix, *(str(part) for part in first["loc"] if part != "[key]"))
    more = f" (and {n_more} more)" if n_more else ""
    return line(place_of(path), path, message + more)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """``did you mean 'x'?``, or the names there are.

    >>> did_you_mean("link_bandwidth", ["link_bw", "router_ns"])
    "did you mean 'link_bw'?"
    """
    known = list(names)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"


def keys_are(
    table: Mapping[str, object], names: Iterable[str], optional: Sequence[str] = ()
) -> Iterator[tuple[str, str]]:
    """Keys of ``table`` not in ``names`` or ``optional``, and missing ``names``, each with what is wrong."""
    known = list(names)
    absent = [name for name in known if name not in table]
    for name in table:
        if name not in known and name not in optional:
            yield name, f"unknown key; {did_you_mean(name, [*absent, *optional] or known)}"
    for name in absent:
        yield name, "this key is missing"


def _unknown_key(hint: str, keys: Sequence[str]) -> str:
    return f"unknown key; did you mean {hint!r}?" if hint else f"unknown key; known: {', '.join(keys)}"


def _hint(error: ErrorDetails, model: type[Spec], absent: Mapping[tuple[str | int, ...], list[str]]) -> str:
    """The known key an unknown one is nearest to; one that is ``absent`` beside it goes first."""
    *parents, name = error["loc"]
    for candidates in (absent.get(tuple(parents), ()), _keys(model, parents)):
        close = difflib.get_close_matches(str(name), candidates, n=1)
        if close:
            return close[0]
    return ""


def _keys(model: type[Spec], path: Sequence[str | int]) -> list[str]:
    """The YAML keys of the spec at ``path``."""
    spec: Any = model
    for part in path:
        spec = _child(spec, part)
    return [key.name for key in spec.fields().values()] if _is_spec(spec) else []


def _child(kind: Any, part: str | int) -> Any:
    if _is_spec(kind):
        fields = model_of(kind).model_fields
        return next(
            (fields[name].annotation for name, key in kind.fields().items() if key.name == part), None
        )
    if get_origin(kind) is tuple:
        return get_args(kind)[0]
    if get_origin(kind) in (dict, Union, types.UnionType):
        return next((_child(a, part) if not _is_spec(a) else a for a in get_args(kind)[::-1]), None)
    return None


def _is_spec(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Spec)


def _message(error: ErrorDetails) -> str:
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    match kind:
        case "value_error":
            return str(context["error"])
        case "missing":
            return "a value is missing" if isinstance(error["loc"][-1], int) else "this key is missing"
        case "literal_error":
            expected = context["expected"].replace(" or ", ", ")
            return f"{shown(value)} is not {'one of ' if ',' in expected else ''}{expected}"
        case "int_type" | "int_from_float" | "int_parsing":
            return f"{shown(value)} is not an integer"
        case "greater_than_equal":
            return f"{shown(value)} is too small; it must be {context['ge']} or more"
        case "string_type":
            return f"{shown(value)} is not text"
        case "bool_type":
            return f"{shown(value)} is not true or false"
        case "too_long":
            return f"{context['actual_length']} values where {context['max_length']} are expected"
        case "tuple_type":
            return f"{shown(value)} is not a list"
        case "model_type" | "dict_type" | "model_attributes_type":
            return f"{shown(value)} is not a mapping of keys"
    return error["msg"]
