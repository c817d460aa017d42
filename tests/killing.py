"""Processes that are killed while they write: what they leave must be whole, and going on must give what an undisturbed
process gives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import workbench
from workbench.runs import load_run

__all__ = ["Writers", "all_end", "kill_run", "kill_when", "python", "row_files", "writers"]

ROOT = Path(workbench.__path__[0]).parent
_PATIENCE = 300  # seconds
# Imports once and forks a writer for each line "path kill_at" that it reads; answers with the writer's pid and, once
# that is over, its exit code.
_SERVER = """
import os, signal, sys, time

def deadly(function, kill_at, calls):
    def call(*arguments):
        calls.append(0)
        time.sleep(0.002 * (kill_at < 0))
        if len(calls) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments)
    return call

for line in sys.stdin:
    path, kill_at = line.rsplit(" ", 1)
    child = os.fork()
    if child == 0:
        try:
            calls = []
            os.fsync, os.replace = (deadly(function, int(kill_at), calls) for function in (os.fsync, os.replace))
            work(path)
            os._exit(0)
        finally:
            os._exit(1)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def python(code: str, *words: object) -> list[str]:
    """The command that runs Python code, which finds ``words`` in ``sys.argv[1:]``."""
    return [sys.executable, "-c", code, *map(str, words)]


def row_files(folder: Path, kind: str = "*") -> list[Path]:
    """The rows in a run folder, of the steps whose names match ``kind``."""
    return list((folder / "rows").glob(f"{kind}.parquet"))


def _wait_until(ready: Callable[[], object]) -> bool:
    """Return as soon as ``ready()``, or when patience has run out; whether it is."""
    end = time.monotonic() + _PATIENCE
    while not (done := bool(ready())) and time.monotonic() < end:
        time.sleep(0.002)
    return done


def kill_when(ready: Callable[[], object], command: Sequence[str], later: float = 0.0, **environment: str) -> list[int]:
    """Start a command and SIGKILL it ``later`` seconds after ``ready()``; it must have been at work until then.

    Returns the processes that it had started, which are not killed.
    """
    child = subprocess.Popen(command, cwd=ROOT, env=os.environ | environment)
    try:
        assert _wait_until(lambda: ready() or child.poll() is not None), "not reached"
        time.sleep(later)
        workers = _children(child.pid)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == -signal.SIGKILL, "it ended before it was killed: give it more to do"
    return workers


def kill_run(folder: Path, rows: int, command: Sequence[str], kind: str = "*", **environment: str) -> list[int]:
    """:func:`kill_when` the run folder that the command writes has so many files of rows (of steps ``kind``); the run
    must be left in the middle, with at least these."""
    workers = kill_when(lambda: len(row_files(folder, kind)) >= rows, command, **environment)
    status = load_run(folder).status
    assert status.state == "interrupted" and rows <= len(row_files(folder)) < status.total
    return workers


def _children(pid: int) -> list[int]:
    return [int(each) for path in Path(f"/proc/{pid}/task").glob("*/children") for each in path.read_text().split()]


def all_end(processes: Sequence[int]) -> bool:
    """Whether all of them end in a while."""
    return _wait_until(lambda: not any(map(_alive, processes)))


def _alive(pid: int) -> bool:
    """Not for a process that ended and is not yet waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Writers:
    """Processes that do ``work(path)``, one at a time.

    One with ``kill_at`` > 0 kills itself as it enters that sync or rename, so inside its writes; one with -1 goes
    slowly, to be killed from outside.
    """

    def __init__(self, server: subprocess.Popen[str]) -> None:
        self._server = server

    def run(self, path: Path, kill_at: int = 0) -> int:
        """The exit code of a writer on ``path``; minus the signal for one that was killed."""
        self._start(path, kill_at)
        return self._answer()

    def kill_when(self, ready: Callable[[], object], path: Path, later: float = 0.0) -> None:
        """SIGKILL a slow writer ``later`` seconds after ``ready()``; it must have been at work until then."""
        writer = self._start(path, -1)
        assert _wait_until(ready)
        time.sleep(later)
        os.kill(writer, signal.SIGKILL)
        assert self._answer() == -signal.SIGKILL, "it ended before it was killed: give it more to do"

    def _start(self, path: Path, kill_at: int) -> int:
        assert self._server.stdin is not None
        self._server.stdin.write(f"{path} {kill_at}\n")
        self._server.stdin.flush()
        return self._answer()

    def _answer(self) -> int:
        assert self._server.stdout is not None
        return int(self._server.stdout.readline())


@contextmanager
def writers(code: str) -> Iterator[Writers]:
    """Writers of what ``code`` defines as ``work(path)``; it is imported once for all of them."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    server = subprocess.Popen(python(code + _SERVER), cwd=ROOT, text=True, **pipes)
    yield Writers(server)
    server.communicate()
