"""Marks that figures of several families share: curves over bands, bars with intervals, the places of panels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from workbench.figures.style import Look, band, translucent

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["curve", "grouped_bars", "lay_out"]


def lay_out(count: int, columns: int) -> list[tuple[int, int]]:
    """(row, column) of each of ``count`` panels, at most ``columns`` side by side.

    >>> lay_out(3, 2)
    [(1, 1), (1, 2), (2, 1)]
    """
    return [(i // columns + 1, i % columns + 1) for i in range(count)]


def curve(
    part: pd.DataFrame, x: str, style: Look, legend: bool, name: str = "", thin: bool = False, shade: bool = True
) -> list[go.Scatter]:
    """The line of ``estimate`` against column ``x`` with markers, over the band of its interval."""
    part = part.dropna(subset=["estimate"]).sort_values(x)
    name = name or style.name
    hover = "%{y:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]"
    line = go.Scatter(
        x=part[x], y=part["estimate"], mode="lines+markers", name=name, legendgroup=name, showlegend=legend,
        line={"color": style.colour, "width": 1.6 if thin else 2.6, "dash": style.dash}, cliponaxis=False,
        marker={"symbol": style.symbol, "size": 6 if thin else 8}, customdata=part[["low", "high"]],
        hovertemplate=hover,
    )  # fmt: skip
    area = part.dropna(subset=["low", "high"])
    if area.empty or not shade:
        return [line]
    return [band(area[x], area["low"], area["high"], style.colour, 0.1 if thin else 0.18), line]


def _error(part: pd.DataFrame, colour: str) -> dict[str, Any]:
    up, down = part["high"] - part["estimate"], part["estimate"] - part["low"]
    return {"type": "data", "array": up, "arrayminus": down, "thickness": 1.6, "width": 4, "color": colour}


def grouped_bars(part: pd.DataFrame, x: Sequence[Any], style: Look, legend: bool) -> go.Bar:
    """Bars of one group with their intervals; a light fill keeps the interval readable."""
    return go.Bar(
        x=x, y=part["estimate"], name=style.name, legendgroup=style.name, showlegend=legend,
        error_y=_error(part, "#222"), customdata=part[["low", "high"]],
        marker={"color": translucent(style.colour, 0.55), "line": {"color": style.colour, "width": 1.5}},
        hovertemplate="%{y:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]",
    )  # fmt: skip
