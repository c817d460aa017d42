"""Writing files that are there whole or not at all.

A file is written under a temporary name beside its place, synced, renamed over it, and the folder is synced: whatever
kills the process, or the machine, leaves the old file or the new one.  What the operating system refuses (a full disk,
a read-only folder) ends in a :class:`RunError` of one line.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workbench.errors import RunError

__all__ = [
    "disk_errors",
    "make_folder",
    "read_json",
    "read_object",
    "remove_temporaries",
    "replacing",
    "write_bytes",
    "write_json",
]

_FULL = {errno.ENOSPC, errno.EDQUOT}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn any ``OSError`` inside into a :class:`RunError` that names ``path`` and the way out."""
    try:
        yield
    except OSError as error:
        raise RunError(_explain(error, path)) from error


def _explain(error: OSError, path: Path) -> str:
    if error.errno in _FULL:
        return f"the disk is full: cannot write {path}; finished units are intact, free space and run the same again"
    if error.errno in _DENIED:
        return f"cannot write {path}: the folder is read-only or not yours; choose another place for the runs"
    if isinstance(error, FileExistsError | NotADirectoryError):
        return f"cannot make the folder {path}: a file stands in its place; move it or choose another place"
    return f"cannot write {path}: {error.strerror or error}"


def make_folder(path: Path) -> None:
    """Make a folder and its parents; it may be there already."""
    with disk_errors(path):
        if not path.is_dir():
            path.mkdir(parents=True, exist_ok=True)
            _sync(path.parent)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; on leaving it becomes ``path`` in one step, on an error it is removed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(path):
        try:
            yield temporary
            _sync(temporary)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync(path.parent)


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Write ``data`` to ``path``, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, data: Any) -> None:
    """Write plain JSON data, indented, whole or not at all."""
    write_bytes(path, (json.dumps(data, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read a JSON file; a missing or broken one raises :class:`RunError` naming it."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing: this is not a whole run folder") from error
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object; anything else raises :class:`RunError` naming it."""
    data = read_json(path)
    if not isinstance(data, dict):
        raise RunError(f"{path} cannot be read: it must hold an object, not a {type(data).__name__}")
    return data


def remove_temporaries(folder: Path) -> None:
    """Remove what killed writers left behind; only for the holder of the folder's lock."""
    with disk_errors(folder):
        for leftover in folder.rglob(".*.tmp"):
            leftover.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
