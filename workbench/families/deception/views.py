"""The tabs of a deception run's page."""

from __future__ import annotations

from workbench.families import View


def views() -> tuple[View, ...]:
    """One tab, of the one figure."""
    return (View("Choices and probe", ("deception",), "The choice by frame and when steered; what the probe finds."),)
