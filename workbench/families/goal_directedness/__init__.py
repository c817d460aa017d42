"""Goal-directedness of a language agent in grids (arXiv 2602.08964): behaviour, cognitive maps, plans, causal checks.

``spec`` says what is run, ``layouts`` draws the grids, ``states`` plays and reads the states that are probed,
``probing`` fits the probes, ``decoded`` scores actions on decoded maps, ``causal`` steers and erases, ``units`` and
``probe_units`` are the steps of a run and ``job`` is what they share, ``summary`` makes the tables, ``orderings`` says
what held, ``pipeline`` runs it all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.families.goal_directedness.spec import PRESETS, GoalSpec

if TYPE_CHECKING:
    from workbench.families.goal_directedness.pipeline import plan, run

__all__ = ["PRESETS", "GoalSpec", "plan", "run"]


def __getattr__(name: str) -> Any:
    """``plan`` and ``run`` on first use: they import torch, and ``--help`` must not wait for it."""
    if name in ("plan", "run"):
        from workbench.families.goal_directedness import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
