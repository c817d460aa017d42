"""Figures of what was reinforced: how success and progress rose, and where they ended beside the expert's ceiling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from workbench.families.internal_rl.figures.looks import METHODS, TASKS, labelled, of_measure, task_name
from workbench.figures.marks import LEVEL, Traces, curve, each, line
from workbench.figures.panels import grid, name_axis, panels
from workbench.figures.style import Look, finish, looks_in, need, ordered

EXPERT = "expert"
MEASURES = {"success": "success (share of episodes)", "progress": "colours reached (mean)"}
_LABELS = ("method", "task", "seeds", "measure")


def learning_curves(curves: pd.DataFrame, final: pd.DataFrame | None = None) -> go.Figure:
    """Success and colours reached in the episodes of each update, against episodes so far: a column a task.

    A line is the median over seeds of what was met while learning, its band the middle half of the seeds (25 to 75%);
    ``curves`` has ``method, task, seed, episodes, success, progress``.  The expert's ceiling is that of ``final`` (as
    for :func:`final_success`), measured in the worlds of the evaluation.
    """
    need(curves, ["method", "task", "seed", "episodes", *MEASURES], "learning_curves")
    tasks = {task: task_name(task) for task in ordered(curves["task"], TASKS)}
    tops = {(measure, task): _ceiling(final, task, measure) for measure in MEASURES for task in tasks}

    def draw(measure: str, task: str) -> Traces:
        part, top = curves[curves["task"] == task], tops[measure, task]
        drawn = each(part, "method", METHODS, lambda rows, look: _course(rows, measure, look))
        return drawn if top is None else drawn + _level(top, float(part["episodes"].max()))

    figure = grid(MEASURES, tasks, draw, "episodes", shared_yaxes=False, horizontal_spacing=0.09)
    for k, top in enumerate(tops.values()):
        scale = {"range": [-0.03 * top, 1.06 * top]} if top else {"rangemode": "tozero"}
        figure.update_yaxes(row=k // len(tasks) + 1, col=k % len(tasks) + 1, **scale)
    figure.update_xaxes(rangemode="tozero", tickformat="~s")
    seeds = "; ".join(f"{style.name} {n}" for style, n in _seeds(curves))
    note = f"Lines: median over seeds, bands: 25 to 75% of the seeds.<br>Seeds: {seeds}."
    return finish(figure, "Learning curves", note, max(780, 480 * len(tasks) + 120), 720)


def _seeds(curves: pd.DataFrame) -> Iterator[tuple[Look, int]]:
    for method, style in looks_in(curves["method"], METHODS):
        yield style, int(curves.loc[curves["method"] == method, "seed"].nunique())


def _course(part: pd.DataFrame, measure: str, look: Look) -> Traces:
    """The median over seeds and, where there are several, the band of the middle half."""
    found = part.groupby("episodes")[measure].quantile([0.5, 0.25, 0.75]).unstack().set_axis(LEVEL, axis=1)
    hover = "%{x} episodes: %{y:.4f}, middle half [%{customdata[0]:.4f}, %{customdata[1]:.4f}]"
    return curve(found.reset_index(), "episodes", look, shade=part["seed"].nunique() > 1, hovertemplate=hover)


def _ceiling(final: pd.DataFrame | None, task: str, measure: str) -> float | None:
    """What the expert reaches, where that was measured."""
    if final is None or not {*_LABELS, "estimate"}.issubset(final.columns):
        return None
    found = of_measure(final[(final["method"] == EXPERT) & (final["task"] == task)], measure)
    return None if found.empty else float(found["estimate"].iloc[0])


def _level(height: float, last: float) -> Traces:
    hover = f"{METHODS[EXPERT].name}: %{{y:.3f}}<extra></extra>"
    return line([0, last], [height, height], METHODS[EXPERT], 1.6, hovertemplate=hover)


def final_success(final: pd.DataFrame, by_seed: pd.DataFrame | None = None) -> go.Figure:
    """Success and colours reached after learning, a line a method, a row of panels a task; all in the same worlds.

    ``final`` has ``method, task, seeds, measure, estimate, low, high``; ``by_seed`` the success of each seed (small
    marks above the estimate).
    """
    need(final, [*_LABELS, *LEVEL], "final_success")
    titles = {
        (task, measure): f"{task_name(task)}: {title}"
        for task in ordered(final["task"], TASKS) for measure, title in MEASURES.items()
    }  # fmt: skip
    methods = looks_in(final["method"], METHODS)
    rows = {(task, measure): of_measure(final[final["task"] == task], measure) for task, measure in titles}

    def draw(which: tuple[str, str]) -> Traces:
        own, highest = rows[which], float(rows[which]["estimate"].max())
        found = [labelled(own[own["method"] == method], k, look, highest) for k, (method, look) in enumerate(methods)]
        marks = _seed_marks(by_seed, which[0], [m for m, _ in methods]) if which[1] == "success" else ()
        return [*(trace for traces in found for trace in traces), *marks]

    spaced: dict[str, Any] = {"column_widths": [0.55, 0.45], "vertical_spacing": 0.17, "shared_xaxes": False}
    figure = panels(titles, draw, len(MEASURES), **spaced)
    for k, own in enumerate(rows.values()):
        top = max(1.0, float(own["estimate"].max())) if len(own) else 1.0
        figure.update_xaxes(range=[-0.03 * top, 1.06 * top], row=k // len(MEASURES) + 1, col=k % len(MEASURES) + 1)
    names = [style.name + _seed_count(final, method) for method, style in methods]
    name_axis(figure, names)
    note = "95% intervals that resample seeds and worlds (Wilson where all agree). Small upright marks: single seeds."
    height = (34 * len(names) + 105) * len(titles) // len(MEASURES) + 110
    return finish(figure, "Success after learning", note, 1040, height)


def _seed_count(final: pd.DataFrame, method: str) -> str:
    seeds = int(final.loc[final["method"] == method, "seeds"].max())
    return "" if method == EXPERT else f", {seeds} seed{'s' * (seeds > 1)}"


def _seed_marks(by_seed: pd.DataFrame | None, task: str, methods: list[str]) -> Iterator[go.Scatter]:
    if by_seed is None or not {"method", "task", "seed", "measure", "estimate"}.issubset(by_seed.columns):
        return
    part = of_measure(by_seed[(by_seed["task"] == task) & (by_seed["method"] != EXPERT)], "success")
    for method, rows in part.groupby("method", sort=False):
        if method in methods and len(rows) > 1:
            yield go.Scatter(
                x=rows["estimate"], y=[methods.index(str(method)) - 0.3] * len(rows), mode="markers", showlegend=False,
                marker={"symbol": "line-ns", "size": 8, "line": {"width": 1.6, "color": "#888"}}, cliponaxis=False,
                customdata=rows["seed"], hovertemplate=f"{method}, seed %{{customdata}}: %{{x:.4f}}<extra></extra>",
            )  # fmt: skip
