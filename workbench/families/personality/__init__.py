"""Personality inventories: what they read off a model, and what vectors and portraits of a trait do to every trait.

``inventory`` and ``traits`` are the data, ``instrument`` and ``activity`` the two ways to read, ``steps`` the run.
"""

from __future__ import annotations

from workbench.discovery import functions_in
from workbench.families import Family, Keeps
from workbench.families.personality.spec import PRESETS, PersonalitySpec

__all__ = ["FAMILIES", "PERSONALITY", "PRESETS", "PersonalitySpec"]

PERSONALITY = Family(
    name="personality",
    title="Personality: inventories, vectors and portraits",
    question="Can an inventory measure this model, and does a trait's vector move its own trait and no other, further "
    "than a portrait or random directions do at equal damage?",
    spec=PersonalitySpec,
    presets=PRESETS,
    paper="arXiv 2206.07550",
    keeps=Keeps(tensors=("vectors",)),
    **functions_in(__name__, "steps claims figures report views", finish="summary:finish"),
)
FAMILIES = (PERSONALITY,)
