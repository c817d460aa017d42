"""Activations on their first two principal components."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import plotly.graph_objects as go

from workbench.errors import DataError
from workbench.figures.marks import line
from workbench.figures.style import condition_look, finish, need
from workbench.figures.token_strip import visible


def component_scatter(
    table: pd.DataFrame, explained: Sequence[float], title: str = "Principal components", lines: bool = False
) -> go.Figure:
    """Rows by ``first`` and ``second``, a colour and mark for each ``condition``; hovering shows ``text``.

    ``explained``: shares of the variance, written on the axes.  ``lines`` joins the rows of a condition in their order.
    """
    need(table, ["condition", "first", "second", "text"], "principal components")
    if len(explained) != 2:
        raise DataError(f"two shares of explained variance are needed, not {len(explained)}")
    figure = go.Figure()
    for condition, rows in table.groupby("condition", sort=False):
        look = replace(condition_look(str(condition)), dash="dot")
        shown = {"customdata": [visible(text).replace("<", "&lt;") for text in rows["text"]], "opacity": 0.9}
        shown |= {"mode": "lines+markers" if lines else "markers"}
        shown |= {"hovertemplate": "%{customdata}<br>(%{x:.3g}, %{y:.3g})"}
        figure.add_traces(line(rows["first"], rows["second"], look, 1, 9, **shown))
    first, second = (f"component ({100 * share:.0f}% of the variance)" for share in explained)
    figure.update_xaxes(title_text=f"first {first}").update_yaxes(title_text=f"second {second}")
    return finish(figure, title, width=760, height=560)
