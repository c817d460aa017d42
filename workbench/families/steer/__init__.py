"""Steering with a vector made of pairs: where and how strongly, what it does, what it costs, beside what controls.

``concept`` and ``pairs`` are what is steered, ``material`` what a run makes of them, ``instruments`` how the effect is
read, ``measures`` effect, damage and replies of conditions, ``layers`` which layers are tried, ``steps`` the run,
``summary`` its tables and how a cell is chosen.
"""

from __future__ import annotations

from workbench.discovery import functions_in
from workbench.families import Family, Keeps
from workbench.families.steer.spec import PRESETS, SteerSpec

__all__ = ["FAMILIES", "PRESETS", "STEER", "SteerSpec"]

STEER = Family(
    name="steer",
    title="Steering: from pairs to a measured vector",
    question="At which layer and dose does a vector made of pairs push a model, what does it break, and is it better "
    "than a prompt or random directions of equal damage?",
    spec=SteerSpec,
    presets=PRESETS,
    keeps=Keeps(tensors=("vector",)),
    **functions_in(__name__, "steps claims figures report views", finish="summary:finish"),
)
FAMILIES = (STEER,)
