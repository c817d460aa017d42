"""From a result table to a Plotly figure: pure functions that compute no number which is not in the table."""

from __future__ import annotations

from workbench.figures.saving import save_figures

__all__ = ["save_figures"]
