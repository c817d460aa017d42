"""Experiment families: each is one folder here (or comes with another package) and is found, not listed.

``families()`` finds the objects named ``FAMILIES`` in the folders below and the entry points of the group
``workbench.families``; docs/families.md says how to add one.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from workbench.discovery import discover
from workbench.errors import check_known
from workbench.families.family import Family
from workbench.lazy import lazy_exports

if TYPE_CHECKING:
    import plotly.graph_objects as go

    import workbench.runs
    from workbench.discovery import lazily
    from workbench.families.claims import Claim, Verdict, read_claims, verdict
    from workbench.families.context import Context
    from workbench.families.family import Command, Keeps, Step, Table, View
    from workbench.families.running import plan, run
    from workbench.families.specs import ModelSpec, Spec

__getattr__, __dir__, __all__ = lazy_exports(__name__, "Family", "families", "figures_of", "get_family")

ENTRY_POINTS = "workbench.families"


@cache
def families() -> dict[str, Family]:
    """Every family that is installed, by name."""
    return discover(__name__, "FAMILIES", Family, ENTRY_POINTS)


def get_family(name: str) -> Family:
    """The family of that name; raises :class:`SpecError` with the nearest that exists.

    >>> get_family("east").title
    'EAST: entropic activation steering'
    """
    check_known(name, families(), "experiment")
    return families()[name]


def figures_of(record: workbench.runs.RunRecord) -> dict[str, go.Figure]:
    """All figures that a run of any family has tables for, by name; ``{}`` for a run of an unknown kind."""
    from workbench.figures.style import drawn

    family = families().get(record.experiment)
    return drawn(family.figures(record)) if family else {}
