"""Figures of how a bandit agent behaves: which arms it takes, how its action entropy falls, and what that costs it.

Tables are those of :mod:`~workbench.worlds.bandits.agents.behaviour`: steps (a row each), or summaries with intervals.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.families.east.figures.looks import METHODS, look
from workbench.figures.style import ARMS, band, finish, need, translucent, words

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["cumulative_arms", "entropy_by_step", "regret"]


def cumulative_arms(
    steps: pd.DataFrame, methods: Sequence[str] = ("unsteered", "east"), episodes: int = 30
) -> go.Figure:
    """Cumulative choices of each arm over the steps of an episode: a row of panels a method, a column a setting.

    ``steps`` has ``method, setting, episode, step, arm``.  Thin lines are the first ``episodes`` episodes of a setting,
    the thick line is the mean over all of them that reach the step.  Steep and flat from early on is commitment.
    Source: arXiv 2406.00244, its pictures of cumulative actions.
    """
    need(steps, ["method", "setting", "episode", "step", "arm"], "cumulative_arms")
    methods = [m for m in methods if m in set(steps["method"])]
    settings = _settings(steps["setting"])
    figure = make_subplots(
        len(methods), len(settings), shared_xaxes=True, shared_yaxes="all", horizontal_spacing=0.025,
        vertical_spacing=0.06, column_titles=[f"mean rewards {setting}" for setting in settings],
    )  # fmt: skip
    for i, method in enumerate(methods, 1):
        for j, setting in enumerate(settings, 1):
            part = steps[(steps["method"] == method) & (steps["setting"] == setting)]
            for arm in sorted(steps["arm"].unique()):
                for trace in _counts(part, int(arm), episodes, legend=i == j == 1):
                    figure.add_trace(trace, i, j)
        figure.update_yaxes(title_text=f"{look(method).name}<br>times chosen", row=i, col=1)
    last = int(steps["step"].max())
    figure.update_xaxes(range=[-0.5, last + 0.5])
    figure.update_yaxes(range=[-0.03 * (last + 1), 1.03 * (last + 1)], type="linear")
    figure.update_xaxes(title_text="step", row=len(methods))
    note = f"Thin: single episodes (at most {episodes} a setting). Thick: mean over all episodes."
    size = {"width": max(620, 250 * len(settings) + 130), "height": 230 * len(methods) + 190}
    return finish(figure, "Cumulative choices of each arm", note, **size)


def _counts(part: pd.DataFrame, arm: int, episodes: int, legend: bool) -> list[go.Scatter]:
    import pandas as pd

    part = part.sort_values(["episode", "step"])
    part = part.assign(count=(part["arm"] == arm).groupby(part["episode"]).cumsum())
    mean = part.groupby("step")["count"].mean()
    colour, name = ARMS[arm % len(ARMS)], f"arm {arm + 1}"
    shown = part["episode"].drop_duplicates()[:episodes]
    gap = pd.DataFrame({"step": [None], "count": [None]})  # breaks the line between two episodes
    pieces = [piece for e in shown for piece in (part.loc[part["episode"] == e, ["step", "count"]].astype(object), gap)]
    lines = pd.concat(pieces, ignore_index=True) if pieces else gap
    thin: dict[str, Any] = {"color": translucent(colour, 0.25), "width": 1}
    return [
        go.Scatter(x=lines["step"].tolist(), y=lines["count"].tolist(), mode="lines", line=thin, hoverinfo="skip",
                   showlegend=False),
        go.Scatter(x=mean.index, y=mean, mode="lines", name=name, legendgroup=name, showlegend=legend,
                   line={"color": colour, "width": 4, "dash": "solid" if arm == 0 else "dash"}),
    ]  # fmt: skip


def entropy_by_step(table: pd.DataFrame) -> go.Figure:
    """Action entropy (nats) at each step with its 95% band, a line a method, a column of panels a setting.

    ``table`` has ``method, setting, step, estimate, low, high``.
    """
    need(table, ["method", "setting", "step", "estimate", "low", "high"], "entropy_by_step")
    settings = _settings(table["setting"])
    titles = [f"mean rewards {setting}" for setting in settings]
    figure = make_subplots(1, len(settings), shared_yaxes=True, horizontal_spacing=0.025, column_titles=titles)
    for j, setting in enumerate(settings, 1):
        for method in _order(table["method"]):
            part = table[(table["setting"] == setting) & (table["method"] == method)].sort_values("step")
            part, style = part.dropna(subset=["estimate"]), look(method)
            figure.add_trace(band(part["step"], part["low"], part["high"], style.colour), 1, j)
            figure.add_trace(_line(part["step"], part["estimate"], method, legend=j == 1), 1, j)
    figure.update_xaxes(title_text="step")
    figure.update_yaxes(title_text="action entropy (nats)", rangemode="tozero", row=1, col=1)
    note = "Mean over episodes with its 95% interval (cluster bootstrap over episodes)."
    return finish(figure, "Action entropy over an episode", note, max(620, 250 * len(settings) + 130), 430)


def regret(table: pd.DataFrame) -> go.Figure:
    """Regret of whole episodes by method and setting with 95% intervals; a column of panels a rendering.

    ``table`` has ``rendering, method, setting, measure, estimate, low, high``; only the measure ``regret`` is drawn.
    """
    need(table, ["rendering", "method", "setting", "measure", "estimate", "low", "high"], "regret")
    table = table[table["measure"] == "regret"]
    need(table, [], "regret")
    renderings, settings = list(dict.fromkeys(table["rendering"])), _settings(table["setting"])
    methods = _order(table["method"])
    figure = make_subplots(1, len(renderings), shared_yaxes=True, horizontal_spacing=0.03,
                           column_titles=[words(name) for name in renderings])  # fmt: skip
    for j, rendering in enumerate(renderings, 1):
        for k, method in enumerate(methods):
            part = table[(table["rendering"] == rendering) & (table["method"] == method)]
            places = [settings.index(s) + (k - (len(methods) - 1) / 2) * 0.2 for s in part["setting"]]
            figure.add_trace(_points(places, part, method, legend=j == 1), 1, j)
        ticks = {"tickvals": list(range(len(settings))), "ticktext": settings, "range": [-0.6, len(settings) - 0.4]}
        figure.update_xaxes(title_text="mean rewards of the arms", showgrid=False, row=1, col=j, **ticks)
    figure.update_yaxes(title_text="regret of an episode (reward units)", rangemode="tozero", row=1, col=1)
    note = "Mean over episodes with its 95% interval. Lower is better; equal arms have no regret."
    return finish(figure, "What steering costs: regret", note, max(640, 420 * len(renderings) + 120), 460)


def _order(methods: pd.Series[str]) -> list[str]:
    """Methods in the order of the palette, unknown ones last."""
    found = list(dict.fromkeys(methods))
    return [m for m in METHODS if m in found] + [m for m in found if m not in METHODS]


def _settings(column: pd.Series[str]) -> list[str]:
    """Settings by the means of their arms: as text, "(100, 100)" would come before "(95, 105)"."""
    return sorted(dict.fromkeys(column), key=lambda text: ([float(n) for n in re.findall(r"-?[\d.]+", text)], text))


def _line(x: pd.Series[Any], y: pd.Series[float], method: str, legend: bool) -> go.Scatter:
    style = look(method)
    return go.Scatter(
        x=x, y=y, mode="lines", name=style.name, legendgroup=style.name, showlegend=legend,
        line={"color": style.colour, "width": 2.5, "dash": style.dash},
    )  # fmt: skip


def _points(x: Sequence[float], part: pd.DataFrame, method: str, legend: bool) -> go.Scatter:
    style = look(method)
    up, down = part["high"] - part["estimate"], part["estimate"] - part["low"]
    return go.Scatter(
        x=x, y=part["estimate"], mode="markers", name=style.name, legendgroup=style.name, showlegend=legend,
        marker={"color": style.colour, "symbol": style.symbol, "size": 10}, cliponaxis=False,
        error_y={"type": "data", "array": up, "arrayminus": down, "thickness": 1.6, "width": 4, "color": style.colour},
    )  # fmt: skip
