"""One process writes; the lock goes with it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import workbench
from workbench.errors import RunError
from workbench.locks import Lock, is_locked
from workbench.runs import RunFolder, load_run

ROOT = Path(workbench.__path__[0]).parent
HOLD = """
import sys, time
from workbench.runs import RunFolder
run = RunFolder.open(sys.argv[1], "east", {"x": 1}, name="first")
print("open", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that has the run east/first open."""
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT, text=True)
    assert child.stdout.readline() == "open\n"
    yield child
    child.kill()
    child.communicate()


def test_second_process_is_told_which_process_has_it_and_may_go_on_once_that_is_killed(tmp_path, holder):
    with pytest.raises(RunError, match=rf"is in use by process {holder.pid} on .*: wait for it or stop it"):
        RunFolder.open(tmp_path, "east", {"x": 1}, name="first")
    assert load_run(tmp_path / "east/first").status.state == "running"
    holder.kill()
    holder.wait()
    assert load_run(tmp_path / "east/first").status.state == "interrupted"
    with RunFolder.open(tmp_path, "east", {"x": 1}, name="first") as run:
        assert run.status.state == "running"
    assert load_run(tmp_path / "east/first").status.state == "finished"


def test_second_opening_in_one_process_is_refused_and_harms_nothing(tmp_path, spec, frame):
    with RunFolder.open(tmp_path, "east", spec) as run:
        with pytest.raises(RunError, match=f"in use by process {os.getpid()}"):
            RunFolder.open(tmp_path, "east", spec)
        run.write("a", frame)
    with RunFolder.open(tmp_path, "east", spec) as run:
        assert run.done("a")


def test_looking_does_not_take_the_lock(tmp_path):
    path = tmp_path / "lock"
    assert not is_locked(path)
    assert not path.exists()
    lock = Lock(path)
    lock.acquire()
    assert lock.held
    assert is_locked(path)
    lock.release()
    assert not is_locked(path)
    lock.release()


def test_opening_waits_out_a_reader_that_looks(tmp_path):
    path = tmp_path / "lock"
    Lock(path).acquire()
    code = (
        "import fcntl, sys, time; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_SH);"
        "print('in', flush=True); time.sleep(.1)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"in\n"
    lock = Lock(path)
    lock.acquire()
    lock.release()
    child.communicate()


def test_forked_worker_neither_writes_nor_keeps_the_lock(tmp_path, spec, frame):
    run = RunFolder.open(tmp_path, "east", spec)
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:  # the worker: its answer is one byte, and it leaves without running any of our clean-up
        try:
            run.write("a", frame)
            os.write(told, b"w")
        except RunError:
            os.write(told, b"r")
        time.sleep(60)
        os._exit(0)
    try:
        assert os.read(ready, 1) == b"r"
        assert is_locked(run.path / ".lock")
        run.close()
        assert not is_locked(run.path / ".lock")
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_leaving_by_an_error_while_opening_gives_the_lock_back(tmp_path, spec):
    with RunFolder.open(tmp_path, "east", spec, name="first"):
        pass
    with pytest.raises(
        RunError, match="another spec"
    ) as kept:  # as a notebook keeps the last error, and all it refers to
        RunFolder.open(tmp_path, "east", {"other": 1}, name="first")
    with RunFolder.open(tmp_path, "east", spec, name="first") as run:
        assert run.status.state == "running"
    assert kept.value is not None
