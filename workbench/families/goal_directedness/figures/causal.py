"""Figures of the causal check: what steering along a probe's direction, or erasing it, does to the moves, against
random directions of the same norm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.families.goal_directedness.figures.style import LEVEL, label, share_axis
from workbench.figures.marks import curve, grouped_bars, lay_out
from workbench.figures.style import BLACK, BLUE, GREEN, ORANGE, Look, finish, look_in, need, ordered

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["erasure", "steering"]

DIRECTIONS = {
    "none": Look("untouched", BLACK, "solid", "square"),
    "probe": Look("probe's direction", BLUE, "solid", "circle"),
    "random": Look("random direction", ORANGE, "dot", "x"),
    "shuffled": Look("shuffled labels", GREEN, "dash", "cross"),
}
_COLUMNS = ["layer", "kind", "direction", "multiplier", *LEVEL]
_NOTE = "95% intervals resample whole layouts."


def steering(causal: pd.DataFrame, metric: str = "shift") -> go.Figure:
    """The shift of the moves against the multiplier of the added direction, a panel a layer.

    ``causal`` has ``layer, kind, direction, multiplier, metric, estimate, low, high``; ``kind`` "steer" is drawn.
    """
    need(causal, _COLUMNS, "steering")
    rows = causal[(causal["kind"] == "steer") & (causal["metric"] == metric)]
    need(rows, [], "steering")
    layers = sorted(int(layer) for layer in rows["layer"].unique())
    places = lay_out(len(layers), 4)
    figure = make_subplots(
        places[-1][0], min(4, len(layers)), shared_yaxes="all", shared_xaxes=True, horizontal_spacing=0.03,
        vertical_spacing=0.12, subplot_titles=[f"layer {layer}" for layer in layers],
    )  # fmt: skip
    for layer, (row, col) in zip(layers, places, strict=True):
        part = rows[rows["layer"] == layer]
        for direction in ordered(part["direction"], DIRECTIONS):
            found, style = part[part["direction"] == direction], look_in(DIRECTIONS, direction)
            traces = curve(found, "multiplier", style, (row, col) == (1, 1), thin=direction != "probe")
            figure.add_traces(traces, row, col)
        figure.add_hline(0, line={"color": "#888", "width": 1}, row=row, col=col)
        figure.update_xaxes(title_text="multiplier", row=max(r for r, c in places if c == col), col=col)
    for row in range(1, places[-1][0] + 1):
        figure.update_yaxes(title_text=label(metric), row=row, col=1)
    size = {"width": max(620, 280 * min(4, len(layers)) + 110), "height": 250 * places[-1][0] + 220}
    note = f"Random directions have the same norm. {_NOTE}"
    return finish(figure, "Steering along the probe's direction", note, **size)


def erasure(causal: pd.DataFrame) -> go.Figure:
    """What erasing the direction does, by layer, a panel a measure.

    ``causal`` has ``layer, kind, direction, multiplier, metric, estimate, low, high``; ``kind`` "erase" is drawn.
    """
    need(causal, _COLUMNS, "erasure")
    rows = causal[causal["kind"] == "erase"].dropna(subset=["estimate"])
    need(rows, [], "erasure")
    metrics = ordered(rows["metric"], ("accuracy", "shift"))
    figure = make_subplots(1, len(metrics), horizontal_spacing=0.1, subplot_titles=[label(m) for m in metrics])
    for j, metric in enumerate(metrics, 1):
        for direction in ordered(rows["direction"], DIRECTIONS):
            part = rows[(rows["metric"] == metric) & (rows["direction"] == direction)].sort_values("layer")
            layers = [str(layer) for layer in part["layer"]]
            figure.add_trace(grouped_bars(part, layers, look_in(DIRECTIONS, direction), j == 1), 1, j)
        share_axis(figure, metric, 1, j)
    figure.update_xaxes(title_text="layer", type="category", showgrid=False)
    figure.update_layout(barmode="group", bargap=0.3, bargroupgap=0.06)
    note = f"LEACE removes what a linear probe could read. {_NOTE}"
    return finish(figure, "Erasing the probe's direction", note, max(720, 420 * len(metrics) + 100), 450)
