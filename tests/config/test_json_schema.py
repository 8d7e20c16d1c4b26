"""Editors are told the same as the loader: presets pass, misspelt keys and wrong types do not."""

from decimal import Decimal
from typing import Any

import jsonschema
import pytest

from kernbench.config.json_schema import json_schema
from kernbench.config.load import PRESETS
from kernbench.config.read import read_yaml
from kernbench.errors import UnknownNameError

DOCUMENTS = ("topology", "components", "ccl")


def floats(value: Any) -> Any:
    """Plain values as an editor's YAML reader would give them."""
    if isinstance(value, dict):
        return {key: floats(child) for key, child in value.items()}
    if isinstance(value, list):
        return [floats(child) for child in value]
    return float(value) if isinstance(value, Decimal) else value


def preset(document: str) -> Any:
    return floats(read_yaml((PRESETS / f"{document}.yaml").read_text(), document).plain())


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_schema_is_one_and_the_preset_passes(document):
    schema = json_schema(document)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(preset(document), schema)


def test_a_file_that_extends_may_leave_out_keys_and_write_dotted_ones():
    jsonschema.validate(
        {"extends": "tiny", "pe": {"tcm": {"size": "1 MiB"}}, "cube.hbm.channels": 2}, json_schema("topology")
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"pe": {"tcm": {"sise": 1}}},
        {"pe": {"tcm": {"size": "1 MB/s"}}},
        {"pe": {"tcm": {"read_bw": 0}}},
        {"pe": {"tcm": {"read_bw": "64 GB/s"}}},
        {"cube": {"hbm": {"refresh": "sometimes"}}},
        {"qqq": 1},
    ],
)
def test_what_the_loader_refuses_an_editor_marks(wrong):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"extends": "tiny", **wrong}, json_schema("topology"))


def test_a_file_that_extends_nothing_must_be_complete():
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"version": 1}, json_schema("topology"))


def test_an_unknown_document_gets_the_nearest_name():
    with pytest.raises(UnknownNameError) as caught:
        json_schema("topologie")
    assert str(caught.value) == (
        "unknown document 'topologie'; did you mean 'topology'? (known: ccl, components, topology)"
    )
