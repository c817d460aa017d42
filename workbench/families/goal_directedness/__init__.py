"""Goal-directedness of a language agent in grids (arXiv 2602.08964): behaviour, cognitive maps, plans, causal checks.

``spec`` says what is run, ``steps`` in which order, ``context`` what the steps share; ``probe_steps`` fits the probes
of ``probing``, ``decoded`` scores actions on decoded maps, ``causal`` steers and erases, ``summary`` makes the tables,
``claims`` are the paper's.  The mazes, the agent and its probed states are those of :mod:`workbench.worlds.grids`.
"""

from __future__ import annotations

from functools import partial

from workbench.families import Family, Keeps, lazily
from workbench.families.goal_directedness.spec import PRESETS, GoalSpec

__all__ = ["FAMILIES", "GOAL_DIRECTEDNESS", "PRESETS", "GoalSpec"]

_here = partial(lazily, __name__)

GOAL_DIRECTEDNESS = Family(
    name="goal-directedness",
    title="Goal-directedness: a language agent in grid worlds",
    paper="arXiv 2602.08964",
    question="Does an agent that walks grids hold a map and a plan, and does it act on what probes read of them?",
    spec=GoalSpec,
    presets=PRESETS,
    steps=_here("steps:steps"),
    context=_here("context:GoalRun"),
    finish=_here("summary:finish"),
    claims=_here("claims:claims"),
    figures=_here("figures:figures"),
    report=_here("report:report"),
    views=_here("views:views"),
    keeps=Keeps(rows=(), tensors=("examples",)),
)
FAMILIES = (GOAL_DIRECTEDNESS,)
