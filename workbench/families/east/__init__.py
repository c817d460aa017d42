"""EAST: entropic activation steering of an in-context bandit agent (arXiv 2406.00244).

``spec`` says what is run, ``collect`` plays the agent and extracts vectors, ``evaluate`` steers it under many
conditions, ``summary`` turns rows into the results table and the acceptance orderings, ``pipeline`` is the order of
it all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.families.east.spec import PRESETS, EastSpec

if TYPE_CHECKING:
    from workbench.families.east.pipeline import plan, run

__all__ = ["PRESETS", "EastSpec", "plan", "run"]


def __getattr__(name: str) -> Any:
    """``plan`` and ``run`` on first use: they import torch, and ``--help`` must not wait for it."""
    if name in ("plan", "run"):
        from workbench.families.east import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
