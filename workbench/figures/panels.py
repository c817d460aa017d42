"""Panels and axes: a panel for each of several values, and the axes that figures share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import Any, TypeVar

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.figures.marks import Traces

Row = TypeVar("Row")
Column = TypeVar("Column")


def lay_out(count: int, columns: int) -> list[tuple[int, int]]:
    """(row, column) of each of ``count`` panels, at most ``columns`` side by side.

    >>> lay_out(3, 2)
    [(1, 1), (1, 2), (2, 1)]
    """
    return [(i // columns + 1, i % columns + 1) for i in range(count)]


def panels(
    titles: Mapping[Column, str], draw: Callable[[Column], Traces], columns: int = 0, x: str = "", y: str = "",
    shared: bool = True, **options: Any,
) -> go.Figure:  # fmt: skip
    """A panel for each key of ``titles``, under its title, with the traces of ``draw(key)``.

    Args:
        titles: keys and titles, in order; at least one.
        draw: the traces of a panel.
        columns: how many stand side by side (default: all).
        x, y: titles of the axes, written once a column and once a row.
        shared: whether all panels share one vertical axis.
        options: of ``make_subplots``.

    Returns:
        The figure, without title and size (:func:`workbench.figures.style.finish`).
    """
    places = lay_out(len(titles), columns or len(titles))
    across, down = max(col for _, col in places), places[-1][0]
    spaced: dict[str, Any] = {"horizontal_spacing": 0.16 / (across + 2) if shared else 0.24 / across}
    spaced |= {"vertical_spacing": 0.3 / down, "shared_xaxes": down > 1, "shared_yaxes": "all" if shared else False}
    figure = make_subplots(down, across, subplot_titles=list(titles.values()), **(spaced | options))
    for key, (row, col) in zip(titles, places, strict=True):
        figure.add_traces(draw(key), row, col)
    for row, col in places[-across:]:
        figure.update_xaxes(title_text=x, showticklabels=True, row=row, col=col)
    return figure.update_yaxes(title_text=y, col=1)


def grid(
    rows: Mapping[Row, str], columns: Mapping[Column, str], draw: Callable[[Row, Column], Traces], x: str = "",
    **options: Any,
) -> go.Figure:  # fmt: skip
    """A panel for each row and column with the traces of ``draw(row, column)``.

    Rows are named at their vertical axis, which they share, and columns above; columns share their horizontal axis,
    named ``x``.  ``options`` are of ``make_subplots``.
    """
    shared: dict[str, Any] = {"shared_xaxes": True, "shared_yaxes": True, "horizontal_spacing": 0.025}
    shared |= {"vertical_spacing": 0.12 / (len(rows) + 1), "column_titles": list(columns.values())}
    figure = make_subplots(len(rows), len(columns), **(shared | options))
    for (i, row), (j, column) in product(enumerate(rows, 1), enumerate(columns, 1)):
        figure.add_traces(draw(row, column), i, j)
    for i, title in enumerate(rows.values(), 1):
        figure.update_yaxes(title_text=title, row=i, col=1)
    return figure.update_xaxes(title_text=x, row=len(rows))


def share_axis(figure: go.Figure, axis: str = "y", **place: Any) -> go.Figure:
    """0 to 1 on an axis, of all panels or of those of ``row`` and ``col``."""
    return _axes(figure, axis, {"range": [-0.03, 1.04], "tickvals": [0, 0.25, 0.5, 0.75, 1]}, place)


def name_axis(figure: go.Figure, names: Sequence[str], axis: str = "y", **place: Any) -> go.Figure:
    """Names at the places 0, 1, ... of an axis; the first stands at the left or at the top."""
    ends = [-0.6, len(names) - 0.4]
    ticks = {"tickvals": list(range(len(names))), "ticktext": list(names), "showgrid": axis == "y"}
    return _axes(figure, axis, ticks | {"range": ends if axis == "x" else ends[::-1]}, place)


def whole_axis(figure: go.Figure, values: Iterable[Any], most: int = 10) -> go.Figure:
    """Whole numbers such as layers on the horizontal axes, thinned to about ``most``."""
    found = sorted({int(value) for value in values})
    return figure.update_xaxes(tickvals=found[:: max(1, -(-len(found) // most))])


def colour_axis(figure: go.Figure, title: str, scale: str, low: float | None = None, high: float | None = None) -> None:
    """The one colour scale of the heatmaps of a figure, from ``low`` to ``high``, and their axes."""
    bar = {"title": {"text": title.replace(" (", "<br>("), "font": {"size": 12}}, "thickness": 14}
    figure.update_layout(coloraxis={"colorscale": scale, "cmin": low, "cmax": high, "colorbar": bar})
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(showgrid=False, type="category")


def zero_line(figure: go.Figure, axis: str = "y", **place: Any) -> go.Figure:
    """A thin line at 0 of an axis, in all panels or in those of ``row`` and ``col``."""
    add = figure.add_hline if axis == "y" else figure.add_vline
    return add(0, line={"color": "#888", "width": 1}, **place)


def _axes(figure: go.Figure, axis: str, properties: Mapping[str, Any], place: Mapping[str, Any]) -> go.Figure:
    return (figure.update_xaxes if axis == "x" else figure.update_yaxes)(**properties, **place)
