"""The order of a sweep: one capture a model, then the cells on an engine, then the tables."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from workbench.errors import RunError
from workbench.families.probe_sweep.captures import ensure_captures
from workbench.families.probe_sweep.plan import make_plan
from workbench.families.probe_sweep.spec import SweepSpec
from workbench.families.probe_sweep.worker import evaluate_cell
from workbench.provenance import provenance
from workbench.runs import RunFolder, make_engine, run_cells

__all__ = ["EXPERIMENT", "run"]

EXPERIMENT = "sweep"
Say = Callable[[str], None]


def run(
    spec: SweepSpec,
    root: str | os.PathLike[str],
    name: str | None = None,
    *,
    base: str | os.PathLike[str] = ".",
    engine: str = "local",
    jobs: int | None = None,
    parameters: Mapping[str, Any] | None = None,
    progress: bool = False,
    say: Say | None = None,
) -> Path:
    """Run (or go on with) a sweep in ``root``; return its folder.

    ``base``: the folder that relative paths of the spec start from.  ``engine, jobs, parameters``: see
    :func:`workbench.runs.make_engine`; they are no part of the spec, so a sweep may go on with others.  The table is
    :func:`workbench.runs.load_results` of the folder, and its artifact ``results``.  Cells that failed are rows with
    ``status`` "failed"; the run then has the state ``failed``, and the same call tries them again.
    """
    say = say or (lambda _line: None)
    make_engine(engine, root, jobs, parameters)  # a mistake there is to be known before anything runs
    plan = make_plan(spec, base)
    with RunFolder.open(root, EXPERIMENT, spec, name, provenance(None, list(spec.seeds))) as folder:
        captures = [capture.unit for capture in plan.captures]
        folder.plan([*captures, *(cell.name for cell in plan.cells)])
        ensure_captures(folder, plan, progress, say)
        say(f"{len(plan.cells)} cells on engine {engine}")
        errors = run_cells(
            folder, plan.cells, evaluate_cell, folder.path, make_engine(engine, folder.path, jobs, parameters),
            before=captures, progress=progress, say=say,
        )  # fmt: skip
        folder.save_table("results", folder.rows())
        if errors:
            cell, error = next(iter(errors.items()))
            folder.close(RunError(f"{len(errors)} of {len(plan.cells)} cells failed, such as {cell}: {error}"))
    return folder.path
