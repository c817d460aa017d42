"""Writing a file whole or not at all, with the errors of this room."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workbench import files
from workbench.arguments import a_path
from workbench.errors import ArtifactError


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """:func:`workbench.files.replacing` in a folder that is made when it is missing; raises :class:`ArtifactError`."""
    target = a_path(path)
    files.make_folder(target.parent, ArtifactError)
    with files.replacing(target, ArtifactError) as temporary:
        yield temporary


def existing_file(path: str | os.PathLike[str]) -> Path:
    """``path`` as a :class:`Path`; :class:`ArtifactError` when there is no such file."""
    found = a_path(path)
    if not found.is_file():
        raise ArtifactError(f"no such file: {found}")
    return found
