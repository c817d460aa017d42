"""The tabs of a steering run's page."""

from __future__ import annotations

from workbench.families import View


def views() -> tuple[View, ...]:
    """One tab, of the one figure."""
    return (View("Doses", ("doses",), "What a dose does and costs, by layer, beside the controls."),)
