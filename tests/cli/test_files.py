"""A file that the command line writes is there whole or not at all."""

import json
import os
import resource
from contextlib import contextmanager
from pathlib import Path

import pytest

from kernbench.cli.files import require_writable, write_json, write_text, written_whole
from kernbench.errors import UsageError
from kernbench.files import make_folder, together


def files_in(folder):
    return sorted(path.name for path in folder.iterdir())


def write_half(target, error):
    with written_whole(target) as part:
        part.write_text("half")
        raise error


def test_the_file_appears_at_the_end_and_alone(tmp_path):
    target = tmp_path / "out.json"
    with written_whole(target) as part:
        part.write_text("half")
        assert not target.exists()
        part.write_text("whole")
    assert target.read_text() == "whole"
    assert files_in(tmp_path) == ["out.json"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupted_file_leaves_the_old_one_and_nothing_else(tmp_path, error):
    target = tmp_path / "out.json"
    target.write_text("old")
    with pytest.raises(error):
        write_half(target, error)
    assert target.read_text() == "old"
    assert files_in(tmp_path) == ["out.json"]


def test_the_temporary_file_keeps_the_suffix(tmp_path):
    with written_whole(tmp_path / "trace.json.gz") as part:
        assert part.suffix == ".gz"
        part.write_text("")


def test_a_link_is_written_through(tmp_path):
    target, link = tmp_path / "target.svg", tmp_path / "link.svg"
    link.symlink_to(target)
    write_text(link, "<svg/>")
    assert target.read_text() == "<svg/>"
    assert link.is_symlink()


def test_a_pipe_is_written_in_place(tmp_path):
    write_text(os.devnull, "text")
    require_writable(os.devnull)
    assert Path(os.devnull).is_char_device()


def test_json_goes_to_standard_output_for_a_dash(capsys):
    write_json("-", {"schema": "kernbench.run/1"})
    assert capsys.readouterr().out == '{\n  "schema": "kernbench.run/1"\n}\n'


def test_json_has_no_infinity(capsys):
    write_json("-", {"errors": (float("inf"), float("nan"), 0.5)})
    assert json.loads(capsys.readouterr().out) == {"errors": [None, None, 0.5]}


def test_nothing_to_write_is_always_writable():
    require_writable(None, "-")


def test_a_file_that_cannot_be_written_is_an_error_before_the_work(tmp_path):
    with pytest.raises(UsageError) as caught:
        require_writable(tmp_path / "no" / "out.json")
    assert str(caught.value) == f"{tmp_path}/no/out.json: there is no folder '{tmp_path}/no'; make it first"
    with pytest.raises(UsageError) as caught:
        require_writable(tmp_path)
    assert str(caught.value) == f"{tmp_path}: is a folder; name a file in it"


def test_a_failed_write_is_one_line(tmp_path):
    with pytest.raises(UsageError) as caught:
        write_text(tmp_path / "no" / "out.svg", "")
    assert str(caught.value) == f"{tmp_path}/no/out.svg: cannot be written: No such file or directory"


# -- the files of one command -------------------------------------------------------------------------------------


def write_two(folder, error=None):
    with together():
        make_folder(folder / "a" / "b")
        write_text(folder / "a" / "b" / "one.svg", "one")
        write_text(folder / "two.json", "two")
        assert not (folder / "a" / "b" / "one.svg").exists()
        if error is not None:
            raise error


def test_files_of_one_command_appear_together(tmp_path):
    write_two(tmp_path)
    assert (tmp_path / "a" / "b" / "one.svg").read_text() == "one"
    assert (tmp_path / "two.json").read_text() == "two"
    assert files_in(tmp_path) == ["a", "two.json"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OSError])
def test_files_of_one_command_vanish_together_and_old_ones_stay(tmp_path, error):
    (tmp_path / "two.json").write_text("old")
    with pytest.raises(error):
        write_two(tmp_path, error)
    assert files_in(tmp_path) == ["two.json"]
    assert (tmp_path / "two.json").read_text() == "old"


def test_a_file_that_cannot_have_its_name_takes_the_others_with_it(tmp_path):
    def write():
        with together():
            write_text(tmp_path / "one.svg", "one")
            write_text(tmp_path / "two.svg", "two")
            (tmp_path / "two.svg").mkdir()  # by another process, in the meantime

    with pytest.raises(UsageError) as error:
        write()
    assert str(error.value) == f"{tmp_path}/two.svg: cannot be written: Is a directory"
    assert files_in(tmp_path) == ["two.svg"]


def test_two_results_cannot_go_into_one_file(tmp_path):
    def write():
        with together():
            write_text(tmp_path / "one.svg", "one")
            write_text(tmp_path / "." / "one.svg", "two")

    with pytest.raises(UsageError) as error:
        write()
    assert str(error.value) == (
        f"{tmp_path}/one.svg: two results would go there; give each a file of its own"
    )
    assert files_in(tmp_path) == []


def test_standard_output_comes_after_the_files(tmp_path, capsys):
    with together():
        write_json("-", {"schema": "x"})
        assert capsys.readouterr().out == ""
    assert capsys.readouterr().out == '{\n  "schema": "x"\n}\n'


@contextmanager
def most_bytes_of_a_file(size_bytes):
    """No file may grow beyond: what a disk that becomes full does to the later ones."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    ("args", "first", "failed"),
    [
        ("show tiny -o pictures", "tiny-sip.svg", "pictures/tiny-cube.svg"),
        ("run vector_add -p n=64 --topology tiny --json r.json --trace t.json", None, "t.json"),
        ("init mine", "topology.yaml", "mine/my_bench.py"),
        ("probe queue --depths 1 --sizes 64 --topology tiny --json r.json --plot p.svg", None, "p.svg"),
    ],
    ids=["show", "run", "init", "probe"],
)
def test_a_disk_that_becomes_full_leaves_nothing_of_a_command(
    kernbench, tmp_path, monkeypatch, args, first, failed
):
    """The limit is that of the first file, or that of all but the last."""
    monkeypatch.chdir(tmp_path)
    assert kernbench(*args.split()).code == 0
    sizes = {path.name: path.stat().st_size for path in tmp_path.rglob("*.*") if path.is_file()}
    assert len(sizes) > 1
    limit = sizes[first] if first else max(size for name, size in sizes.items() if name != Path(failed).name)
    for path in sorted(tmp_path.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    with most_bytes_of_a_file(limit):
        ran = kernbench(*args.split())
    assert (ran.code, ran.err) == (2, f"kernbench: {failed}: cannot be written: File too large\n")
    assert files_in(tmp_path) == []
