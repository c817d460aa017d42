"""Steering with a vector of one concept: what it does by layer and dose, what it costs, and beside what controls.

``concept`` is what is steered (pairs, prompts, words), ``measures`` its two measures, ``steps`` the run.
"""

from __future__ import annotations

from workbench.discovery import functions_in
from workbench.families import Family, Keeps
from workbench.families.steer.spec import PRESETS, SteerSpec

__all__ = ["FAMILIES", "PRESETS", "STEER", "SteerSpec"]

STEER = Family(
    name="steer",
    title="Steering: one concept by layer and dose",
    question="Does a vector made of pairs of texts push a model's words, further than a prompt or random directions, "
    "and at what cost?",
    spec=SteerSpec,
    presets=PRESETS,
    keeps=Keeps(tensors=("vectors",)),
    **functions_in(__name__, "steps claims figures report views", finish="summary:finish"),
)
FAMILIES = (STEER,)
