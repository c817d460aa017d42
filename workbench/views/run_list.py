"""Which runs there are: those below the folder of runs, and the examples that ship with the app."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from workbench.errors import WorkbenchError
from workbench.runs import RunRecord, list_runs, load_run
from workbench.views.choices import pick

EXAMPLES = Path(__file__).parent / "examples"
_LONGEST = 300
_COLUMNS = ["family", "name", "status", "model", "steps", "duration", "started (UTC)", "error", "spec"]


def runs_root() -> Path:
    """The folder of runs: WORKBENCH_RUNS, or ``./runs``."""
    return Path(os.environ.get("WORKBENCH_RUNS") or "runs").expanduser()


def all_runs(root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Own runs and shipped examples, each as ``list_runs`` returns them with a column ``shipped``."""
    own = list_runs(root).assign(shipped=False)
    shipped = list_runs(EXAMPLES).assign(shipped=True)
    if root.exists() and root.resolve() == EXAMPLES.resolve():
        shipped = shipped[:0]
    return own, shipped


def has_example(experiment: str) -> bool:
    """Whether a run of the family ships with the app."""
    return (EXAMPLES / experiment).is_dir()


def name_of(run: pd.Series) -> str:
    """How a run is named in the app: ``experiment/name``, an example marked as such."""
    return f"{run['experiment']}/{run['name']}" + (" (example)" if run.get("shipped") else "")


def pick_run(runs: pd.DataFrame, label: str = "Run", key: str = "run") -> RunRecord:
    """One of the runs, by default the last own one.  Raises :class:`RunError` when it is broken."""
    paths = {name_of(run): run["path"] for _, run in runs.iterrows()}
    own = [name for name, shipped in zip(paths, runs.get("shipped", [False] * len(runs)), strict=True) if not shipped]
    names = list(paths)
    return load_run(paths[pick(label, names, key=key, index=names.index(own[-1]) if own else 0)])


def described(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a run, for reading: family, name, status, model, steps, duration, spec, error.

    ``spec`` begins with the fields in which runs of the family differ.  ``duration`` is the time from the run's first
    start to its end, or to its last unit; of a run that was resumed it holds the pause too.
    """
    records = [_record(str(path)) for path in runs["path"]]
    rows = []
    for (_, run), record in zip(runs.iterrows(), records, strict=True):
        family = [other.spec for other in records if other and record and other.experiment == record.experiment]
        rows.append({
            "family": run["experiment"], "name": run["name"] + (" (example)" if run.get("shipped") else ""),
            "status": run["status"], "model": _model(record), "steps": _steps(run), "duration": _duration(record),
            "started (UTC)": str(run["created"] or "")[:16].replace("T", " ") if record else "",
            "error": run["error"] if pd.notna(run["error"]) else "", "spec": _spec(record, family),
        })  # fmt: skip
    return pd.DataFrame(rows, columns=_COLUMNS)


def _record(path: str) -> RunRecord | None:
    try:
        return load_run(path)
    except (WorkbenchError, OSError):
        return None


def _model(record: RunRecord | None) -> str:
    if record is None:
        return ""
    made = record.provenance.get("model")
    given = record.spec.get("model") or record.spec.get("models") or ""
    if isinstance(given, list):
        given = ", ".join(str(each.get("model", each) if isinstance(each, dict) else each) for each in given)
    return str(given or (made.get("name", "") if isinstance(made, dict) else ""))


def _steps(run: pd.Series) -> str:
    if pd.isna(run["done"]):
        return ""
    return f"{run['done']} of {'?' if pd.isna(run['total']) else run['total']}"


def _duration(record: RunRecord | None) -> str:
    if record is None:
        return ""
    try:
        start = datetime.fromisoformat(record.status.created)
        seconds = (datetime.fromisoformat(record.status.finished or record.status.updated) - start).total_seconds()
    except (TypeError, ValueError):
        return ""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _spec(record: RunRecord | None, family: list[dict[str, Any]]) -> str:
    if record is None:
        return ""
    differs = [key for key, value in record.spec.items() if any(other.get(key) != value for other in family)]
    keys = differs + [key for key in record.spec if key not in differs]
    text = ", ".join(f"{key} {json.dumps(record.spec[key])}" for key in keys if record.spec[key] is not None)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "\u2026"
