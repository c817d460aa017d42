"""The order of a sweep: one capture a model, then the cells on an engine, then the table."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from workbench.errors import RunError
from workbench.families.context import Context, Last, Log
from workbench.families.family import Step
from workbench.families.probe_sweep.captures import capture_rows, ensure_captures
from workbench.families.probe_sweep.plan import Plan, make_plan
from workbench.families.probe_sweep.spec import EXPERIMENT, SweepSpec
from workbench.families.probe_sweep.worker import evaluate_cell
from workbench.provenance import provenance
from workbench.runs import Cell, RunFolder, load_run, make_engine, run_cells
from workbench.runs.cells import attempt


def steps(spec: SweepSpec) -> list[Step]:
    """The captures and cells of a sweep whose relative paths start here."""
    return _steps(make_plan(spec))


def _steps(plan: Plan) -> list[Step]:
    captures = [
        Step(each.step, f"capture {each.model.name}", partial(_captured, plan, number))
        for number, each in enumerate(plan.captures)
    ]
    return captures + [Step(cell.name, f"evaluate {cell.name}", partial(_evaluated, cell)) for cell in plan.cells]


def _captured(plan: Plan, number: int, context: Context[SweepSpec]) -> pd.DataFrame:
    return capture_rows(context.folder, plan, plan.captures[number], context.progress)


def _evaluated(cell: Cell, context: Context[SweepSpec]) -> pd.DataFrame:
    return attempt(evaluate_cell, str(context.folder.path), cell).frame


def run(
    spec: SweepSpec,
    root: str | os.PathLike[str] = "runs",
    name: str | None = None,
    progress: bool = False,
    log: Log | None = None,
    last: Last | None = None,
    *,
    base: str | os.PathLike[str] = ".",
    engine: str = "local",
    jobs: int | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> Path:
    """Run a sweep, or go on with one that was stopped.

    Args:
        spec: what is swept.
        root, name, progress, log, last: as in :func:`workbench.families.run`.
        base: the folder that relative paths of the spec start from.
        engine, jobs, parameters: see :func:`workbench.runs.make_engine`; they are no part of the spec, so a sweep may
            go on with others.

    Returns:
        The run folder; its table is :func:`workbench.runs.load_results` of it, and its artifact ``results``.  Cells
        that failed are rows with ``status`` "failed"; the run then has the state ``failed``, and the same call tries
        them again.

    Raises:
        WorkbenchError: for a mistake in the spec or the engine, before anything runs.
    """
    log = log or (lambda line: None)
    make_engine(engine, root, jobs, parameters)  # a mistake there is to be known before anything runs
    plan = make_plan(spec, base)
    with RunFolder.open(root, EXPERIMENT, spec, name, provenance(None, list(spec.seeds))) as folder:
        folder.plan([step.name for step in _steps(plan)])
        ensure_captures(folder, plan, progress, log)
        log(f"{len(plan.cells)} cells on engine {engine}")
        errors = run_cells(
            folder, plan.cells, evaluate_cell, folder.path, make_engine(engine, folder.path, jobs, parameters),
            before=[capture.step for capture in plan.captures], progress=progress, log=log,
        )  # fmt: skip
        folder.save_table("results", folder.rows())
        if last:
            last(load_run(folder.path))
        if errors:
            cell, error = next(iter(errors.items()))
            folder.close(RunError(f"{len(errors)} of {len(plan.cells)} cells failed, such as {cell}: {error}"))
    return folder.path
