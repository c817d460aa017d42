"""The marks that figures are made of: lines, curves over bands, bars and points with intervals, cells of a heatmap.

Every mark is a list of traces, so marks are joined by ``+``.  An interval is that of the columns ``estimate, low,
high`` or, for another quantity ``of``, of ``of, of_low, of_high``; a trace's name is its legend entry and its group.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import pandas as pd
import plotly.graph_objects as go

from workbench.figures.style import GREY, Look, looks_in, translucent, words

LEVEL = ("estimate", "low", "high")
Traces: TypeAlias = list[Any]  # go.Scatter, go.Bar and others; plotly has no types


def bounds(of: str = "estimate") -> list[str]:
    """The columns that hold the interval of a quantity.

    >>> bounds(), bounds("difference")
    (['low', 'high'], ['difference_low', 'difference_high'])
    """
    return ["low", "high"] if of == "estimate" else [f"{of}_low", f"{of}_high"]


def each(
    table: pd.DataFrame, column: str, looks: Mapping[str, Look], mark: Callable[[pd.DataFrame, Look], Traces]
) -> Traces:
    """``mark(rows, look)`` of the rows of each value of a column; values stand in the order of their looks."""
    found = looks_in(table[column], looks)
    return [trace for value, look in found for trace in mark(table[table[column] == value], look)]


def line(x: Any, y: Any, look: Look, width: float = 2.6, size: float = 0, **more: Any) -> Traces:
    """A line, with markers where they have a ``size`` in pixels; ``more`` are properties of a ``go.Scatter``.

    >>> line([0, 1], [0.2, 0.4], Look("probe", "#000000"))[0].mode
    'lines'
    """
    marker = {"symbol": look.symbol, "size": size or None, "color": look.colour}
    shown: dict[str, Any] = {"mode": "lines+markers" if size else "lines", "cliponaxis": False}
    stroke = {"color": look.colour, "width": width, "dash": look.dash}
    named = {"name": look.name, "legendgroup": look.name}
    return [go.Scatter(x=x, y=y, line=stroke, marker=marker, **(named | shown | more))]


def band(x: Sequence[Any], low: Sequence[float], high: Sequence[float], colour: str, alpha: float = 0.18) -> Traces:
    """The filled area between ``low`` and ``high``; nothing where there are no bounds."""
    known = [at for at in zip(x, low, high, strict=True) if at[1] == at[1] and at[2] == at[2]]
    if not known:
        return []
    x, low, high = (list(values) for values in zip(*known, strict=True))
    return [go.Scatter(
        x=x + x[::-1], y=high + low[::-1], fill="toself", fillcolor=translucent(colour, alpha), line={"width": 0},
        mode="lines", hoverinfo="skip", showlegend=False,
    )]  # fmt: skip


def curve(
    table: pd.DataFrame, x: str, look: Look, thin: bool = False, shade: bool = True, of: str = "estimate", **more: Any
) -> Traces:
    """The line of a quantity against column ``x`` with markers, over the band of its interval.

    Args:
        table: rows of the curve, in any order; those without the quantity are left out.
        x: column of the horizontal axis, also named when hovering.
        look: name, colour, dash and marker.
        thin: of less weight, for controls.
        shade: draw the band.
        of: the quantity, see the module.
        more: properties of the line's ``go.Scatter``.

    Returns:
        The band, where there is one, and the line; nothing for an empty table.
    """
    table = table.dropna(subset=[of]).sort_values(x)
    if table.empty:
        return []
    low, high = (table[name] for name in bounds(of))
    hover = f"{words(x)} %{{x}}: %{{y:.3f}} [%{{customdata[0]:.3f}}, %{{customdata[1]:.3f}}]"
    more = {"customdata": table[bounds(of)], "hovertemplate": hover} | more
    drawn = line(table[x], table[of], look, 1.6 if thin else 2.6, 6 if thin else 8, **more)
    return (band(table[x], low, high, look.colour, 0.1 if thin else 0.18) if shade else []) + drawn


def bars(table: pd.DataFrame, names: Sequence[Any], look: Look, of: str = "estimate") -> Traces:
    """Bars with their intervals, grouped with the bars of other looks; a light fill keeps the interval readable."""
    return [go.Bar(
        x=names, y=table[of], name=look.name, legendgroup=look.name, error_y=_error(table, "#222", of),
        customdata=table[bounds(of)], hovertemplate="%{y:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]",
        marker={"color": translucent(look.colour, 0.55), "line": {"color": look.colour, "width": 1.5}},
    )]  # fmt: skip


def points(
    table: pd.DataFrame, look: Look, x: Sequence[Any] | None = None, y: Sequence[Any] | None = None,
    of: str = "estimate", size: float = 10, **more: Any,
) -> Traces:  # fmt: skip
    """Points with their intervals: upright at the places ``x``, or lying at the places ``y``."""
    at, along = ("y", "x") if x is None else ("x", "y")
    hover = f"%{{{along}:.3f}} [%{{customdata[0]:.3f}}, %{{customdata[1]:.3f}}]"
    shown = {at: y if x is None else x, along: table[of], f"error_{along}": _error(table, look.colour, of)}
    shown |= {"customdata": table[bounds(of)], "hovertemplate": hover}
    return line(look=look, size=size, **({"mode": "markers"} | shown | more))


def _error(table: pd.DataFrame, colour: str, of: str) -> dict[str, Any]:
    low, high = (table[name] for name in bounds(of))
    up, down = high - table[of], table[of] - low
    return {"type": "data", "array": up, "arrayminus": down, "thickness": 1.6, "width": 4, "color": colour}


def numbers(x: Sequence[float], y: Sequence[float], texts: Sequence[str], side: str = "right") -> Traces:
    """Small texts beside marks, at their ``side``."""
    return [go.Scatter(
        x=x, y=y, mode="text", text=texts, textposition=f"middle {side}", textfont={"size": 11, "color": "#444"},
        hoverinfo="skip", showlegend=False,
    )]  # fmt: skip


def diagonal() -> Traces:
    """Where what was predicted is what came: the reference of a reliability diagram."""
    return line([0, 1], [0, 1], Look("calibrated", GREY, "dot"), 1.5, hoverinfo="skip")


def heat(z: pd.DataFrame, text: Any, hover: str, notes: Any = None, **more: Any) -> Traces:
    """Cells of a pivoted table, its columns across and its index up, each with its text.

    ``hover`` may name ``%{x}``, ``%{y}``, ``%{z}``, ``%{text}`` and the cell's ``%{customdata}`` (``notes``).  Colours
    are those of the figure's colour axis (:func:`workbench.figures.panels.colour_axis`).
    """
    shown = {"coloraxis": "coloraxis", "texttemplate": "%{text}", "xgap": 2, "ygap": 2} | more
    return [go.Heatmap(
        z=z, x=list(map(str, z.columns)), y=list(map(str, z.index)), text=text, customdata=notes,
        hovertemplate=f"{hover}<extra></extra>", **shown,
    )]  # fmt: skip


def cell_lines(size: int, colour: str) -> Traces:
    """Lines between the cells of a square board, in their coordinates: they stay there when it is shown smaller."""
    low, high, edges = -0.5, size - 0.5, [edge + 0.5 for edge in range(size - 1)]
    x = [at for edge in edges for at in (edge, edge, None, low, high, None)]
    y = [at for edge in edges for at in (low, high, None, edge, edge, None)]
    stroke = {"color": colour, "width": 1}
    return [go.Scatter(x=x, y=y, mode="lines", line=stroke, hoverinfo="skip", showlegend=False)]
