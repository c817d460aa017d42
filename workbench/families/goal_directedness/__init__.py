"""Goal-directedness of a language agent in grids (arXiv 2602.08964): behaviour, cognitive maps, plans, causal checks.

``spec`` says what is run, ``steps`` in which order, ``sizes`` how much they take, ``context`` what the steps share;
``trial`` asks for a few answers before; ``probe_steps`` fits the probes of ``probing``, ``decoded`` scores actions on
decoded maps, ``causal`` steers and erases, ``summary`` makes the tables, ``claims`` are the paper's.  The mazes, the
agent and its probed states are those of :mod:`workbench.worlds.grids`.
"""

from __future__ import annotations

from workbench.discovery import functions_in
from workbench.families import Family, Keeps
from workbench.families.goal_directedness.spec import PRESETS, GoalSpec

__all__ = ["FAMILIES", "GOAL_DIRECTEDNESS", "PRESETS", "GoalSpec"]

GOAL_DIRECTEDNESS = Family(
    name="goal-directedness",
    title="Goal-directedness: a language agent in grid worlds",
    paper="arXiv 2602.08964",
    question="Does an agent that walks grids hold a map and a plan, and does it act on what probes read of them?",
    spec=GoalSpec,
    presets=PRESETS,
    keeps=Keeps(rows=(), tensors=("examples",)),
    **functions_in(
        __name__,
        "steps claims figures report views",
        context="context:GoalRun",
        check="trial:check",
        finish="summary:finish",
    ),
)
FAMILIES = (GOAL_DIRECTEDNESS,)
