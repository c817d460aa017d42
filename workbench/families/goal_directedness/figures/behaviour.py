"""Figures of how an agent plays grids: by size, wall density and distance, how calibrated it is, under iso-difficulty
transforms, and when keys and doors stand in the way (arXiv 2602.08964).

Every number, interval and test is read from the tables; all intervals are 95% and resample whole layouts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.errors import DataError, did_you_mean
from workbench.families.goal_directedness.figures.style import INTERVAL, LEVEL, METRICS, PLAYERS, label, share_axis
from workbench.figures.marks import curve, grouped_bars, lay_out
from workbench.figures.style import GREY, finish, look_in, need, ordered, words

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["behaviour_by", "behaviour_by_distance", "calibration", "structures", "transforms"]

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
    columns = sorted(table[other].unique())
    figure = make_subplots(
        len(metrics), len(columns), shared_xaxes=True, shared_yaxes=True, horizontal_spacing=0.025,
        vertical_spacing=0.035, column_titles=[f"{DIFFICULTY[other]} {value:g}" for value in columns],
    )  # fmt: skip
    for i, metric in enumerate(metrics, 1):
        for j, value in enumerate(columns, 1):
            part = table[(table["metric"] == metric) & (table[other] == value)]
            _add_players(figure, part, along, i, j, legend=i == j == 1)
        top = table.loc[table["metric"] == metric, ["estimate", "high"]].max().max()
        share_axis(figure, metric, i, top=top if top > 0 else None)
        figure.update_yaxes(title_text=label(metric).replace(" (", "<br>("), row=i, col=1)
    figure.update_xaxes(tickvals=sorted(table[along].unique()))
    figure.update_xaxes(title_text=DIFFICULTY[along], row=len(metrics))
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
    titles = [label(metric) for metric in metrics]
    figure = make_subplots(1, len(metrics), horizontal_spacing=0.08, subplot_titles=titles)
    for j, metric in enumerate(metrics, 1):
        _add_players(figure, table[table["metric"] == metric], "distance", 1, j, legend=j == 1)
        share_axis(figure, metric, 1, j)
    figure.update_xaxes(title_text="distance to the goal (steps)")
    return finish(figure, "Behaviour by distance to the goal", _NOTE, max(680, 370 * len(metrics) + 60), 460)


def _add_players(figure: go.Figure, part: pd.DataFrame, x: str, row: int, col: int, legend: bool) -> None:
    for player in ordered(part["player"], PLAYERS):
        thin = player in ("random", "optimal")
        traces = curve(part[part["player"] == player], x, look_in(PLAYERS, player), legend, thin=thin)
        figure.add_traces(traces, row, col)


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
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", line={"color": GREY, "dash": "dot", "width": 1.5}, name="calibrated",
        hoverinfo="skip",
    )  # fmt: skip
    for player in ordered(table["player"], PLAYERS):
        part, style = table[table["player"] == player].sort_values("bin"), look_in(PLAYERS, player)
        name = style.name + errors.get(player, "")
        common: dict[str, Any] = {"x": part["confidence"], "name": name, "legendgroup": name, "customdata": part["n"]}
        figure.add_scatter(
            y=part["accuracy"], mode="lines+markers", line={"color": style.colour, "width": 2, "dash": style.dash},
            marker={"size": 9, "symbol": style.symbol}, cliponaxis=False,
            hovertemplate="confidence %{x:.2f}, accuracy %{y:.2f}, %{customdata} cells", row=1, col=1, **common,
        )  # fmt: skip
        figure.add_scatter(
            y=part["n"], mode="markers+lines", marker={"symbol": style.symbol, "size": 7}, showlegend=False,
            line={"color": style.colour, "width": 1, "dash": style.dash}, hovertemplate="%{y} cells", row=2, col=1,
            **common,
        )  # fmt: skip
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
    return {r.player: f": ECE {r.estimate:.2f} [{r.low:.2f}, {r.high:.2f}]" for r in rows.itertuples()}


def transforms(table: pd.DataFrame) -> go.Figure:
    """Forest plot of the change under reflect, rotate, transpose and swap, with p and r of the paired Wilcoxon test.

    ``table`` has ``player, transform, metric, n, difference, low, high, p, r``; a column of panels a metric.
    """
    need(table, ["player", "transform", "metric", "n", "difference", "low", "high", "p", "r"], "transforms")
    metrics = ordered(table["metric"], METRICS)
    names = ordered(table["transform"], ("reflect", "rotate", "transpose", "swap"))
    players = ordered(table["player"], PLAYERS)
    figure = make_subplots(1, len(metrics), shared_yaxes=True, horizontal_spacing=0.03,
                           column_titles=[label(metric) for metric in metrics])  # fmt: skip
    limit = 1.1 * max(0.01, *(float(table[side].abs().max()) for side in ("low", "high", "difference")))
    for j, metric in enumerate(metrics, 1):
        part = table[table["metric"] == metric]
        for k, player in enumerate(players):
            rows = part[part["player"] == player]
            shift = (k - (len(players) - 1) / 2) * 0.7 / len(players)
            y = [names.index(t) + shift for t in rows["transform"]]
            _add_forest(figure, rows, y, player, limit, j)
        figure.add_vline(0, line={"color": "#666", "width": 1}, row=1, col=j)
    figure.update_xaxes(title_text="change (transformed minus original)", range=[-limit, 2.3 * limit], nticks=6)
    for k in range(1, len(names)):
        figure.add_hline(k - 0.5, line={"color": "#ddd", "width": 1}, row=1, col="all")
    figure.update_yaxes(tickvals=list(range(len(names))), ticktext=[words(n) for n in names], showgrid=False,
                        range=[len(names) - 0.5, -0.5])  # fmt: skip
    note = "Mean paired difference of layouts with its 95% interval; p, r: paired Wilcoxon signed-rank test."
    height = 220 + max(70, 34 * len(players)) * len(names)
    return finish(figure, "Iso-difficulty transforms", note, max(760, 400 * len(metrics) + 110), height)


def _add_forest(figure: go.Figure, rows: pd.DataFrame, y: list[float], player: str, limit: float, col: int) -> None:
    style = look_in(PLAYERS, player)
    up, down = rows["high"] - rows["difference"], rows["difference"] - rows["low"]
    figure.add_scatter(
        x=rows["difference"], y=y, mode="markers", name=style.name, legendgroup=style.name, showlegend=col == 1,
        marker={"color": style.colour, "symbol": style.symbol, "size": 9}, customdata=rows[["low", "high", "n"]],
        error_x={"type": "data", "array": up, "arrayminus": down, "thickness": 1.6, "width": 4, "color": style.colour},
        hovertemplate="%{x:+.3f} [%{customdata[0]:+.3f}, %{customdata[1]:+.3f}], %{customdata[2]} layouts",
        row=1, col=col,
    )  # fmt: skip
    text = [_test_text(row) for _, row in rows.iterrows()]
    figure.add_scatter(
        x=[1.05 * limit] * len(rows), y=y, mode="text", text=text, textposition="middle right", showlegend=False,
        textfont={"size": 11, "color": "#222"}, hoverinfo="skip", row=1, col=col,
    )  # fmt: skip


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
    table = table.dropna(subset=[*INTERVAL[:1]])
    need(table, [], "structures")
    metrics = ordered(table["metric"], METRICS)
    names = ordered(table["structure"], ("KeyDoor", "KeyNoDoor", "2PathKey"))
    places = lay_out(len(metrics), 3)
    figure = make_subplots(places[-1][0], min(3, len(metrics)), horizontal_spacing=0.07, vertical_spacing=0.16,
                           subplot_titles=[label(metric) for metric in metrics])  # fmt: skip
    seen: set[str] = set()
    for metric, (row, col) in zip(metrics, places, strict=True):
        part = table[table["metric"] == metric]
        for player in ordered(part["player"], PLAYERS):
            rows = part[part["player"] == player]
            rows = rows.set_index("structure").reindex([n for n in names if n in set(rows["structure"])]).reset_index()
            bar = grouped_bars(rows, rows["structure"], look_in(PLAYERS, player), player not in seen)
            figure.add_trace(bar, row, col)
            seen.add(player)
        share_axis(figure, metric, row, col)
    figure.update_xaxes(categoryorder="array", categoryarray=names, showgrid=False, range=[-0.5, len(names) - 0.5])
    figure.update_layout(barmode="group", bargap=0.25, bargroupgap=0.08)
    size = {"width": max(620, 340 * min(3, len(metrics)) + 80), "height": 270 * places[-1][0] + 200}
    return finish(figure, "Keys, doors and useless keys", _NOTE, **size)


def _numbers(table: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """The columns as numbers; what is none (a row over all) becomes missing."""
    import pandas as pd

    return table.assign(**{name: pd.to_numeric(table[name], errors="coerce") for name in columns})
