"""Figures of a probe sweep: scores by layer with their controls, and by layer and position.

All draw the rows of a sweep: one a cell, control and metric, control "none" being the probe itself.  A *series* is a
probe with its parameters (and component, where there are several).  Where a sweep has several seeds, lines, bands and
heatmaps are those of the first, and the others are small points beside the line: nothing is averaged here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.errors import WorkbenchError
from workbench.figures.marks import curve
from workbench.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    Look,
    finish,
    need,
    words,
)

if TYPE_CHECKING:
    import pandas as pd

    from workbench.figures.record import Record

__all__ = ["figures", "layer_curves", "layer_position_heatmap", "main_metric"]

COLUMNS = ("model", "layer", "component", "position", "target", "task", "probe", "params", "seed", "control", "metric",
           "estimate", "low", "high", "difference_low", "label")  # fmt: skip
METRICS = {
    "classification": ("balanced_accuracy", "accuracy"),
    "regression": ("r2", "spearman"),
    "map": ("balanced_accuracy", "accuracy"),
    "plan": ("prefix@1",),
}
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
CONTROLS = {"majority": "dot", "shuffled": "dash", "untrained": "dashdot"}
CHANCE = "majority"
_MOST_FIGURES, _SCALE = 24, "Viridis"


def figures(record: Record) -> dict[str, Callable[[], go.Figure]]:
    """Layer curves and heatmaps of each model and target (of the first 24 pairs); ``{}`` before any cell is finished.

    Names are ``layers-<model>-<target>`` and ``heatmap-<model>-<target>``; where there are more series than colours,
    one figure a probe, with its name at the end.
    """
    try:
        table = record.rows()
        need(table, COLUMNS, "sweep")
    except WorkbenchError:
        return {}
    found: dict[str, Callable[[], go.Figure]] = {}
    for (model, target), part in list(table[table["control"].notna()].groupby(["model", "target"], sort=False))[
        :_MOST_FIGURES
    ]:
        for suffix, shown in _by_colour(part):
            for kind, draw in (("layers", layer_curves), ("heatmap", layer_position_heatmap)):
                found["-".join([kind, _file(model), _file(target), *suffix])] = partial(draw, shown, model, target)
    return found


def main_metric(table: pd.DataFrame) -> str:
    """The score that is drawn: balanced accuracy (or accuracy) of classes, R2 (or Spearman's rho) of numbers."""
    task = str(table["task"].iloc[0])
    there = set(table["metric"].dropna())
    return next((name for name in METRICS.get(task, ()) if name in there), next(iter(sorted(there)), ""))


def layer_curves(table: pd.DataFrame, model: str, target: str) -> go.Figure:
    """Score against layer, a panel a position and a colour a series, with 95% bands; controls in the series' colour."""
    part, metric = _scores(table, model, target, "layer_curves")
    positions, seeds = list(dict.fromkeys(part["position"])), list(dict.fromkeys(part["seed"]))
    figure = make_subplots(1, len(positions), shared_yaxes=True, horizontal_spacing=0.03, column_titles=positions)
    for column, position in enumerate(positions, 1):
        here = part[part["position"] == position]
        for number, (series, rows) in enumerate(here.groupby("series", sort=False)):
            place = {"row": 1, "col": column}
            colour = COLOURS[number % len(COLOURS)]
            _add_probe(figure, place, rows[rows["control"] == "none"], str(series), colour, seeds[0])
            _add_controls(figure, place, rows[rows["seed"] == seeds[0]], colour, number == 0)
        layers = sorted(here["layer"].unique())
        figure.update_xaxes(title_text="layer", dtick=max(1, len(layers) // 8), row=1, col=column)
    figure.update_yaxes(title_text=words(metric), row=1, col=1)
    note = (
        "Out-of-fold scores with 95% intervals that resample whole groups. Broken lines, in a probe's colour: controls"
    )
    note += "; points: other seeds." if len(seeds) > 1 else "."
    return finish(figure, f"{words(target)} in {model}, by layer", note, max(640, 330 * len(positions) + 140), 540)


def _add_probe(figure: go.Figure, place: Any, rows: pd.DataFrame, series: str, colour: str, seed: int) -> None:
    first, others = rows[rows["seed"] == seed], rows[rows["seed"] != seed]
    if first.empty:
        return
    for trace in curve(first, "layer", Look(series, colour), place["col"] == 1):
        figure.add_trace(trace, **place)
    if len(others):
        points = go.Scatter(
            x=others["layer"], y=others["estimate"], mode="markers", marker={"color": colour, "size": 4},
            name=f"{series}, other seeds", legendgroup=series, showlegend=False,
        )  # fmt: skip
        figure.add_trace(points, **place)


def _add_controls(figure: go.Figure, place: Any, rows: pd.DataFrame, colour: str, first: bool) -> None:
    for control, found in rows[rows["control"] != "none"].groupby("control", sort=False):
        if control == CHANCE and not first:
            continue  # the same for every probe
        levels, dash = found.sort_values("layer"), CONTROLS.get(str(control), "longdash")
        line = go.Scatter(
            x=levels["layer"], y=levels["estimate"], mode="lines", name=f"control: {words(str(control))}",
            legendgroup=f"control {control}", showlegend=first and place["col"] == 1, opacity=0.8, legendrank=2000,
            line={"color": BLACK if control == CHANCE else colour, "width": 1.5, "dash": dash},
            hovertemplate="layer %{x}: %{y:.3f}",
        )  # fmt: skip
        figure.add_trace(line, **place)


def layer_position_heatmap(table: pd.DataFrame, model: str, target: str) -> go.Figure:
    """Score by layer and position, a panel a series; in brackets where the probe does not beat each of its controls.

    It beats a control when the 95% interval of the paired difference lies above 0.
    """
    part, metric = _scores(table, model, target, "layer_position_heatmap")
    part = part[part["seed"] == part["seed"].iloc[0]]
    names = list(dict.fromkeys(part["series"]))
    figure = make_subplots(1, len(names), shared_yaxes=True, horizontal_spacing=0.03, column_titles=names)
    for column, name in enumerate(names, 1):
        _add_heatmap(figure, column, part[part["series"] == name])
    probe = part[part["control"] == "none"]["estimate"]
    chance = part[part["control"] == CHANCE]["estimate"]
    low = float(np.nanmin(chance)) if len(chance) else float(np.nanmin(probe))
    bar = {"title": {"text": words(metric).replace(" ", "<br>") + "<br> ", "font": {"size": 12}}, "thickness": 14}
    high = max(float(np.nanmax(probe)), low + 1e-3)
    figure.update_layout(coloraxis={"colorscale": _SCALE, "cmin": low, "cmax": high, "colorbar": bar})
    figure.update_xaxes(showgrid=False, title_text="position")
    figure.update_yaxes(showgrid=False, type="category")
    figure.update_yaxes(title_text="layer", row=1, col=1)
    layers, positions = part["layer"].nunique(), part["position"].nunique()
    size = {"width": max(640, len(names) * (90 * positions + 60) + 200), "height": max(420, 30 * layers + 230)}
    note = "Out-of-fold scores; the scale begins at the majority control." if len(chance) else "Out-of-fold scores."
    return finish(figure, f"{words(target)} in {model}, by layer and position",
                  f"{note} In brackets: does not beat every control.", **size)  # fmt: skip


def _add_heatmap(figure: go.Figure, column: int, rows: pd.DataFrame) -> None:
    probe = rows[rows["control"] == "none"]
    positions, layers = list(dict.fromkeys(probe["position"])), sorted(probe["layer"].unique())
    score = probe.pivot(index="layer", columns="position", values="estimate").reindex(index=layers, columns=positions)
    controls = rows[rows["control"] != "none"].assign(beaten=lambda t: t["difference_low"] > 0)
    beaten = controls.groupby(["layer", "position"])["beaten"].all()
    text = [
        [_cell_text(float(score.at[layer, place]), bool(beaten.get((layer, place), True))) for place in positions]
        for layer in layers
    ]
    figure.add_heatmap(
        z=score, x=positions, y=[str(layer) for layer in layers], text=text, texttemplate="%{text}", xgap=2, ygap=2,
        coloraxis="coloraxis", hovertemplate="layer %{y}, %{x}: %{text}<extra></extra>", row=1, col=column,
    )  # fmt: skip


def _cell_text(value: float, beats: bool) -> str:
    """A score; in brackets when it does not beat its controls.

    >>> _cell_text(0.8, True), _cell_text(0.34, False), _cell_text(float("nan"), True)
    ('0.80', '(0.34)', '')
    """
    if np.isnan(value):
        return ""
    return f"{value:.2f}" if beats else f"({value:.2f})"


def _scores(table: pd.DataFrame, model: str, target: str, figure: str) -> tuple[pd.DataFrame, str]:
    """The rows of the main metric of one model and target, with the name of their series."""
    need(table, COLUMNS, figure)
    part = table[(table["model"] == model) & (table["target"] == target)]
    part = part[part["control"].notna() & (part["label"].fillna("") == "")]
    need(part, [], f"{figure} of {target} in {model}")
    metric = main_metric(part)
    part = part[part["metric"] == metric]
    several = part["component"].nunique() > 1
    names = [
        _series(probe, params) + (f", {component}" if several else "")
        for probe, params, component in zip(part["probe"], part["params"], part["component"], strict=True)
    ]
    return part.assign(series=names), metric


def _series(probe: str, params: str) -> str:
    """A probe with its parameters in words.

    >>> _series("ridge", '{"alpha": 10.0}'), _series("lda", "{}")
    ('ridge alpha 10', 'lda')
    """
    given: Mapping[str, Any] = json.loads(params)
    shown = (f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in given.items())
    return " ".join([probe, *shown])


def _by_colour(part: pd.DataFrame) -> Iterator[tuple[list[str], pd.DataFrame]]:
    """The part whole when its series have a colour each, else probe by probe."""
    if len(part[["probe", "params", "component"]].drop_duplicates()) <= len(COLOURS):
        yield [], part
        return
    for probe, rows in part.groupby("probe", sort=False):
        yield [_file(probe)], rows


def _file(name: Any) -> str:
    return "".join(letter if letter.isalnum() or letter in "_.=+-" else "-" for letter in str(name)).lstrip(".")
