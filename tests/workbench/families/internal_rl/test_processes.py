"""Units in processes: what fails is raised, what was finished stays."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from workbench.errors import DataError, RunError
from workbench.families.internal_rl import processes, units
from workbench.families.internal_rl.processes import Waiting, run_waves
from workbench.runs import RunFolder, load_run
from workbench.runs.cells import Cell, Outcome


def passes(job) -> pd.DataFrame:
    import torch

    return pd.DataFrame({"threads": [torch.get_num_threads()]})


def fails(job) -> pd.DataFrame:
    raise DataError("no episodes")


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch):
    known = {"a": passes, "b": fails, "c": passes}
    monkeypatch.setattr(units, "work_of", lambda spec, name: known[name])
    return [Waiting(name, f"unit {name}", 0, known[name], ("a",) if name != "a" else ()) for name in "abc"]


def test_an_error_is_raised_as_it_is_and_what_was_finished_stays(work, internal_spec, tmp_path: Path) -> None:
    said: list[str] = []
    with (
        pytest.raises(DataError, match="no episodes"),
        RunFolder.open(tmp_path, "internal-rl", internal_spec) as folder,
    ):
        run_waves(folder, work, internal_spec, said.append)
    record = load_run(folder.path)
    assert record.steps() == ["a"] and record.status.state == "failed" and said == ["[1/3] unit a"]
    assert record.read("a")["threads"].tolist() == [1]


def test_a_unit_whose_process_died_is_an_error_that_names_it(
    work, internal_spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = pd.DataFrame([{"cell": "a", "status": "failed", "error": "the process that computed it died"}])
    monkeypatch.setattr(processes, "LocalEngine", lambda jobs: lambda work, cells: iter([Outcome("a", dead)]))
    with RunFolder.open(tmp_path, "internal-rl", internal_spec) as folder:
        with pytest.raises(RunError, match="unit a: the process that computed it died"):
            run_waves(folder, work, internal_spec)
        assert not folder.steps()


def test_only_units_that_are_left_are_done(work, internal_spec, tmp_path: Path) -> None:
    with RunFolder.open(tmp_path, "internal-rl", internal_spec) as folder:
        folder.write("b", pd.DataFrame({"x": [1]}))
        run_waves(folder, work, internal_spec)
        assert folder.steps() == ["a", "b", "c"] and folder.read("b")["x"].tolist() == [1]


def test_the_owner_of_the_folder_does_not_watch_itself() -> None:
    import os
    import threading

    before = threading.active_count()
    processes._end_with(os.getpid())
    assert threading.active_count() == before


def test_cells_hold_the_name_only(work, internal_spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Cell] = []

    def engine(jobs):
        def run(work, cells):
            seen.extend(cells)
            return iter([])

        return run

    monkeypatch.setattr(processes, "LocalEngine", engine)
    with RunFolder.open(tmp_path, "internal-rl", internal_spec) as folder:
        run_waves(folder, work, internal_spec)
    assert seen == [Cell(name, {}) for name in "abc"]
