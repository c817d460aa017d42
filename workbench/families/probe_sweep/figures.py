"""Figures of a probe sweep: scores by layer with their controls, and by layer and position.

All draw the rows of a sweep: one a cell, control and metric, control "none" being the probe itself.  A *series* is a
probe with its parameters (and component, where there are several).  Where a sweep has several seeds, lines, bands and
heatmaps are those of the first, and the others are small points beside the line: nothing is averaged here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.errors import WorkbenchError
from workbench.figures.marks import Traces, curve, heat, line
from workbench.figures.panels import colour_axis, panels
from workbench.figures.record import Record
from workbench.figures.style import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, Look, finish, need, words

COLUMNS = ("model", "layer", "component", "position", "target", "task", "probe", "params", "seed", "control", "metric",
           "estimate", "low", "high", "difference_low", "label")  # fmt: skip
METRICS = {
    "classification": ("balanced_accuracy", "accuracy"),
    "regression": ("r2", "spearman"),
    "map": ("balanced_accuracy", "accuracy"),
    "plan": ("prefix@1",),
}
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
CONTROLS = {"majority": "dot", "shuffled": "dash", "untrained": "dashdot", "bag_of_words": "longdashdot"}
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
    seeds = part["seed"].unique()

    def draw(position: str) -> Traces:
        drawn: Traces = []
        for k, (name, rows) in enumerate(part[part["position"] == position].groupby("series", sort=False)):
            look = Look(str(name), COLOURS[k % len(COLOURS)])
            drawn += _probe(rows[rows["control"] == "none"], look, seeds[0])
            drawn += _controls(rows[rows["seed"] == seeds[0]], look.colour, k == 0)
        return drawn

    positions = {position: position for position in part["position"].unique()}
    figure = panels(positions, draw, x="layer", y=words(metric))
    figure.update_xaxes(dtick=max(1, part["layer"].nunique() // 8))
    note = (
        "Out-of-fold scores with 95% intervals that resample whole groups. Broken lines, in a probe's colour: controls"
    )
    note += "; points: other seeds." if len(seeds) > 1 else "."
    return finish(figure, f"{words(target)} in {model}, by layer", note, max(640, 330 * len(positions) + 140), 540)


def _probe(rows: pd.DataFrame, look: Look, seed: int) -> Traces:
    others = rows[rows["seed"] != seed]
    drawn = curve(rows[rows["seed"] == seed], "layer", look)
    if drawn and len(others):
        other: dict[str, Any] = {"name": f"{look.name}, other seeds", "mode": "markers", "showlegend": False}
        drawn += line(others["layer"], others["estimate"], look, size=4, **other)
    return drawn


def _controls(rows: pd.DataFrame, colour: str, first: bool) -> Traces:
    drawn: Traces = []
    for control, found in rows[rows["control"] != "none"].sort_values("layer").groupby("control", sort=False):
        if control == CHANCE and not first:
            continue  # the same for every probe
        dash = CONTROLS.get(str(control), "longdash")
        look = Look(f"control: {words(str(control))}", BLACK if control == CHANCE else colour, dash)
        more: dict[str, Any] = {"opacity": 0.8, "legendrank": 2000, "hovertemplate": "layer %{x}: %{y:.3f}"}
        drawn += line(found["layer"], found["estimate"], look, 1.5, **more)
    return drawn


def layer_position_heatmap(table: pd.DataFrame, model: str, target: str) -> go.Figure:
    """Score by layer and position, a panel a series; in brackets where the probe does not beat each of its controls.

    It beats a control when the 95% interval of the paired difference lies above 0.
    """
    part, metric = _scores(table, model, target, "layer_position_heatmap")
    part = part[part["seed"] == part["seed"].iloc[0]]
    names = {name: name for name in part["series"].unique()}
    figure = panels(names, lambda name: _cells(part[part["series"] == name]), x="position", y="layer")
    probe = part[part["control"] == "none"]["estimate"]
    chance = part[part["control"] == CHANCE]["estimate"]
    low = float(np.nanmin(chance)) if len(chance) else float(np.nanmin(probe))
    high = max(float(np.nanmax(probe)), low + 1e-3)
    colour_axis(figure, words(metric).replace(" ", "<br>") + "<br> ", _SCALE, low, high)
    layers, positions = part["layer"].nunique(), part["position"].nunique()
    size = {"width": max(640, len(names) * (90 * positions + 60) + 200), "height": max(420, 30 * layers + 230)}
    note = "Out-of-fold scores; the scale begins at the majority control." if len(chance) else "Out-of-fold scores."
    return finish(figure, f"{words(target)} in {model}, by layer and position",
                  f"{note} In brackets: does not beat every control.", **size)  # fmt: skip


def _cells(rows: pd.DataFrame) -> Traces:
    probe = rows[rows["control"] == "none"]
    positions, layers = list(dict.fromkeys(probe["position"])), sorted(probe["layer"].unique())
    score = probe.pivot(index="layer", columns="position", values="estimate").reindex(index=layers, columns=positions)
    controls = rows[rows["control"] != "none"].assign(beaten=lambda t: t["difference_low"] > 0)
    beaten = controls.groupby(["layer", "position"])["beaten"].all()
    text = [
        [_cell_text(float(score.at[layer, place]), bool(beaten.get((layer, place), True))) for place in positions]
        for layer in layers
    ]
    return heat(score, text, "layer %{y}, %{x}: %{text}")


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
    part = need(table, COLUMNS, f"{figure} of {target} in {model}", model=model, target=target)
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
