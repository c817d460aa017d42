"""EAST: entropic activation steering of an in-context bandit agent (arXiv 2406.00244).

``spec`` says what is run, ``collect`` plays the agent, extracts vectors and steers it under many conditions, ``steps``
is the order of it all and turns rows into tables, ``claims`` are the paper's.
"""

from __future__ import annotations

from functools import partial

from workbench.families import Family, Keeps, lazily
from workbench.families.east.spec import PRESETS, EastSpec

__all__ = ["EAST", "FAMILIES", "PRESETS", "EastSpec"]

_here = partial(lazily, __name__)

EAST = Family(
    name="east",
    title="EAST: entropic activation steering",
    paper="arXiv 2406.00244",
    question="Can a bandit agent's uncertainty be read from its residual stream, and raised by steering along it?",
    spec=EastSpec,
    presets=PRESETS,
    steps=_here("steps:steps"),
    context=_here("steps:EastRun"),
    finish=_here("steps:finish"),
    claims=_here("claims:claims"),
    figures=_here("figures:figures"),
    report=_here("report:report"),
    views=_here("views:views"),
    keeps=Keeps(rows=("behaviour-*", "steered-*", "vectors-*", "thoughts-*"), tensors=("vector-*",)),
)
FAMILIES = (EAST,)
