"""What lies in a run folder, read only: the part that a running :class:`RunFolder` and a :class:`RunRecord` share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import RunError, did_you_mean
from workbench.files import read_json, read_object
from workbench.runs.checksums import Checksum, check_file, read_checksums
from workbench.runs.names import check_name
from workbench.runs.tensors import read_tensors
from workbench.tables import read_frames

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import pandas as pd
    from torch import Tensor

SPEC_FILE, PROVENANCE_FILE, PLAN_FILE, LOG_FILE = "spec.json", "provenance.json", "plan.json", "log.txt"
ROWS, ARTIFACTS, FIGURES = "rows", "artifacts", "figures"
_RENAMED = {"strength": "multiplier"}  # columns of runs before 0.1


class RunContents:
    """Reads rows, artifacts and figures below ``path``; a file that is not what the run wrote is refused."""

    path: Path

    @property
    def experiment(self) -> str:
        """The family, or other experiment, that the run is of."""
        return self.path.parent.name

    @property
    def name(self) -> str:
        """What the run is called."""
        return self.path.name

    def steps(self) -> list[str]:
        """Names of the finished steps: planned ones in the order of the plan, then any others by name."""
        finished = {Path(name).stem for name in _visible(self.path / ROWS) if name.endswith(".parquet")}
        planned = [step for step in self._planned() if step in finished]
        return planned + sorted(finished.difference(planned))

    def read(self, step: str) -> pd.DataFrame:
        """The rows of one step; raises :class:`RunError` when it is not finished or its file is broken."""
        path = self._file(ROWS, step, "step", ".parquet")
        if not path.exists():
            raise RunError(f"step {step!r} of {self.path} is not finished{did_you_mean(step, self.steps())}")
        return self._tables([path])

    def rows(self) -> pd.DataFrame:
        """The rows of all finished steps in the order of :meth:`steps`, whatever order they finished in.

        Raises :class:`RunError` naming the file when one is broken.
        """
        return self._tables([self.path / ROWS / f"{step}.parquet" for step in self.steps()])

    @property
    def artifacts(self) -> list[str]:
        """File names of the artifacts (tensors, tables and JSON files), sorted."""
        return _visible(self.path / ARTIFACTS)

    @property
    def figures(self) -> list[Path]:
        """Paths of the figures, sorted by name."""
        return [self.path / FIGURES / name for name in _visible(self.path / FIGURES)]

    def load_tensors(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors (on the CPU) and metadata saved under ``name``."""
        return read_tensors(self._checked(self._artifact(name, ".safetensors")))

    def load_arrays(self, name: str) -> dict[str, np.ndarray]:
        """The tensors saved under ``name`` as NumPy arrays: a page that reads them need not wait for torch."""
        return read_tensors(self._checked(self._artifact(name, ".safetensors")), "np")[0]

    def load_table(self, name: str) -> pd.DataFrame:
        """The table saved under ``name``."""
        return self._tables([self._artifact(name, ".parquet")])

    def read_json(self, name: str) -> Any:
        """The JSON data written under ``name``."""
        return read_json(self._checked(self._artifact(name, ".json")))

    def _planned(self) -> list[str]:
        path = self.path / PLAN_FILE
        plan = read_object(path) if path.exists() else {}
        steps = plan.get("steps", plan.get("units", []))  # "units": of runs before 0.1
        if not isinstance(steps, list) or not all(isinstance(step, str) for step in steps):
            raise RunError(f"{path} is not a run's plan: 'steps' must be a list of names")
        return steps

    def _checksums(self) -> Mapping[str, Checksum]:
        return read_checksums(self.path)

    def _checked(self, path: Path) -> Path:
        """``path``, known to hold what the run wrote."""
        check_file(path, self._checksums().get(path.relative_to(self.path).as_posix()))
        return path

    def _tables(self, paths: list[Path]) -> pd.DataFrame:
        return read_frames([self._checked(path) for path in paths]).rename(columns=_RENAMED)

    def _file(self, folder: str, name: str, what: str, suffix: str) -> Path:
        return self.path / folder / (check_name(name, what) + suffix)

    def _artifact(self, name: str, suffix: str) -> Path:
        path = self._file(ARTIFACTS, name, "artifact", suffix)
        if not path.exists():
            raise RunError(f"run {self.path} has no artifact {path.name!r}{did_you_mean(path.name, self.artifacts)}")
        return path


def _visible(folder: Path) -> list[str]:
    """Names of the files; a link that leads out of the run is none of its."""
    if not folder.is_dir():
        return []
    run = folder.parent.resolve()
    files = [entry for entry in folder.iterdir() if entry.is_file() and entry.resolve().is_relative_to(run)]
    return sorted(entry.name for entry in files if not entry.name.startswith("."))
