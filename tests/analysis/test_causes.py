"""What limits a kernel is said with the unit and the line that pay most for it, and with what helps there."""

import pytest

from kernbench.analysis.causes import (
    DEVICE_CAUSES,
    Cause,
    Part,
    by_cause,
    causes,
    cure,
    hints,
    limit_line,
    payer,
    total,
)
from kernbench.messages.lines import ADD_OF_DOT, Origin
from kernbench.messages.source_line import SourceLine

KINDS = ("pe_cpu", "pe_scheduler", "pe_dma", "pe_fetch_store", "pe_gemm", "pe_math", "pe_ipcq")


def at(line, op):
    return Origin(SourceLine("k.py", line), op)


def fetch(line, op, unit="pe_math"):
    return Part("fetch", unit, at(line, op))


def test_every_cause_says_what_to_do_but_those_of_which_only_own_components_know():
    unknown = [name for name, cause in causes().items() if not cause.says_what_to_do]
    assert [name for name in unknown if not name.endswith(" busy")] == ["hand-over", "kernel end"]
    assert {f"{kind} busy" for kind in KINDS} <= set(unknown)
    assert [name for name, cause in DEVICE_CAUSES.items() if not cause.cure] == ["kernel", "idle"]


def test_the_parts_of_several_launches_add_up_by_cause_in_its_order_and_longest_first():
    first = {fetch(3, "exp"): 5, Part("gemm", "pe_gemm", at(4, "dot")): 10}
    second = {Part("kernel start", "pe_cpu", None): 1, fetch(3, "exp"): 1, fetch(7, "add"): 9}
    parts = total([first, second, {}])
    assert list(parts.items()) == [
        (Part("kernel start", "pe_cpu", None), 1),
        (fetch(7, "add"), 9),
        (fetch(3, "exp"), 6),
        (Part("gemm", "pe_gemm", at(4, "dot")), 10),
    ]
    assert by_cause(parts) == {"kernel start": 1, "fetch": 15, "gemm": 10}
    assert list(by_cause(parts)) == ["kernel start", "fetch", "gemm"]


def test_of_the_unit_that_pays_most_the_line_that_pays_most_is_named_with_its_largest_op():
    parts = {
        fetch(1, "dot", "pe_gemm"): 40,  # the largest part, but not of the unit that pays most
        fetch(2, "exp"): 10,
        fetch(2, "mul"): 15,
        fetch(3, "add"): 20,
        fetch(4, "sub"): 15,
        Part("math", "pe_math", at(3, "add")): 1000,
    }
    assert payer(parts, "fetch") == ("pe_math", 0.6, at(2, "mul"), 25 / 60)
    assert limit_line({part: ps for part, ps in parts.items() if part.cause == "fetch"}).startswith(
        "The kernel is limited by fetch, 100 % of its time, 60 % of it for PE_MATH, 41.7 % of that at k.py:2 (mul): "
    )


@pytest.mark.parametrize(
    ("parts", "where"),
    [
        ({fetch(2, "exp"): 9}, ", all of it at k.py:2 (exp)"),
        ({fetch(2, "exp"): 6, fetch(3, "exp"): 3}, ", most of it at k.py:2 (exp)"),
        ({fetch(2, "exp"): 4, fetch(3, "exp"): 4}, ", 50 % of it at k.py:2 (exp)"),
        (
            {fetch(2, "exp"): 6, fetch(3, "dot", "pe_gemm"): 2},
            ", 75 % of it for PE_MATH, all of that at k.py:2 (exp)",
        ),
        ({Part("fetch", "pe_fetch_store", None): 9}, ""),
    ],
)
def test_how_much_of_it_the_line_pays_is_said(parts, where):
    start = f"The kernel is limited by fetch, 100 % of its time{where}: "
    assert limit_line(parts).startswith(start)


def test_a_cure_for_the_op_comes_before_one_for_the_unit_and_that_before_the_general_one(monkeypatch):
    table = {"fetch": Cause("fetch", "TCM to registers", "any", {"pe_math": "unit", "exp": "op"})}
    monkeypatch.setattr("kernbench.analysis.causes.causes", lambda: table)
    assert cure("fetch", payer({fetch(2, "exp"): 9}, "fetch")) == "op"
    assert cure("fetch", payer({fetch(2, "add"): 9}, "fetch")) == "unit"
    assert cure("fetch", payer({fetch(2, "dot", "pe_gemm"): 9}, "fetch")) == "any"


def test_what_no_line_asks_for_has_none():
    assert limit_line({Part("kernel start", "pe_cpu", None): 600, fetch(2, "exp"): 400}) == (
        "The kernel is limited by kernel start, 60 % of its time: put more work into one launch."
    )


def test_without_a_kernel_there_is_no_limit():
    assert limit_line({}) == "No kernel ran."


def test_a_line_with_a_cure_of_its_own_is_told_of_it_where_another_one_pays_more():
    adds, stored = at(5, ADD_OF_DOT), at(6, "dot")
    parts = {
        Part("fetch", "pe_math", at(9, "div")): 50,
        Part("fetch", "pe_math", adds): 30,
        Part("store", "pe_math", adds): 20,
        Part("store", "pe_gemm", stored): 25,
        Part("math", "pe_math", adds): 10,
        Part("fetch", "pe_gemm", at(7, "dot")): 5,
    }
    accumulate = "accumulate with acc = tl.dot(a, b, acc)"
    assert cure("math", payer(parts, "math")) == accumulate  # is told already
    assert hints(parts) == []
    parts[Part("math", "pe_math", at(9, "div"))] = 11
    assert hints(parts) == [(adds, 60, accumulate)]
    parts[Part("store", "pe_math", at(9, "div"))] = 21
    assert hints(parts) == [
        (adds, 60, accumulate),
        (stored, 25, "use m and n that fit pe.regfile.accumulators"),
    ]
