"""Figures of how an agent plays grids: by size, wall density and distance, how calibrated it is, under iso-difficulty
transforms, and when keys and doors stand in the way (arXiv 2602.08964).

Every number, interval and test is read from the tables; all intervals are 95% and resample whole layouts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.errors import DataError, did_you_mean
from workbench.families.goal_directedness.figures.looks import LEVEL, METRICS, PLAYERS, label, score_axes, score_axis
from workbench.figures.marks import Traces, bars, curve, diagonal, each, line, numbers, points
from workbench.figures.panels import grid, name_axis, panels, zero_line
from workbench.figures.style import Look, finish, looks_in, need, ordered, words
from workbench.statistics import Interval

DIFFICULTY = {"density": "wall density", "size": "grid size"}
_SHOWN = ("success", "accuracy", "jsd", "entropy")
_NOTE = "Means with 95% intervals that resample whole layouts."


def behaviour_by(table: pd.DataFrame, along: str = "density") -> go.Figure:
    """Success, accuracy, JSD and entropy against ``density`` (a column of panels a size) or ``size`` (a column a
    density), a line a player.

    ``table`` has ``player, size, density, metric, estimate, low, high``; rows over all sizes (no number) are left out.
    """
    if along not in DIFFICULTY:
        raise DataError(f"behaviour is drawn by density or size, not {along!r}{did_you_mean(along, DIFFICULTY)}")
    need(table, ["player", *DIFFICULTY, *LEVEL], "behaviour_by")
    other = next(name for name in DIFFICULTY if name != along)
    table = _numbers(table, *DIFFICULTY).dropna(subset=list(DIFFICULTY))
    metrics = [m for m in _SHOWN if m in set(table["metric"])]
    need(table[table["metric"].isin(metrics)], [], f"behaviour by {along}")
    columns = {value: f"{DIFFICULTY[other]} {value:g}" for value in sorted(table[other].unique())}

    def draw(metric: str, value: float) -> Traces:
        return _players(table[(table["metric"] == metric) & (table[other] == value)], along)

    rows = {metric: label(metric).replace(" (", "<br>(") for metric in metrics}
    figure = grid(rows, columns, draw, DIFFICULTY[along])
    for i, metric in enumerate(metrics, 1):
        score_axis(figure, metric, table.loc[table["metric"] == metric, ["estimate", "high"]].max().max(), row=i)
    figure.update_xaxes(tickvals=sorted(table[along].unique()))
    size = {"width": max(680, 250 * len(columns) + 130), "height": 175 * len(metrics) + 220}
    return finish(figure, f"Behaviour by {DIFFICULTY[along]}", _NOTE, **size)


def behaviour_by_distance(table: pd.DataFrame) -> go.Figure:
    """Accuracy, JSD and entropy against the distance to the goal, a line a player.

    ``table`` has ``player, distance, metric, estimate, low, high``.
    """
    need(table, ["player", "distance", *LEVEL], "behaviour_by_distance")
    table = _numbers(table, "distance").dropna(subset=["distance"])
    metrics = [m for m in _SHOWN if m in set(table["metric"])]
    need(table[table["metric"].isin(metrics)], [], "behaviour by distance")
    titles = {metric: label(metric) for metric in metrics}
    figure = panels(titles, lambda m: _players(table[table["metric"] == m], "distance"), shared=False)
    score_axes(figure, metrics)
    figure.update_xaxes(title_text="distance to the goal (steps)")
    return finish(figure, "Behaviour by distance to the goal", _NOTE, max(680, 370 * len(metrics) + 60), 460)


def _players(part: pd.DataFrame, x: str) -> Traces:
    references = (PLAYERS["random"], PLAYERS["optimal"])
    return each(part, "player", PLAYERS, lambda rows, look: curve(rows, x, look, thin=look in references))


def calibration(table: pd.DataFrame, behaviour: pd.DataFrame | None = None) -> go.Figure:
    """Reliability diagram: accuracy against confidence in each bin of visited cells, and below how many fall into it.

    ``table`` has ``player, bin, confidence, accuracy, n``.  The expected calibration error stands in the legend for
    players with a row over all sizes and densities (metric ``ece``, no number as size) in ``behaviour``.
    """
    need(table, ["player", "bin", "confidence", "accuracy", "n"], "calibration")
    table = table[table["n"] > 0]
    need(table, [], "calibration")
    errors = _overall_errors(behaviour)
    figure = make_subplots(2, 1, shared_xaxes=True, row_heights=[0.72, 0.28], vertical_spacing=0.05)
    figure.add_traces(diagonal(), 1, 1)
    for player, base in looks_in(table["player"], PLAYERS):
        part = table[table["player"] == player].sort_values("bin")
        look = replace(base, name=base.name + errors.get(player, ""))
        hover = "confidence %{x:.2f}, accuracy %{y:.2f}, %{customdata} cells"
        right = line(part["confidence"], part["accuracy"], look, 2, 9, customdata=part["n"], hovertemplate=hover)
        figure.add_traces(right, 1, 1)
        met = line(part["confidence"], part["n"], look, 1, 7, showlegend=False, hovertemplate="%{y} cells")
        figure.add_traces(met, 2, 1)
    figure.update_yaxes(title_text="accuracy", range=[-0.02, 1.04], row=1)
    figure.update_yaxes(title_text="visited cells", rangemode="tozero", row=2)
    figure.update_xaxes(range=[0, 1.02])
    figure.update_xaxes(title_text="confidence: share of the most frequent move", row=2)
    note = "Ten bins; below the diagonal the agent is surer than right."
    return finish(figure, "Calibration of the moves", note, 720, 660)


def _overall_errors(behaviour: pd.DataFrame | None) -> dict[str, str]:
    if behaviour is None or not {"player", *DIFFICULTY, *LEVEL}.issubset(behaviour.columns):
        return {}
    rows = _numbers(behaviour[behaviour["metric"] == "ece"], *DIFFICULTY)
    rows = rows[rows["size"].isna() & rows["density"].isna()]
    return {row.player: f": ECE {Interval.of(row).text()}" for row in rows.itertuples()}


def transforms(table: pd.DataFrame) -> go.Figure:
    """Forest plot of the change under reflect, rotate, transpose and swap, with p and r of the paired Wilcoxon test.

    ``table`` has ``player, transform, metric, n, difference, low, high, p, r``; a column of panels a metric.
    """
    need(table, ["player", "transform", "metric", "n", "difference", "low", "high", "p", "r"], "transforms")
    metrics = {metric: label(metric) for metric in ordered(table["metric"], METRICS)}
    names = ordered(table["transform"], ("reflect", "rotate", "transpose", "swap"))
    players = ordered(table["player"], PLAYERS)
    limit = 1.1 * max(0.01, *(float(table[side].abs().max()) for side in ("low", "high", "difference")))
    shift = {player: (k - (len(players) - 1) / 2) * 0.7 / len(players) for k, player in enumerate(players)}
    places = table["transform"].map(names.index) + table["player"].map(shift)
    table = table.assign(place=places, difference_low=table["low"], difference_high=table["high"])

    def draw(metric: str) -> Traces:
        part = table[table["metric"] == metric]
        return each(part, "player", PLAYERS, lambda rows, look: _forest(rows, look, 1.05 * limit))

    figure = zero_line(panels(metrics, draw), "x")
    figure.update_xaxes(title_text="change (transformed minus original)", range=[-limit, 2.3 * limit], nticks=6)
    name_axis(figure, [words(name) for name in names]).update_yaxes(showgrid=False)
    for k in range(1, len(names)):
        figure.add_hline(k - 0.5, line={"color": "#ddd", "width": 1})
    note = "Mean paired difference of layouts with its 95% interval; p, r: paired Wilcoxon signed-rank test."
    height = 220 + max(70, 34 * len(players)) * len(names)
    return finish(figure, "Iso-difficulty transforms", note, max(760, 400 * len(metrics) + 110), height)


def _forest(rows: pd.DataFrame, look: Look, side: float) -> Traces:
    """Differences with their intervals, and their tests at ``side``."""
    shown: dict[str, Any] = {"customdata": rows[["low", "high", "n"]]}
    shown["hovertemplate"] = "%{x:+.3f} [%{customdata[0]:+.3f}, %{customdata[1]:+.3f}], %{customdata[2]} layouts"
    texts = [_test_text(row) for _, row in rows.iterrows()]
    marks = points(rows, look, y=rows["place"], of="difference", **shown)
    return marks + numbers([side] * len(rows), rows["place"], texts)


def _test_text(row: pd.Series[Any]) -> str:
    """p and r; a test without any difference to rank has none."""
    if row["p"] != row["p"]:
        return "no difference"
    p = "p < .001" if row["p"] < 0.001 else f"p = {row['p']:.3f}".replace("0.", ".", 1)
    r = "" if row["r"] != row["r"] else f", r = {row['r']:+.2f}"
    return f"<b>{p}</b>{r}" if row["p"] < 0.05 else p + r


def structures(table: pd.DataFrame) -> go.Figure:
    """Measures of the goal structures KeyDoor, KeyNoDoor and 2PathKey, a panel a measure, a bar a player.

    ``table`` has ``player, structure, metric, estimate, low, high``.
    """
    need(table, ["player", "structure", *LEVEL], "structures")
    table = table.dropna(subset=["estimate"])
    need(table, [], "structures")
    metrics = {metric: label(metric) for metric in ordered(table["metric"], METRICS)}
    names = ordered(table["structure"], ("KeyDoor", "KeyNoDoor", "2PathKey"))

    def draw(metric: str) -> Traces:
        part = table[table["metric"] == metric]
        return each(part, "player", PLAYERS, lambda rows, look: bars(rows, rows["structure"], look))

    figure = panels(metrics, draw, 3, shared=False, shared_xaxes=False)
    score_axes(figure, list(metrics), 3)
    figure.update_xaxes(categoryorder="array", categoryarray=names, showgrid=False, range=[-0.5, len(names) - 0.5])
    size = {"width": max(620, 340 * min(3, len(metrics)) + 80), "height": 270 * -(-len(metrics) // 3) + 200}
    return finish(figure, "Keys, doors and useless keys", _NOTE, **size)


def _numbers(table: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """The columns as numbers; what is none (a row over all) becomes missing."""
    return table.assign(**{name: pd.to_numeric(table[name], errors="coerce") for name in columns})
