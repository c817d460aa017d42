"""Run folders: a run's spec, provenance, status, rows, artifacts and figures on disk, and how to resume and read them.

``root/<experiment>/<name or spec hash>/`` holds ``spec.json``, ``provenance.json``, ``status.json``, ``plan.json``,
``rows/*.parquet`` (one file a finished step of work), ``artifacts/`` (safetensors, Parquet, JSON), ``checksums.jsonl``,
``figures/`` and ``log.txt``.  :class:`RunFolder` writes one, :func:`load_run` and :func:`list_runs` read them;
:func:`run_cells` fills one from many small cells, here, on a Ray cluster or on Slurm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.lazy import lazy_exports

if TYPE_CHECKING:
    from workbench.runs.engines import make_engine
    from workbench.runs.export import export_run
    from workbench.runs.folder import RunFolder
    from workbench.runs.records import RunRecord, check_root, list_runs, load_results, load_run
    from workbench.runs.specs import run_name, spec_hash
    from workbench.runs.status import RunStatus
    from workbench.runs.sweep import Cell, run_cells

__getattr__, __dir__, __all__ = lazy_exports(__name__)
