"""One writer to a folder (a run, an activation store), by ``flock``.

The kernel drops the lock when its process dies, however it dies, so no stale lock is ever left to remove by hand.  The
lock file itself stays: removing it would let two processes lock two different files of the same name.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import time
import weakref
from pathlib import Path
from typing import IO

from workbench.errors import RunError
from workbench.files import disk_errors

# is_locked holds a shared lock for an instant; a writer that meets one tries again for up to 0.3 s.
_TRIES, _PAUSE = 10, 0.03


class Lock:
    """An exclusive lock on a file, held by one process from ``acquire`` to ``release`` (or its death)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    @property
    def held(self) -> bool:
        """Whether this process holds the lock (a forked child does not)."""
        return self._file is not None

    def acquire(self) -> None:
        """Take the lock; raises :class:`RunError` naming the process that has it."""
        with disk_errors(self.path):
            file = self.path.open("a+")
            try:
                if not _flock(file):
                    raise RunError(f"{self.path.parent} is in use by {_holder(file)}: wait for it or stop it")
                file.truncate(0)
                json.dump({"pid": os.getpid(), "host": platform.node()}, file)
                file.flush()
            except BaseException:
                file.close()
                raise
        self._file = file
        _HELD.add(self)

    def release(self) -> None:
        """Give the lock back; does nothing when it is not held."""
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)
            self._forget()

    def _forget(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


_HELD: weakref.WeakSet[Lock] = weakref.WeakSet()


def _forget_inherited() -> None:
    # A forked worker shares its parent's open file and would keep the lock alive after the parent is killed.
    for lock in list(_HELD):
        lock._forget()


os.register_at_fork(after_in_child=_forget_inherited)


def is_locked(path: Path) -> bool:
    """Whether some process holds the lock on ``path`` now; it writes nothing."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _flock(file: IO[str]) -> bool:
    for attempt in range(_TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(_PAUSE if attempt + 1 < _TRIES else 0)
    return False


def _holder(file: IO[str]) -> str:
    try:
        file.seek(0)
        found = json.loads(file.read())
        return f"process {int(found['pid'])} on {found['host']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
