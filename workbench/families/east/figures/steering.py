"""What steering does to action entropy and validity: against the dose, by layer, and between renderings.

All draw the ``results`` table of an EAST run: one row a condition and metric (``entropy`` in nats, ``valid`` as a
share) with ``estimate, low, high`` and the paired ``difference*`` from the unsteered agent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.errors import DataError
from workbench.families.east.figures.looks import METHODS, look
from workbench.figures.marks import LEVEL, Traces, bounds, curve, each, heat, points
from workbench.figures.panels import colour_axis, grid, panels
from workbench.figures.style import BLACK, DIVERGING, Look, finish, need, words
from workbench.statistics import Interval

Chosen = Mapping[str, float]
COLUMNS = ("set", "rendering", "source", "method", "layer", "multiplier", "temperature", "top_p", "metric")
CHANGE = ("difference", *bounds("difference"))
METRICS = {"entropy": "action entropy (nats)", "valid": "valid (share)"}
CURVES = ("shuffled", "random", "east")
_SMALLEST_SCALE = 0.05  # nats; noise around 0 must not fill the whole colour scale
BASELINES = ("unsteered", "request", "temperature", "top_p", "mean_difference", "uncentred", "unweighted")


def entropy_by_dose(results: pd.DataFrame, rendering: str, chosen: Chosen | None = None) -> go.Figure:
    """Action entropy and, below, validity against the dose, beside the baselines that have none.

    Left: EAST with its 95% band, shuffled and random vectors of the same norm.  Right: temperature, top-p, the request
    to explore, and other estimates at the chosen dose, with 95% intervals.  A dose is the length of what is added as a
    share of the residual stream's.  ``chosen`` marks the one that was picked on other prompts.
    """
    shown = {"set": "test", "rendering": rendering, "source": ["", rendering]}
    part = need(results, [*COLUMNS, *LEVEL, "dose"], f"entropy_by_dose of {rendering}", **shown)

    def draw(metric: str, curves: bool) -> Traces:
        table = part[part["metric"] == metric]
        if curves:
            return [trace for method in CURVES for trace in _curve(table, method)]
        return each(table[table["method"].isin(BASELINES)], "method", METHODS, _baselines)

    figure = grid(
        METRICS, {True: "", False: ""}, draw, column_widths=[0.64, 0.36], row_heights=[0.6, 0.4], vertical_spacing=0.05
    )
    for row, metric in enumerate(METRICS, 1):
        for level in part.loc[(part["metric"] == metric) & (part["method"] == "unsteered"), "estimate"]:
            figure.add_hline(level, line={"color": BLACK, "width": 1, "dash": "dot"}, row=row, col="all")
    figure.update_yaxes(rangemode="tozero", row=1)
    figure.update_xaxes(tickangle=-40, row=2, col=2)
    steered = part[(part["method"] == "east") & (part["metric"] == "entropy")]
    _label_doses(figure, steered)
    at = steered[steered["multiplier"] == chosen["multiplier"]] if chosen else steered.iloc[:0]
    if len(at):
        figure.add_vline(
            float(at["dose"].iloc[0]), line={"color": "#999", "width": 1, "dash": "dash"}, row="all", col=1
        )
    layer = f", layer {int(steered['layer'].iloc[0])}" if len(steered) else ""
    note = "Means over test prompts, 95% intervals over episodes. Dotted: unsteered"
    note += "; dashed: the dose chosen on other prompts." if len(at) else "."
    note += " No entropy below half valid." if steered["estimate"].isna().any() else ""
    return finish(figure, f"Steering with EAST: {words(rendering)}{layer}", note, 1060, 680)


def _curve(table: pd.DataFrame, method: str) -> Traces:
    rows = table[table["method"].isin([method, "unsteered"])]
    if (rows["method"] == "unsteered").all():
        return []
    rows = rows.dropna(subset=["estimate"]).sort_values("dose")
    hover = "%{y:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}], dose %{x:.2f}, multiplier %{customdata[2]:.3g}"
    more = {"customdata": rows[["low", "high", "multiplier"]], "hovertemplate": hover}
    own = method == "east"
    return curve(rows, "dose", look(method), thin=not own, legendrank=1 if own else 2, **more)


def _baselines(rows: pd.DataFrame, look: Look) -> Traces:
    rows = rows.sort_values(["temperature", "top_p"])
    return points(rows, look, x=[_name(condition) for _, condition in rows.iterrows()], showlegend=False)


def _name(condition: pd.Series[Any]) -> str:
    name = look(condition["method"]).name
    return f"{name} {condition[condition['method']]:g}" if condition["method"] in ("temperature", "top_p") else name


def _label_doses(figure: go.Figure, steered: pd.DataFrame) -> None:
    values = _apart(sorted({0.0, *steered["dose"]}), 0.055)
    title = "dose <span style='font-size:11px;color:#666'>(length added / residual stream's)</span>"
    figure.update_xaxes(tickvals=values, ticktext=[f"{value:.3g}" for value in values], title_text=title, row=2, col=1)
    figure.update_xaxes(tickvals=values, row=1, col=1)


def _apart(values: Sequence[float], share: float) -> list[float]:
    """Those of the sorted values whose labels do not run into each other; 0 and the ends come first."""
    kept: list[float] = []
    nearest = share * (values[-1] - values[0])
    for value in sorted(values, key=lambda v: (v not in (0, values[0], values[-1]), v % 1 != 0, v)):
        if all(abs(value - other) >= nearest for other in kept):
            kept.append(value)
    return sorted(kept)


def layer_dose_heatmap(
    results: pd.DataFrame, min_valid: float = 0.0, chosen: Mapping[str, Chosen] | None = None
) -> go.Figure:
    """Difference of action entropy from unsteered (nats) by layer and dose, a panel a rendering.

    Grey cells keep fewer valid completions than ``min_valid`` times the unsteered share, so their entropy is that of
    an agent that falls apart; where fewer than half are valid there is none.  The chosen cell has a frame.  Drawn on
    the prompts on which the choice is made.  Grids in raw multipliers, which are other doses at each layer, are drawn
    by multiplier.
    """
    cells = need(results, [*COLUMNS, *CHANGE], "layer_dose_heatmap", set="select", method="east")
    in_doses = "dose" in cells and cells["dose"].nunique() <= cells["multiplier"].nunique()
    axis = "dose" if in_doses else "multiplier"
    renderings = {name: words(name) for name in cells["rendering"].unique()}
    base = results[(results["set"] == "select") & (results["method"] == "unsteered") & (results["metric"] == "valid")]
    floors = {r: min_valid * float(part["estimate"].iloc[0]) for r, part in base.groupby("rendering")}
    figure = panels(
        renderings, lambda r: _cells(cells[cells["rendering"] == r], floors.get(r, 0.0), axis), x=axis, y="layer"
    )
    limit = max(_SMALLEST_SCALE, *(float(np.nanmax(np.abs(t.z), initial=0)) for t in figure.data if t.coloraxis))
    colour_axis(figure, "Δ entropy (nats)", DIVERGING, -limit, limit)
    for col, rendering in enumerate(renderings, 1):
        _frame(figure, col, cells[cells["rendering"] == rendering], (chosen or {}).get(rendering), axis)
    layers = cells["layer"].nunique()
    size = {"width": max(640, 460 * len(renderings) + 180), "height": max(430, 34 * layers + 230)}
    note = (
        "Difference from unsteered on the selection prompts. Grey: too few valid completions. Frame: the chosen cell."
    )
    return finish(figure, "Where steering acts: entropy by layer and dose", note, **size)


def _cells(grid: pd.DataFrame, floor: float, axis: str) -> Traces:
    """Cells with their change, and grey ones over those that keep too few valid completions."""
    change, valid = (
        grid[grid["metric"] == metric].pivot(index="layer", columns=axis, values=value).rename(columns="{:.3g}".format)
        for metric, value in (("entropy", "difference"), ("valid", "estimate"))
    )
    valid = valid.reindex_like(change)
    low, text = valid < floor, change.map("{:+.2f}".format).where(change.notna(), "")
    hover = f"layer %{{y}}, {axis} %{{x}}: %{{text}} nats, valid %{{customdata:.2f}}"
    grey = {"coloraxis": None, "colorscale": [[0, "#dddddd"], [1, "#dddddd"]], "showscale": False}
    shown = heat(change.mask(low), text.mask(low, ""), hover, valid)
    masked = low.astype(float).where(low)
    return shown + heat(masked, text.where(low, ""), hover, valid, textfont={"color": "#777"}, **grey)


def _frame(figure: go.Figure, col: int, grid: pd.DataFrame, chosen: Chosen | None, axis: str) -> None:
    if not chosen:
        return
    at = grid[(grid["layer"] == chosen["layer"]) & (grid["multiplier"] == chosen["multiplier"])]
    if len(at):
        x, y = (sorted(grid[name].unique()).index(at[name].iloc[0]) for name in (axis, "layer"))
        edges = {"x0": x - 0.5, "x1": x + 0.5, "y0": y - 0.5, "y1": y + 0.5}
        figure.add_shape(type="rect", line={"color": BLACK, "width": 3}, row=1, col=col, **edges)


def transfer_matrix(results: pd.DataFrame, chosen: Mapping[str, Chosen] | None = None) -> go.Figure:
    """Difference of action entropy (nats) when a vector from one rendering (rows) steers another (columns).

    Each cell says the paired difference from unsteered with its 95% interval, at the layer and dose chosen for
    the rendering that is steered (``chosen``; else the largest multiplier that all sources share).
    """
    shown = {"set": "test", "method": "east", "metric": "entropy"}
    part = need(results, [*COLUMNS, *CHANGE], "transfer_matrix", **shown)
    names = list(dict.fromkeys(part["rendering"]))
    cells = {(s, t): _cell(part, s, t, (chosen or {}).get(t)) for s in names for t in names}
    if all(cell is None for cell in cells.values()):
        raise DataError("transfer_matrix has nothing to draw: no condition was run at the chosen dose")
    change = [[_value(cells[s, t]) for t in names] for s in names]
    limit = max(_SMALLEST_SCALE, *(abs(v) for row in change for v in row if v is not None))
    figure = go.Figure(go.Heatmap(
        z=change, x=[f"steered: {words(t)}" for t in names], y=[f"vector from {words(s)}" for s in names],
        text=[[_cell_text(cells[s, t]) for t in names] for s in names], texttemplate="%{text}", textfont={"size": 14},
        colorscale=DIVERGING, zmid=0, zmin=-2 * limit, zmax=2 * limit, xgap=3, ygap=3, showscale=False,
        hoverinfo="text",
    ))  # fmt: skip
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(showgrid=False, autorange="reversed")
    note = "Difference of action entropy from unsteered (nats) on the test prompts, with its 95% interval."
    return finish(figure, "Transfer of vectors between renderings", note, 380 + 210 * len(names), 240 + 85 * len(names))


def _cell(part: pd.DataFrame, source: str, target: str, chosen: Chosen | None) -> pd.Series[Any] | None:
    onto = part[part["rendering"] == target]
    if chosen:
        multiplier = chosen["multiplier"]
    else:
        shared = set.intersection(*(set(each) for _, each in onto.groupby("source")["multiplier"]))
        multiplier = max(shared, default=float("nan"))
    found = onto[(onto["source"] == source) & (onto["multiplier"] == multiplier)]
    return found.iloc[0] if len(found) else None


def _value(cell: pd.Series[Any] | None) -> float | None:
    return None if cell is None else float(cell["difference"])


def _cell_text(cell: pd.Series[Any] | None) -> str:
    if cell is None:
        return "not run"
    level, _, between = Interval.of(cell, "difference").text(sign="+").partition(" ")
    return f"<b>{level}</b><br>{between}<br>dose {cell['dose']:.2f}"
