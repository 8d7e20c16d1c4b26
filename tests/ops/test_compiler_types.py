"""Law: a mixed operation has the dtype that Triton's compiler gives it, and is refused where the compiler refuses it.

``compiler_types.json`` is what the front end of the compiler it names said: a row of result dtypes, in the order of
``dtypes``, for every left operand; "-" where it refuses. A block's other operand is a block or a Python number.
"""

from __future__ import annotations

import json
from ast import literal_eval
from pathlib import Path

import pytest

from kernbench.dtypes import as_dtype
from kernbench.errors import DTypeError
from kernbench.ops import OPS, Typed, plan
from kernbench.ops.numerics import promote_numbers

SAID = json.loads((Path(__file__).parent / "compiler_types.json").read_text())
DTYPES = SAID["dtypes"].split()
ATTRS = {"sum": {"axis": 0}, "max": {"axis": 0}, "min": {"axis": 0}, "softmax": {"axis": 0}}


def row(text):
    return dict(zip(DTYPES, text.split(), strict=True))


def dtype_of(op, *names):
    """The result's dtype, "-" where the op refuses."""
    blocks = tuple(Typed((16,), as_dtype(name)) for name in names)
    try:
        return plan(op, blocks, tuple(ATTRS.get(op, {}).items()))[0].dtype.name
    except DTypeError:
        return "-"


@pytest.mark.parametrize("op", SAID["blocks"])
def test_of_two_blocks(op):
    for left, text in SAID["blocks"][op].items():
        assert {right: dtype_of(op, left, right) for right in DTYPES} == row(text), left


@pytest.mark.parametrize("op", SAID["block"])
def test_of_one_block(op):
    assert {name: dtype_of(op, name) for name in DTYPES} == row(SAID["block"][op])


@pytest.mark.parametrize("op", SAID["numbers"])
def test_of_a_block_and_a_number(op):
    for number, text in SAID["numbers"][op].items():
        found = {}
        for name in DTYPES:
            try:
                meeting = promote_numbers(as_dtype(name), [literal_eval(number)], divides=OPS[op].divides)
            except DTypeError:
                found[name] = "-"
            else:
                found[name] = dtype_of(op, name, meeting.name)
        assert found == row(text), number
