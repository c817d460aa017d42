"""Figures of what the agent's activations say about its moves: forecasts of the next ten, and how well the moves fit
the map that was decoded (arXiv 2602.08964)."""

from __future__ import annotations

from itertools import product

import pandas as pd
import plotly.graph_objects as go

from workbench.families.goal_directedness.figures.looks import (
    CONTROLS,
    LEVEL,
    MAPS,
    POSITIONS,
    best_layer,
    label,
    score_axes,
)
from workbench.figures.marks import Traces, bars, curve, each
from workbench.figures.panels import panels, share_axis
from workbench.figures.style import Look, finish, look_in, looks_in, need, ordered

_COLUMNS = ["position", "layer", "decoder", "control", "prefix", "padding", "estimate", "low", "high"]
_DASHES = {0: ("dot", "-open"), 1: ("solid", ""), 2: ("dash", "-dot"), 4: ("dashdot", "-open-dot")}
_PADDING = {"with": "the end of the episode counts as a move", "without": "only while moves are left"}
_SHARE = "prefix@N: all of the first N moves right (share)"


def plan_prefix(plans: pd.DataFrame) -> go.Figure:
    """prefix@N against N: a line a position and decoder (at its best layer), beside always guessing the most frequent
    sequence and guessing evenly; a panel with and one without padding.

    ``plans`` has ``position, layer, decoder, control, prefix, padding, estimate, low, high``.
    """
    probes = need(plans, _COLUMNS, "plan_prefix", control="none")
    paddings = {p: _PADDING.get(p, p) for p in ordered(plans["padding"], ("without", "with"))}

    def draw(padding: str) -> Traces:
        found = [(look, _best(rows, padding)) for look, rows in _decoders(probes)]
        part = plans[plans["padding"] == padding].drop_duplicates(["control", "prefix"])
        guessed = part[part["control"].isin(["majority", "uniform"])]
        controls = each(guessed, "control", CONTROLS, lambda rows, look: curve(rows, "prefix", look, thin=True))
        return [trace for look, rows in found for trace in curve(rows, "prefix", look)] + controls

    note = "Each at the layer where its prefix@1 is highest. 95% intervals resample whole layouts."
    width = max(700, 480 * len(paddings) + 80)
    return finish(_axes(panels(paddings, draw), plans), "Forecast of the next moves", note, width, 580)


def _best(rows: pd.DataFrame, padding: str) -> pd.DataFrame:
    """The rows of one padding at the layer where the first move is forecast best."""
    rows = rows[rows["padding"] == padding]
    first = rows[rows["prefix"] == 1]
    return rows[rows["layer"] == best_layer(first)] if len(first) else rows[:0]


def _decoders(probes: pd.DataFrame) -> list[tuple[Look, pd.DataFrame]]:
    """The rows of each position and decoder with their look."""
    found = []
    for (position, base), decoder in product(looks_in(probes["position"], POSITIONS), sorted(set(probes["decoder"]))):
        dash, marker = _DASHES.get(int(decoder), ("longdashdot", "-open"))
        kind = "linear" if decoder == 0 else f"{decoder}-layer decoder"
        look = Look(f"{kind}, {base.name.replace('the ', '')}", base.colour, dash, base.symbol + marker)
        found.append((look, probes[(probes["position"] == position) & (probes["decoder"] == decoder)]))
    return found


def plan_controls(plans: pd.DataFrame) -> go.Figure:
    """prefix@N of the largest decoder beside its controls, a panel a position; without padding where that is known.

    ``plans`` has ``position, layer, decoder, control, prefix, padding, estimate, low, high``.
    """
    need(plans, _COLUMNS, "plan_controls")
    padding = ordered(plans["padding"], ("without", "with"))[0]
    decoder = plans.loc[plans["control"] == "none", "decoder"].max()
    plans = plans[plans["padding"] == padding]
    positions = {position: look.name for position, look in looks_in(plans["position"], POSITIONS)}

    def course(rows: pd.DataFrame, look: Look) -> Traces:
        fitted = rows[rows["decoder"] == decoder]
        best = _best(fitted if len(fitted) else rows, padding).drop_duplicates("prefix")
        return curve(best, "prefix", look, thin=look != CONTROLS["none"])

    def draw(position: str) -> Traces:
        return each(plans[plans["position"] == position], "control", CONTROLS, course)

    note = "Black: the decoder. Each line at its own best layer. 95% intervals resample whole layouts."
    width = max(700, 460 * len(positions) + 80)
    return finish(_axes(panels(positions, draw), plans), "Forecasts beside their controls", note, width, 500)


def _axes(figure: go.Figure, plans: pd.DataFrame) -> go.Figure:
    figure.update_xaxes(title_text="N (moves ahead)", tickvals=sorted(plans["prefix"].unique()))
    return share_axis(figure).update_yaxes(title_text=_SHARE, col=1)


def plan_layers(plans: pd.DataFrame, prefix: int = 1) -> go.Figure:
    """prefix@``prefix`` against the layer, a line a position and decoder; without padding where that is known.

    ``plans`` has ``position, layer, decoder, control, prefix, padding, estimate, low, high``.
    """
    rows = need(plans, _COLUMNS, "plan_layers", control="none", prefix=prefix)
    rows = rows[rows["padding"] == ordered(rows["padding"], ("without", "with"))[0]]
    figure = go.Figure([trace for look, own in _decoders(rows) for trace in curve(own, "layer", look)])
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
    metrics = {m: label(m) for m in ("accuracy", "recovery") if m in set(table["metric"])}
    table = table.dropna(subset=["estimate"])
    need(table[table["metric"].isin(metrics)], [], "decoded_actions")

    def shares(rows: pd.DataFrame, look: Look) -> Traces:
        return bars(rows, [look_in(POSITIONS, position).name for position in rows["position"]], look)

    figure = panels(metrics, lambda m: each(table[table["metric"] == m], "map", MAPS, shares), shared=False)
    score_axes(figure, list(metrics))
    figure.update_xaxes(title_text="map decoded", showgrid=False)
    note = "Are the moves optimal on the map? Recovery: share of truly sub-optimal moves that are optimal there."
    return finish(figure, "Moves against the decoded map", note, max(800, 420 * len(metrics) + 60), 460)
