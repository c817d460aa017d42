"""Figures of the causal check: what steering along a probe's direction, or erasing it, does to the moves, against
random directions of the same norm."""

from __future__ import annotations

from functools import partial

import pandas as pd
import plotly.graph_objects as go

from workbench.families.goal_directedness.figures.looks import LEVEL, label, score_axes
from workbench.figures.marks import Traces, bars, curve, each
from workbench.figures.panels import panels, zero_line
from workbench.figures.style import BLACK, BLUE, GREEN, ORANGE, Look, finish, need, ordered

DIRECTIONS = {
    "none": Look("untouched", BLACK, "solid", "square"),
    "probe": Look("probe's direction", BLUE, "solid", "circle"),
    "random": Look("random direction", ORANGE, "dot", "x"),
    "shuffled": Look("shuffled labels", GREEN, "dash", "cross"),
}
_COLUMNS = ["layer", "kind", "direction", "multiplier", *LEVEL]
_NOTE = "95% intervals resample whole layouts."


def steering(causal: pd.DataFrame, metric: str = "shift") -> go.Figure:
    """The shift of the moves against the dose of the added direction, a panel a layer.

    ``causal`` has ``layer, kind, direction, dose, multiplier, metric, estimate, low, high``; ``kind`` "steer" is drawn.
    Older runs have no doses: they are drawn against the multiplier.
    """
    rows = need(causal, _COLUMNS, "steering", kind="steer", metric=metric)
    by = "dose" if "dose" in rows else "multiplier"

    def draw(layer: int) -> Traces:
        return each(rows[rows["layer"] == layer], "direction", DIRECTIONS, partial(_course, by))

    layers = {int(layer): f"layer {layer}" for layer in sorted(rows["layer"].unique())}
    figure = zero_line(panels(layers, draw, 4, by, label(metric)))
    size = {"width": max(620, 280 * min(4, len(layers)) + 110), "height": 250 * -(-len(layers) // 4) + 220}
    note = f"Random directions have the same norm. {_NOTE}"
    return finish(figure, "Steering along the probe's direction", note, **size)


def _course(by: str, rows: pd.DataFrame, look: Look) -> Traces:
    return curve(rows, by, look, thin=look != DIRECTIONS["probe"])


def erasure(causal: pd.DataFrame) -> go.Figure:
    """What erasing the direction does, by layer, a panel a measure.

    ``causal`` has ``layer, kind, direction, multiplier, metric, estimate, low, high``; ``kind`` "erase" is drawn.
    """
    rows = need(causal, _COLUMNS, "erasure", kind="erase").sort_values("layer")
    rows = need(rows.dropna(subset=["estimate"]), [], "erasure")
    metrics = {metric: label(metric) for metric in ordered(rows["metric"], ("accuracy", "shift"))}

    def draw(metric: str) -> Traces:
        part = rows[rows["metric"] == metric]
        return each(part, "direction", DIRECTIONS, lambda own, look: bars(own, own["layer"].astype(str), look))

    figure = panels(metrics, draw, x="layer", shared=False)
    score_axes(figure, list(metrics))
    figure.update_xaxes(type="category", showgrid=False)
    note = f"LEACE removes what a linear probe could read. {_NOTE}"
    return finish(figure, "Erasing the probe's direction", note, max(720, 420 * len(metrics) + 100), 450)
