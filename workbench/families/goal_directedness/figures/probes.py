"""Figures of probes by layer: cognitive maps, distance to the goal and plain directions (arXiv 2602.08964).

Probes read the agent's activations before its reasoning ("pre") or after it ("post"); controls say what a probe
would find without the activations (majority), the labels (shuffled) or the training of the model (untrained).
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.families.goal_directedness.figures.style import (
    CONTROLS,
    LEVEL,
    POSITIONS,
    PROBES,
    best_layer,
    label,
    probe_name,
    share_axis,
)
from workbench.figures.marks import curve, grouped_bars, lay_out
from workbench.figures.style import Look, finish, look_in, need, ordered, words

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "control_curves",
    "direction_curves",
    "layer_curves",
    "layer_heatmap",
    "map_cells",
    "map_training",
    "over_all",
]

_NOTE = "95% intervals resample whole layouts."
_DASHES = {"linear": ("dot", "circle-open"), "mlp": ("solid", "circle")}
_CELLS = {"_": "open _", "#": "wall #", "A": "agent A", "G": "goal G", "K": "key K", "D": "door D"}
_SCORES = ("balanced_accuracy", "accuracy", "auroc", "r2")
_PROBE = ["position", "layer", "probe", "control"]


def over_all(maps: pd.DataFrame) -> pd.DataFrame:
    """The rows of a ``maps`` table that are over all cells, from the probe that was trained on all sizes."""
    need(maps, ["cell", "train"], "the map figures")
    return maps[(maps["cell"] == "") & (maps["train"] == "all")]


def layer_curves(table: pd.DataFrame, metrics: tuple[str, ...], title: str) -> go.Figure:
    """Probes by layer, a panel a metric: colour says the position (before or after reasoning), dash the probe.

    ``table`` has ``position, layer, probe, control, metric, estimate, low, high``; controls are not drawn here.
    """
    need(table, [*_PROBE, *LEVEL], title)
    table = table[(table["control"] == "none") & table["metric"].isin(metrics)]
    need(table, [], title)
    shown = [m for m in metrics if m in set(table["metric"])]
    figure = make_subplots(1, len(shown), horizontal_spacing=0.08, subplot_titles=[label(m) for m in shown])
    pairs = product(ordered(table["probe"], PROBES), ordered(table["position"], POSITIONS))
    for probe, position in pairs:
        rows = table[(table["probe"] == probe) & (table["position"] == position)]
        base, (dash, symbol) = look_in(POSITIONS, position), _DASHES.get(probe, ("dash", "square-open"))
        style = Look(f"{probe_name(probe)}, {base.name}", base.colour, dash, _marker(symbol, base.symbol))
        for j, metric in enumerate(shown, 1):
            figure.add_traces(curve(rows[rows["metric"] == metric], "layer", style, legend=j == 1), 1, j)
    for j, metric in enumerate(shown, 1):
        share_axis(figure, metric, 1, j)
    _layers(figure, table)
    return finish(figure, title, _NOTE, max(680, 400 * len(shown) + 60), 480)


def _marker(symbol: str, of_position: str) -> str:
    return of_position + ("-open" if symbol.endswith("open") else "")


def control_curves(table: pd.DataFrame, metric: str, title: str) -> go.Figure:
    """Each probe by layer beside its controls: a panel a probe and position.

    ``table`` has ``position, layer, probe, control, metric, estimate, low, high``.
    """
    need(table, [*_PROBE, *LEVEL], title)
    table = table[table["metric"] == metric]
    need(table, [], title)
    panels = [
        (probe, position)
        for probe, position in product(ordered(table["probe"], PROBES), ordered(table["position"], POSITIONS))
        if len(table[(table["probe"] == probe) & (table["position"] == position)])
    ]
    titles = [f"{probe_name(probe)}, {look_in(POSITIONS, position).name}" for probe, position in panels]
    figure = make_subplots(1, len(panels), shared_yaxes=True, horizontal_spacing=0.02, subplot_titles=titles)
    seen: set[str] = set()
    for j, (probe, position) in enumerate(panels, 1):
        part = table[(table["probe"] == probe) & (table["position"] == position)]
        _add_controls(figure, part, 1, j, seen)
    share_axis(figure, metric, 1)
    figure.update_yaxes(title_text=label(metric), row=1, col=1)
    _layers(figure, table)
    note = f"Black: the probe. Others: its controls. {_NOTE}"
    return finish(figure, title, note, max(700, 280 * len(panels) + 100), 470)


def _add_controls(figure: go.Figure, part: pd.DataFrame, row: int, col: int, seen: set[str]) -> None:
    for control in ordered(part["control"], CONTROLS):
        rows, style = part[part["control"] == control], look_in(CONTROLS, control)
        traces = curve(rows, "layer", style, control not in seen, thin=control != "none")
        figure.add_traces(traces, row, col)
        seen.add(control)


def direction_curves(table: pd.DataFrame) -> go.Figure:
    """Plain probes of single targets by layer, a panel a target: positions, and the best of the controls' lines.

    ``table`` has ``position, layer, target, probe, control, metric, estimate, low, high``.  A panel draws the first of
    balanced accuracy, accuracy, AUROC and R² that its target has.
    """
    need(table, [*_PROBE, "target", *LEVEL], "direction_curves")
    table = _one_metric(table)
    need(table, [], "direction_curves")
    targets = list(dict.fromkeys(table["target"]))
    places = lay_out(len(targets), 4)
    metrics = table.groupby("target")["metric"].first()
    figure = make_subplots(
        places[-1][0], min(4, len(targets)), shared_xaxes=True, horizontal_spacing=0.05, vertical_spacing=0.13,
        subplot_titles=[f"{words(t)}<br><span style='font-size:11px'>{label(metrics[t])}</span>" for t in targets],
    )  # fmt: skip
    seen: set[str] = set()
    for target, (row, col) in zip(targets, places, strict=True):
        for style, rows in _lines(table[table["target"] == target]):
            thin = " · " in style.name
            traces = curve(rows, "layer", style, style.name not in seen, thin=thin, shade=not thin)
            figure.add_traces(traces, row, col)
            seen.add(style.name)
    _layers(figure, table, titles=False)
    for col in range(1, min(4, len(targets)) + 1):
        last = max(row for row, c in places if c == col)
        figure.update_xaxes(title_text="layer", showticklabels=True, row=last, col=col)
    figure = finish(figure, "Single directions by layer", _NOTE, max(680, 290 * min(4, len(targets)) + 80),
                    240 * places[-1][0] + 230)  # fmt: skip
    return figure.update_layout(margin_t=125)


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
    import pandas as pd

    parts = []
    for _, part in table.groupby("target", sort=False):
        metric = next((m for m in _SCORES if m in set(part["metric"])), None)
        parts.append(part[part["metric"] == metric])
    return pd.concat(parts) if parts else table


def layer_heatmap(table: pd.DataFrame, metric: str, title: str) -> go.Figure:
    """A probe's score by layer (rows) and position (columns), a panel a probe; hover gives the interval.

    ``table`` has ``position, layer, probe, control, metric, estimate, low, high``; controls are not drawn here.
    """
    need(table, [*_PROBE, *LEVEL], title)
    table = table[(table["control"] == "none") & (table["metric"] == metric)]
    need(table, [], title)
    probes, positions = ordered(table["probe"], PROBES), ordered(table["position"], POSITIONS)
    figure = make_subplots(1, len(probes), shared_yaxes=True, horizontal_spacing=0.05,
                           subplot_titles=[probe_name(probe) for probe in probes])  # fmt: skip
    for j, probe in enumerate(probes, 1):
        rows = table[table["probe"] == probe]
        z, low, high = (
            rows.pivot(index="layer", columns="position", values=v).reindex(columns=positions)
            for v in ("estimate", "low", "high")
        )
        text = z.map("{:.2f}".format).where(z.notna(), "")
        hover = [[f"[{a:.3f}, {b:.3f}]" for a, b in zip(*pair, strict=True)]
                 for pair in zip(low.to_numpy(), high.to_numpy(), strict=True)]  # fmt: skip
        figure.add_heatmap(
            z=z, x=[look_in(POSITIONS, p).name.replace(" the ", "<br>the ") for p in positions],
            y=[str(layer) for layer in z.index], text=text, texttemplate="%{text}", customdata=hover, xgap=2, ygap=2,
            coloraxis="coloraxis", hovertemplate="layer %{y}, %{x}: %{z:.3f} %{customdata}<extra></extra>",
            row=1, col=j,
        )  # fmt: skip
    bar = {"title": {"text": label(metric).replace(" (", "<br>("), "font": {"size": 12}}, "thickness": 14}
    figure.update_layout(coloraxis={"colorscale": "Cividis", "colorbar": bar})
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(showgrid=False, type="category")
    figure.update_yaxes(title_text="layer", row=1, col=1)
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
    probes, classes = ordered(cells["probe"], PROBES), ordered(cells["cell"], _CELLS)
    figure = make_subplots(1, len(probes), shared_yaxes=True, horizontal_spacing=0.04,
                           subplot_titles=[probe_name(probe) for probe in probes])  # fmt: skip
    for j, probe in enumerate(probes, 1):
        for position in ordered(cells["position"], POSITIONS):
            rows = cells[(cells["probe"] == probe) & (cells["position"] == position)]
            rows = _at_best_layer(rows, maps[(maps["probe"] == probe) & (maps["position"] == position)])
            rows = rows.set_index("cell").reindex([c for c in classes if c in set(rows["cell"])]).reset_index()
            names = [_CELLS.get(c, c.strip() or "padding") for c in rows["cell"]]
            figure.add_trace(grouped_bars(rows, names, look_in(POSITIONS, position), j == 1), 1, j)
    share_axis(figure, metric, 1)
    figure.update_yaxes(title_text=label(metric), row=1, col=1)
    figure.update_layout(barmode="group", bargap=0.3, bargroupgap=0.06)
    note = f"At the layer where the probe's accuracy over all cells is highest. {_NOTE}"
    return finish(figure, "Which cells the map knows", note, max(720, 440 * len(probes) + 80), 460)


def _at_best_layer(rows: pd.DataFrame, maps: pd.DataFrame) -> pd.DataFrame:
    overall = maps[(maps["cell"] == "") & (maps["metric"] == "accuracy")]
    overall = overall if len(overall) else rows
    return rows[rows["layer"] == best_layer(overall)] if len(overall) else rows


def map_training(maps: pd.DataFrame, metric: str = "accuracy") -> go.Figure:
    """The probe trained on all sizes beside those trained on one size, each at its best layer; a panel a probe.

    ``maps`` has ``position, layer, probe, train, control, metric, cell, estimate, low, high``.
    """
    need(maps, [*_PROBE, "train", "cell", *LEVEL], "map_training")
    rows = maps[(maps["control"] == "none") & (maps["cell"] == "") & (maps["metric"] == metric)]
    need(rows, [], "map_training")
    probes, trains = ordered(rows["probe"], PROBES), ordered(rows["train"], ["all"])
    figure = make_subplots(1, len(probes), shared_yaxes=True, horizontal_spacing=0.04,
                           subplot_titles=[probe_name(probe) for probe in probes])  # fmt: skip
    for (j, probe), position in product(enumerate(probes, 1), ordered(rows["position"], POSITIONS)):
        part = rows[(rows["probe"] == probe) & (rows["position"] == position)]
        best = [p[p["layer"] == best_layer(p)] for t in trains if len(p := part[part["train"] == t])]
        if best:
            import pandas as pd

            found = pd.concat(best)
            names = ["all sizes" if t == "all" else f"{t} only" for t in found["train"]]
            figure.add_trace(grouped_bars(found, names, look_in(POSITIONS, position), j == 1), 1, j)
    share_axis(figure, metric, 1)
    figure.update_yaxes(title_text=label(metric), row=1, col=1)
    figure.update_layout(barmode="group", bargap=0.3, bargroupgap=0.06)
    note = f"Each at the layer where it is best. {_NOTE}"
    return finish(figure, "One map probe for all sizes, or one a size", note, max(700, 400 * len(probes) + 80), 440)


def _layers(figure: go.Figure, table: pd.DataFrame, titles: bool = True) -> None:
    """Whole layers on the axis, thinned when there are many."""
    layers = sorted(int(layer) for layer in table["layer"].unique())
    step = max(1, -(-len(layers) // 10))
    figure.update_xaxes(tickvals=layers[::step])
    if titles:
        figure.update_xaxes(title_text="layer")
