"""Deception: what reward and pressure do to the choice of a lie, and whether a probe of instructed lies finds others.

``scenarios`` and ``facts`` are the data, ``choice`` the judge-free score, ``detection`` the probe, ``steps`` the run.
"""

from __future__ import annotations

from workbench.discovery import functions_in
from workbench.families import Family, Keeps
from workbench.families.deception.spec import PRESETS, DeceptionSpec

__all__ = ["DECEPTION", "FAMILIES", "PRESETS", "DeceptionSpec"]

DECEPTION = Family(
    name="deception",
    title="Deception: reward, pressure and a probe",
    question="Do reward and pressure make a model prefer the lie, does a probe of instructed lies find others, and "
    "does its direction steer?",
    spec=DeceptionSpec,
    presets=PRESETS,
    paper="arXiv 2510.15501",
    keeps=Keeps(tensors=("vectors",)),
    **functions_in(__name__, "steps claims figures report views", finish="summary:finish"),
)
FAMILIES = (DECEPTION,)
