"""JSON Schema of the YAML files, for editors: what may be written where, and in which unit."""

from __future__ import annotations

from typing import Any

from kernbench.config.schema import models
from kernbench.errors import UnknownNameError
from kernbench.registry import did_you_mean
from kernbench.wording import quoted


def json_schema(document: str) -> dict[str, Any]:
    """The schema of ``topology``, ``components`` or ``ccl`` files.

    A file that says ``extends`` may leave out any key, one that does not needs those at the top; no file may
    have a key that is unknown.
    """
    known = models()
    if document not in known:
        raise UnknownNameError(f"unknown document {quoted(document)}; {did_you_mean(document, known)}")
    schema = known[document].model_json_schema()
    required = schema["required"]
    _relax(schema)
    dotted = {r"^[a-z_]+(\..+)+$": {"description": "a dotted path, as after --set"}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "properties": {
            "extends": {"type": "string", "description": "a preset's name, or the path of another file"},
            "presets": {"type": "object", "description": "overlays: dotted paths and their values"},
            **schema["properties"],
        },
        "patternProperties": dotted,
        "anyOf": [{"required": ["extends"]}, {"required": required}],
    }


def _relax(schema: Any) -> None:
    """Let every mapping leave out keys: what it extends has them."""
    if isinstance(schema, dict):
        schema.pop("required", None)
        for child in schema.values():
            _relax(child)
    elif isinstance(schema, list):
        for child in schema:
            _relax(child)
