"""A spec is frozen, equal by value, and filled by YAML key; a user's may be written as a model of pydantic's is."""

import pytest
from pydantic import Field, ValidationError, field_validator

from kernbench.config.load import load_config
from kernbench.config.plain import yaml_values
from kernbench.config.quantities import Count, FileSpec, Ns, Spec, key


class Part(Spec):
    """A part."""

    latency_ps: Ns = key("latency_ns")


class Whole(FileSpec):
    """Parts, and one more."""

    parts: tuple[Part, ...]
    n: Count = 1
    other: Part | None = key("others", default=None)


GIVEN = {"parts": [{"latency_ns": 3}], "others": {"latency_ns": 0}}


def test_it_is_filled_by_key_and_written_back():
    whole = Whole(**GIVEN)
    assert repr(whole) == "Whole(parts=(Part(latency_ps=3000),), n=1, other=Part(latency_ps=0))"
    assert yaml_values(whole) == {**GIVEN, "n": 1}
    assert Whole.model_validate(yaml_values(whole)) == whole
    assert hash(Whole(**GIVEN)) == hash(whole)
    assert [field.name for field in Whole.fields().values()] == ["parts", "n", "others"]


def test_it_is_frozen_and_a_copy_has_other_values_at_the_same_places():
    whole = Whole(**GIVEN).placed({"n": "mine.yaml:1"})
    for change in (lambda: setattr(whole, "n", 2), lambda: delattr(whole, "n")):
        with pytest.raises(
            AttributeError, match=r"^Whole is frozen; model_copy\(update=...\) makes another$"
        ):
            change()
    copy = whole.model_copy(update={"n": 2})
    assert (copy.n, whole.n, copy.place_of("n.x"), copy == whole) == (2, 1, "mine.yaml:1", False)
    assert whole == Whole(**GIVEN)  # wherever it was written
    assert whole != Part(latency_ns=1)


def test_a_copy_of_a_configuration_has_a_hash_of_its_own():
    config = load_config("tiny")
    assert config.sha256 is not None
    assert config.model_copy(update={"ccl": load_config("big").ccl}).sha256 is None


@pytest.mark.parametrize(
    ("given", "location"),
    [
        ({**GIVEN, "m": 1}, "m"),
        ({"parts": [{"latency_ps": 3}]}, "parts"),
        ({**GIVEN, "n": True}, "n"),
        ({}, "parts"),
    ],
)
def test_what_is_wrong_is_refused_where_it_stands(given, location):
    with pytest.raises(ValidationError) as raised:
        Whole(**given)
    assert raised.value.errors()[0]["loc"][0] == location


class Users(Spec):
    """As a user's file may have it."""

    lanes: int = Field(alias="n_lanes", ge=2)
    depth: int = Field(default=7)

    @field_validator("lanes")
    @classmethod
    def even(cls, lanes: int) -> int:
        """An even number."""
        if lanes % 2:
            raise ValueError("must be even")
        return lanes


def test_fields_and_validators_of_pydantics_are_heard():
    assert Users(n_lanes=4) == Users(n_lanes=4, depth=7)
    for n_lanes, wrong in ((0, "greater than or equal to 2"), (3, "must be even")):
        with pytest.raises(ValidationError, match=wrong):
            Users(n_lanes=n_lanes)
