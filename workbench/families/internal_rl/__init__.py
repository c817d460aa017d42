"""Internal RL: controllers found in a sequence model's residual stream and reinforced (arXiv 2512.20605).

``spec`` says what is run; ``base``, ``beliefs``, ``discovery`` and ``reinforcement`` hold the work of the steps,
``steps`` their order, ``context`` what they share; ``summary`` makes the tables from the rows, ``claims`` are the
paper's.  ``control`` has the controllers and learners themselves.
"""

from __future__ import annotations

from functools import partial

from workbench.families import Family, Keeps, lazily
from workbench.families.internal_rl.spec import PRESETS, InternalRLSpec

__all__ = ["FAMILIES", "INTERNAL_RL", "PRESETS", "InternalRLSpec"]

_here = partial(lazily, __name__)

INTERNAL_RL = Family(
    name="internal-rl",
    title="Internal RL: controllers in the residual stream",
    paper="arXiv 2512.20605",
    question="Are a model's abstract actions found in its residual stream, and reinforced where its moves cannot be?",
    spec=InternalRLSpec,
    presets=PRESETS,
    steps=_here("steps:steps"),
    context=_here("context:InternalRLRun"),
    check=_here("context:check"),
    processes=True,
    finish=_here("summary:finish"),
    claims=_here("claims:claims"),
    figures=_here("figures:figures"),
    pictures=_here("figures.gifs:save_episode_gifs"),
    report=_here("report:report"),
    views=_here("views:views"),
    keeps=Keeps(rows=(), tensors=()),
)
FAMILIES = (INTERNAL_RL,)
