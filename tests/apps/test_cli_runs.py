"""``workbench runs``: listing, finding, showing and exporting run folders."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pandas as pd
import pytest

from apps.cli.main import main
from workbench.runs import RunFolder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two runs of an experiment, and a broken folder beside them."""
    for name in ("first", "final"):
        with RunFolder.open(tmp_path / "runs", "toy", {"seed": 3}, name, {}) as run:
            for unit in run.plan(["a", "b"]):
                run.write(unit, pd.DataFrame({"x": [1.0]}))
    broken = tmp_path / "runs" / "toy" / "broken"
    broken.mkdir()
    (broken / "spec.json").write_text("{")
    return tmp_path / "runs"


def _error(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(argv) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line


def test_list_shows_whole_and_broken_folders(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "list", "--runs", str(root)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert any(line[:4] == ["toy", "first", "finished", "2/2"] for line in lines)
    assert any(line[:3] == ["toy", "broken", "broken"] for line in lines)


def test_list_of_nothing_says_how_to_begin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "list", "--runs", str(tmp_path / "none")]) == 0
    assert "workbench demo makes one" in capsys.readouterr().out


@pytest.mark.parametrize("how", ["first", "fir", "toy/first", "path"])
def test_show_finds_a_run_by_name_beginning_or_path(how: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = str(root / "toy" / "first") if how == "path" else how
    assert main(["runs", "show", text, "--runs", str(root)]) == 0
    out = capsys.readouterr().out
    assert "toy/first: finished, 2 of 2 steps" in out and ["seed", "3"] in [line.split() for line in out.splitlines()]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fi", "may be any of toy/final, toy/first"),
        ("frist", "did you mean 'first'?"),
        ("broken", "spec.json cannot be read"),
    ],
)
def test_show_of_no_single_run_is_one_line(
    text: str, said: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in _error(capsys, "runs", "show", text, "--runs", str(root))


@pytest.mark.parametrize("words", [["list"], ["show", "first"], ["export", "first", "out"]])
def test_a_root_that_is_a_file_is_one_line(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert "is a file, not a folder of runs" in _error(capsys, "runs", *words, "--runs", str(tmp_path / "file"))


def test_export_makes_a_zip_that_unpacks_into_a_folder_of_runs(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["runs", "export", "first", str(tmp_path / "out.zip"), "--runs", str(root)]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "out.zip")
    zipfile.ZipFile(tmp_path / "out.zip").extractall(tmp_path / "unpacked")
    assert main(["runs", "show", "first", "--runs", str(tmp_path / "unpacked")]) == 0
