"""An Outcome and its references are refused where they are made, with the bench's line; a dtype may be its name."""

import re
from pathlib import Path

import numpy as np
import pytest

import kernbench as kb
from kernbench.bench import Bench, run
from kernbench.dtypes import float16
from kernbench.errors import DTypeError, KernBenchError, ShapeError, UsageError

HERE = Path(__file__).name
NAN, INF = float("nan"), float("inf")


def line_of(text):
    """The line of this file that contains ``text``."""
    lines = Path(__file__).read_text().splitlines()
    return f"{HERE}:{1 + next(i for i, line in enumerate(lines) if text in line)}"


def expected(values=(1.0, 2.0), tolerance=0.0):
    return kb.Expected(values=values, tolerance=tolerance)  # the line of Expected


def outcome(**changes):
    fields = {"outputs": (), "expected": tuple, "reference": "", "flops": 0} | changes
    return kb.Outcome(**fields)  # of Outcome


@pytest.mark.parametrize("tolerance", [0, 0.5, [0.1, 0.0], np.float32(1), np.zeros(2)])
def test_a_tolerance_is_one_number_or_one_for_each_value(tolerance):
    made = expected(tolerance=tolerance)
    np.testing.assert_array_equal(np.broadcast_to(made.tolerance, 2), np.broadcast_to(tolerance, 2))
    assert made.values.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("given", "kind", "error"),
    [
        *(
            (
                {"tolerance": wrong},
                UsageError,
                f"a tolerance is 0 or more and finite, not {shown}; derive it, as with rounding() or dot_tolerance()",
            )
            for wrong, shown in (
                (-1, "-1"),
                (NAN, "nan"),
                (INF, "inf"),
                ([0, -0.5], "-0.5"),
                (np.array([0, NAN]), "nan"),
            )
        ),
        (
            {"tolerance": [1, 2, 3]},
            ShapeError,
            "tolerance is [3] and values are [2]; give one number, or one for each value",
        ),
        (
            {"values": 1.0, "tolerance": [1, 2]},
            ShapeError,
            "tolerance is [2] and values are []; give one number, or one for each value",
        ),
        ({"values": ["a"]}, UsageError, "values must be real numbers, not <U1"),
        ({"values": None}, UsageError, "values must be real numbers, not object"),
        ({"values": [1j]}, UsageError, "values must be real numbers, not complex128"),
        ({"tolerance": "0"}, UsageError, "tolerance must be real numbers, not <U1"),
    ],
)
def test_a_reference_that_cannot_judge_is_refused_where_it_is_made(given, kind, error):
    with pytest.raises(kind, match=rf"\A{line_of('# the line of Expected')}: Expected: {re.escape(error)}\Z"):
        expected(**given)


@pytest.mark.parametrize(
    ("given", "kind", "error"),
    [
        *(
            (
                {"flops": wrong},
                UsageError,
                f"flops={wrong!r}; give a whole number, 0 or more",
            )
            for wrong in (-5, 1.5, 2e9, NAN, True, None, "5")
        ),
        (
            {"flops": 10**24 + 1},
            UsageError,
            "flops=1000000000000000000000001; give 1,000,000,000,000,000,000,000,000 at most",
        ),
        (
            {"flops": 10**5000},
            UsageError,
            "flops=an integer of more than 4000 digits; give 1,000,000,000,000,000,000,000,000 at most",
        ),
        ({"reference": 5}, UsageError, "reference says in words what the expectation is, not 5"),
        (
            {"gemm": "fp17"},
            DTypeError,
            "gemm: unknown dtype 'fp17'; did you mean 'fp16'?",
        ),
        (
            {"outputs": np.zeros(3)},
            UsageError,
            "outputs must be tensors on the device, not float64",
        ),
        (
            {"outputs": None},
            UsageError,
            "outputs must be a tuple of tensors, as in outputs=(y,), not NoneType",
        ),
        (
            {"expected": ()},
            UsageError,
            "expected must be a function that gives one Expected for each output, not tuple",
        ),
    ],
)
def test_an_outcome_that_cannot_be_judged_is_refused_where_it_is_made(given, kind, error):
    with pytest.raises(kind, match=rf"\A{line_of('# of Outcome')}: Outcome: {re.escape(error)}"):
        outcome(**given)


def test_one_tensor_is_no_tuple_of_tensors():
    x = kb.simulate("tiny", mode="data").torch.zeros(3)
    with pytest.raises(
        UsageError, match=r"outputs must be a tuple of tensors, as in outputs=\(y,\), not DeviceTensor"
    ):
        outcome(outputs=x)
    with pytest.raises(UsageError, match="outputs must be tensors on the device, not HostTensor"):
        outcome(outputs=(x.cpu(),) if hasattr(x, "cpu") else (x.context.zeros(3, device="host"),))
    assert outcome(outputs=[x]).outputs == (x,)


@pytest.mark.parametrize("name", ["fp16", "float16", "half", np.float16, float16])
def test_the_dtype_of_a_product_may_be_a_name(name):
    assert outcome(gemm=name).gemm is float16


def ran(expected, **options):
    """A run of a bench that makes two zeros and expects what is given."""

    def host(torch):
        x = torch.zeros(2, name="x")
        return kb.Outcome(outputs=(x,), expected=expected, reference="", flops=8, **options)  # of the bench

    return run(Bench(name="mine", run=host), topology="tiny", mode="data")


def zeros(n):
    return kb.Expected(values=np.zeros(n), tolerance=0)  # of the zeros


@pytest.mark.parametrize(
    ("gives", "at", "error"),
    [
        ("two", "# of the bench", "Outcome: expected() gives 2 for 1 output; give one Expected for each"),
        (
            (np.zeros(2),),
            "# of the bench",
            "Outcome: expected() must give one Expected for each output, not ndarray",
        ),
        (
            (None,),
            "# of the bench",
            "Outcome: expected() must give one Expected for each output, not NoneType",
        ),
        (
            np.zeros(2),
            "# of the bench",
            "Outcome: expected() must give one Expected for each output, not float64",
        ),
        ("three", "# of the zeros", "Expected: values are [3], and output 'x' is [2]"),
    ],
)
def test_what_expected_gives_must_fit_the_outputs(gives, at, error):
    def expected():
        known = {"three": (zeros(3),), "two": (zeros(2), zeros(2))}
        return known[gives] if isinstance(gives, str) else gives

    with pytest.raises(KernBenchError, match=rf"\A{line_of(at)}: {re.escape(error)}\Z"):
        ran(expected)


def test_a_dtype_that_the_array_cannot_multiply_is_the_benchs_line():
    error = (
        "PE_GEMM cannot multiply fp64: pe.gemm.macs_per_cycle lists fp16, bf16, fp8, int8, fp32; cast the operands or "
        "add the dtype there"
    )
    with pytest.raises(DTypeError, match=rf"\A{line_of('# of the bench')}: {re.escape(error)}\Z"):
        ran(lambda: (zeros(2),), gemm="fp64")
    simulation = kb.simulate("tiny")
    touch[(1,)](simulation.torch.zeros(4))
    simulation.torch.synchronize()
    with pytest.raises(DTypeError, match=rf"\A{re.escape(error)}\Z"):
        simulation.report(flops=1, gemm="fp64")
    assert ran(lambda: [zeros(2)], gemm="fp16").check.ok


@kb.jit
def touch(x):
    kb.tl.store(x, kb.tl.load(x))
