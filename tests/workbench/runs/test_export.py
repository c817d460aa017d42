"""An exported run is the run, in the same bytes each time."""

import os
import zipfile

import pandas as pd
import pytest

from workbench.errors import RunError
from workbench.runs import RunFolder, export_run, load_results, load_run


def test_unpacked_export_is_the_run_again(finished_run, tmp_path):
    archive = export_run(finished_run, tmp_path / "out")
    assert archive == tmp_path / "out" / "east-first.zip"
    with zipfile.ZipFile(archive) as file:
        assert file.testzip() is None
        file.extractall(tmp_path / "there")
    there = tmp_path / "there" / "east" / "first"
    pd.testing.assert_frame_equal(load_results(there), load_results(finished_run))
    assert load_run(there).artifacts == load_run(finished_run).artifacts
    assert load_run(there).status == load_run(finished_run).status


def test_same_contents_give_the_same_bytes_whenever_exported(finished_run, tmp_path):
    first = export_run(finished_run, tmp_path / "one.zip").read_bytes()
    for path in finished_run.rglob("*"):
        os.utime(path, (1e9, 1e9))
        path.chmod(0o700)
    assert export_run(finished_run, tmp_path / "two.zip").read_bytes() == first


def test_lock_temporary_broken_and_linked_files_stay_behind(finished_run, tmp_path):
    (finished_run / "rows" / ".c.parquet.1.tmp").write_text("half")
    (finished_run / "rows" / "d.parquet.broken").write_text("junk")
    (finished_run / "artifacts" / "secret.json").symlink_to("/etc/passwd")
    with zipfile.ZipFile(export_run(finished_run, tmp_path)) as file:
        names = file.namelist()
    assert names == sorted(names)
    assert {name.removeprefix("east/first/") for name in names} == {
        "artifacts/summary.parquet",
        "artifacts/vector.safetensors",
        "artifacts/words.json",
        "checksums.jsonl",
        "figures/entropy.html",
        "log.txt",
        "plan.json",
        "provenance.json",
        "rows/a.parquet",
        "rows/b.parquet",
        "spec.json",
        "status.json",
    }


def test_running_run_can_be_exported(tmp_path, spec, frame):
    with RunFolder.open(tmp_path / "runs", "east", spec) as run:
        run.write("a", frame)
        assert zipfile.is_zipfile(export_run(run.path, tmp_path))


def test_export_into_the_run_or_of_no_run_is_refused(finished_run, tmp_path):
    with pytest.raises(RunError, match="choose a destination outside"):
        export_run(finished_run, finished_run / "figures")
    with pytest.raises(RunError, match="there is no run folder"):
        export_run(tmp_path / "nothing", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="a file stands in its place"):
        export_run(finished_run, tmp_path / "file")
