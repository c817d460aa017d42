"""Figures of probes by layer: cognitive maps, distance to the goal and plain directions (arXiv 2602.08964).

Probes read the agent's activations before its reasoning ("pre") or after it ("post"); controls say what a probe
would find without the activations (majority), the labels (shuffled) or the training of the model (untrained).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import pandas as pd
import plotly.graph_objects as go

from workbench.families.goal_directedness.figures.looks import (
    CONTROLS,
    LEVEL,
    POSITIONS,
    PROBES,
    best_layer,
    label,
    probe_name,
    score_axes,
    score_axis,
)
from workbench.figures.marks import Traces, bars, curve, each, heat
from workbench.figures.panels import colour_axis, panels, whole_axis
from workbench.figures.style import Look, finish, look_in, looks_in, need, ordered, words
from workbench.statistics import Interval

_NOTE = "95% intervals resample whole layouts."
_DASHES = {"linear": ("dot", "-open"), "mlp": ("solid", "")}
_CELLS = {"_": "open _", "#": "wall #", "A": "agent A", "G": "goal G", "K": "key K", "D": "door D"}
_SCORES = ("balanced_accuracy", "accuracy", "auroc", "r2")
_PROBE = ["position", "layer", "probe", "control"]


def over_all(maps: pd.DataFrame) -> pd.DataFrame:
    """The rows of a ``maps`` table that are over all cells, from the probe that was trained on all sizes."""
    return need(maps, ["cell", "train"], "the map figures", cell="", train="all")


def layer_curves(table: pd.DataFrame, metrics: tuple[str, ...], title: str) -> go.Figure:
    """Probes by layer, a panel a metric: colour says the position (before or after reasoning), dash the probe.

    ``table`` has ``position, layer, probe, control, metric, estimate, low, high``; controls are not drawn here.
    """
    table = need(table, [*_PROBE, *LEVEL], title, control="none", metric=metrics)
    shown = {metric: label(metric) for metric in metrics if metric in set(table["metric"])}

    def draw(metric: str) -> Traces:
        part = table[table["metric"] == metric]
        pairs = product(ordered(part["probe"], PROBES), looks_in(part["position"], POSITIONS))
        rows = [(probe, base, _of(part, probe, position)) for probe, (position, base) in pairs]
        return [trace for probe, base, own in rows for trace in curve(own, "layer", _probe_look(probe, base))]

    figure = whole_axis(panels(shown, draw, x="layer", shared=False), table["layer"])
    score_axes(figure, list(shown))
    return finish(figure, title, _NOTE, max(680, 400 * len(shown) + 60), 480)


def _of(table: pd.DataFrame, probe: str, position: str) -> pd.DataFrame:
    return table[(table["probe"] == probe) & (table["position"] == position)]


def _probe_look(probe: str, position: Look) -> Look:
    dash, hollow = _DASHES.get(probe, ("dash", "-open"))
    return Look(f"{probe_name(probe)}, {position.name}", position.colour, dash, position.symbol + hollow)


def control_curves(table: pd.DataFrame, metric: str, title: str) -> go.Figure:
    """Each probe by layer beside its controls: a panel a probe and position.

    ``table`` has ``position, layer, probe, control, metric, estimate, low, high``.
    """
    table = need(table, [*_PROBE, *LEVEL], title, metric=metric)
    titles = {
        (probe, position): f"{probe_name(probe)}, {look.name}"
        for probe, (position, look) in product(ordered(table["probe"], PROBES), looks_in(table["position"], POSITIONS))
        if len(_of(table, probe, position))
    }
    figure = panels(
        titles, lambda which: each(_of(table, *which), "control", CONTROLS, _course), 0, "layer", label(metric)
    )
    score_axis(whole_axis(figure, table["layer"]), metric)
    note = f"Black: the probe. Others: its controls. {_NOTE}"
    return finish(figure, title, note, max(700, 280 * len(titles) + 100), 470)


def _course(rows: pd.DataFrame, look: Look) -> Traces:
    return curve(rows, "layer", look, thin=look != CONTROLS["none"])


def direction_curves(table: pd.DataFrame) -> go.Figure:
    """Plain probes of single targets by layer, a panel a target: positions, and the best of the controls' lines.

    ``table`` has ``position, layer, target, probe, control, metric, estimate, low, high``.  A panel draws the first of
    balanced accuracy, accuracy, AUROC and R² that its target has.
    """
    need(table, [*_PROBE, "target", *LEVEL], "direction_curves")
    table = _one_metric(table)
    need(table, [], "direction_curves")
    measured = table.groupby("target", sort=False)["metric"].first()
    titles = {
        str(target): f"{words(target)}<br><span style='font-size:11px'>{label(metric)}</span>"
        for target, metric in measured.items()
    }

    def draw(target: str) -> Traces:
        found = [(look, rows, " · " in look.name) for look, rows in _lines(table[table["target"] == target])]
        return [t for look, rows, thin in found for t in curve(rows, "layer", look, thin=thin, shade=not thin)]

    figure = whole_axis(panels(titles, draw, 4, "layer", shared=False), table["layer"])
    size = {"width": max(680, 290 * min(4, len(titles)) + 80), "height": 240 * -(-len(titles) // 4) + 230}
    return finish(figure, "Single directions by layer", _NOTE, **size).update_layout(margin_t=125)


def _lines(part: pd.DataFrame) -> list[tuple[Look, pd.DataFrame]]:
    """The lines of a panel: the probes of each position, and their controls in the position's colour."""
    lines = []
    for position, control in product(ordered(part["position"], POSITIONS), ordered(part["control"], CONTROLS)):
        rows = part[(part["position"] == position) & (part["control"] == control)]
        base, of = look_in(POSITIONS, position), look_in(CONTROLS, control)
        for probe in ordered(rows["probe"], PROBES):
            probed = rows[rows["probe"] == probe]
            name = base.name if part["probe"].nunique() == 1 else f"{probe_name(probe)}, {base.name}"
            if control == "none":
                style = Look(name, base.colour, base.dash, base.symbol)
            else:
                style = Look(f"{name} · {of.name}", base.colour, of.dash, of.symbol)
            lines.append((style, probed))
    return lines


