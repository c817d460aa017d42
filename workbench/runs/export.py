"""A run folder as one zip file, to send or to publish."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

from workbench.errors import RunError, warn
from workbench.files import disk_errors, make_folder, replacing
from workbench.runs.records import load_run

# The earliest time a zip can say: the same run gives the same bytes whenever and wherever it is exported.
_TIME = (1980, 1, 1, 0, 0, 0)


def export_run(path: str | os.PathLike[str], destination: str | os.PathLike[str]) -> Path:
    """Zip a run to ``destination`` (a ``.zip`` file, or a folder that gets ``experiment-name.zip``); returns the file.

    The same contents give the same bytes.  Left out: the lock, temporary and broken files, links.  Inside, files lie
    under ``experiment/name/``, so that unpacking in a folder of runs gives a run again.  One line says when the spec is
    not the one that was run.
    """
    run = load_run(path)
    if run.edited:
        warn(f"{run.experiment}/{run.name}: {run.edited}")
    target = Path(destination).expanduser().resolve()
    if target.suffix != ".zip":
        target = target / f"{run.experiment}-{run.name}.zip"
    if target.is_relative_to(run.path):
        raise RunError(f"cannot export into the run itself: choose a destination outside {run.path}")
    make_folder(target.parent)
    with replacing(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in _files(run.path):
            _add(archive, file, f"{run.experiment}/{run.name}/{file.relative_to(run.path).as_posix()}")
    return target


def _files(folder: Path) -> Iterator[Path]:
    with disk_errors(folder):
        for file in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
            hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
            if file.is_file() and not file.is_symlink() and not hidden and file.suffix != ".broken":
                yield file


def _add(archive: zipfile.ZipFile, file: Path, name: str) -> None:
    info = zipfile.ZipInfo(name, _TIME)
    info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
    with file.open("rb") as source, archive.open(info, "w", force_zip64=True) as sink:
        shutil.copyfileobj(source, sink)
