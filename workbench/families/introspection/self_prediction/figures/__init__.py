"""Figures of a self-prediction run (arXiv 2410.13787), drawn from the tables that the experiment writes.

Nothing is computed here: estimates, intervals and bins are those of the tables.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from workbench.families.introspection.self_prediction.figures.looks import (
    METRICS,
    NOTE,
    PREDICTORS,
    known,
    role,
    short,
    splits_of,
)
from workbench.families.introspection.self_prediction.figures.probes import probe_layers, probes
from workbench.figures.marks import LEVEL, Traces, bars, diagonal, each, points
from workbench.figures.panels import name_axis, panels, share_axis
from workbench.figures.style import BLUE, SKY, VERMILION, Look, finish, need, words

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
    columns = ["target", "learner", "predictor", "split", "task", "metric", *LEVEL]
    rows = need(table, columns, "self_against_cross", task="", metric=metric, predictor=_SHOWN)
    splits, targets = splits_of(rows), rows["target"].nunique()

    def draw(split: str) -> Traces:
        part = rows[rows["split"] == split]
        return [trace for predictor in known(part["predictor"], PREDICTORS) for trace in _predicted(part, predictor)]

    figure = share_axis(panels(splits, draw, y=METRICS[metric]))
    width = max(760, 330 * len(splits) * targets // 2 + 300)
    return finish(figure, "Self-prediction against cross-prediction", NOTE, width, 520)


def _predicted(rows: pd.DataFrame, predictor: str) -> Traces:
    """Bars of a predictor; of several cross-trained models, bars of each."""
    rows, look = rows[rows["predictor"] == predictor], PREDICTORS[predictor]
    rank = rows.groupby("target", sort=False).cumcount() * predictor.startswith("cross")
    drawn = []
    for k, own in rows.groupby(rank):
        named = replace(look, name=f"{look.name}, {role(own['learner'].iloc[0])}") if k else look
        drawn += bars(own, [f"predicting {words(role(target))}" for target in own["target"]], named)
    return drawn


def by_task(table: pd.DataFrame, metric: str = "accuracy") -> go.Figure:
    """Predictors of M1's behaviour by task and property: a row each, a panel a split.

    ``table``: as for :func:`self_against_cross`.
    """
    columns = ["target", "learner", "predictor", "split", "task", "property", "metric", *LEVEL]
    shown = {"target": "first", "predictor": ["mode", "self", "cross"], "learner": ["", "second-1"], "metric": metric}
    rows = need(table, columns, "by_task", **shown)
    rows = need(rows[rows["property"] != ""], [], "by_task").sort_values(["task", "property"], kind="stable")
    splits = splits_of(rows)
    rows = rows.assign(name=rows["task"] + ": " + rows["property"].map(words))
    names = {split: list(rows.loc[rows["split"] == split, "name"].unique()) for split in splits}

    def draw(split: str) -> Traces:
        part = rows[rows["split"] == split]
        part = part.assign(place=part["name"].map(names[split].index))
        return each(part, "predictor", PREDICTORS, lambda own, look: points(own, look, y=own["place"]))

    figure = panels(splits, draw, shared=False, horizontal_spacing=0.2)
    for j, split in enumerate(splits, 1):
        name_axis(figure, names[split], row=1, col=j)
    most = max(map(len, names.values()))
    figure.update_xaxes(range=[-0.03, 1.04], title_text=METRICS[metric])
    return finish(figure, "Predictions of M1's behaviour, by task and property", NOTE, 1150, 24 * most + 230)


def similarity(table: pd.DataFrame) -> go.Figure:
    """How often each candidate behaves as M1 does, by split.  ``table`` has ``model, split, estimate, low, high``."""
    need(table, ["model", "split", *LEVEL], "similarity")
    looks = {
        split: Look(title, colour)
        for (split, title), colour in zip(splits_of(table).items(), (BLUE, VERMILION), strict=False)
    }
    rows = table[table["split"].isin(looks)]
    figure = go.Figure(each(rows, "split", looks, lambda own, look: bars(own, own["model"].map(short), look)))
    share_axis(figure).update_yaxes(title_text="same property as M1's answer (share)")
    return finish(figure, "Which models behave like M1", f"M2 is the most similar one. {NOTE}", 720, 460)


def calibration(table: pd.DataFrame) -> go.Figure:
    """Object-level against hypothetical probability of M1's most frequent value, in equal-frequency bins; a panel a
    split.  ``table`` has ``predictor, learner, split, hypothetical, estimate, low, high, n``."""
    columns = ["predictor", "learner", "split", "hypothetical", "n", *LEVEL]
    table = need(table, columns, "calibration", learner=["", "second-1"], predictor=PREDICTORS)
    table, splits = table.sort_values("hypothetical"), splits_of(table)
    hover = "hypothetical %{x:.2f}, object level %{y:.2f} [%{customdata[0]:.2f}, %{customdata[1]:.2f}]"
    hover += ", %{customdata[2]} items"

    def bins(own: pd.DataFrame, look: Look) -> Traces:
        more = {"customdata": own[["low", "high", "n"]], "hovertemplate": hover, "mode": "lines+markers"}
        return points(own, look, x=own["hypothetical"], size=9, **more)

    figure = panels(splits, lambda s: diagonal() + each(table[table["split"] == s], "predictor", PREDICTORS, bins))
    figure.update_xaxes(range=[-0.04, 1.04], title_text="hypothetical probability")
    share_axis(figure).update_yaxes(title_text="object-level probability", col=1)
    note = f"M1's most frequent value of each property, sampled at temperature 1. {NOTE}"
    return finish(figure, "Does the prediction know how answers spread?", note, 480 * len(splits) + 60, 560)


def shift(table: pd.DataFrame) -> go.Figure:
    """How often predictions name the old and the new value of items whose property changed, before and after the
    shift; a panel for all of them and one for the subset in which values are equally often old and new.

    ``table`` has ``subset, split, predictor, follows, estimate, low, high, n``.
    """
    rows = need(table, ["subset", "split", "predictor", "follows", "n", *LEVEL], "shift", split="")
    titles = {"changed": "all changed items", "equalised": "answers equally often old and new"}
    sizes = {
        str(subset): f"{titles.get(str(subset), subset)} (n = {n})"
        for subset, n in rows.groupby("subset", sort=False)["n"].max().items()
    }
    names = {"before": "before the shift", "after": "after the shift"}
    looks = {"old": Look("old behaviour", SKY), "new": Look("new behaviour", VERMILION)}

    def draw(subset: str) -> Traces:
        part = rows[(rows["subset"] == subset) & rows["follows"].isin(looks)]
        return each(part, "follows", looks, lambda own, look: bars(own, own["predictor"].replace(names), look))

    figure = share_axis(panels(sizes, draw, y="predictions that name it (share)"))
    return finish(figure, "Behaviour shift: which behaviour do predictions follow?", NOTE, 860, 480)
