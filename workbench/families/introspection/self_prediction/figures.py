"""Figures of a self-prediction run (arXiv 2410.13787), drawn from the tables that the experiment writes.

Nothing is computed here: estimates, intervals and bins are those of the tables.  A predictor keeps its colour, dash and
marker in every figure, so nothing is said by colour alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import pandas as pd
import plotly.graph_objects as go

from workbench.errors import DataError
from workbench.figures.marks import LEVEL, Traces, bars, curve, diagonal, each, points
from workbench.figures.panels import name_axis, panels, share_axis
from workbench.figures.record import Record
from workbench.figures.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, Look, finish, need, words

NOTE = "95% intervals resample whole items."
METRICS = {"accuracy": "accuracy (share)", "balanced_accuracy": "balanced accuracy (share)"}
PREDICTORS = {
    "mode": Look("commonest answer", GREY, "dot", "square"),
    "self_before": Look("itself, before finetuning", SKY, "dash", "circle-open"),
    "self": Look("self-trained", BLUE, "solid", "circle"),
    "cross_before": Look("other model, before finetuning", ORANGE, "dash", "diamond-open"),
    "cross": Look("cross-trained", VERMILION, "longdash", "diamond"),
    "probe": Look("probe on M1", GREEN, "solid", "triangle-up"),
    "second": Look("probe on M2", PURPLE, "dashdot", "triangle-down"),
    "untrained": Look("probe on untrained M1", BLACK, "dashdot", "cross"),
    "shuffled": Look("probe, shuffled labels", GREY, "dash", "x"),
}
SPLITS = {"held_out": "tasks never finetuned on", "train": "new prompts of training tasks"}
FITS = {"training": "fitted on the training pairs", "folds": "fitted in folds of the tested prompts"}


def known(values: Iterable[str], names: Iterable[str]) -> list[str]:
    """The distinct values that are among ``names``, in their order; :class:`DataError` when there is none.

    >>> known(["cross", "mine", "self", "cross"], PREDICTORS)
    ['self', 'cross']
    """
    found, names = set(values), list(names)
    if not found.intersection(names):
        raise DataError(f"none of {', '.join(map(repr, sorted(found)))} can be drawn: known are {', '.join(names)}")
    return [name for name in names if name in found]


def splits_of(rows: pd.DataFrame) -> dict[str, str]:
    """The known splits of some rows with their titles."""
    return {split: SPLITS[split] for split in known(rows["split"], SPLITS)}


def role(name: str) -> str:
    """A model's role as papers write it.

    >>> role("first"), role("second-1"), role("second-2")
    ('M1', 'M2', 'M3')
    """
    number = name.removeprefix("second-")
    return "M1" if name == "first" else f"M{int(number) + 1}" if number.isdigit() else name


def short(name: str) -> str:
    """A model's name without the folders before it."""
    return str(name).rstrip("/").rpartition("/")[2]


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


_READERS = ("probe", "second", "untrained", "shuffled", "self", "cross", "self_before", "cross_before", "mode")


def probes(table: pd.DataFrame, metric: str = "accuracy") -> go.Figure:
    """The probe beside self- and cross-prediction and its controls, on the same items; a panel a split and fit.

    ``table`` has ``fit, reader, split, task, metric, layer, estimate, low, high``.
    """
    columns = ["fit", "reader", "split", "task", "metric", "layer", *LEVEL]
    rows = need(table, columns, "probes", task="", metric=metric)
    fits, splits, readers = known(rows["fit"], FITS), known(rows["split"], SPLITS), known(rows["reader"], _READERS)
    titles = {
        (fit, split): f"{SPLITS[split]}<br><span style='font-size:11px'>{FITS[fit]}</span>"
        for fit in fits for split in splits
    }  # fmt: skip
    looks = {reader: PREDICTORS[reader] for reader in readers}
    rows = rows[rows["reader"].isin(readers)]

    def draw(which: tuple[str, str]) -> Traces:
        part = rows[(rows["fit"] == which[0]) & (rows["split"] == which[1])]
        part = part.assign(place=part["reader"].map(readers.index))
        return each(part, "reader", looks, lambda own, look: points(own, look, y=own["place"], showlegend=False))

    figure = panels(titles, draw, len(splits), METRICS[metric])
    name_axis(figure, [look.name for look in looks.values()]).update_xaxes(range=[-0.03, 1.04])
    title = f"What a probe of layer {int(rows['layer'].iloc[0])} reads, beside what models say"
    figure = finish(figure, title, NOTE, 420 * len(splits) + 240, 290 * len(fits) + 170)
    return figure.update_layout(margin_t=130)


def probe_layers(table: pd.DataFrame) -> go.Figure:
    """The probe's accuracy by layer on test items, a panel a split, a line a fit.

    ``table`` has ``layer, fit, role, split, estimate, low, high``.
    """
    rows = need(table, ["layer", "fit", "role", "split", *LEVEL], "probe_layers", role="test")
    splits = splits_of(rows)
    looks = {"training": Look(FITS["training"], GREEN), "folds": Look(FITS["folds"], PURPLE, "dash", "diamond")}
    rows = rows[rows["fit"].isin(looks)]

    def draw(split: str) -> Traces:
        return each(rows[rows["split"] == split], "fit", looks, lambda own, look: curve(own, "layer", look))

    figure = share_axis(panels(splits, draw, x="layer", y="accuracy (share)"))
    figure.update_xaxes(tickvals=sorted(rows["layer"].unique()))
    return finish(figure, "Where M1's future answer can be read", NOTE, 440 * len(splits) + 60, 460)
