"""Writing a file whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workbench.errors import ArtifactError


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is synced and renamed, on any error it is removed.

    A reader therefore sees the old file or the new one, never a part.  An ``OSError`` (read-only folder, full disk)
    becomes a one-line :class:`ArtifactError`.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        raise ArtifactError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def existing_file(path: str | os.PathLike[str]) -> Path:
    """``path`` as a :class:`Path`; :class:`ArtifactError` when there is no such file."""
    found = Path(path)
    if not found.is_file():
        raise ArtifactError(f"no such file: {found}")
    return found
