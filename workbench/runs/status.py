"""How far a run is: ``status.json``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from workbench.errors import RunError, WorkbenchError
from workbench.files import read_object
from workbench.locks import is_locked

State = Literal["running", "finished", "failed", "interrupted"]
LOCK_FILE = ".lock"
STATUS_FILE = "status.json"


@dataclass(frozen=True)
class RunStatus:
    """State of a run; times are UTC, ISO 8601.

    ``created`` is when the run was first opened, ``started`` when its last session was, ``updated`` when something
    was last finished; ``done`` counts finished steps, ``total`` planned ones (None: not planned), ``error`` is the
    line that ended a failed or interrupted session, ``spec`` the hash of what is run (None: of runs before 0.1).
    """

    state: State
    created: str
    started: str
    updated: str
    finished: str | None = None
    done: int = 0
    total: int | None = None
    error: str | None = None
    spec: str | None = None

    @classmethod
    def from_data(cls, data: dict[str, Any], where: Path) -> RunStatus:
        """Check what ``status.json`` holds; keys that we do not know (a later version's) are ignored."""
        try:
            status = cls(**{f.name: data[f.name] for f in dataclasses.fields(cls) if f.name in data})
        except TypeError as error:
            raise RunError(f"{where} is not a run's status: {error}") from error
        for name, value in vars(status).items():
            if not _VALID.get(name, _is_text)(value):
                raise RunError(f"{where} is not a run's status: {name} is {str(value)[:60]!r}")
        return status


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


# What a field may hold, where that is not a text.
_VALID: dict[str, Callable[[Any], bool]] = {
    "state": lambda value: _is_text(value) and value in get_args(State),
    "done": _is_count,
    "total": lambda value: value is None or _is_count(value),
    **dict.fromkeys(("finished", "error", "spec"), _is_text_or_none),
}


def now() -> str:
    """The time in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def error_line(error: BaseException) -> str:
    """An error as one line: a user's mistake as it is worded, a bug with the name of its type.

    >>> error_line(RunError("the disk is full")), error_line(KeyError("x"))
    ('the disk is full', "KeyError: 'x'")
    """
    text = " ".join(str(error).split())
    return text if isinstance(error, WorkbenchError) and text else f"{type(error).__name__}: {text}".rstrip(": ")


def read_status(folder: Path) -> RunStatus:
    """The status of a run folder; a running one that nobody holds the lock of is ``interrupted``."""
    # In this order: a run that finishes in between is then seen as finished and never as interrupted.
    locked = is_locked(folder / LOCK_FILE)
    status = RunStatus.from_data(read_object(folder / STATUS_FILE), folder / STATUS_FILE)
    if status.state == "running" and not locked:
        return dataclasses.replace(status, state="interrupted")
    return status
