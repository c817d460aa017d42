"""Killed at any moment and resumed, a run is the run that was left alone, bit for bit."""

import random
import signal
from pathlib import Path

import pandas as pd
import pytest

from tests.killing import row_files, writers
from workbench.runs import RunFolder, load_run

pytestmark = pytest.mark.slow

STEPS = 60
# A step's rows depend on the step alone.
WORK = f"""
import numpy as np, pandas as pd, pyarrow.parquet
from workbench.runs import RunFolder
from workbench.seeding import derive_seed

def work(root):
    with RunFolder.open(root, "east", {{"steps": {STEPS}}}, name="run", provenance={{}}) as run:
        for step in run.plan([f"step-{{i}}" for i in range({STEPS})]):
            rng = np.random.default_rng(derive_seed(0, step))
            run.write(step, pd.DataFrame({{"step": step, "x": rng.normal(size=40), "n": rng.integers(0, 9, size=40)}}))
            run.write_json("last", step)
"""


@pytest.fixture(scope="module")
def writing():
    with writers(WORK) as writing:
        yield writing


@pytest.fixture(scope="module")
def undisturbed(writing, tmp_path_factory):
    root = tmp_path_factory.mktemp("undisturbed")
    assert writing.run(root) == 0
    return root / "east" / "run"


def assert_same_run(path: Path, undisturbed: Path) -> None:
    assert load_run(path).status.state == "finished"
    assert load_run(path).status.done == STEPS
    pd.testing.assert_frame_equal(load_run(path).rows(), load_run(undisturbed).rows(), check_exact=True)
    for folder in ("rows", "artifacts"):
        ours, theirs = ({file.name: file.read_bytes() for file in (p / folder).iterdir()} for p in (path, undisturbed))
        assert ours == theirs


def finished_steps(path: Path) -> int:
    """How many steps a killed writer finished; all of them must be whole."""
    record = load_run(path)
    assert record.status.state == "interrupted"
    assert all(len(record.read(step)) == 40 for step in record.steps())
    return len(record.steps())


def test_run_killed_from_outside_at_random_moments_equals_an_undisturbed_one(tmp_path, writing, undisturbed):
    moments, path, finished = random.Random(1), tmp_path / "east" / "run", 0
    for _ in range(5):
        writing.kill_when(lambda n=finished: len(row_files(path)) > n, tmp_path, later=moments.uniform(0, 0.02))
        finished = finished_steps(path)
    assert 5 <= finished < STEPS
    assert writing.run(tmp_path) == 0
    assert_same_run(path, undisturbed)


def test_run_killed_inside_its_writes_equals_an_undisturbed_one(tmp_path, writing, undisturbed):
    moments, path = random.Random(2), tmp_path / "east" / "run"
    for _ in range(10):
        assert writing.run(tmp_path, kill_at=moments.randint(25, 60)) == -signal.SIGKILL
        finished_steps(path)
    assert writing.run(tmp_path) == 0
    assert_same_run(path, undisturbed)


def test_run_killed_at_every_step_of_opening_can_be_opened(tmp_path, writing):
    for kill_at in range(1, 26):
        root = tmp_path / str(kill_at)
        assert writing.run(root, kill_at) == -signal.SIGKILL
        with RunFolder.open(root, "east", {"steps": STEPS}, name="run", provenance={}) as run:
            assert len(run.plan(["step-0", "step-1"])) >= 1
        assert load_run(run.path).status.state == "interrupted"
        assert not list(run.path.rglob("*.tmp"))
