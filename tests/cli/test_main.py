"""Every mistake on the command line is one line with a cure and exit code 2; help and version cost nothing."""

import inspect
import os
import subprocess
import sys
from functools import partial
from importlib import import_module, metadata
from unittest.mock import Mock

import pytest
import typer

from kernbench.cli.main import COMMANDS
from kernbench.errors import DeadlockError, KernBenchError

HEAVY = ("numpy", "pydantic", "rich", "ruamel", "greenlet")


def test_an_unknown_command_gets_the_nearest_name(kernbench):
    assert kernbench("rnu") == (
        2,
        "",
        "kernbench: unknown command 'rnu'; did you mean 'run'? (known: ccl, check, init, list, probe, run, show)\n",
    )


def test_an_unknown_option_gets_the_nearest_name(kernbench):
    assert kernbench("run", "gemm", "--topolgy", "tiny") == (
        2,
        "",
        "kernbench: unknown option '--topolgy'; did you mean '--topology'?\n",
    )


def test_an_unknown_option_that_is_near_to_none_points_to_the_help(kernbench):
    assert kernbench("--zzz").err == "kernbench: unknown option '--zzz'; --help lists the options\n"


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("run",), "missing argument 'BENCH'; --help shows an example"),
        (("run", "gemm", "--seed"), "option '--seed' requires an argument; --help shows an example"),
        (("run", "gemm", "softmax"), "got unexpected extra argument(s) (softmax); --help shows an example"),
        (("--debug",), "missing command; --help shows an example"),
        (
            ("run", "gemm", "--seed", "-1"),
            "invalid value for '--seed': '-1' is not a whole number, 0 or more; --help shows an example",
        ),
        (
            ("run", "gemm", "--iters", "two"),
            "invalid value for '--iters': 'two' is not a whole number, 0 or more; --help shows an example",
        ),
    ],
)
def test_wrong_arguments_are_one_line(kernbench, args, text):
    ran = kernbench(*args)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines()[-1] == f"kernbench: {text}"


def test_the_version_is_that_of_the_package(kernbench):
    assert kernbench("--version") == (0, f"kernbench {metadata.version('kernbench')}\n", "")


def test_no_arguments_print_the_help(kernbench):
    assert kernbench() == kernbench("--help")
    assert kernbench().code == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_shows_the_first_line_of_each_help(kernbench, name):
    command = import_module(f"kernbench.cli.{name}").command
    assert inspect.getdoc(command).split("\n")[0] == COMMANDS[name]
    assert f"{name:<7}{COMMANDS[name]}" in kernbench("--help").out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_and_json_and_debug(kernbench, name):
    text = kernbench(name, "--help").out
    assert f"Examples:\n    kernbench {name}" in text
    assert "--json FILE|-" in text
    assert "--debug" in text


@pytest.fixture
def failing(monkeypatch):
    """Makes ``kernbench show`` raise an exception, from no file of the user."""

    def fail_with(error: BaseException) -> None:
        monkeypatch.setattr("kernbench.cli.show.require_writable", Mock(side_effect=error))

    return fail_with


@pytest.mark.parametrize(
    ("error", "code"), [(KernBenchError("where: what; cure"), 2), (DeadlockError("where: what; cure"), 3)]
)
def test_an_error_is_one_line_and_its_kind_is_the_exit_code(kernbench, failing, error, code):
    failing(error)
    assert kernbench("show") == (code, "", "kernbench: where: what; cure\n")


@pytest.mark.parametrize("args", [("show", "--debug"), ("--debug", "show")])
def test_debug_shows_the_traceback_before_the_line(kernbench, failing, args):
    failing(KernBenchError("where: what; cure"))
    lines = kernbench(*args).err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "kernbench: where: what; cure"


def test_a_mistake_of_kernbench_itself_has_a_code_of_its_own(kernbench, monkeypatch):
    monkeypatch.setattr("kernbench.cli.show.VIEWS", None)
    assert kernbench("show") == (
        70,
        "",
        "kernbench: internal error: TypeError: 'NoneType' object is not iterable; "
        "run it again with --debug and report it\n",
    )


def test_a_file_system_that_fails_is_no_mistake_of_kernbench(kernbench, tmp_path):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "pictures"
    error = f"kernbench: {folder}: cannot be made: Not a directory\n"
    assert kernbench("show", "tiny", "-o", str(folder)) == (2, "", error)


def test_a_reader_that_has_gone_is_not_a_wrong_result():
    # the reader closes the pipe at once; bash says 128 + SIGPIPE for the writer
    script = f"{sys.executable} -m kernbench check default --resolved | (exec <&-; sleep 0.5); echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("141\n", "")


def test_interrupted_is_130(kernbench, failing, monkeypatch):
    failing(KeyboardInterrupt())
    monkeypatch.setattr("kernbench.cli.main.is_of_a_program", lambda error: False)  # as of a Ctrl-C
    assert kernbench("show") == (130, "", "kernbench: interrupted\n")


def test_a_command_may_exit_with_a_code(kernbench, failing):
    failing(typer.Exit(1))
    assert kernbench("show") == (1, "", "")


@pytest.mark.parametrize("args", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)])
def test_help_and_version_import_nothing_heavy(args):
    code = (
        "import sys; from kernbench.cli.main import execute; execute(sys.argv[1:]);"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


UNUSED = (
    "pydantic",
    "ruamel",
    "rich.console",
    "importlib.metadata",
    "kernbench.ccl",
    "kernbench.dist.ranks",
)


@pytest.mark.parametrize("settings", [(), ("--set", "cube.hbm.queue=9")], ids=["preset", "set"])
def test_a_run_whose_configuration_was_kept_imports_nothing_that_it_does_not_use(settings):
    code = (
        "import sys; from kernbench.cli.main import execute; code = execute(sys.argv[1:]);"
        f"print(code, [name for name in {UNUSED} if name in sys.modules])"
    )
    args = ("run", "vector_add", "--topology", "tiny", "-p", "n=1024", *settings)
    run = partial(subprocess.run, capture_output=True, text=True, check=True)
    # readline has set COLUMNS in the environment of C, which a process has that is given none
    said = [run([sys.executable, "-c", code, *args], env=dict(os.environ)).stdout for _ in range(2)]
    assert said[1].splitlines()[-1] == "0 []"


# -- completion of shells -----------------------------------------------------------------------------------------


def test_a_shells_completion_is_shown_and_may_be_installed(kernbench, monkeypatch):
    monkeypatch.setattr("typer.completion._get_shell_name", lambda: "bash")
    ran = kernbench("--show-completion")
    assert ran.code == 0
    assert "_KERNBENCH_COMPLETE=complete_" in ran.out
    assert "--install-completion" in kernbench("--help").out


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("kernbench ", list(COMMANDS)),
        ("kernbench ru", ["run"]),
        ("kernbench run --top", ["--topology"]),
        ("kernbench run ge", ["gemm"]),
        ("kernbench run gemm --topology ", ["default", "tiny", "big"]),
        ("kernbench ccl all_g", ["all_gather"]),
        ("kernbench show t", ["tiny"]),
        ("kernbench check b", ["big"]),
        ("kernbench probe pe-to-l", ["pe-to-local"]),
        ("kernbench nothing of this", []),
        ("kernbench run my_file.p", []),  # no name: the shell offers files
    ],
)
def test_a_shell_completes_commands_options_and_names(kernbench, monkeypatch, typed, words):
    monkeypatch.setenv("_KERNBENCH_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(typed.count(" ")))
    ran = kernbench()
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.split() == words
