"""Figures of what the agent's activations say about its moves: forecasts of the next ten, and how well the moves fit
the map that was decoded (arXiv 2602.08964)."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.families.goal_directedness.figures.style import (
    CONTROLS,
    LEVEL,
    MAPS,
    POSITIONS,
    best_layer,
    label,
    share_axis,
)
from workbench.figures.marks import curve, grouped_bars
from workbench.figures.style import Look, finish, look_in, need, ordered

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["decoded_actions", "plan_controls", "plan_layers", "plan_prefix"]

_COLUMNS = ["position", "layer", "decoder", "control", "prefix", "padding", "estimate", "low", "high"]
_DASHES = {0: ("dot", "-open"), 1: ("solid", ""), 2: ("dash", "-dot"), 4: ("dashdot", "-open-dot")}
_PADDING = {"with": "the end of the episode counts as a move", "without": "only while moves are left"}
_SHARE = "prefix@N: all of the first N moves right (share)"


def plan_prefix(plans: pd.DataFrame) -> go.Figure:
    """prefix@N against N: a line a position and decoder (at its best layer), beside always guessing the most frequent
    sequence and guessing evenly; a panel with and one without padding.

    ``plans`` has ``position, layer, decoder, control, prefix, padding, estimate, low, high``.
    """
    need(plans, _COLUMNS, "plan_prefix")
    probes = plans[plans["control"] == "none"]
    need(probes, [], "plan_prefix")
    paddings = ordered(plans["padding"], ("without", "with"))
    figure = make_subplots(1, len(paddings), shared_yaxes=True, horizontal_spacing=0.04,
                           subplot_titles=[_PADDING.get(p, p) for p in paddings])  # fmt: skip
    for j, padding in enumerate(paddings, 1):
        part = plans[plans["padding"] == padding]
        for position, decoder in product(ordered(probes["position"], POSITIONS), sorted(probes["decoder"].unique())):
            rows = _best(probes[(probes["position"] == position) & (probes["decoder"] == decoder)], padding)
            if len(rows):
                figure.add_traces(curve(rows, "prefix", _decoder_look(position, decoder, rows), j == 1), 1, j)
        for control in ("majority", "uniform"):
            rows = part[part["control"] == control].drop_duplicates(["prefix"])
            if len(rows):
                figure.add_traces(curve(rows, "prefix", CONTROLS[control], j == 1, thin=True), 1, j)
    _axes(figure, plans)
    note = "Each at the layer where its prefix@1 is highest. 95% intervals resample whole layouts."
    return finish(figure, "Forecast of the next moves", note, max(700, 480 * len(paddings) + 80), 580)


def _best(rows: pd.DataFrame, padding: str) -> pd.DataFrame:
    """The rows of one padding at the layer where the first move is forecast best."""
    rows = rows[rows["padding"] == padding]
    first = rows[rows["prefix"] == 1]
    return rows[rows["layer"] == best_layer(first)] if len(first) else rows[:0]


def _decoder_look(position: str, decoder: int, rows: pd.DataFrame | None = None) -> Look:
    base = look_in(POSITIONS, position)
    dash, marker = _DASHES.get(int(decoder), ("longdashdot", "-open"))
    kind = "linear" if decoder == 0 else f"{decoder}-layer decoder"
    return Look(f"{kind}, {base.name.replace('the ', '')}", base.colour, dash, base.symbol + marker)


def plan_controls(plans: pd.DataFrame) -> go.Figure:
    """prefix@N of the largest decoder beside its controls, a panel a position; without padding where that is known.

    ``plans`` has ``position, layer, decoder, control, prefix, padding, estimate, low, high``.
    """
    need(plans, _COLUMNS, "plan_controls")
    padding = ordered(plans["padding"], ("without", "with"))[0]
    decoder = plans.loc[plans["control"] == "none", "decoder"].max()
    positions = ordered(plans["position"], POSITIONS)
    figure = make_subplots(1, len(positions), shared_yaxes=True, horizontal_spacing=0.04,
                           subplot_titles=[look_in(POSITIONS, p).name for p in positions])  # fmt: skip
    seen: set[str] = set()
    for j, position in enumerate(positions, 1):
        part = plans[(plans["position"] == position) & (plans["padding"] == padding)]
        for control in ordered(part["control"], CONTROLS):
            rows = part[part["control"] == control]
            fitted = rows[rows["decoder"] == decoder]
            rows = _best(fitted if len(fitted) else rows, padding).drop_duplicates("prefix")
            if rows.empty:
                continue
            style = look_in(CONTROLS, control)
            figure.add_traces(curve(rows, "prefix", style, control not in seen, thin=control != "none"), 1, j)
            seen.add(control)
    _axes(figure, plans)
    note = "Black: the decoder. Each line at its own best layer. 95% intervals resample whole layouts."
    return finish(figure, "Forecasts beside their controls", note, max(700, 460 * len(positions) + 80), 500)


def _axes(figure: go.Figure, plans: pd.DataFrame) -> None:
    figure.update_xaxes(title_text="N (moves ahead)", tickvals=sorted(plans["prefix"].unique()))
    figure.update_yaxes(range=[-0.03, 1.04], tickvals=[0, 0.25, 0.5, 0.75, 1])
    figure.update_yaxes(title_text=_SHARE, row=1, col=1)


def plan_layers(plans: pd.DataFrame, prefix: int = 1) -> go.Figure:
    """prefix@``prefix`` against the layer, a line a position and decoder; without padding where that is known.

    ``plans`` has ``position, layer, decoder, control, prefix, padding, estimate, low, high``.
    """
    need(plans, _COLUMNS, "plan_layers")
    padding = ordered(plans["padding"], ("without", "with"))[0]
    rows = plans[(plans["control"] == "none") & (plans["prefix"] == prefix) & (plans["padding"] == padding)]
    need(rows, [], "plan_layers")
    figure = go.Figure()
    for position, decoder in product(ordered(rows["position"], POSITIONS), sorted(rows["decoder"].unique())):
        part = rows[(rows["position"] == position) & (rows["decoder"] == decoder)]
        figure.add_traces(curve(part, "layer", _decoder_look(position, decoder), True))
    figure.update_xaxes(title_text="layer", tickvals=sorted(rows["layer"].unique()))
    figure.update_yaxes(title_text=f"prefix@{prefix} (share)", range=[-0.03, 1.04])
    note = "Share of states whose next move is forecast." if prefix == 1 else ""
    return finish(figure, "Forecast of the next move by layer", note, 760, 520)


def decoded_actions(table: pd.DataFrame) -> go.Figure:
    """Accuracy of the moves on the true map, the decoded map and other grids' decoded maps, and recovery.

    ``table`` has ``position, map, metric, estimate, low, high``.  Recovery is the share of truly sub-optimal moves that
    are optimal on the map.
    """
    need(table, ["position", "map", *LEVEL], "decoded_actions")
    metrics = [m for m in ("accuracy", "recovery") if m in set(table["metric"])]
    need(table[table["metric"].isin(metrics)], [], "decoded_actions")
    figure = make_subplots(1, len(metrics), horizontal_spacing=0.09, subplot_titles=[label(m) for m in metrics])
    seen: set[str] = set()
    for j, metric in enumerate(metrics, 1):
        part = table[(table["metric"] == metric)].dropna(subset=["estimate"])
        for name in ordered(part["map"], MAPS):
            rows = part[part["map"] == name]
            where = [look_in(POSITIONS, p).name for p in rows["position"]]
            figure.add_trace(grouped_bars(rows, where, look_in(MAPS, name), name not in seen), 1, j)
            seen.add(name)
        share_axis(figure, metric, 1, j)
    figure.update_xaxes(title_text="map decoded", showgrid=False)
    figure.update_layout(barmode="group", bargap=0.3, bargroupgap=0.06)
    note = "Are the moves optimal on the map? Recovery: share of truly sub-optimal moves that are optimal there."
    return finish(figure, "Moves against the decoded map", note, max(800, 420 * len(metrics) + 60), 460)
