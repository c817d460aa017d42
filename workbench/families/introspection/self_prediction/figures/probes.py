"""Figures of the probes beside self-prediction: what is read at the hypothetical prompt, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.families.introspection.self_prediction.figures.style import (
    FITS,
    LEVEL,
    METRICS,
    NOTE,
    PREDICTORS,
    SPLITS,
    known,
    name_axis,
    points,
    share_axis,
)
from workbench.figures.style import GREEN, PURPLE, Look, band, finish, need

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["probe_layers", "probes"]

_READERS = ("probe", "second", "untrained", "shuffled", "self", "cross", "self_before", "cross_before", "mode")


def probes(table: pd.DataFrame, metric: str = "accuracy") -> go.Figure:
    """The probe beside self- and cross-prediction and its controls, on the same items; a panel a split and fit.

    ``table`` has ``fit, reader, split, task, metric, layer, estimate, low, high``.
    """
    need(table, ["fit", "reader", "split", "task", "metric", "layer", *LEVEL], "probes")
    rows = table[(table["task"] == "") & (table["metric"] == metric)]
    need(rows, [], "probes")
    fits, splits, readers = known(rows["fit"], FITS), known(rows["split"], SPLITS), known(rows["reader"], _READERS)
    titles = [f"{SPLITS.get(s, s)}<br><span style='font-size:11px'>{FITS.get(f, f)}</span>"
              for f in fits for s in splits]  # fmt: skip
    figure = make_subplots(len(fits), len(splits), shared_yaxes=True, shared_xaxes=True, horizontal_spacing=0.04,
                           vertical_spacing=0.16, subplot_titles=titles)  # fmt: skip
    for i, fit in enumerate(fits, 1):
        for j, split in enumerate(splits, 1):
            part = rows[(rows["fit"] == fit) & (rows["split"] == split)]
            for reader in readers:
                own, style = part[part["reader"] == reader], PREDICTORS[reader]
                figure.add_trace(points(own, [style.name] * len(own), style, False), i, j)
            name_axis(figure, [PREDICTORS[reader].name for reader in readers], i, j)
    figure.update_xaxes(range=[-0.03, 1.04])
    figure.update_xaxes(title_text=METRICS[metric], row=len(fits))
    title = f"What a probe of layer {int(rows['layer'].iloc[0])} reads, beside what models say"
    figure = finish(figure, title, NOTE, 420 * len(splits) + 240, 290 * len(fits) + 170)
    return figure.update_layout(margin_t=130)


def probe_layers(table: pd.DataFrame) -> go.Figure:
    """The probe's accuracy by layer on test items, a panel a split, a line a fit.

    ``table`` has ``layer, fit, role, split, estimate, low, high``.
    """
    need(table, ["layer", "fit", "role", "split", *LEVEL], "probe_layers")
    rows = table[table["role"] == "test"]
    need(rows, [], "probe_layers")
    splits = known(rows["split"], SPLITS)
    figure = make_subplots(1, len(splits), shared_yaxes=True, horizontal_spacing=0.05,
                           subplot_titles=[SPLITS.get(s, s) for s in splits])  # fmt: skip
    looks = {"training": Look(FITS["training"], GREEN), "folds": Look(FITS["folds"], PURPLE, "dash", "diamond")}
    for j, split in enumerate(splits, 1):
        for fit in known(rows["fit"], FITS):
            own = rows[(rows["split"] == split) & (rows["fit"] == fit)].sort_values("layer")
            style = looks[fit]
            figure.add_trace(band(own["layer"], own["low"], own["high"], style.colour), 1, j)
            figure.add_scatter(
                x=own["layer"], y=own["estimate"], mode="lines+markers", name=style.name, legendgroup=style.name,
                showlegend=j == 1, line={"color": style.colour, "dash": style.dash, "width": 2.4},
                marker={"symbol": style.symbol, "size": 8}, customdata=own[["low", "high"]],
                hovertemplate="%{y:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]", row=1, col=j,
            )  # fmt: skip
    figure.update_xaxes(title_text="layer", tickvals=sorted(rows["layer"].unique()))
    share_axis(figure, "accuracy (share)")
    return finish(figure, "Where M1's future answer can be read", NOTE, 440 * len(splits) + 60, 460)
