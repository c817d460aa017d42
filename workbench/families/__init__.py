"""Experiment families: each is one folder here (or comes with another package) and is found, not listed.

``families()`` finds the objects named ``FAMILIES`` in the folders below and the entry points of the group
``workbench.families``; docs/families.md says how to add one.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from workbench.discovery import discover, lazily
from workbench.errors import SpecError, did_you_mean
from workbench.families.claims import Claim, Verdict, verdict
from workbench.families.context import Context
from workbench.families.family import Command, Family, Keeps, Step, Table, View
from workbench.families.running import plan, run
from workbench.families.specs import ModelSpec, Spec

__all__ = [
    "EXPERIMENTS",
    "Claim",
    "Command",
    "Context",
    "Family",
    "Keeps",
    "ModelSpec",
    "Spec",
    "Step",
    "Table",
    "Verdict",
    "View",
    "families",
    "figures_module",
    "get_experiment",
    "get_family",
    "lazily",
    "plan",
    "run",
    "verdict",
]

# name -> module with PRESETS (name -> spec), run(spec, root, ...) and plan(spec); a new family is one line here.
EXPERIMENTS: dict[str, str] = {
    "east": "workbench.families.east",
    "goal-directedness": "workbench.families.goal_directedness",
    "self-prediction": "workbench.families.introspection.self_prediction",
    "concept-injection": "workbench.families.introspection.concept_injection",
    "internal-rl": "workbench.families.internal_rl",
}
ENTRY_POINTS = "workbench.families"


@cache
def families() -> dict[str, Family]:
    """Every family that is installed, by name."""
    return discover(__name__, "FAMILIES", Family, ENTRY_POINTS)


def get_family(name: str) -> Family:
    """The family of that name; raises :class:`SpecError` with the nearest that exists.

    >>> get_family("east").title
    'EAST: entropic activation steering'
    """
    if name not in families():
        raise SpecError(f"unknown experiment {name!r}{did_you_mean(name, families())}")
    return families()[name]


def get_experiment(name: str) -> Any:
    """The module of an experiment family."""
    if name not in EXPERIMENTS:
        raise SpecError(f"unknown experiment {name!r}{did_you_mean(name, EXPERIMENTS)}")
    return importlib.import_module(EXPERIMENTS[name])


def figures_module(name: str) -> Any | None:
    """The module that draws the figures of a family's runs; None for a run of another kind."""
    family = {**EXPERIMENTS, "sweep": "workbench.families.probe_sweep"}.get(name)
    return importlib.import_module(f"{family}.figures") if family else None
