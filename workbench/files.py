"""Writing files that are there whole or not at all.

A file is written under a temporary name beside its place, synced, renamed over it, and the folder is synced: whatever
kills the process, or the machine, leaves the old file or the new one.  What the operating system refuses (a full disk,
a read-only folder) ends in one line, a :class:`RunError` unless the caller names another error.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import RunError, WorkbenchError

if TYPE_CHECKING:
    import numpy as np

_FULL = {errno.ENOSPC, errno.EDQUOT}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}

Error = type[WorkbenchError]


@contextmanager
def disk_errors(path: Path, error: Error = RunError) -> Iterator[None]:
    """Turn any ``OSError`` inside into an ``error`` that names ``path`` and the way out."""
    try:
        yield
    except OSError as cause:
        raise error(_explain(cause, path)) from cause


def _explain(error: OSError, path: Path) -> str:
    if error.errno in _FULL:
        return f"the disk is full: cannot write {path}; what is finished is intact, free space and run the same again"
    if error.errno in _DENIED:
        return f"cannot write {path}: the folder is read-only or not yours; choose another place"
    if isinstance(error, FileExistsError | NotADirectoryError):
        return f"cannot make the folder {path}: a file stands in its place; move it or choose another place"
    return f"cannot write {path}: {error.strerror or error}"


def make_folder(path: Path, error: Error = RunError) -> None:
    """Make a folder and its parents; it may be there already."""
    with disk_errors(path, error):
        if not path.is_dir():
            path.mkdir(parents=True, exist_ok=True)
            _sync(path.parent)


@contextmanager
def replacing(path: Path, error: Error = RunError) -> Iterator[Path]:
    """Yield a temporary path to write to; on leaving it becomes ``path`` in one step, on an error it is removed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder, "a.txt")) as temporary:
    ...         _ = temporary.write_text("whole")
    ...     Path(folder, "a.txt").read_text(), [file.name for file in Path(folder).iterdir()]
    ('whole', ['a.txt'])
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    with disk_errors(path, error):
        try:
            yield temporary
            _sync(temporary)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync(path.parent)


def write_bytes(path: Path, data: bytes | memoryview, error: Error = RunError) -> None:
    """Write ``data`` to ``path``, whole or not at all."""
    with replacing(path, error) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, data: Any, error: Error = RunError) -> None:
    """Write plain JSON data, indented, whole or not at all."""
    write_bytes(path, json_bytes(data), error)


def json_bytes(data: Any) -> bytes:
    """Plain JSON data, indented."""
    return (json.dumps(data, indent=2, allow_nan=False) + "\n").encode()


def read_json(path: Path, error: Error = RunError) -> Any:
    """Read a JSON file; a missing or broken one raises ``error`` naming it."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError as cause:
        raise error(f"{path} is missing: {path.parent} is not whole") from cause
    except (OSError, ValueError, RecursionError) as cause:
        raise error(f"{path} cannot be read: {cause}") from cause


def read_object(path: Path, error: Error = RunError) -> dict[str, Any]:
    """Read a JSON file that holds an object; anything else raises ``error`` naming it."""
    data = read_json(path, error)
    if not isinstance(data, dict):
        raise error(f"{path} cannot be read: it must hold an object, not a {type(data).__name__}")
    return data


def remove_temporaries(folder: Path, error: Error = RunError) -> None:
    """Remove what killed writers left behind; only for the holder of the folder's lock."""
    with disk_errors(folder, error):
        for leftover in [*folder.rglob(".*.tmp"), *folder.rglob(".tmp*")]:  # ours, and those of safetensors itself
            leftover.unlink(missing_ok=True)


def checksum(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> int:
    """CRC-32 of plain JSON data and arrays: what a file of tensors carries, so that damage is noticed on reading."""
    found = zlib.crc32(json.dumps(header, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        found = zlib.crc32(f"{name} {array.dtype} {array.shape}".encode(), found)
        found = zlib.crc32(array.tobytes(), found)
    return found


def check_checksum(header: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Take the ``checksum`` out of a header that was read; raises :class:`ValueError` when it is another.

    Files of older versions have none.
    """
    known = header.pop("checksum", None)
    if known not in (None, checksum(header, arrays)):
        raise ValueError("it is damaged: its checksum differs")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
