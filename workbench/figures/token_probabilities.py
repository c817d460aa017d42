"""Numbers of tokens under several conditions: the likeliest next ones side by side; along the text the probability of
each, or what a probe or a direction reads off it.

Probabilities are tables of :func:`workbench.models.token_probabilities.token_probabilities`, one a condition.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.errors import DataError
from workbench.figures.marks import Traces, line
from workbench.figures.panels import zero_line
from workbench.figures.style import condition_look, finish, need
from workbench.figures.token_strip import visible
from workbench.labels import SINK


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
        notes = [f"{visible(text)} (rank {rank})" for text, rank in zip(known["text"], known["rank"], strict=True)]
        figure.add_traces(_along(name, known["position"], np.exp(known["logprob"].astype(float)), notes, ".4f"))
    figure.update_xaxes(title_text="position")
    figure.update_yaxes(title_text="probability", range=[-0.02, 1.02])
    return finish(figure, title, width=900, height=360)


def token_score_lines(table: pd.DataFrame, name: str = "score", title: str = "Score of each token") -> go.Figure:
    """``score`` by ``position``, one line a ``condition``; hovering shows ``text``.  ``name``: what the score is.

    Where the table has ``attention_sink``, such tokens have a dotted line in place of a point, since their scores would
    flatten all others.
    """
    need(table, ["condition", "position", "text", "score"], "token scores")
    figure = go.Figure()
    sinks = table[SINK].astype(bool) if SINK in table else pd.Series(False, index=table.index)
    for condition, rows in table.assign(score=table["score"].mask(sinks)).groupby("condition", sort=False):
        figure.add_traces(_along(str(condition), rows["position"], rows["score"], map(visible, rows["text"]), ".4g"))
    positions = sorted(set(table.loc[sinks, "position"]))
    for position in positions:
        figure.add_vline(position, line={"color": "#888", "width": 1, "dash": "dot"})
    zero_line(figure)
    figure.update_xaxes(title_text="position")
    figure.update_yaxes(title_text=name)
    note = f"Dotted: attention sink{'s' * (len(positions) > 1)}, not drawn." if positions else ""
    return finish(figure, title, note, width=900, height=360)


def _along(condition: str, x: Any, y: Any, notes: Iterable[str], digits: str) -> Traces:
    escaped = [note.replace("<", "&lt;") for note in notes]
    shown = {"customdata": escaped, "hovertemplate": f"%{{customdata}}: %{{y:{digits}}}"}
    return line(x, y, condition_look(condition), 2, 6, **shown)
