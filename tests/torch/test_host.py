"""Host tensors compute what PyTorch computes on a CPU: values, dtypes, promotion, and what is refused and how."""

import math
import re
import warnings

import pytest
import torch as pytorch

from kernbench.simulation import simulate
from kernbench.torch.context import EXTENSIONS
from tests.torch import host_expressions, test_names

MAKERS = ("tensor", "ones", "zeros", "full", "arange", "randint", "empty", "linspace", "eye")
KINDS = (TypeError, ValueError, IndexError, AttributeError, RuntimeError, OverflowError, ZeroDivisionError)
NOT_IMPLEMENTED = re.compile(r'"\w+" not implemented for')
STEP = {"bfloat16": 2.0**-7, "float16": 2.0**-10, "float32": 2.0**-21, "float64": 2.0**-50}


class OnHost:
    """``torch`` of a simulation, whose tensors are made on the host."""

    def __init__(self):
        self.torch = simulate("tiny", mode="data").torch

    def __getattr__(self, name):
        found = getattr(self.torch, name)
        return (lambda *args, **how: found(*args, **{"device": "cpu", **how})) if name in MAKERS else found


@pytest.fixture(scope="module")
def ours():
    return OnHost()


def test_the_names_that_torch_is_held_against_are_pytorchs():
    assert [name for name in test_names.OF_PYTORCH if not hasattr(pytorch, name)] == []
    assert [name for name in EXTENSIONS if hasattr(pytorch, name)] == []


def plain(value):
    """A value that can be compared: of a tensor its dtype, shape and values."""
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        return dtype_of(value), list(value.shape), value.tolist()
    if isinstance(value, (tuple, list)):
        return [plain(x) for x in value]
    return value


def dtype_of(tensor):
    return str(getattr(tensor.dtype, "numpy", tensor.dtype)).removeprefix("torch.")


def answer(code, torch, *, is_statement):
    """What ``code`` gives, or the error that it raises."""
    scope = host_expressions.names(torch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if is_statement:
                exec(code, scope)
                return plain(scope["x"])
            return plain(eval(code, scope))
        except Exception as error:
            return error


def close(ours, theirs, step):
    if isinstance(theirs, list):
        return len(ours) == len(theirs) and all(close(a, b, step) for a, b in zip(ours, theirs))
    if isinstance(theirs, float) and isinstance(ours, float):
        if math.isfinite(theirs) and math.isfinite(ours):
            return abs(ours - theirs) <= step * max(abs(theirs), 2.0**-14)
        return repr(ours) == repr(theirs)
    return type(ours) is type(theirs) and ours == theirs


def agree(ours, theirs, *, words):
    if isinstance(theirs, Exception):
        if NOT_IMPLEMENTED.match(str(theirs)):
            return True  # a dtype that PyTorch leaves out of an operation: here it may compute
        kinds = [kind for kind in KINDS if isinstance(theirs, kind)]
        return (
            isinstance(ours, Exception)
            and any(isinstance(ours, kind) for kind in kinds)
            and (not words or str(ours).startswith(str(theirs).split("\n")[0].rstrip(".")))
        )
    if isinstance(ours, Exception):
        return False
    if isinstance(theirs, tuple):
        return ours[:2] == theirs[:2] and close(ours[2], theirs[2], STEP.get(theirs[0], 0))
    if isinstance(theirs, list):
        return len(ours) == len(theirs) and all(agree(a, b, words=words) for a, b in zip(ours, theirs))
    return ours == theirs or repr(ours) == repr(theirs)


def compare(codes, ours, *, is_statement=False):
    """All of ``codes`` to which the two do not answer alike."""
    differing = []
    for code in codes:
        mine, theirs = (answer(code, torch, is_statement=is_statement) for torch in (ours, pytorch))
        if not agree(mine, theirs, words=code not in host_expressions.OUR_WORDS):
            differing.append(f"{code}\n    here:    {mine!r}\n    PyTorch: {theirs!r}")
    return differing


@pytest.mark.parametrize("name", host_expressions.UNARY)
def test_functions_of_one_tensor(ours, name):
    codes = [code for code in host_expressions.unary() if code.split(".")[1] == f"{name}()"]
    assert compare(codes, ours) == []


@pytest.mark.parametrize("operator", host_expressions.OPERATORS)
def test_operators_of_all_dtypes_and_numbers(ours, operator):
    codes = [code for code in host_expressions.binary() if f" {operator} " in code]
    assert compare(codes, ours) == []


@pytest.mark.parametrize("dtype", host_expressions.DTYPES)
def test_numbers_that_a_dtype_holds_or_not(ours, dtype):
    codes = [code for code in host_expressions.made() if f"torch.{dtype})" in code]
    assert compare(codes, ours) == []


@pytest.mark.parametrize("code", host_expressions.OTHERS)
def test_expressions(ours, code):
    assert compare([code], ours) == []


@pytest.mark.parametrize("code", host_expressions.STATEMENTS)
def test_statements(ours, code):
    assert compare([code], ours, is_statement=True) == []


def test_promotion_of_every_pair_of_dtypes(ours):
    codes = [
        f"torch.promote_types(torch.{a}, torch.{b})"
        for a in host_expressions.DTYPES
        for b in host_expressions.DTYPES
    ]
    for code in codes:
        mine, theirs = (answer(code, torch, is_statement=False) for torch in (ours, pytorch))
        if isinstance(theirs, Exception):
            assert str(mine).startswith(str(theirs)), code
        else:
            assert mine.numpy.name == str(theirs).removeprefix("torch."), code
