"""Figures of the probes beside self-prediction: what is read at the hypothetical prompt, and where."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from workbench.families.introspection.self_prediction.figures.looks import (
    FITS,
    METRICS,
    NOTE,
    PREDICTORS,
    SPLITS,
    known,
    splits_of,
)
from workbench.figures.marks import LEVEL, Traces, curve, each, points
from workbench.figures.panels import name_axis, panels, share_axis
from workbench.figures.style import GREEN, PURPLE, Look, finish, need

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
