"""Whoever calls KernBench from Python with what has no meaning gets a UsageError of one short line, and no error of
Python's own."""

import pytest

import kernbench as kb
from kernbench.errors import KernBenchError


class Mute:
    """Nothing that can be shown."""

    def __repr__(self):
        raise ValueError("no words")


def by_error(value):
    return value if isinstance(value, str) else ""


ITSELF = {}
ITSELF["pe"] = ITSELF
OFTEN = {"x": 1}
for _ in range(40):
    OFTEN = {"a": OFTEN, "b": OFTEN}


@pytest.mark.parametrize(
    ("overrides", "error"),
    [
        (ITSELF, "overrides['pe']: more than 64 levels of dicts and lists"),
        ({"pe": OFTEN}, "overrides['pe']: more than 100,000 values"),
        ({"pe.clock_ghz": 10**5000}, "overrides['pe.clock_ghz']: a number of more than 1000 digits"),
        (10**5000, "overrides: an integer of more than 4000 digits is neither a dict, as in"),
        ([[5] * 100], "overrides: [5, 5, 5, 5, 5, 5, ...] is neither a dict, as in"),
        (
            {Mute(): 1},
            "overrides: <Mute whose repr() raises ValueError> is no path of a configuration; write",
        ),
        ({"pe": {5: 1}}, "overrides: 5 is no path of a configuration; write"),
        ({100 * "a.": 1}, f"overrides['{30 * 'a.'}...']: a path of 101 steps; 64 are the most"),
    ],
    ids=by_error,
)
def test_overrides_without_end_or_words_are_refused(overrides, error):
    with pytest.raises(KernBenchError) as caught:
        kb.simulate("tiny", overrides=overrides)
    assert str(caught.value).startswith(error)
    assert len(str(caught.value)) < 300


CALLS = [
    (
        lambda: kb.run("vector_add", plugins=5),
        "plugins must be a list of Python files, as in plugins=['mine.py'], not 5",
    ),
    (
        lambda: kb.run("vector_add", plugins="nofile.py"),
        "plugins must be a list of Python files, as in plugins=['mine.py'], not 'nofile.py'",
    ),
    (
        lambda: kb.run("vector_add", progress=5),
        "progress must be a function that is told what is done, not 5",
    ),
    (lambda: kb.run("vector_add", iters=10**30), "iters=1000000000000000000000000000000; give 1,000,000,"),
]


@pytest.mark.parametrize(("call", "error"), CALLS, ids=by_error)
def test_an_argument_of_a_wrong_kind_is_named(call, error):
    with pytest.raises(KernBenchError) as caught:
        call()
    assert str(caught.value).startswith(error)
