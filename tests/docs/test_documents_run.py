"""What is documented runs: every page is what ``docs/generate.py`` makes of it, save what machines print differently.

The one list of such differences is ``ENVIRONMENT`` there. ``.venv/bin/python -m docs.generate`` writes the pages anew.
"""

from __future__ import annotations

import re
import runpy
from functools import cache
from pathlib import Path

import pytest

from docs import generate
from kernbench.bench import BENCHES
from kernbench.cli.main import COMMANDS, LazyGroup
from kernbench.lang import tl

ROOT = Path(__file__).parents[2]

PAGES = [page for page in generate.PAGES if page.parent.name != "adr"]
TAUGHT = [page for page in PAGES if page.parent.name in ("tutorial", "howto") or page.name == "README.md"]
REFERENCE = ROOT / "docs" / "reference"


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_says_what_happens(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert generate.normal(generate.regenerated(page)) == generate.normal(page.read_text())


# Blocks with commands that are not run as printed, and why.
NOT_RUN = {
    "CONTRIBUTING.md": "writes the pages that these tests compare",
    "docs/howto/build-the-engine.md": "needs a compiler; tests/test_build.py and tests/test_compiled.py hold it",
    "docs/explanation/speed.md": "takes minutes; tests/test_perf.py runs each script on something small",
}
COMMAND = re.compile(r"^(\$ |kernbench [a-z]|(\.venv/bin/)?python |make |pip )", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_a_page_teaches_is_run(page):
    """A block is a session, a file, or a picture in characters; else the list above says why it is not run."""
    blocks = re.findall(r"^```([^\n]*)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    unrun = [
        body
        for info, body in blocks
        if info != "console" and " file=" not in info and (info or COMMAND.search(body))
    ]
    assert bool(unrun) == (name_of(page) in NOT_RUN), unrun


SPAN = re.compile(r"`(?:\.venv/bin/)?(kernbench|make) ([a-z][^`]*)`")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_command_within_a_sentence_is_one_that_there_is(page):
    """Its name and its options, that is; what it prints is shown elsewhere."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for program, typed in SPAN.findall(prose):
        name, *rest = typed.split()
        if program == "make":
            assert name in targets, typed
        else:
            assert name in COMMANDS, typed
            given = [re.split(r"[=\s]", word)[0] for word in rest if word.startswith("-")]
            assert set(given) <= options_of(name), typed


@cache
def options_of(name):
    command = LazyGroup(name="kernbench").get_command(None, name)
    return {option for parameter in command.params for option in parameter.opts} | {"--help"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_table_has_an_empty_explanation(page):
    tables = re.findall(
        r"^<!-- table: ([\w-]+) -->\n(.*?)^<!-- end -->$", page.read_text(), re.MULTILINE | re.DOTALL
    )
    explained = [(name, text) for name, text in tables if not name.startswith(("options-", "device-causes"))]
    assert [name for name, text in explained if re.search(r"\|\s*\|$", text, re.MULTILINE)] == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_the_first_pages_lead_to_files(name):
    prose = re.sub(r"```.*?```", "", (ROOT / name).read_text(), flags=re.DOTALL)
    links = re.findall(r"\]\((?!https?:)([^)#]+)", prose)
    assert links
    assert [target for target in links if not (ROOT / target).exists()] == []


def test_only_cpu_time_memory_and_the_last_bits_of_an_error_may_differ():
    line = "910 events in 0.1 CPU s, 60 MB at most; op log 72c62fe0c043, configuration 1335c014b2ec"
    assert generate.normal(line) == line.replace("0.1 CPU s, 60 MB", "# CPU s, # MB")
    assert generate.normal("check ok: max abs err 2.38e-07 against x") == "check ok: max abs err # against x"
    assert generate.normal("right\nengine reference (why)\n# engine native\n") == "right\n"
    assert generate.normal("kernel time    577.125 ns") == "kernel time    577.125 ns"


def test_what_a_page_registers_is_forgotten(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "```python file=one.py\nfrom kernbench.bench import bench\n\n@bench('one')\ndef run(torch): ...\n```\n"
        "```console\n$ kernbench list benches --plugin one.py | grep -c ^one\n$ kernbench run one.py\n$ echo $?\n```\n"
    )
    before = list(BENCHES)
    assert "grep -c ^one\n1\n$" in generate.regenerated(page)
    assert list(BENCHES) == before


def test_a_diff_must_fit_one_place(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```text file=a\nx\nx\n```\n\n```diff file=a\n-x\n+y\n```\n")
    with pytest.raises(ValueError, match="a diff changes 2 places of a, not one"):
        generate.regenerated(page)


def test_a_block_that_still_holds_is_left_as_it_is(tmp_path):
    page = tmp_path / "page.md"
    text = "```console\n$ cat a\n1.5 CPU s\n```\n"
    page.write_text("```text file=a\n2.5 CPU s\n```\n" + text)
    assert generate.regenerated(page).endswith(text)


# -- pages that list what the code has ----------------------------------------------------------------------------


def test_the_kernel_language_page_names_every_word():
    text = (REFERENCE / "kernel-language.md").read_text()
    assert [word for word in tl.__all__ if not re.search(rf"`(tl\.)?{word}\b", text)] == []


def test_the_configuration_page_says_which_keys_move_no_time():
    law = runpy.run_path(str(ROOT / "tests" / "laws" / "test_every_number_matters.py"))
    rows = re.findall(r"^\| `([\w.]+)` \|.*\| (No time yet|Checked|Fixed): [^|]*\|$", *_configuration())
    said = {kind: {key for key, k in rows if k == kind} for kind in ("No time yet", "Checked", "Fixed")}
    keys = set(re.findall(r"^\| `([\w.]+)` \|", *_configuration()))
    for kind, listed in (("No time yet", law["INERT"]), ("Checked", law["CHECKED"]), ("Fixed", law["FIXED"])):
        assert {key for key in listed if key in keys} <= said[kind]
    assert not set(law["MOVES"]) & set.union(*said.values())


def _configuration():
    return (REFERENCE / "configuration.md").read_text(), re.MULTILINE


# -- the walk through the files -----------------------------------------------------------------------------------

WALK = ROOT / "docs" / "explanation" / "one-load.md"


def test_the_files_of_the_walk_exist():
    named = re.findall(r"`((?:\w+/)+\w+\.py)`", WALK.read_text())
    assert len(named) > 20
    assert [name for name in named if not (ROOT / "src" / "kernbench" / name).is_file()] == []


def test_the_methods_of_the_walk_exist():
    sources = [path.read_text() for path in (ROOT / "src").rglob("*.py")]
    for owner, method in re.findall(r"`([A-Z]\w+)\.(\w+)`", WALK.read_text()):
        assert any(f"class {owner}" in text and f"def {method}(" in text for text in sources), (
            f"{owner}.{method}"
        )
