"""Cells become steps: once each, in order, with their failures; a killed sweep goes on where it was."""

import pandas as pd
import pytest

from tests.killing import kill_run, python, row_files
from workbench.errors import RunError
from workbench.runs import load_results, load_run
from workbench.runs.engines import LocalEngine

pytestmark = pytest.mark.slow

HERE = LocalEngine(1)


def test_rows_name_their_cell_and_come_in_the_order_of_the_cells(run_toy, toy):
    folder, errors = run_toy(toy.cells(3), HERE)
    rows = load_results(folder.path)
    assert errors == {}
    assert rows["cell"].tolist() == [f"cell-{i}" for i in (0, 0, 1, 1, 2, 2)]
    assert list(rows.columns) == ["cell", "i", "metric", "score", "status", "error"]
    assert set(rows["status"]) == {"ok"} and rows["error"].isna().all()


def test_finished_cells_are_not_computed_again(run_toy, toy, calls):
    run_toy(toy.cells(3), HERE)
    run_toy(toy.cells(3), HERE)
    assert calls() == ["cell-0", "cell-1", "cell-2"]


def test_a_failing_cell_is_a_row_with_its_error_and_the_rest_go_on(run_toy, toy):
    cells = toy.cells(3)
    cells[1] = toy.Cell("cell-1", {"i": 1, "bad": True})
    folder, errors = run_toy(cells, HERE)
    assert errors == {"cell-1": "cell-1 is bad"}
    rows = load_results(folder.path)
    assert rows["cell"].value_counts().to_dict() == {"cell-0": 2, "cell-1": 1, "cell-2": 2}
    bad = rows[rows["status"] == "failed"].iloc[0]
    assert (bad["cell"], bad["error"], bad["i"]) == ("cell-1", "cell-1 is bad", 1)
    assert "Traceback" in (folder.path / "log.txt").read_text()


def test_a_failed_cell_is_tried_again_on_the_next_start(run_toy, toy, calls, tmp_path):
    cells = [toy.Cell("good", {}), toy.Cell("bad", {"bad": True})]
    run_toy(cells, HERE)
    (tmp_path / "mended").touch()
    folder, errors = run_toy(cells, HERE)
    assert errors == {} and calls() == ["good", "bad", "bad"]
    rows = load_results(folder.path)
    assert set(rows["status"]) == {"ok"} and len(rows) == 4


def test_rows_that_cannot_be_stored_are_the_cells_failure(run_toy, toy):
    def worker(cell, context):
        return pd.DataFrame({"mixed": [1, "one"]}) if cell.values["i"] else pd.DataFrame({"i": [1]})

    _, errors = run_toy(toy.cells(2), HERE, worker)
    assert "column 'i', which the sweep writes itself" in errors["cell-0"]
    assert "cannot be a table" in errors["cell-1"]


def test_two_cells_of_one_name_are_refused(run_toy, toy):
    with pytest.raises(RunError, match="two cells are called 'cell-0'"):
        run_toy([*toy.cells(1), *toy.cells(1)], HERE)


def test_other_steps_of_the_run_come_first_and_are_part_of_the_plan(run_toy, toy):
    folder, _ = run_toy(toy.cells(2), HERE, before=["capture"])
    assert load_run(folder.path).status.total == 3
    assert load_run(folder.path).status.state == "interrupted"  # nobody has done the capture


def test_what_is_left_is_logged_when_no_bar_is_drawn(run_toy, toy):
    lines = []
    run_toy(toy.cells(2), HERE, log=lines.append)
    assert lines == ["2 of 2 cells"]


def test_the_estimate_is_the_mean_time_of_a_cell_for_each_that_is_left(monkeypatch):
    from workbench.runs import sweep

    clock = iter([0.0, 30.0, 60.0, 70.0])
    monkeypatch.setattr(sweep.time, "monotonic", lambda: next(clock))
    lines = []
    pace = sweep._Pace(total=10, left=8, log=lines.append)
    for _ in range(3):
        pace.step()
    assert lines == ["3 of 10 cells, about 4 min left", "4 of 10 cells, about 3 min left"]


def test_killed_sweep_goes_on_at_the_missing_cells_and_gives_the_same_table(toy, tmp_path):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    killed.mkdir(), whole.mkdir()
    code = "import sys, toy_cells; toy_cells.sweep(sys.argv[1], 24, 2)"
    kill_run(killed / "sweep" / "toy", 4, python(code, killed), TOY_WAIT="0.1")
    kept = {path.name for path in row_files(killed / "sweep" / "toy")}
    toy.sweep(killed, 24, 1)
    toy.sweep(whole, 24, 1)
    ours, theirs = (load_results(root / "sweep" / "toy") for root in (killed, whole))
    pd.testing.assert_frame_equal(ours, theirs, check_exact=True)
    again = [name for name in (killed / "calls.txt").read_text().split() if f"{name}.parquet" in kept]
    assert len(again) == len(kept), "a finished cell was computed twice"
