"""The Slurm engine, on submitit's local executor: job arrays of processes, results by file."""

import shutil
import sys

import pandas as pd
import pytest

from workbench.errors import MissingExtraError, RunError, SpecError
from workbench.runs import load_results
from workbench.runs.engines import LocalEngine, SlurmEngine
from workbench.runs.slurm import _chunks, _submitit_names

submitit = pytest.importorskip("submitit", reason="the extra slurm is not installed")


@pytest.fixture
def jobs(tmp_path):
    return SlurmEngine(tmp_path / "jobs", jobs=2, cluster="local")


def test_jobs_give_the_rows_that_this_process_gives_and_failures_are_rows(run_toy, toy, jobs):
    cells = [*toy.cells(3), toy.Cell("bad", {"bad": True}), toy.Cell("deadly", {"deadly": True})]
    one, _ = run_toy(cells[:3], LocalEngine(1))
    rows = load_results(one.path)
    shutil.rmtree(one.path)
    folder, errors = run_toy(cells, jobs)
    assert errors["bad"] == "bad is bad" and "ended" in errors["deadly"] and len(errors) == 2
    found = load_results(folder.path)
    good = found[found["status"] == "ok"]
    pd.testing.assert_frame_equal(good[["cell", "metric", "score"]], rows[["cell", "metric", "score"]])
    assert not list((jobs.folder / "results").iterdir()), "collected rows lie in the run folder alone"


def test_whole_rows_that_jobs_left_behind_are_collected_and_not_computed_again(run_toy, toy, jobs, calls, tmp_path):
    results = jobs.folder / "results"
    results.mkdir(parents=True)
    left = pd.DataFrame({"cell": ["cell-0"], "i": [0], "metric": ["a"], "score": [0.5], "status": ["ok"]})
    left.to_parquet(results / "cell-0.parquet")
    left.assign(cell="cell-1", status="failed", error="no memory").to_parquet(results / "cell-1.parquet")
    left.assign(cell="other").to_parquet(results / "other.parquet")
    (results / "cell-2.parquet").write_bytes(b"PAR1 cut")
    folder, errors = run_toy(toy.cells(3), jobs)
    assert errors == {} and sorted(calls()) == ["cell-1", "cell-2"]
    assert load_results(folder.path)["score"].iloc[0] == 0.5
    assert not list(results.iterdir())


class Held:
    """Stands for submitit's Slurm executor: jobs that an earlier session submitted still run, and finish later."""

    folder = "jobs"

    def __init__(self, jobs, results, frame):
        self.asked, self.submitted, self.job_class = 0, [], lambda folder, number: Held.Job(self, results, frame)

    def map_array(self, function, chunks):
        self.submitted += [cell.name for chunk in chunks for cell in chunk]
        for chunk in chunks:
            function(chunk)
        return [Held.Ended() for _ in chunks]

    class Ended:
        job_id, state = "8_0", "COMPLETED"

        def done(self):
            return True

    class Job:
        job_id, state = "7_0", "RUNNING"

        def __init__(self, executor, results, frame):
            self.executor, self.results, self.frame = executor, results, frame

        def done(self, force_check=False):
            self.executor.asked += 1
            if self.executor.asked == 3:
                self.frame.to_parquet(self.results / "cell-0.parquet")
            return self.executor.asked >= 3


def test_jobs_of_an_earlier_session_are_waited_for_and_not_submitted_again(run_toy, toy, tmp_path, monkeypatch):
    engine = SlurmEngine(tmp_path / "jobs", 2)
    (tmp_path / "jobs" / "results").mkdir(parents=True)
    (tmp_path / "jobs" / "submitted.json").write_text('{"7_0": ["cell-0", "long-finished"]}')
    frame = pd.DataFrame({"cell": ["cell-0"], "score": [9.0], "status": ["ok"]})
    executor = Held(None, tmp_path / "jobs" / "results", frame)
    monkeypatch.setattr(SlurmEngine, "_executor", lambda self: executor)
    folder, errors = run_toy(toy.cells(2), engine)
    assert errors == {} and executor.submitted == ["cell-1"]
    assert load_results(folder.path)["score"].iloc[0] == 9.0


@pytest.mark.parametrize("text", ['{"7_0": 5}', "[]", "{"])
def test_a_damaged_record_of_submitted_jobs_is_one_line_that_names_it(run_toy, toy, tmp_path, monkeypatch, text):
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "submitted.json").write_text(text)
    monkeypatch.setattr(SlurmEngine, "_executor", lambda self: None)
    with pytest.raises(RunError, match=r"submitted\.json"):
        run_toy(toy.cells(1), SlurmEngine(tmp_path / "jobs"))


@pytest.mark.parametrize(("count", "most"), [(7, 3), (2, 5), (1, 1), (0, 4), (16, 16)])
def test_chunks_are_neighbours_and_even(count, most):
    chunks = _chunks(list(range(count)), most)
    assert [cell for chunk in chunks for cell in chunk] == list(range(count))
    assert len(chunks) == min(count, most)
    assert not chunks or max(map(len, chunks)) - min(map(len, chunks)) <= 1


def test_parameters_get_the_names_of_submitit():
    given = {"timeout_min": 5, "partition": "long", "mem_gb": 4, "slurm_qos": "x"}
    assert _submitit_names(given) == {"timeout_min": 5, "slurm_partition": "long", "mem_gb": 4, "slurm_qos": "x"}
    with pytest.raises(SpecError, match="did you mean 'partition'"):
        _submitit_names({"partiton": "long"})
    with pytest.raises(SpecError, match="timeout_min is '5': it must be int"):
        _submitit_names({"timeout_min": "5"})


def test_no_slurm_and_no_submitit_are_one_line_each(run_toy, toy, tmp_path, monkeypatch):
    with pytest.raises(RunError, match="no Slurm here"):
        run_toy(toy.cells(1), SlurmEngine(tmp_path / "jobs"))
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(MissingExtraError, match=r"activation-workbench\[slurm\]"):
        run_toy(toy.cells(1), SlurmEngine(tmp_path / "jobs"))
