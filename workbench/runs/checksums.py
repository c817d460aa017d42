"""``checksums.jsonl``: what every file of rows and every artifact of a run holds, and which step wrote it.

A line is added for each file when its step is finished, so that a file that was lost, broken or put in another's place
is known, and the step that wrote it is done again.  The last line of a file counts.  Files without one (of runs before
there were any, or saved by a process that was killed) are read unchecked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from workbench.errors import RunError
from workbench.files import disk_errors, write_bytes

CHECKSUMS_FILE = "checksums.jsonl"


class Checksum(NamedTuple):
    """The digest of a file, and the step that wrote it ("": none, it is written anew in every session)."""

    sha256: str
    step: str


def digest(data: bytes | memoryview) -> str:
    """16 hex digits of the SHA-256."""
    return hashlib.sha256(data).hexdigest()[:16]


def digest_of(path: Path) -> str:
    """:func:`digest` of a file; raises :class:`RunError` when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}") from error


def check_file(path: Path, known: Checksum | None) -> None:
    """Raise :class:`RunError` when a file does not hold what it is known to."""
    if known is not None and digest_of(path) != known.sha256:
        raise RunError(f"{path} is broken (it is not what the run wrote): running the same again makes it anew")


def read_checksums(folder: Path) -> Mapping[str, Checksum]:
    """The checksums of a run by file, relative to its folder."""
    try:
        found = (folder / CHECKSUMS_FILE).stat()
    except OSError:
        return {}
    return _read(str(folder / CHECKSUMS_FILE), found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=8)
def _read(path: str, _changed: int, _size: int) -> Mapping[str, Checksum]:
    found: dict[str, Checksum] = {}
    with disk_errors(Path(path)):
        lines = Path(path).read_bytes().splitlines()
    for line in lines:
        try:
            entry = json.loads(line)
            file, sha256, step = str(entry["file"]), entry["sha256"], str(entry["step"])
        except (ValueError, KeyError, TypeError):  # cut short by a kill: the file is not known
            continue
        found.pop(file, None)
        if isinstance(sha256, str):
            found[file] = Checksum(sha256, step)
    return found


class Checksums:
    """The checksums of a run that is open for writing."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / CHECKSUMS_FILE
        self.known = dict(read_checksums(folder))
        if self._path.exists():  # without half a line at its end, and what is known no more
            write_bytes(self._path, b"".join(_line(file, *known) for file, known in self.known.items()))

    def of_step(self, step: str) -> list[str]:
        """The files that a step wrote."""
        return [file for file, known in self.known.items() if known.step == step]

    def add(self, digests: Mapping[str, str], step: str) -> None:
        """Note what files hold that ``step`` wrote."""
        self._append([_line(file, sha256, step) for file, sha256 in digests.items()])
        self.known |= {file: Checksum(sha256, step) for file, sha256 in digests.items()}

    def forget(self, files: Iterable[str]) -> None:
        """What these files hold is not known any more: they are about to be written."""
        gone = [file for file in files if self.known.pop(file, None)]
        self._append([_line(file, None, "") for file in gone])

    def _append(self, lines: list[bytes]) -> None:
        if lines:
            with disk_errors(self._path), self._path.open("ab") as file:
                file.write(b"".join(lines))  # not synced: what a power cut loses is only not checked


def _line(file: str, sha256: str | None, step: str) -> bytes:
    return json.dumps({"file": file, "sha256": sha256, "step": step}).encode() + b"\n"
