"""Reading runs: one (:func:`load_run`), its table (:func:`load_results`), or all below a root (:func:`list_runs`)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.arguments import a_path
from workbench.errors import RunError, WorkbenchError, did_you_mean
from workbench.files import read_object
from workbench.runs.contents import SPEC_FILE, RunContents
from workbench.runs.sameness import read_provenance
from workbench.runs.specs import is_spec_of
from workbench.runs.status import RunStatus, error_line, read_status

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ["experiment", "name", "status", "done", "total", "created", "updated", "error", "path"]


@dataclass(frozen=True)
class RunRecord(RunContents):
    """A run as it lies on disk, for reading: ``rows()``, ``artifacts``, ``figures`` and the ``load_`` methods.

    ``status`` is that of the moment it was loaded; a run left "running" by a process that died is ``interrupted``.
    """

    path: Path
    spec: dict[str, Any]
    provenance: dict[str, Any]
    status: RunStatus

    @property
    def edited(self) -> str | None:
        """One line when ``spec.json`` is not the spec that was run, because somebody changed it; else None."""
        if self.status.spec is None or is_spec_of(self.spec, self.status.spec):
            return None
        return f"{SPEC_FILE} was edited: it is not the spec that was run"

    @contextmanager
    def reading(self) -> Iterator[None]:
        """What a family makes of an edited spec may fail in any way: such an error becomes one line that says so."""
        try:
            yield
        except WorkbenchError:
            raise
        except Exception as error:
            if not self.edited:
                raise
            raise RunError(f"{self.path}: {self.edited}, and cannot be shown: {error_line(error)}") from error


def check_root(root: str | os.PathLike[str]) -> Path:
    """A folder of runs, ``~`` resolved; raises :class:`RunError` when it is no folder and cannot become one."""
    path = a_path(root, "root")
    if path.exists() and not path.is_dir():
        raise RunError(f"{path} is a file, not a folder of runs: choose another --runs")
    return path


def load_run(path: str | os.PathLike[str]) -> RunRecord:
    """Read a run folder; raises :class:`RunError` naming what is missing or broken.  It takes no lock."""
    folder = a_path(path).resolve()
    if not folder.is_dir():
        others = [other.name for other in _folders(folder.parent)]
        raise RunError(f"there is no run folder {folder}" + (did_you_mean(folder.name, others) if others else ""))
    return RunRecord(folder, read_object(folder / SPEC_FILE), read_provenance(folder), read_status(folder))


def load_results(path: str | os.PathLike[str]) -> pd.DataFrame:
    """The rows of a run folder: all finished steps, in the run's order."""
    return load_run(path).rows()


def list_runs(root: str | os.PathLike[str]) -> pd.DataFrame:
    """One row for each run below ``root``, sorted by experiment and name.

    Columns: experiment, name, status, done (finished steps), total (planned ones, or missing), created, updated,
    error, path.  ``error`` also says that a spec was edited.  A folder that is broken or half made has status
    ``broken`` and the reason in ``error``; it never raises for one.  A root that does not exist holds no runs.
    """
    import pandas as pd

    folders = [folder for experiment in _folders(a_path(root, "root")) for folder in _folders(experiment)]
    frame = pd.DataFrame([_row(folder) for folder in folders], columns=_COLUMNS)
    return frame.astype({"done": "Int64", "total": "Int64"})


def _row(folder: Path) -> dict[str, Any]:
    row: dict[str, Any] = {"experiment": folder.parent.name, "name": folder.name, "path": str(folder)}
    try:
        run = load_run(folder)
        status = run.status
        row |= {"done": len(run.steps()), "total": status.total, "created": status.created, "updated": status.updated}
        row |= {"status": status.state, "error": "; ".join(filter(None, (status.error, run.edited))) or None}
    except Exception as error:  # whatever is wrong with one folder, the others must be listed
        row |= {"status": "broken", "error": str(error)}
    return row


def _folders(parent: Path) -> list[Path]:
    try:
        return sorted(entry for entry in parent.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError:  # not there, or not ours to read
        return []
