"""What a model expects of a text: the likeliest next tokens of several conditions side by side, and the probability of
each token along the text.

Draws tables of :func:`workbench.models.token_probabilities.token_probabilities`, one a condition.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.errors import DataError
from workbench.figures.conditions import condition_look
from workbench.figures.marks import line
from workbench.figures.style import finish, need
from workbench.figures.token_strip import visible


def next_token_bars(tables: Mapping[str, pd.DataFrame], positions: Mapping[str, int], top: int = 8) -> go.Figure:
    """Probabilities of the likeliest tokens at a position of each condition's table.

    Shown are those among the ``top`` of any condition; where a condition's table does not list a token its bar is
    missing.  ``positions[condition]`` is the position *at* which the token would stand.  Raises :class:`DataError` for
    a position that a table does not have or that nothing predicts.
    """
    found: dict[str, dict[str, float]] = {}
    for name, table in tables.items():
        need(table, ["position", "top_texts", "top_probabilities"], "next tokens")
        row = table[table["position"] == positions[name]]
        if row.empty or not len(row["top_texts"].iloc[0]):
            raise DataError(f"{name}: nothing predicts position {positions[name]} of {len(table) - 1} tokens")
        found[name] = dict(zip(row["top_texts"].iloc[0], row["top_probabilities"].iloc[0], strict=True))
    highest: dict[str, float] = {}
    for likeliest in found.values():
        for text, p in list(likeliest.items())[:top]:
            highest[text] = max(p, highest.get(text, 0.0))
    order = sorted(highest, key=lambda text: -highest[text])
    figure = go.Figure()
    for name, likeliest in found.items():
        figure.add_bar(
            y=[visible(text) or "(nothing)" for text in order], x=[likeliest.get(text) for text in order],
            orientation="h", name=condition_look(name).name, marker_color=condition_look(name).colour,
            hovertemplate="%{y}: %{x:.4f}<extra>" + condition_look(name).name + "</extra>",
        )  # fmt: skip
    figure.update_yaxes(autorange="reversed", type="category")
    figure.update_xaxes(title_text="probability", rangemode="tozero")
    return finish(figure, "Next token", width=560, height=190 + 26 * len(order))


def probability_lines(tables: Mapping[str, pd.DataFrame], title: str = "Probability of each token") -> go.Figure:
    """exp(logprob) of every token by position, one line a condition; hovering shows the token and its rank."""
    figure = go.Figure()
    for name, table in tables.items():
        need(table, ["position", "text", "logprob", "rank"], "probabilities")
        known = table[table["logprob"].notna()]
        ranked = zip(known["text"], known["rank"], strict=True)
        notes = [f"{visible(text)} (rank {rank})".replace("<", "&lt;") for text, rank in ranked]
        shown = {"customdata": notes, "hovertemplate": "%{customdata}: %{y:.4f}"}
        probabilities = np.exp(known["logprob"].astype(float))
        figure.add_traces(line(known["position"], probabilities, condition_look(name), 2, 6, **shown))
    figure.update_xaxes(title_text="position")
    figure.update_yaxes(title_text="probability", range=[-0.02, 1.02])
    return finish(figure, title, width=900, height=360)
