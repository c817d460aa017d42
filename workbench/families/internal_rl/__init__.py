"""Internal RL: controllers found in a sequence model's residual stream and reinforced (arXiv 2512.20605).

``spec`` says what is run; ``base``, ``beliefs``, ``discovery`` and ``reinforcement`` hold the work of the steps,
``steps`` their order, ``context`` what they share; ``summary`` makes the tables from the rows, ``claims`` are the
paper's.  ``control`` has the controllers and learners themselves.
"""

from __future__ import annotations

from workbench.discovery import functions_in
from workbench.families import Family, Keeps
from workbench.families.internal_rl.spec import PRESETS, InternalRLSpec

__all__ = ["FAMILIES", "INTERNAL_RL", "PRESETS", "InternalRLSpec"]

INTERNAL_RL = Family(
    name="internal-rl",
    title="Internal RL: controllers in the residual stream",
    paper="arXiv 2512.20605",
    question="Are a model's abstract actions found in its residual stream, and reinforced where its moves cannot be?",
    spec=InternalRLSpec,
    presets=PRESETS,
    processes=True,
    keeps=Keeps(rows=(), tensors=()),
    **functions_in(
        __name__,
        "steps claims figures report views",
        context="context:InternalRLRun",
        check="context:check",
        finish="summary:finish",
        pictures="figures.gifs:save_episode_gifs",
    ),
)
FAMILIES = (INTERNAL_RL,)
