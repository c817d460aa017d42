"""The tabs of a personality run's page."""

from __future__ import annotations

from workbench.families import View


def views() -> tuple[View, ...]:
    """One tab, of the one figure."""
    return (View("Matrix", ("matrix",), "What each portrait and vector does to each trait, by both read-outs."),)
