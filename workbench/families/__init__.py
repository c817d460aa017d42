"""Experiment families: each is one folder here (or comes with another package) and is found, not listed.

``families()`` finds the objects named ``FAMILIES`` in the folders below and the entry points of the group
``workbench.families``; docs/families.md says how to add one.
"""

from __future__ import annotations

import importlib
from contextlib import suppress
from functools import cache, partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from workbench.discovery import discover, lazily
from workbench.errors import SpecError, WorkbenchError, did_you_mean
from workbench.families.claims import Claim, Verdict, read_claims, verdict
from workbench.families.context import Context
from workbench.families.family import Command, Family, Keeps, Step, Table, View
from workbench.families.running import plan, run
from workbench.families.specs import ModelSpec, Spec

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from workbench.runs import RunRecord

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
    "figures_of",
    "get_experiment",
    "get_family",
    "lazily",
    "plan",
    "read_claims",
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


def figures_of(record: RunRecord) -> dict[str, go.Figure]:
    """All figures that a run of any family has tables for, by name; ``{}`` for a run of an unknown kind."""
    from workbench.figures.style import drawn

    family = families().get(record.experiment)
    return drawn(family.figures(record)) if family else {}


def get_experiment(name: str) -> Any:
    """The module of an experiment family; of a family that is found, what such a module has."""
    if name in families():
        family = families()[name]
        return SimpleNamespace(PRESETS=family.presets, plan=partial(_planned, family), run=partial(_run, family))
    if name not in EXPERIMENTS:
        raise SpecError(f"unknown experiment {name!r}{did_you_mean(name, EXPERIMENTS)}")
    return importlib.import_module(EXPERIMENTS[name])


def _planned(family: Family, spec: Any) -> list[tuple[str, str, int]]:
    return [(step.name, step.what, step.completions) for step in plan(family, spec)]


def _run(family: Family, spec: Any, root: Any, name: str | None = None, progress: bool = False, say: Any = None) -> Any:
    return run(family, spec, root, name, progress, say)


def figures_module(name: str) -> Any | None:
    """The module that draws the figures of a family's runs; None for a run of another kind."""
    if name in families():
        return SimpleNamespace(drawings_of=families()[name].figures, figures_of=partial(_drawn, families()[name]))
    family = {**EXPERIMENTS, "sweep": "workbench.families.probe_sweep"}.get(name)
    return importlib.import_module(f"{family}.figures") if family else None


def _drawn(family: Family, record: Any) -> dict[str, Any]:
    found = {}
    for name, draw in family.figures(record).items():
        with suppress(WorkbenchError):  # a table of an unfinished or older run; the other figures do not need it
            found[name] = draw()
    return found
