"""Probe sweeps: a grid of models, sites, positions, targets, probes and seeds, from one file and one capture a model.

``spec`` says what a sweep is, ``sources`` where activations and labels come from, ``plan`` turns a spec into cells,
``captures`` reads the activations once, ``worker`` fits and evaluates the probe of one cell, ``pipeline`` is their
order.
"""

from __future__ import annotations

from workbench.discovery import functions_in, lazily
from workbench.families import Command, Family, Keeps
from workbench.families.probe_sweep.command import sweep
from workbench.families.probe_sweep.sources import sources
from workbench.families.probe_sweep.spec import EXPERIMENT, SweepSpec

__all__ = ["FAMILIES", "SWEEP", "SweepSpec", "make_plan", "run", "sources"]

make_plan = lazily(__name__, "plan:make_plan")
run = lazily(__name__, "pipeline:run")

SWEEP = Family(
    name=EXPERIMENT,
    title="Sweeps: grids of models, sites, targets and probes",
    question="Where can which label be read from a model's activations, by which probe, and better than the controls?",
    spec=SweepSpec,
    presets={},
    run=run,
    **functions_in(__name__, "figures report", steps="pipeline:steps", page="views.page:sweeps_page"),
    keeps=Keeps(tensors=()),
    commands=(Command("sweep", sweep),),
)
FAMILIES = (SWEEP,)
