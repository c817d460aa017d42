"""Engines: the same outcomes wherever cells are computed, and a dead process costs its cell only."""

import os
import sys

import pandas as pd
import pytest

from tests.killing import all_end, kill_when, python
from workbench.errors import MissingExtraError, SpecError
from workbench.runs import load_results, make_engine
from workbench.runs.engines import LocalEngine, RayEngine, SlurmEngine, cores


def test_processes_give_the_rows_that_this_process_gives(run_toy, toy, tmp_path):
    one, _ = run_toy(toy.cells(6), LocalEngine(1))
    rows = load_results(one.path)
    for shard in (one.path / "rows").iterdir():
        shard.unlink()
    two, _ = run_toy(toy.cells(6), LocalEngine(2))
    pd.testing.assert_frame_equal(load_results(two.path), rows, check_exact=True)


def test_a_cell_that_kills_its_process_is_recorded_and_the_rest_go_on(run_toy, toy):
    cells = toy.cells(6)
    cells[2] = toy.Cell("cell-2", {"i": 2, "deadly": True})
    folder, errors = run_toy(cells, LocalEngine(2))
    assert list(errors) == ["cell-2"] and "died" in errors["cell-2"]
    rows = load_results(folder.path)
    assert (rows["status"] == "ok").sum() == 10 and rows["cell"].nunique() == 6


def test_processes_share_the_cores_out(run_toy, toy):
    folder, errors = run_toy(toy.cells(4), LocalEngine(2), toy.threads)
    rows = load_results(folder.path)
    assert errors == {} and set(rows["threads"]) == {str(max(1, cores() // 2))}
    assert os.getpid() not in set(rows["pid"])


def test_processes_end_in_the_middle_of_a_cell_when_the_one_that_started_them_is_killed(toy, tmp_path):
    code = "import sys, toy_cells; toy_cells.sweep(sys.argv[1], 4, 2)"
    workers = kill_when((tmp_path / "calls.txt").exists, python(code, tmp_path), TOY_WAIT="3600")
    assert len(workers) >= 2 and all_end(workers)


def test_engines_are_made_by_name_and_mistakes_name_what_would_be_right(tmp_path):
    assert make_engine("local", tmp_path) == LocalEngine(None)
    assert make_engine("ray", tmp_path, 4) == RayEngine(4)
    assert make_engine("slurm", tmp_path, 4, {"partition": "long"}) == SlurmEngine(
        tmp_path / "jobs", 4, {"partition": "long"}
    )
    with pytest.raises(SpecError, match="did you mean 'slurm'"):
        make_engine("slrum", tmp_path)
    with pytest.raises(SpecError, match="jobs must be an integer of at least 1, not 0"):
        make_engine("local", tmp_path, 0)
    with pytest.raises(SpecError, match="use engine 'slurm'"):
        make_engine("local", tmp_path, 1, {"partition": "long"})


def test_ray_that_is_not_installed_names_the_extra(run_toy, toy, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"activation-workbench\[ray\]"):
        run_toy(toy.cells(1), RayEngine())


def test_ray_gives_the_rows_that_this_process_gives(run_toy, toy):
    ray = pytest.importorskip("ray", reason="the extra ray is not installed")
    one, _ = run_toy(toy.cells(4), LocalEngine(1))
    rows = load_results(one.path)
    for shard in (one.path / "rows").iterdir():
        shard.unlink()
    cells = [*toy.cells(4), toy.Cell("deadly", {"deadly": True})]
    folder, errors = run_toy(toy.cells(4), RayEngine(2))
    assert errors == {}
    pd.testing.assert_frame_equal(load_results(folder.path), rows, check_exact=True)
    outcome = list(RayEngine()(lambda cell: toy.worker(cell, folder.path), cells[-1:]))
    ray.shutdown()
    assert "died" in outcome[0].frame["error"].iloc[0]
