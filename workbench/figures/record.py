"""What figures and tables need of a run: :class:`workbench.runs.RunRecord` and an open run folder are both such."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from workbench.errors import WorkbenchError


class Record(Protocol):
    """A run that can be read: rows by step, tables, tensors and JSON by name."""

    @property
    def path(self) -> Path: ...
    @property
    def spec(self) -> dict[str, Any]: ...
    @property
    def artifacts(self) -> list[str]: ...
    def steps(self) -> list[str]: ...
    def read(self, step: str) -> pd.DataFrame: ...
    def rows(self) -> pd.DataFrame: ...
    def load_table(self, name: str) -> pd.DataFrame: ...
    def load_tensors(self, name: str) -> tuple[dict[str, Any], dict[str, Any]]: ...
    def load_arrays(self, name: str) -> dict[str, Any]: ...
    def read_json(self, name: str) -> Any: ...


class Tables:
    """The tables of a record that may be unfinished or damaged: what is missing or cannot be read is None."""

    def __init__(self, record: Record) -> None:
        self.record = record

    def table(self, name: str) -> pd.DataFrame | None:
        """The table saved under ``name``."""
        return self._try(self.record.load_table, name) if f"{name}.parquet" in self.record.artifacts else None

    def json(self, name: str) -> Any:
        """The JSON data saved under ``name``."""
        return self._try(self.record.read_json, name) if f"{name}.json" in self.record.artifacts else None

    def rows(self, *kinds: str) -> pd.DataFrame | None:
        """The rows of all finished steps of some kinds (``vectors-buttons`` is of kind ``vectors``)."""
        names = [step for kind in kinds for step in self.record.steps() if step.startswith(f"{kind}-")]
        frames = [frame for name in names if (frame := self._try(self.record.read, name)) is not None]
        return pd.concat(frames, ignore_index=True) if frames else None

    def _try(self, read: Callable[[str], Any], name: str) -> Any:
        try:
            return read(name)
        except WorkbenchError:  # the other tables do not need it
            return None
