"""Run folders: a run's spec, provenance, status, rows, artifacts and figures on disk, and how to resume and read them.

``root/<experiment>/<name or spec hash>/`` holds ``spec.json``, ``provenance.json``, ``status.json``, ``plan.json``,
``rows/*.parquet`` (one file a finished unit of work), ``artifacts/`` (safetensors, Parquet, JSON), ``figures/`` and
``log.txt``.  :class:`RunFolder` writes one, :func:`load_run` and :func:`list_runs` read them.
"""

from workbench.runs.export import export_run
from workbench.runs.folder import RunFolder
from workbench.runs.records import RunRecord, list_runs, load_results, load_run
from workbench.runs.specs import spec_hash
from workbench.runs.status import RunStatus

__all__ = [
    "RunFolder",
    "RunRecord",
    "RunStatus",
    "export_run",
    "list_runs",
    "load_results",
    "load_run",
    "spec_hash",
]
