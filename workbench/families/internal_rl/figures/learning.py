"""Figures of what was reinforced: how success and progress rose, and where they ended beside the expert's ceiling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.families.internal_rl.figures.style import (
    ESTIMATE,
    METHODS,
    TASKS,
    labelled,
    looks_in,
    of_measure,
    task_name,
)
from workbench.figures.marks import band
from workbench.figures.style import Look, finish, need, ordered

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    tasks = ordered(curves["task"], TASKS)
    figure = make_subplots(
        len(MEASURES), len(tasks), shared_xaxes=True, horizontal_spacing=0.09, vertical_spacing=0.06,
        column_titles=[task_name(task) for task in tasks],
    )  # fmt: skip
    for j, task in enumerate(tasks, 1):
        part = curves[curves["task"] == task]
        for i, (measure, title) in enumerate(MEASURES.items(), 1):
            for method, style in looks_in(part["method"], METHODS):
                figure.add_traces(list(_course(part[part["method"] == method], measure, style, i == j == 1)), i, j)
            top = _ceiling(figure, final, task, measure, float(part["episodes"].max()), (i, j))
            scale = {"range": [-0.03 * top, 1.06 * top]} if top else {"rangemode": "tozero"}
            figure.update_yaxes(title_text=title, row=i, col=j, **scale)
    figure.update_xaxes(rangemode="tozero", tickformat="~s")
    figure.update_xaxes(title_text="episodes", row=len(MEASURES))
    seeds = "; ".join(f"{style.name} {n}" for style, n in _seeds(curves))
    note = f"Lines: median over seeds, bands: 25 to 75% of the seeds.<br>Seeds: {seeds}."
    return finish(figure, "Learning curves", note, max(780, 480 * len(tasks) + 120), 720)


def _seeds(curves: pd.DataFrame) -> Iterator[tuple[Look, int]]:
    for method, style in looks_in(curves["method"], METHODS):
        yield style, int(curves.loc[curves["method"] == method, "seed"].nunique())


def _course(part: pd.DataFrame, measure: str, style: Look, legend: bool) -> Iterator[go.Scatter]:
    """The median over seeds and, where there are several, the band of the middle half."""
    by = part.groupby("episodes")[measure]
    middle, low, high = (by.quantile(q) for q in (0.5, 0.25, 0.75))
    if part["seed"].nunique() > 1:
        yield from band(middle.index, low, high, style.colour)
    yield go.Scatter(
        x=middle.index, y=middle, mode="lines+markers", name=style.name, legendgroup=style.name, showlegend=legend,
        line={"color": style.colour, "width": 2.2, "dash": style.dash}, cliponaxis=False,
        marker={"symbol": style.symbol, "size": 6}, customdata=list(zip(low, high, strict=True)),
        hovertemplate="%{x} episodes: %{y:.4f}, middle half [%{customdata[0]:.4f}, %{customdata[1]:.4f}]",
    )  # fmt: skip


def _ceiling(
    figure: go.Figure, final: pd.DataFrame | None, task: str, measure: str, last: float, at: tuple[int, int]
) -> float | None:
    """The expert's line; returns its height."""
    if final is None or not {*_LABELS, "estimate"}.issubset(final.columns):
        return None
    found = of_measure(final[(final["method"] == EXPERT) & (final["task"] == task)], measure)
    if found.empty:
        return None
    height, style = float(found["estimate"].iloc[0]), METHODS[EXPERT]
    figure.add_scatter(
        x=[0, last], y=[height, height], mode="lines", name=style.name, legendgroup=style.name,
        showlegend=at == (1, 1), line={"color": style.colour, "width": 1.6, "dash": style.dash},
        hovertemplate=f"{style.name}: %{{y:.3f}}<extra></extra>", row=at[0], col=at[1],
    )  # fmt: skip
    return height


def final_success(final: pd.DataFrame, by_seed: pd.DataFrame | None = None) -> go.Figure:
    """Success and colours reached after learning, a line a method, a row of panels a task; all in the same worlds.

    ``final`` has ``method, task, seeds, measure, estimate, low, high``; ``by_seed`` the success of each seed (small
    marks above the estimate).
    """
    need(final, [*_LABELS, *ESTIMATE], "final_success")
    tasks = ordered(final["task"], TASKS)
    titles = [f"{task_name(task)}: {title}" for task in tasks for title in MEASURES.values()]
    figure = make_subplots(len(tasks), 2, shared_yaxes=True, horizontal_spacing=0.04, vertical_spacing=0.17,
                           subplot_titles=titles, column_widths=[0.55, 0.45])  # fmt: skip
    methods = looks_in(final["method"], METHODS)
    for i, task in enumerate(tasks, 1):
        part = final[final["task"] == task]
        for j, measure in enumerate(MEASURES, 1):
            rows = of_measure(part, measure)
            for place, (method, style) in enumerate(methods):
                for row in rows[rows["method"] == method].itertuples():
                    figure.add_traces(list(labelled(row, place, style, float(rows["estimate"].max()))), i, j)
            top = max(1.0, float(rows["estimate"].max())) if len(rows) else 1.0
            figure.update_xaxes(range=[-0.03 * top, 1.06 * top], row=i, col=j)
        for mark in _seed_marks(by_seed, task, [method for method, _ in methods]):
            figure.add_trace(mark, i, 1)
    names = [style.name + _seed_count(final, method) for method, style in methods]
    figure.update_yaxes(tickvals=list(range(len(names))), ticktext=names, range=[len(names) - 0.4, -0.7])
    note = "95% intervals that resample seeds and worlds (Wilson where all agree). Small upright marks: single seeds."
    return finish(figure, "Success after learning", note, 1040, (34 * len(names) + 105) * len(tasks) + 110)


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
