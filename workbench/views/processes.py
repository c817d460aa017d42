"""Runs that the app has started: each a ``workbench`` command in a process of its own.

The process outlives the page, the tab and the app.  What was started is kept in ``RUNS/sweeps/``: NAME.yaml (the spec),
NAME.json (the command), NAME.log (what it said) and NAME.lock, which the process holds for as long as it lives, so that
no process is ever mistaken for another.  How far a run is stands in its run folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workbench.errors import RunError, WorkbenchError
from workbench.files import disk_errors, make_folder, read_object, write_bytes, write_json
from workbench.locks import is_locked
from workbench.runs import RunRecord, load_run
from workbench.runs.names import check_name

FOLDER = "sweeps"
_PATIENCE_S = (8.0, 5.0)  # after Ctrl-C, then after a request to end


@dataclass(frozen=True)
class Started:
    """A run that was started from the app.  ``begun``: UTC, ISO 8601; ``words``: what follows ``workbench``."""

    root: Path
    experiment: str
    name: str
    pid: int
    begun: str
    words: tuple[str, ...] = ()

    @property
    def run_path(self) -> Path:
        """The run's folder; it is there once the process has begun to work."""
        return self.root / self.experiment / self.name

    @property
    def alive(self) -> bool:
        """Whether its process lives."""
        return is_locked(self._file(".lock"))

    def record(self) -> RunRecord | None:
        """The run as it stands on disk; None before there is one."""
        try:
            return load_run(self.run_path)
        except WorkbenchError:
            return None

    @property
    def state(self) -> str:
        """``running``, or how it ended: ``finished``, ``interrupted`` or ``failed``."""
        if self.alive:
            return "running"
        record = self.record()
        if record is None or record.status.started < self.begun:
            return "failed"
        return record.status.state

    def said(self, lines: int = 12) -> str:
        """The end of what it has written."""
        try:
            text = self._file(".log").read_text(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def cancel(self) -> None:
        """Stop it as Ctrl-C does, and end it if it takes no notice.  What is finished stays, and it can go on later."""
        threading.Thread(target=self._end, name=f"cancel {self.name}", daemon=True).start()

    def again(self) -> Started:
        """Start it once more: it goes on with what is not finished."""
        return _start(self.root, self.experiment, self.name, self.words)

    def _end(self) -> None:
        asked = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
        for number, patience in zip(asked, (*_PATIENCE_S, 0.0), strict=True):
            if not self.alive:  # else the number may be another process's by now
                return
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)
            end = time.monotonic() + patience
            while self.alive and time.monotonic() < end:
                time.sleep(0.1)

    def _file(self, suffix: str) -> Path:
        return self.root / FOLDER / f"{self.name}{suffix}"


def arguments(command: Sequence[str], name: str, file: str, root: str) -> list[str]:
    """What follows ``workbench`` on the command line that does the same; ``command`` is what stands before the file.

    >>> " ".join(arguments(["run", "mine", "--spec"], "first", "first.yaml", "runs"))
    'run mine --spec first.yaml --runs runs --name first'
    """
    return [*command, file, "--runs", root, "--name", name]


def command_line(command: Sequence[str], name: str, file: str, root: str) -> str:
    """The command as one types it."""
    return shlex.join(["workbench", *arguments(command, name, file, root)])


def launch(root: Path, experiment: str, name: str, text: str, command: Sequence[str]) -> Started:
    """Write the spec (YAML) and start the run; raises :class:`RunError` when one of that name is at work."""
    check_name(name, "run")
    folder = (root / FOLDER).resolve()
    make_folder(folder)
    _check_idle(folder, name)
    write_bytes(folder / f"{name}.yaml", text.encode())
    words = arguments(command, name, str(folder / f"{name}.yaml"), str(root.resolve()))
    return _start(root, experiment, name, words)


def check_start(root: Path, experiment: str, name: str, text: str) -> None:
    """Raise :class:`RunError` for a name that cannot be a run's, is at work, or is that of a run with another spec than
    the YAML ``text``; one that was started with this text goes on."""
    check_name(name, "run")
    _check_idle(root / FOLDER, name)
    spec = root / FOLDER / f"{name}.yaml"
    if (root / experiment / name).exists() and not (spec.is_file() and spec.read_bytes() == text.encode()):
        raise RunError(f"there is a run {experiment}/{name} already, and not of this spec: choose another name")


def _check_idle(folder: Path, name: str) -> None:
    if is_locked(folder / f"{name}.lock"):
        raise RunError(f"{name} is running already: watch or cancel it, or choose another name")


def _start(root: Path, experiment: str, name: str, words: Sequence[str]) -> Started:
    folder = (root / FOLDER).resolve()
    begun = datetime.now(UTC).isoformat(timespec="milliseconds")
    lock = folder / f"{name}.lock"
    with disk_errors(lock), lock.open("a+") as held, (folder / f"{name}.log").open("wb") as log:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"{name} is running already: watch or cancel it, or choose another name") from None
        # The lock goes on in the child, which inherits the open file, and ends with it however it ends.
        process = subprocess.Popen(
            _command(words), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            pass_fds=(held.fileno(),), env=os.environ | {"PYTHONUNBUFFERED": "1"}, cwd=_home(),
        )  # fmt: skip
    threading.Thread(target=process.wait, name=f"run {name}", daemon=True).start()  # leaves no zombie
    facts: dict[str, Any] = {"experiment": experiment, "name": name, "pid": process.pid, "begun": begun}
    write_json(folder / f"{name}.json", facts | {"command": ["workbench", *words]})
    return Started(root, experiment, name, process.pid, begun, tuple(words))


def _command(words: Sequence[str]) -> list[str]:
    """What is executed: this Python's ``workbench``."""
    return [sys.executable, "-m", "apps.cli", *words, "--no-progress"]


def _home() -> Path:
    """Where ``apps`` can be imported from, installed or not."""
    return Path(__file__).resolve().parents[2]


def started(root: Path) -> list[Started]:
    """What was started in a folder of runs, newest first; broken records are left out."""
    found = []
    for file in sorted((root / FOLDER).glob("*.json")):
        try:
            facts = read_object(file)
            experiment, begun, words = str(facts["experiment"]), str(facts["begun"]), tuple(facts["command"])[1:]
            found.append(Started(root, experiment, file.stem, int(facts["pid"]), begun, words))
        except (WorkbenchError, KeyError, TypeError, ValueError):
            continue
    return sorted(found, key=lambda each: each.begun, reverse=True)
