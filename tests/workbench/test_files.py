"""A file is there whole or not at all, whatever stops the writer, and what stops it is said in one line."""

import errno
import os
from pathlib import Path

import pytest

from workbench.errors import ArtifactError, RunError
from workbench.files import disk_errors, make_folder, read_json, read_object, remove_temporaries, replacing, write_json


def test_file_is_synced_before_it_is_renamed_and_its_folder_after(tmp_path, monkeypatch):
    calls, replace, fsync = [], os.replace, os.fsync
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("replace"), replace(a, b)))
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append(Path(f"/proc/self/fd/{fd}").resolve().name), fsync(fd)))
    write_json(tmp_path / "a.json", [1])
    assert [name.startswith(".a.json") for name in calls] == [True, False, False]
    assert calls[1:] == ["replace", tmp_path.name]
    assert read_json(tmp_path / "a.json") == [1]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), OSError(errno.ENOSPC, "full")])
def test_whatever_stops_the_writer_leaves_the_old_file_and_no_litter(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RunError if isinstance(error, OSError) else type(error)), replacing(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_caller_chooses_which_error_a_full_disk_is(tmp_path):
    for kind in (RunError, ArtifactError):
        with (
            pytest.raises(kind, match=r"the disk is full: cannot write .*a") as caught,
            disk_errors(tmp_path / "a", kind),
        ):
            raise OSError(errno.ENOSPC, "full")
        assert "\n" not in str(caught.value)


def test_missing_broken_and_other_json_is_named(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(RunError, match=r"a\.json is missing"):
        read_json(path)
    path.write_text("{")
    with pytest.raises(ArtifactError, match=r"a\.json cannot be read"):
        read_json(path, ArtifactError)
    path.write_text("[1]")
    with pytest.raises(RunError, match="must hold an object, not a list"):
        read_object(path)


def test_temporaries_of_killed_writers_are_removed_and_nothing_else(tmp_path):
    make_folder(tmp_path / "deep" / "er")
    for name in (".a.txt.1-ff.tmp", "deep/er/.b.2-ff.tmp", "deep/keep.tmp", ".lock"):
        (tmp_path / name).write_text("")
    (tmp_path / ".tmpQcjSX4").touch()  # what safetensors leaves when its process is killed
    remove_temporaries(tmp_path)
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == [".lock", "keep.tmp"]
