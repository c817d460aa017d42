"""Light copies of runs, and the examples that ship with the app."""

import json

import pytest

from apps.explorer.light_copy import LARGEST, light_copy, main
from workbench.errors import RunError
from workbench.runs import list_runs, load_run
from workbench.views.run_list import EXAMPLES

pytestmark = pytest.mark.slow


def test_copy_keeps_tables_and_what_pages_read_and_drops_the_rest(tmp_path, write_east_run):
    import pandas as pd

    path = write_east_run(tmp_path / "runs")
    (path / "figures" / "big.html").write_text("x" * 1000)
    target = light_copy(path, tmp_path / "out", "small")
    old, new = load_run(path), load_run(target)
    assert new.name == "small" and new.spec == old.spec and not new.figures
    assert set(new.artifacts) == set(old.artifacts)
    kept = [u for u in old.steps() if u.startswith(("behaviour-", "steered-", "vectors-", "thoughts-"))]
    assert new.steps() == kept and new.status.state == "finished" and new.status.total == len(kept)
    pd.testing.assert_frame_equal(new.load_table("results"), old.load_table("results"))
    pd.testing.assert_frame_equal(new.read(kept[0]), old.read(kept[0]))


def test_copy_says_nothing_of_the_machine_and_that_it_is_a_copy(tmp_path, write_east_run):
    made = json.loads((light_copy(write_east_run(tmp_path / "r"), tmp_path / "o") / "provenance.json").read_text())
    assert not {"machine", "command"} & set(made) and made["copy"].startswith("light: ") and "versions" in made


def test_copy_has_the_figures_of_the_run(tmp_path, write_east_run):
    from workbench.families import figures_of

    path = write_east_run(tmp_path / "runs")
    old, new = figures_of(load_run(path)), figures_of(load_run(light_copy(path, tmp_path / "out")))
    assert list(old) == list(new) and all(old[name] == new[name] for name in old)


def test_named_rows_and_tensors_are_kept_instead(tmp_path, write_east_run):
    target = light_copy(write_east_run(tmp_path / "r"), tmp_path / "o", rows=["vectors-buttons"], tensors=[])
    assert load_run(target).steps() == ["vectors-buttons"]


def test_unfinished_run_and_a_copy_onto_itself_are_refused(tmp_path, write_east_run):
    path = write_east_run(tmp_path)
    with pytest.raises(RunError, match="is the run itself"):
        light_copy(path, tmp_path)
    status = json.loads((path / "status.json").read_text()) | {"state": "failed"}
    (path / "status.json").write_text(json.dumps(status))
    with pytest.raises(RunError, match="is failed: only a finished run"):
        light_copy(path, tmp_path / "out")


def test_command_copies_and_says_errors_in_one_line(tmp_path, write_east_run, capsys):
    path = write_east_run(tmp_path / "runs")
    assert main([str(path), "--into", str(tmp_path / "out"), "--name", "small"]) == 0
    assert "small" in capsys.readouterr().out and (tmp_path / "out" / "east" / "small" / "spec.json").exists()
    assert main([str(tmp_path / "nothing"), "--into", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("error: there is no run folder")


def test_shipped_examples_are_small_finished_and_whole():
    runs = list_runs(EXAMPLES)
    assert {"east", "goal-directedness", "sweep"} <= set(runs["experiment"])
    assert set(runs["status"]) == {"finished"}
    assert sum(file.stat().st_size for file in EXAMPLES.rglob("*") if file.is_file()) <= LARGEST
    for path in runs["path"]:
        run = load_run(path)
        assert len(run.rows()) or not run.steps()  # a unit alone may have none, as a capture has
        assert all(len(run.load_table(n.removesuffix(".parquet"))) for n in run.artifacts if n.endswith(".parquet"))