def _one_metric(table: pd.DataFrame) -> pd.DataFrame:
    """For each target the rows of the first score it has."""
    parts = []
    for _, part in table.groupby("target", sort=False):
        metric = next((m for m in _SCORES if m in set(part["metric"])), None)
        parts.append(part[part["metric"] == metric])
    return pd.concat(parts) if parts else table


def layer_heatmap(table: pd.DataFrame, metric: str, title: str) -> go.Figure:
    """A probe's score by layer (rows) and position (columns), a panel a probe; hover gives the interval.

    ``table`` has ``position, layer, probe, control, metric, estimate, low, high``; controls are not drawn here.
    """
    table = need(table, [*_PROBE, *LEVEL], title, control="none", metric=metric)
    texts = [Interval.of(row).text(3) for row in table.itertuples()]
    table = table.assign(interval=texts, shown=table["estimate"].map("{:.2f}".format))
    probes = {probe: probe_name(probe) for probe in ordered(table["probe"], PROBES)}
    positions = {p: look.name.replace(" the ", "<br>the ") for p, look in looks_in(table["position"], POSITIONS)}

    def draw(probe: str) -> Traces:
        cells = table[table["probe"] == probe].pivot(index="layer", columns="position")
        z, shown, notes = (cells[each].reindex(columns=positions).rename(columns=positions)
                           for each in ("estimate", "shown", "interval"))  # fmt: skip
        return heat(z, shown.fillna(""), "layer %{y}, %{x}: %{customdata}", notes)

    figure = panels(probes, draw, y="layer")
    colour_axis(figure, label(metric), "Cividis")
    width = max(560, (130 * len(positions) + 60) * len(probes) + 200)
    return finish(figure, title, "Hover for 95% intervals.", width, max(380, 36 * table["layer"].nunique() + 210))


def map_cells(maps: pd.DataFrame, metric: str = "f1") -> go.Figure:
    """F1 of each cell class at each probe's best layer (by accuracy over all cells), a panel a probe, bars a position.

    ``maps`` has ``position, layer, probe, train, control, metric, cell, estimate, low, high``.
    """
    need(maps, [*_PROBE, "train", "cell", *LEVEL], "map_cells")
    maps = maps[(maps["train"] == "all") & (maps["control"] == "none")]
    cells = maps[(maps["metric"] == metric) & (maps["cell"] != "")]
    need(cells, [], "map_cells")
    rank = {cell: place for place, cell in enumerate(ordered(cells["cell"], _CELLS))}
    overall = maps[(maps["cell"] == "") & (maps["metric"] == "accuracy")]
    cells = _at_best_layer(cells.sort_values("cell", key=lambda cell: cell.map(rank)), ["probe", "position"], overall)
    names = {cell: _CELLS.get(cell, cell.strip() or "padding") for cell in rank}
    note = f"At the layer where the probe's accuracy over all cells is highest. {_NOTE}"
    return finish(_bars(cells, metric, "cell", names), "Which cells the map knows", note, **_size(cells))


def map_training(maps: pd.DataFrame, metric: str = "accuracy") -> go.Figure:
    """The probe trained on all sizes beside those trained on one size, each at its best layer; a panel a probe.

    ``maps`` has ``position, layer, probe, train, control, metric, cell, estimate, low, high``.
    """
    shown = {"control": "none", "cell": "", "metric": metric}
    rows = need(maps, [*_PROBE, "train", "cell", *LEVEL], "map_training", **shown)
    rank = {train: place for place, train in enumerate(ordered(rows["train"], ["all"]))}
    rows = _at_best_layer(rows.sort_values("train", key=lambda t: t.map(rank)), ["probe", "position", "train"], rows)
    names = {train: "all sizes" if train == "all" else f"{train} only" for train in rank}
    title = "One map probe for all sizes, or one a size"
    return finish(
        _bars(rows, metric, "train", names), title, f"Each at the layer where it is best. {_NOTE}", **_size(rows)
    )


def _at_best_layer(rows: pd.DataFrame, by: list[str], scored: pd.DataFrame) -> pd.DataFrame:
    """The rows at the layer where those of ``scored`` that agree with them in ``by`` are highest (else their own)."""
    best = {which: best_layer(part) for table in (rows, scored) for which, part in table.groupby(by)}
    alike = rows[by].itertuples(index=False, name=None)
    return rows[[layer == best[which] for layer, which in zip(rows["layer"], alike, strict=True)]]


def _bars(rows: pd.DataFrame, metric: str, column: str, names: Mapping[str, str]) -> go.Figure:
    """A panel a probe, and in it a bar a position for each value of a column."""

    def draw(probe: str) -> Traces:
        part = rows[rows["probe"] == probe]
        return each(part, "position", POSITIONS, lambda own, look: bars(own, own[column].map(names), look))

    figure = panels({probe: probe_name(probe) for probe in ordered(rows["probe"], PROBES)}, draw, y=label(metric))
    score_axis(figure, metric)
    return figure


def _size(rows: pd.DataFrame) -> dict[str, int]:
    return {"width": max(720, 420 * rows["probe"].nunique() + 80), "height": 450}
