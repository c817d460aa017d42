"""Experiment families: each joins models, activations, probes and steering into a run that can be repeated.

An experiment is a spec (frozen, JSON-able) and a function that runs it in a run folder, registered by name here.
"""

from __future__ import annotations

import importlib
from typing import Any

from workbench.errors import SpecError, did_you_mean

__all__ = ["EXPERIMENTS", "figures_module", "get_experiment"]

# name -> module with PRESETS (name -> spec), run(spec, root, ...) and plan(spec); a new family is one line here.
EXPERIMENTS: dict[str, str] = {
    "east": "workbench.families.east",
    "goal-directedness": "workbench.families.goal_directedness",
    "self-prediction": "workbench.families.introspection.self_prediction",
    "concept-injection": "workbench.families.introspection.concept_injection",
    "internal-rl": "workbench.families.internal_rl",
}


def get_experiment(name: str) -> Any:
    """The module of an experiment family."""
    if name not in EXPERIMENTS:
        raise SpecError(f"unknown experiment {name!r}{did_you_mean(name, EXPERIMENTS)}")
    return importlib.import_module(EXPERIMENTS[name])


def figures_module(name: str) -> Any | None:
    """The module that draws the figures of a family's runs; None for a run of another kind."""
    family = {**EXPERIMENTS, "sweep": "workbench.families.probe_sweep"}.get(name)
    return importlib.import_module(f"{family}.figures") if family else None
