"""The matrix of effects: portraits, vectors at their damage and at the target, down; read-outs across."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.families.personality.instrument import ACTIVATIONS
from workbench.figures.marks import Traces, heat
from workbench.figures.panels import panels
from workbench.figures.record import Record, Tables
from workbench.figures.style import finish, need

_UNITS = {ACTIVATIONS: "activations"}
_SCALE = "RdBu_r"


def figures(record: Record) -> dict[str, Callable[[], go.Figure]]:
    """``matrix``, once the run has its table."""
    table = Tables(record).table("matrix")
    return {} if table is None else {"matrix": partial(matrix, table)}


def matrix(table: pd.DataFrame) -> go.Figure:
    """Traits that are read across, traits that are pushed down; colours are shares of a panel's largest effect, cells
    whose interval holds 0 stand in brackets and have none."""
    need(table, ["readout", "method", "layer", "of", "trait", "estimate", "low", "high"], "matrix")
    shown = table[table["method"].isin(["portrait", "vector"])]
    keys = list(dict.fromkeys(zip(shown["readout"], shown["method"], shown["layer"], strict=True)))
    keys.sort(key=lambda key: (key[1] != "portrait", key[2], key[0] == ACTIVATIONS))
    titles = {key: _title(*key) for key in keys}

    def draw(key: tuple[str, str, int]) -> Traces:
        readout, method, layer = key
        part = shown[(shown["readout"] == readout) & (shown["method"] == method) & (shown["layer"] == layer)]
        return _cells(part)

    rows = -(-len(keys) // 2)
    spaced: dict[str, Any] = {"horizontal_spacing": 0.08, "vertical_spacing": 0.2 / rows}
    figure = panels(titles, draw, columns=2, y="pushed", shared=False, **spaced)
    figure.update_xaxes(showgrid=False, tickangle=-30)
    figure.update_yaxes(showgrid=False, autorange="reversed")
    if len(keys) > 1:
        figure.update_yaxes(showticklabels=False, col=2)  # those of column 1
    bar = {"title": {"text": "share of the<br>panel's largest"}, "thickness": 14}
    figure.update_layout(coloraxis={"colorscale": _SCALE, "cmin": -1, "cmax": 1, "colorbar": bar})
    note = "Half of up less down. Texts: log-odds in nats; activations: 1 is from the middle to a side of the pairs. "
    return finish(figure, "What pushing a trait does to each trait", note + "In brackets: the 95% interval holds 0.",
                  1000, 300 * rows + 170)  # fmt: skip


def _title(readout: str, method: str, layer: int) -> str:
    what = "portrait in front" if method == "portrait" else f"vector at layer {layer}"
    return f"{what}, read by {_UNITS.get(readout, readout)}"


def _cells(part: pd.DataFrame) -> Traces:
    traits = list(dict.fromkeys(part["trait"]))
    order = [of for of in traits if of in set(part["of"])]
    cells = part.set_index(["of", "trait"])
    values = cells["estimate"].unstack().reindex(index=order, columns=traits)
    null = ((cells["low"] <= 0) & (cells["high"] >= 0)).unstack().reindex(index=order, columns=traits)
    texts = [
        [_text(float(values.at[of, trait]), bool(null.at[of, trait])) for trait in traits] for of in order
    ]  # fmt: skip
    largest = float(np.nanmax(np.abs(values.to_numpy()))) or 1.0
    return heat((values / largest).mask(null, 0.0), texts, "%{y} pushed, %{x}: %{text}")


def _text(value: float, null: bool) -> str:
    return f"({value:+.2f})" if null else f"{value:+.2f}"
