"""A file that the command line writes is there whole or not at all."""

import json
import os
from pathlib import Path

import pytest

from kernbench.cli.files import require_writable, write_json, write_text, written_whole
from kernbench.errors import UsageError


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
