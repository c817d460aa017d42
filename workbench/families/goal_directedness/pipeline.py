"""The order of a goal-directedness run.  Each step is a unit of the run folder: finished units are never done again."""

from __future__ import annotations

import os
from pathlib import Path

from workbench.families.goal_directedness.examples import save_examples
from workbench.families.goal_directedness.job import Job, layers_of
from workbench.families.goal_directedness.orderings import orderings
from workbench.families.goal_directedness.spec import GoalSpec
from workbench.families.goal_directedness.summary import save_tables
from workbench.families.goal_directedness.units import units_of
from workbench.families.units import Say, run_units
from workbench.models.language_model import LanguageModel
from workbench.models.loading import load_model, n_layers_of
from workbench.provenance import provenance
from workbench.runs import RunFolder

__all__ = ["plan", "run"]


def plan(spec: GoalSpec) -> list[tuple[str, str, int]]:
    """Units in order: (name, what it does, completions it draws at most)."""
    units = units_of(spec, layers_of(spec, n_layers_of(spec.model)))
    return [(unit.name, unit.what, unit.completions) for unit in units]


def run(
    spec: GoalSpec,
    root: str | os.PathLike[str],
    name: str | None = None,
    progress: bool = False,
    say: Say | None = None,
) -> Path:
    """Run (or go on with) a goal-directedness run in ``root``; return its folder.

    Tables end up in the folder's artifacts (``behaviour``, ``maps``, ``plans``, ``orderings``...).  ``say`` gets one
    line a unit.
    """
    model = LanguageModel.of(
        load_model(spec.model, spec.backend, device=spec.device, device_map=spec.device_map, dtype=spec.dtype)
    )
    layers = layers_of(spec, model.n_layers)  # refused before a folder is made
    with RunFolder.open(root, "goal-directedness", spec, name, provenance(model, spec.seed)) as folder:
        units, job = list(units_of(spec, layers)), Job(model, spec, folder, progress)
        run_units(folder, units, job, say)
        _summarise(job, probed=any(unit.name == "states" for unit in units))
    return folder.path


def _summarise(job: Job, probed: bool) -> None:
    """Everything that follows from the rows, computed again at the end of every session."""
    save_tables(job.folder, job.spec)
    data, layer = (job.data, job.layer) if probed else (None, None)
    job.folder.save_table("orderings", orderings(job.folder, job.spec, data, layer))
    if data is not None and layer is not None:
        job.folder.write_json("chosen", {"layer": layer})
        save_examples(job.folder, data, layer)
