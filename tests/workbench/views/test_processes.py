"""Runs in processes of their own: started, watched, cancelled, gone on with; by a stand-in for the command."""

import sys
import time
from pathlib import Path

import pytest

from apps.cli.main import commands
from workbench.errors import RunError
from workbench.runs import RunFolder
from workbench.views import processes
from workbench.views.processes import arguments, command_line, launch, started

RUN = ["run", "east", "--spec"]

# A stand-in that works on a run folder as the command does: one unit, then waiting for Ctrl-C (deaf: not even that).
WORK = """
import signal, sys, time, pandas as pd
from workbench.runs import RunFolder
root, name, mode = sys.argv[1:4]
if mode == "deaf":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
else:  # as in a terminal, whatever the tests were started from
    signal.signal(signal.SIGINT, signal.default_int_handler)
if mode == "wrong":
    sys.exit("error: layer 99 does not exist")
with RunFolder.open(root, "east", {"model": "tiny"}, name, {}) as run:
    left = run.plan(["one", "two"])
    if "one" in left:
        run.write("one", pd.DataFrame({"x": [1]}))
    print("one is done", flush=True)
    if mode != "quick":
        time.sleep(60)
    run.write("two", pd.DataFrame({"x": [2]}))
"""


@pytest.fixture
def stand_in(monkeypatch):
    """``stand_in(mode)``: from here on the stand-in is started, in that mode."""

    def use(mode):
        monkeypatch.setattr(
            processes, "_command",
            lambda words: [sys.executable, "-c", WORK, words[words.index("--runs") + 1], words[-1], mode],
        )  # fmt: skip

    return use


@pytest.fixture
def at_work(tmp_path, stand_in):
    """A started run that has finished one of two units and goes on until it is stopped."""
    stand_in("slow")
    one = launch(tmp_path, "east", "first", "seed: 0\n", RUN)
    wait_for(lambda: one.said() == "one is done")
    yield one
    one.cancel()
    wait_for(lambda: not one.alive)


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_started_run_is_found_again_with_its_spec_and_progress(at_work, tmp_path):
    [found] = started(tmp_path)
    assert found == at_work and found.state == "running" and found.alive
    assert found.record().status.total == 2 and found.said() == "one is done"
    assert (tmp_path / "sweeps" / "first.yaml").read_text() == "seed: 0\n"


def test_cancelled_run_keeps_what_is_finished_and_goes_on_later(at_work, stand_in):
    at_work.cancel()
    wait_for(lambda: not at_work.alive)
    assert at_work.state == "interrupted" and at_work.record().steps() == ["one"]
    stand_in("quick")
    again = at_work.again()
    wait_for(lambda: not again.alive)
    assert again.state == "finished" and again.record().steps() == ["one", "two"]


def test_second_start_under_one_name_is_refused_while_the_first_runs(at_work, tmp_path):
    with pytest.raises(RunError, match="first is running already"):
        launch(tmp_path, "east", "first", "seed: 1\n", RUN)
    with pytest.raises(RunError, match="first is running already"):
        at_work.again()
    assert (tmp_path / "sweeps" / "first.yaml").read_text() == "seed: 0\n"


def test_process_that_takes_no_notice_is_ended(tmp_path, stand_in, monkeypatch):
    stand_in("deaf")
    monkeypatch.setattr(processes, "_PATIENCE_S", (0.2, 5.0))
    one = launch(tmp_path, "east", "deaf", "seed: 0\n", RUN)
    wait_for(lambda: one.record() is not None and one.record().steps() == ["one"])
    one.cancel()
    wait_for(lambda: not one.alive)
    assert one.state == "interrupted"


def test_ending_an_ended_run_sends_no_signal(tmp_path, stand_in, monkeypatch):
    stand_in("quick")
    one = launch(tmp_path, "east", "quick", "seed: 0\n", RUN)
    wait_for(lambda: not one.alive)
    sent = []
    monkeypatch.setattr(processes.os, "killpg", lambda *given: sent.append(given))
    one._end()
    assert one.state == "finished" and not sent


def test_run_that_fails_before_its_folder_is_failed_with_its_last_words(tmp_path, stand_in):
    stand_in("wrong")
    one = launch(tmp_path, "east", "wrong", "layers: [99]\n", RUN)
    wait_for(lambda: not one.alive)
    assert one.state == "failed" and one.record() is None and one.said() == "error: layer 99 does not exist"


def test_failed_start_does_not_borrow_the_state_of_an_older_run(tmp_path, stand_in):
    with RunFolder.open(tmp_path, "east", {"model": "old"}, "wrong", {}) as run:
        run.plan([])
    time.sleep(0.01)
    stand_in("wrong")
    one = launch(tmp_path, "east", "wrong", "layers: [99]\n", RUN)
    wait_for(lambda: not one.alive)
    assert one.record().status.state == "finished" and one.state == "failed"


def test_the_command_itself_is_started_and_refuses_a_wrong_spec_in_one_line(tmp_path):
    one = launch(tmp_path, "east", "typo", "promts: 4\n", RUN)
    wait_for(lambda: not one.alive, 60)
    assert one.state == "failed" and "unknown field 'promts'" in one.said() and "Traceback" not in one.said()


def test_command_line_names_a_command_that_there_is():
    known = commands()
    assert arguments(RUN, "a", "a.yaml", "r")[0] in known
    assert command_line(RUN, "a", "a b.yaml", "runs") == "workbench run east --spec 'a b.yaml' --runs runs --name a"


def test_name_that_would_leave_the_folder_is_refused(tmp_path):
    with pytest.raises(RunError, match="cannot be a file name"):
        launch(tmp_path, "east", "../up", "seed: 0\n", RUN)
    assert not list(Path(tmp_path).iterdir())


def test_broken_record_is_left_out(tmp_path):
    folder = tmp_path / "sweeps"
    folder.mkdir()
    (folder / "cut.json").write_text('{"experiment": "east", ')
    (folder / "odd.json").write_text('{"experiment": "east", "pid": "x", "begun": ""}')
    assert started(tmp_path) == []
