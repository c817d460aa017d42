"""Figures of a self-prediction run (arXiv 2410.13787), drawn from the tables that the experiment writes.

Nothing is computed here: estimates, intervals and bins are those of the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.families.introspection.self_prediction.figures.probes import probe_layers, probes
from workbench.families.introspection.self_prediction.figures.style import (
    LEVEL,
    METRICS,
    NOTE,
    PREDICTORS,
    SPLITS,
    bar,
    error_bars,
    known,
    name_axis,
    points,
    role,
    share_axis,
    short,
)
from workbench.figures.style import BLUE, GREY, SKY, VERMILION, Look, finish, need, words

if TYPE_CHECKING:
    import pandas as pd

    from workbench.figures.record import Record

__all__ = [
    "by_task", "calibration", "figures", "probe_layers", "probes", "self_against_cross",
    "shift", "similarity",
]  # fmt: skip

_SHOWN = ("mode", "self_before", "self", "cross_before", "cross")


def figures(record: Record) -> dict[str, Callable[[], go.Figure]]:
    """What draws each figure of the run's tables, by name; drawing raises a :class:`WorkbenchError` when a table is
    broken or lacks what the figure needs."""
    drawn_from: dict[str, tuple[str, Callable[[pd.DataFrame], go.Figure]]] = {
        "self_against_cross": ("accuracy", self_against_cross),
        "by_task": ("accuracy", by_task),
        "similarity": ("similarity", similarity),
        "calibration": ("calibration", calibration),
        "shift": ("shift", shift),
        "probes": ("probes", probes),
        "probe_layers": ("probe_layers", probe_layers),
    }

    def drawn(table: str, draw: Callable[[pd.DataFrame], go.Figure]) -> Callable[[], go.Figure]:
        return lambda: draw(record.load_table(table))

    return {name: drawn(*how) for name, how in drawn_from.items() if f"{how[0]}.parquet" in record.artifacts}


def self_against_cross(table: pd.DataFrame, metric: str = "accuracy") -> go.Figure:
    """Every predictor of each model's behaviour over all properties, a panel a split, a group of bars a model.

    ``table`` has ``target, learner, predictor, split, task, property, metric, estimate, low, high``.
    """
    need(table, ["target", "learner", "predictor", "split", "task", "metric", *LEVEL], "self_against_cross")
    rows = table[(table["task"] == "") & (table["metric"] == metric) & table["predictor"].isin(_SHOWN)]
    need(rows, [], "self_against_cross")
    splits, targets = known(rows["split"], SPLITS), list(dict.fromkeys(rows["target"]))
    figure = make_subplots(
        1, len(splits), shared_yaxes=True, horizontal_spacing=0.04, subplot_titles=[SPLITS.get(s, s) for s in splits]
    )
    for j, split in enumerate(splits, 1):
        part = rows[rows["split"] == split]
        for style, own in _bars(part):
            names = [f"predicting {words(role(t))}" for t in own["target"]]
            figure.add_trace(bar(own, names, style, j == 1), 1, j)
    share_axis(figure, METRICS[metric])
    figure.update_layout(barmode="group", bargap=0.25, bargroupgap=0.06)
    width = max(760, 330 * len(splits) * max(1, len(targets)) // 2 + 300)
    return finish(figure, "Self-prediction against cross-prediction", NOTE, width, 520)


def _bars(rows: pd.DataFrame) -> Iterator[tuple[Look, pd.DataFrame]]:
    """Bars of one look: a predictor, and, of several cross-trained models, one each."""
    for predictor in known(rows["predictor"], PREDICTORS):
        part = rows[rows["predictor"] == predictor]
        if not predictor.startswith("cross"):
            yield PREDICTORS[predictor], part
            continue
        rank = part.groupby("target", sort=False).cumcount()
        for k in sorted(rank.unique()):
            own, style = part[rank == k], PREDICTORS[predictor]
            name = f"{style.name}, {role(own['learner'].iloc[0])}" if k else style.name
            yield Look(name, style.colour, style.dash, style.symbol), own


def by_task(table: pd.DataFrame, metric: str = "accuracy") -> go.Figure:
    """Predictors of M1's behaviour by task and property: a row each, a panel a split.

    ``table``: as for :func:`self_against_cross`.
    """
    need(table, ["target", "learner", "predictor", "split", "task", "property", "metric", *LEVEL], "by_task")
    shown = ("mode", "self", "cross")
    rows = table[(table["target"] == "first") & (table["property"] != "") & table["predictor"].isin(shown)]
    rows = rows[(rows["metric"] == metric) & rows["learner"].isin(["", "second-1"])]
    need(rows, [], "by_task")
    splits = known(rows["split"], SPLITS)
    figure = make_subplots(1, len(splits), horizontal_spacing=0.2, subplot_titles=[SPLITS.get(s, s) for s in splits])
    most = 0
    for j, split in enumerate(splits, 1):
        part = rows[rows["split"] == split].sort_values(["task", "property"], kind="stable")
        part = part.assign(name=[f"{t}: {words(p)}" for t, p in zip(part["task"], part["property"], strict=True)])
        most = max(most, part["name"].nunique())
        for predictor in known(part["predictor"], PREDICTORS):
            own = part[part["predictor"] == predictor]
            figure.add_trace(points(own, own["name"], PREDICTORS[predictor], j == 1), 1, j)
        name_axis(figure, list(dict.fromkeys(part["name"])), 1, j)
    figure.update_xaxes(range=[-0.03, 1.04], title_text=METRICS[metric])
    return finish(figure, "Predictions of M1's behaviour, by task and property", NOTE, 1150, 24 * most + 230)


def similarity(table: pd.DataFrame) -> go.Figure:
    """How often each candidate behaves as M1 does, by split.  ``table`` has ``model, split, estimate, low, high``."""
    need(table, ["model", "split", *LEVEL], "similarity")
    figure = go.Figure()
    for split, colour in zip(known(table["split"], SPLITS), (BLUE, VERMILION), strict=False):
        part = table[table["split"] == split]
        if split:
            style = Look(SPLITS.get(split, split), colour)
            figure.add_trace(bar(part, [short(name) for name in part["model"]], style, True))
    share_axis(figure, "same property as M1's answer (share)")
    figure.update_layout(barmode="group", bargap=0.35)
    return finish(figure, "Which models behave like M1", f"M2 is the most similar one. {NOTE}", 720, 460)


def calibration(table: pd.DataFrame) -> go.Figure:
    """Object-level against hypothetical probability of M1's most frequent value, in equal-frequency bins; a panel a
    split.  ``table`` has ``predictor, learner, split, hypothetical, estimate, low, high, n``."""
    need(table, ["predictor", "learner", "split", "hypothetical", "n", *LEVEL], "calibration")
    table = table[table["learner"].isin(["", "second-1"])]
    splits = known(table["split"], SPLITS)
    figure = make_subplots(1, len(splits), shared_yaxes=True, horizontal_spacing=0.05,
                           subplot_titles=[SPLITS.get(s, s) for s in splits])  # fmt: skip
    for j, split in enumerate(splits, 1):
        figure.add_scatter(
            x=[0, 1], y=[0, 1], mode="lines", line={"color": GREY, "dash": "dot", "width": 1.5}, name="calibrated",
            legendgroup="calibrated", hoverinfo="skip", showlegend=j == 1, row=1, col=j,
        )  # fmt: skip
        part = table[table["split"] == split]
        for predictor in known(part["predictor"], PREDICTORS):
            own, style = part[part["predictor"] == predictor].sort_values("hypothetical"), PREDICTORS[predictor]
            figure.add_scatter(
                x=own["hypothetical"], y=own["estimate"], mode="lines+markers", name=style.name, showlegend=j == 1,
                legendgroup=style.name, line={"color": style.colour, "dash": style.dash, "width": 2},
                marker={"symbol": style.symbol, "size": 9}, customdata=own[["low", "high", "n"]], cliponaxis=False,
                error_y=error_bars(own, style.colour, 1),
                hovertemplate="hypothetical %{x:.2f}, object level %{y:.2f} [%{customdata[0]:.2f}, "
                "%{customdata[1]:.2f}], %{customdata[2]} items", row=1, col=j,
            )  # fmt: skip
    figure.update_xaxes(range=[-0.04, 1.04], title_text="hypothetical probability")
    share_axis(figure, "object-level probability")
    note = f"M1's most frequent value of each property, sampled at temperature 1. {NOTE}"
    return finish(figure, "Does the prediction know how answers spread?", note, 480 * len(splits) + 60, 560)


def shift(table: pd.DataFrame) -> go.Figure:
    """How often predictions name the old and the new value of items whose property changed, before and after the
    shift; a panel for all of them and one for the subset in which values are equally often old and new.

    ``table`` has ``subset, split, predictor, follows, estimate, low, high, n``.
    """
    need(table, ["subset", "split", "predictor", "follows", "n", *LEVEL], "shift")
    rows = table[table["split"] == ""]
    need(rows, [], "shift")
    subsets = list(dict.fromkeys(rows["subset"]))
    sizes = {subset: int(rows.loc[rows["subset"] == subset, "n"].max()) for subset in subsets}
    titles = {"changed": "all changed items", "equalised": "answers equally often old and new"}
    figure = make_subplots(1, len(subsets), shared_yaxes=True, horizontal_spacing=0.05,
                           subplot_titles=[f"{titles.get(s, s)} (n = {sizes[s]})" for s in subsets])  # fmt: skip
    names = {"before": "before the shift", "after": "after the shift"}
    for j, subset in enumerate(subsets, 1):
        for follows, colour in (("old", SKY), ("new", VERMILION)):
            part = rows[(rows["subset"] == subset) & (rows["follows"] == follows)]
            labels = [names.get(p, p) for p in part["predictor"]]
            figure.add_trace(bar(part, labels, Look(f"{follows} behaviour", colour), j == 1), 1, j)
    share_axis(figure, "predictions that name it (share)")
    figure.update_layout(barmode="group", bargap=0.35)
    return finish(figure, "Behaviour shift: which behaviour do predictions follow?", NOTE, 860, 480)
