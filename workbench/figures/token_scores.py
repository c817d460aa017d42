"""Scores along a text: what a probe or a direction reads off each token, one line a condition."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from workbench.figures.conditions import condition_look
from workbench.figures.marks import line
from workbench.figures.panels import zero_line
from workbench.figures.style import finish, need
from workbench.figures.token_strip import visible


def token_score_lines(table: pd.DataFrame, name: str = "score", title: str = "Score of each token") -> go.Figure:
    """``score`` by ``position``, one line a ``condition``; hovering shows ``text``.  ``name``: what the score is."""
    need(table, ["condition", "position", "text", "score"], "token scores")
    figure = go.Figure()
    for condition, rows in table.groupby("condition", sort=False):
        texts = [visible(text).replace("<", "&lt;") for text in rows["text"]]
        shown = {"customdata": texts, "hovertemplate": "%{customdata}: %{y:.4g}"}
        figure.add_traces(line(rows["position"], rows["score"], condition_look(str(condition)), 2, 6, **shown))
    zero_line(figure)
    figure.update_xaxes(title_text="position")
    figure.update_yaxes(title_text=name)
    return finish(figure, title, width=900, height=360)
