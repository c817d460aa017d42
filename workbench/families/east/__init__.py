"""EAST: entropic activation steering of an in-context bandit agent (arXiv 2406.00244).

``spec`` says what is run, ``collect`` plays the agent, extracts vectors and steers it under many conditions, ``steps``
is the order of it all and turns rows into tables, ``claims`` are the paper's.
"""

from __future__ import annotations

from workbench.discovery import functions_in
from workbench.families import Family, Keeps
from workbench.families.east.spec import PRESETS, EastSpec

__all__ = ["EAST", "FAMILIES", "PRESETS", "EastSpec"]

EAST = Family(
    name="east",
    title="EAST: entropic activation steering",
    paper="arXiv 2406.00244",
    question="Can a bandit agent's uncertainty be read from its residual stream, and raised by steering along it?",
    spec=EastSpec,
    presets=PRESETS,
    keeps=Keeps(rows=("behaviour-*", "steered-*", "vectors-*", "thoughts-*"), tensors=("vector-*",)),
    **functions_in(
        __name__,
        "steps claims figures report views",
        context="steps:EastRun",
        finish="steps:finish",
        check="dry_check:check",
    ),
)
FAMILIES = (EAST,)
