"""A pipe gets every line whole and without colours: word for word what rich would write there."""

import subprocess
import sys
from io import StringIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernbench.reports.output import QUIET, Output
from kernbench.reports.plain import UNBOUNDED, Plain
from kernbench.reports.styled import Styled

TEXTS = st.text(st.sampled_from("ab 1.%\u00b5\u6f22\u00e9\x07\r[/]"), max_size=8).map(
    lambda text: text.strip(" \x07\r")
)


def both(write):
    """What ``write`` writes without rich, and with it."""
    plain, styled = StringIO(), StringIO()
    write(Output(Plain(plain)))
    write(Output(Styled(file=styled, width=200, color_system=None, force_jupyter=False)))
    return plain.getvalue(), styled.getvalue()


@settings(max_examples=50)
@given(st.data())
def test_tables_facts_and_lines_are_those_of_rich(data):
    n_columns = data.draw(st.integers(1, 4))
    row = st.lists(TEXTS, min_size=n_columns, max_size=n_columns)
    columns = data.draw(st.lists(TEXTS.filter(bool), min_size=n_columns, max_size=n_columns, unique=True))
    left = data.draw(st.lists(st.sampled_from(columns), unique=True))
    rows, last = data.draw(st.lists(row, max_size=4)), data.draw(TEXTS)
    facts = data.draw(st.lists(st.tuples(TEXTS, TEXTS), max_size=3))

    def write(output):
        output.heading("title")
        output.table(columns, rows, left=left)
        output.heading("and")
        output.facts(facts)
        output.line(last, QUIET)

    plain, styled = both(write)
    assert plain == styled


def test_a_cell_may_have_several_lines():
    plain, styled = both(lambda output: output.table(["a", "b"], [("x\ny", "1"), ("z", "22")], left=["a"]))
    assert plain == styled == "a   b\nx   1\ny\nz  22\n"


@pytest.mark.parametrize(
    ("variables", "imported"),
    [({}, False), ({"COLUMNS": "80"}, True), ({"FORCE_COLOR": "1"}, True), ({"TTY_COMPATIBLE": "1"}, True)],
)
def test_rich_is_imported_where_its_styles_are_wanted(variables, imported):
    code = (
        "import sys; from kernbench.reports.output import Output; Output().line('x', 'bold');"
        "print('rich.console' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=variables
    )
    assert done.stdout.splitlines()[-1] == str(imported)
    assert ("\x1b[1m" in done.stdout) == (variables.keys() & {"FORCE_COLOR", "TTY_COMPATIBLE"} != set())


def test_nothing_is_written_where_standard_output_is_closed(monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    output = Output()
    output.line("x")
    output.table(["a"], [("1",)])
    assert output.width == UNBOUNDED
