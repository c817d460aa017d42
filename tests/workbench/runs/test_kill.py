"""Killed at any moment and resumed, a run is the run that was left alone, bit for bit."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

import workbench
from workbench.runs import RunFolder, load_run

ROOT = Path(workbench.__path__[0]).parent
UNITS = 60
# A process that imports once and forks a writer for each line "folder kill_at" it reads; it answers with the writer's
# pid and, once that is over, its exit code.  A step's rows depend on the step alone.  With kill_at > 0 the writer kills
# itself as it enters that sync or rename, so inside its writes; with -1 it goes slowly, to be killed from outside.
SERVER = """
import os, signal, sys, time
import numpy as np, pandas as pd, pyarrow.parquet
from workbench.runs import RunFolder
from workbench.seeding import derive_seed

def deadly(function, kill_at, calls):
    def call(*arguments):
        calls.append(0)
        if len(calls) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments)
    return call

def work(root, kill_at):
    calls = []
    os.fsync, os.replace = (deadly(function, kill_at, calls) for function in (os.fsync, os.replace))
    with RunFolder.open(root, "east", {"steps": UNITS}, name="run", provenance={}) as run:
        for step in run.plan([f"step-{i}" for i in range(UNITS)]):
            rng = np.random.default_rng(derive_seed(0, step))
            run.write(step, pd.DataFrame({"step": step, "x": rng.normal(size=40), "n": rng.integers(0, 9, size=40)}))
            run.write_json("last", step)
            time.sleep(0.005 * (kill_at < 0))

for line in sys.stdin:
    root, kill_at = line.rsplit(" ", 1)
    child = os.fork()
    if child == 0:
        try:
            work(root, int(kill_at))
            os._exit(0)
        finally:
            os._exit(1)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
""".replace("UNITS", str(UNITS))


class Server:
    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def start(self, root: Path, kill_at: int = 0) -> int:
        """Start a writer on ``root``; returns its pid.  :meth:`code` then waits for it."""
        self.process.stdin.write(f"{root} {kill_at}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def code(self) -> int:
        return int(self.process.stdout.readline())

    def run(self, root: Path, kill_at: int = 0) -> int:
        self.start(root, kill_at)
        return self.code()


@pytest.fixture(scope="module")
def server():
    server = Server()
    yield server
    server.process.communicate()


@pytest.fixture(scope="module")
def undisturbed(server, tmp_path_factory):
    root = tmp_path_factory.mktemp("undisturbed")
    assert server.run(root) == 0
    return root / "east" / "run"


def assert_same_run(path: Path, undisturbed: Path) -> None:
    assert load_run(path).status.state == "finished"
    assert load_run(path).status.done == UNITS
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


def test_run_killed_from_outside_at_random_moments_equals_an_undisturbed_one(tmp_path, server, undisturbed):
    moments, path, finished = random.Random(1), tmp_path / "east" / "run", 0
    for _ in range(5):
        child = server.start(tmp_path, kill_at=-1)
        patience = time.monotonic() + 60
        while len(list((path / "rows").glob("*.parquet"))) <= finished and time.monotonic() < patience:
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        assert server.code() == -signal.SIGKILL, "the writer was done before it was killed: give it more steps"
        finished = finished_steps(path)
    assert 5 <= finished < UNITS
    assert server.run(tmp_path) == 0
    assert_same_run(path, undisturbed)


def test_run_killed_inside_its_writes_equals_an_undisturbed_one(tmp_path, server, undisturbed):
    moments, path = random.Random(2), tmp_path / "east" / "run"
    for _ in range(10):
        assert server.run(tmp_path, kill_at=moments.randint(25, 60)) == -signal.SIGKILL
        finished_steps(path)
    assert server.run(tmp_path) == 0
    assert_same_run(path, undisturbed)


def test_run_killed_at_every_step_of_opening_can_be_opened(tmp_path, server):
    for kill_at in range(1, 26):
        root = tmp_path / str(kill_at)
        assert server.run(root, kill_at) == -signal.SIGKILL
        with RunFolder.open(root, "east", {"steps": UNITS}, name="run", provenance={}) as run:
            assert len(run.plan(["step-0", "step-1"])) >= 1
        assert load_run(run.path).status.state == "interrupted"
        assert not list(run.path.rglob("*.tmp"))
