"""The order of a self-prediction run.  Each step is a unit of the run folder: finished units are never done again."""

from __future__ import annotations

import os
from pathlib import Path

from workbench.errors import SpecError
from workbench.families.introspection.self_prediction.job import Job
from workbench.families.introspection.self_prediction.spec import COPY, SelfPredictionSpec
from workbench.families.introspection.self_prediction.summary import save_tables
from workbench.families.introspection.self_prediction.units import units_of
from workbench.families.units import Say, run_units
from workbench.models.language_model import LanguageModel
from workbench.models.loading import load_model, n_layers_of
from workbench.provenance import provenance
from workbench.runs import RunFolder

__all__ = ["plan", "run"]


def plan(spec: SelfPredictionSpec) -> list[tuple[str, str, int]]:
    """Units in order: (name, what it does, completions it draws at most)."""
    layers = _layers(spec, n_layers_of(spec.model))
    _check_candidates(spec)
    units = units_of(spec, layers)
    return [(unit.name, unit.what, unit.completions) for unit in units]


def run(
    spec: SelfPredictionSpec,
    root: str | os.PathLike[str],
    name: str | None = None,
    progress: bool = False,
    say: Say | None = None,
) -> Path:
    """Run (or go on with) a self-prediction run in ``root``; return its folder.

    Tables end up in the folder's artifacts (``accuracy``, ``comparisons``, ``calibration``, ``shift``, ``probes``,
    ``orderings``...), the adapters in ``adapters``.  ``say`` gets one line a unit.
    """
    _check_candidates(spec)  # now, and not when their turn comes
    model = LanguageModel.of(
        load_model(spec.model, spec.backend, device=spec.device, device_map=spec.device_map, dtype=spec.dtype)
    )
    layers = _layers(spec, model.n_layers)  # refused before a folder is made
    with RunFolder.open(root, "self-prediction", spec, name, provenance(model, spec.seed)) as folder:
        job = Job(model, spec, folder, layers, progress)
        run_units(folder, units_of(spec, layers), job, say)
        save_tables(job)
    return folder.path


def _check_candidates(spec: SelfPredictionSpec) -> None:
    """:class:`ModelError` for a candidate that is not there, from configurations alone."""
    for name in spec.candidates:
        if name != COPY:
            n_layers_of(name)


def _layers(spec: SelfPredictionSpec, n_layers: int) -> tuple[int, ...]:
    layers = tuple(range(n_layers)) if spec.layers is None else spec.layers
    for layer in layers:
        if not 0 <= layer < n_layers:
            raise SpecError(f"layer {layer} does not exist: {spec.model} has layers 0 to {n_layers - 1}")
    return layers
