"""Figures of how a bandit agent behaves: which arms it takes, how its action entropy falls, and what that costs it.

Tables are those of :mod:`~workbench.worlds.bandits.agents.behaviour`: steps (a row each), or summaries with intervals.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from workbench.families.east.figures.looks import ARMS, METHODS, look
from workbench.figures.marks import LEVEL, Traces, curve, each, line, points
from workbench.figures.panels import grid, name_axis, panels
from workbench.figures.style import Look, finish, need, ordered, translucent, words


def cumulative_arms(
    steps: pd.DataFrame, methods: Sequence[str] = ("unsteered", "east"), episodes: int = 30
) -> go.Figure:
    """Cumulative choices of each arm over the steps of an episode: a row of panels a method, a column a setting.

    ``steps`` has ``method, setting, episode, step, arm``.  Thin lines are the first ``episodes`` episodes of a setting,
    the thick line is the mean over all of them that reach the step.  Steep and flat from early on is commitment.
    Source: arXiv 2406.00244, its pictures of cumulative actions.
    """
    need(steps, ["method", "setting", "episode", "step", "arm"], "cumulative_arms")
    named = {m: f"{look(m).name}<br>times chosen" for m in methods if m in set(steps["method"])}
    arms = sorted(int(arm) for arm in steps["arm"].unique())

    def draw(method: str, setting: str) -> Traces:
        part = steps[(steps["method"] == method) & (steps["setting"] == setting)].sort_values(["episode", "step"])
        return [trace for arm in arms for trace in _counts(part, arm, episodes)]

    settings = _settings(steps["setting"])
    figure = grid(named, settings, draw, "step", shared_yaxes="all")
    last = int(steps["step"].max())
    figure.update_xaxes(range=[-0.5, last + 0.5])
    figure.update_yaxes(range=[-0.03 * (last + 1), 1.03 * (last + 1)], type="linear")
    note = f"Thin: single episodes (at most {episodes} a setting). Thick: mean over all episodes."
    size = {"width": max(620, 250 * len(settings) + 130), "height": 230 * len(named) + 190}
    return finish(figure, "Cumulative choices of each arm", note, **size)


def _counts(part: pd.DataFrame, arm: int, episodes: int) -> Traces:
    part = part.assign(count=(part["arm"] == arm).groupby(part["episode"]).cumsum())
    mean = part.groupby("step")["count"].mean()
    colour = ARMS[arm % len(ARMS)]
    gap = pd.DataFrame({"step": [None], "count": [None]})  # breaks the line between two episodes
    first = list(part.groupby("episode", sort=False))[:episodes]
    pieces = [piece for _, own in first for piece in (own[["step", "count"]].astype(object), gap)]
    lines = pd.concat(pieces, ignore_index=True) if pieces else gap
    thin, thick = Look("", translucent(colour, 0.25)), Look(f"arm {arm + 1}", colour, "solid" if arm == 0 else "dash")
    single = line(lines["step"].tolist(), lines["count"].tolist(), thin, 1, hoverinfo="skip", showlegend=False)
    return single + line(mean.index, mean, thick, 4)


def entropy_by_step(table: pd.DataFrame) -> go.Figure:
    """Action entropy (nats) at each step with its 95% band, a line a method, a column of panels a setting.

    ``table`` has ``method, setting, step, estimate, low, high``.
    """
    need(table, ["method", "setting", "step", *LEVEL], "entropy_by_step")
    settings = _settings(table["setting"])

    def draw(setting: str) -> Traces:
        part = table[table["setting"] == setting]
        return each(part, "method", METHODS, lambda rows, look: curve(rows, "step", look, mode="lines"))

    figure = panels(settings, draw, x="step", y="action entropy (nats)")
    figure.update_yaxes(rangemode="tozero", row=1, col=1)
    note = "Mean over episodes with its 95% interval (cluster bootstrap over episodes)."
    return finish(figure, "Action entropy over an episode", note, max(620, 250 * len(settings) + 130), 430)


def regret(table: pd.DataFrame) -> go.Figure:
    """Regret of whole episodes by method and setting with 95% intervals; a column of panels a rendering.

    ``table`` has ``rendering, method, setting, measure, estimate, low, high``; only the measure ``regret`` is drawn.
    """
    table = need(table, ["rendering", "method", "setting", "measure", *LEVEL], "regret", measure="regret")
    renderings = {name: words(name) for name in table["rendering"].unique()}
    settings, methods = list(_settings(table["setting"])), ordered(table["method"], METHODS)
    shift = {method: 0.2 * (k - (len(methods) - 1) / 2) for k, method in enumerate(methods)}
    table = table.assign(place=table["setting"].map(settings.index) + table["method"].map(shift))

    def draw(rendering: str) -> Traces:
        part = table[table["rendering"] == rendering]
        return each(part, "method", METHODS, lambda rows, look: points(rows, look, x=rows["place"]))

    figure = panels(renderings, draw, x="mean rewards of the arms", y="regret of an episode (reward units)")
    name_axis(figure, settings, "x").update_yaxes(rangemode="tozero", row=1, col=1)
    note = "Mean over episodes with its 95% interval. Lower is better; equal arms have no regret."
    return finish(figure, "What steering costs: regret", note, max(640, 420 * len(renderings) + 120), 460)


def _settings(column: pd.Series[str]) -> dict[str, str]:
    """Titles of settings by the means of their arms: as text, "(100, 100)" would come before "(95, 105)"."""
    found = sorted(column.unique(), key=lambda text: ([float(n) for n in re.findall(r"-?[\d.]+", text)], text))
    return {setting: f"mean rewards {setting}" for setting in found}
