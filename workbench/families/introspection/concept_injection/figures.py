"""Figures of a concept-injection run (arXiv 2601.01828), drawn from the tables that the experiment writes.

Nothing is computed here.  Every figure that shows a rate under injection shows the false positives beside it: without
injection, and under random and shuffled vectors of the same norm.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.figures.record import Record, Tables
from workbench.figures.style import BLACK, BLUE, GREEN, ORANGE, PURPLE, VERMILION, Look, band, finish, need, words

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["by_protocol", "figures", "injection_grid", "intention", "multiplier_curves"]

VECTORS = {
    "concept": Look("concept's vector", BLUE, "solid", "circle"),
    "random": Look("random vector", ORANGE, "dot", "cross"),
    "shuffled": Look("shuffled vector", VERMILION, "dash", "x"),
    "perturbed": Look("odd input, no injection", PURPLE, "longdash", "diamond"),
    "none": Look("no injection", BLACK, "solid", "square"),
}
METRICS = {
    "success": "detects and names (share)",
    "affirms": "affirms (share)",
    "names": "names the concept (share)",
    "coherent": "coherent (share)",
    "says_yes": "yes likelier than no (share)",
    "correct": "right of four options (share)",
    "transcription": "sentence repeated (share)",
    "yes_no": "yes minus no (nats)",
    "option_logit": "log odds of the right option",
    "cosine": "cosine with the vector",
    "judge_success": "detects and names, by the judge (share)",
}
# Grids and curves: figure name -> protocol, arm, metric.
GRIDS = {
    "grid_detection": ("detection", "standard", "success"),
    "grid_claims": ("detection", "standard", "affirms"),
    "grid_neutral": ("detection", "neutral", "success"),
    "grid_choice": ("detection", "choice", "correct"),
    "grid_naming": ("naming", "standard", "names"),
    "grid_thought": ("thought", "thought", "names"),
    "grid_text": ("thought", "text", "transcription"),
    "grid_judge": ("detection", "standard", "judge_success"),
}
CURVES = {
    "logits_detection": ("detection", "standard", "yes_no"),
    "logits_unrelated": ("detection", "unrelated", "yes_no"),
    "logits_prefill": ("prefill", "standard", "yes_no"),
    "logits_kv_cache": ("kv_cache", "standard", "yes_no"),
    "logits_kv_unrelated": ("kv_cache", "unrelated", "yes_no"),
}
PRIMARY = ("success", "correct", "transcription", "names", "affirms", "says_yes")  # which metric stands for an arm
_COLUMNS = ("protocol", "arm", "vector", "layer", "multiplier", "metric", "estimate", "low", "high")
_NONE = ("none", "none_low", "none_high")
_NOTE = "95% intervals: Wilson for rates, whole concepts resampled for the rest."


def figures(record: Record) -> dict[str, Callable[[], go.Figure]]:
    """What draws each figure, by name; drawing raises :class:`DataError` when the table lacks what it needs (an arm
    that was not run)."""
    tables = Tables(record)
    found: dict[str, Callable[[], go.Figure]] = {}
    if (tested := tables.table("held_out")) is not None:
        found["protocols"] = partial(by_protocol, tested)
    if (results := tables.table("results")) is not None:
        found |= {name: partial(injection_grid, results, *what) for name, what in GRIDS.items()}
        found |= {name: partial(multiplier_curves, results, *what) for name, what in CURVES.items()}
        found["intention"] = partial(intention, results)
    return found


def injection_grid(results: pd.DataFrame, protocol: str, arm: str, metric: str) -> go.Figure:
    """A metric by layer and multiplier: without injection, with the concept's vector, with each control vector.

    ``results``: the table of a run.  All panels share one colour scale; a share's goes from 0 to 1.
    """
    need(results, [*_COLUMNS, *_NONE], "injection_grid")
    part = _part(results, protocol, arm, metric)
    need(part, [], f"injection_grid of {protocol}, {arm}, {metric}")
    kinds = [kind for kind in ("none", "concept", "random", "shuffled", "perturbed") if (part["vector"] == kind).any()]
    widths = [1 if kind in ("none", "perturbed") else 4 for kind in kinds]
    figure = make_subplots(
        1, len(kinds), column_widths=widths, horizontal_spacing=0.03,
        subplot_titles=[VECTORS[kind].name.replace(", no injection", "") for kind in kinds],
    )  # fmt: skip
    layers = sorted(int(layer) for layer in part.loc[part["layer"] >= 0, "layer"].unique())
    share = "share" in METRICS.get(metric, "")
    top = 1.0 if share else float(part["estimate"].max())
    bottom = 0.0 if share else float(part["estimate"].min())
    for col, kind in enumerate(kinds, 1):
        trace = _heat(part[part["vector"] == kind], layers)
        trace.update(coloraxis="coloraxis")
        figure.add_trace(trace, 1, col)
        figure.update_xaxes(type="category", title_text="multiplier" if widths[col - 1] > 1 else "", row=1, col=col)
        figure.update_yaxes(type="category", showticklabels=col == 1, row=1, col=col)
        figure.update_yaxes(categoryorder="array", categoryarray=[str(layer) for layer in layers], row=1, col=col)
    figure.update_yaxes(title_text="layer", row=1, col=1)
    bar = {"title": "", "thickness": 14}
    figure.update_layout(coloraxis={"colorscale": "Blues", "cmin": bottom, "cmax": top, "colorbar": bar})
    n = int(part["n"].max()) if "n" in part else 0
    note = f"{n} trials a cell; control vectors have the norm of the concept's. Intervals are in the hover text."
    title = f"{_titled(protocol)}, {words(arm)}: {METRICS.get(metric, words(metric))}"
    return finish(figure, title, note, 1060, max(320, 46 * len(layers) + 230))


def _titled(protocol: str) -> str:
    return "KV cache" if protocol == "kv_cache" else words(protocol).capitalize()


def _part(results: pd.DataFrame, protocol: str, arm: str, metric: str) -> pd.DataFrame:
    same = (results["protocol"] == protocol) & (results["arm"] == arm) & (results["metric"] == metric)
    return results[same & results["estimate"].notna()]


def _heat(cells: pd.DataFrame, layers: list[int]) -> go.Heatmap:
    """One panel; rows without a layer (no injection) fill one cell."""
    everywhere = cells["layer"] < 0
    y = ["all" if none else str(int(layer)) for none, layer in zip(everywhere, cells["layer"], strict=True)]
    x = ["-" if none else f"{s:g}" for none, s in zip(everywhere, cells["multiplier"], strict=True)]
    if everywhere.any():  # the same whatever the layer: one number, drawn over the height of the grid
        row = cells[everywhere].iloc[0]
        y, x = [str(layer) for layer in layers], ["-"] * len(layers)
        values = [row[["estimate", "low", "high"]].tolist()] * len(layers)
        texts = [f"{row['estimate']:.2f}" if i == len(layers) // 2 else "" for i in range(len(layers))]
    else:
        values = cells[["estimate", "low", "high"]].to_numpy().tolist()
        texts = [f"{estimate:.2f}" for estimate, _, _ in values]
    return go.Heatmap(
        x=x, y=y, z=[v[0] for v in values], customdata=[v[1:] for v in values], text=texts, texttemplate="%{text}",
        xgap=1, ygap=1,
        hovertemplate="layer %{y}, times %{x}: %{z:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]<extra></extra>",
    )  # fmt: skip


def multiplier_curves(results: pd.DataFrame, protocol: str, arm: str, metric: str = "yes_no") -> go.Figure:
    """How far a metric moves from where it is without injection, against the multiplier, a panel a layer.

    Paired by concept (columns ``over_none*``), for the concept's vector and its controls.
    """
    change = ("over_none", "over_none_low", "over_none_high")
    need(results, [*_COLUMNS, *change], "multiplier_curves")
    part = _part(results, protocol, arm, metric)
    part = part[part["vector"].isin(["concept", "random", "shuffled"]) & part["over_none"].notna()]
    need(part, [], f"multiplier_curves of {protocol}, {arm}, {metric}")
    layers = sorted(int(layer) for layer in part["layer"].unique())
    columns = min(5, len(layers))
    rows = -(-len(layers) // columns)
    figure = make_subplots(
        rows, columns, shared_yaxes="all", shared_xaxes=True, horizontal_spacing=0.02, vertical_spacing=0.12,
        subplot_titles=[f"layer {layer}" for layer in layers],
    )  # fmt: skip
    for i, layer in enumerate(layers):
        row, col = i // columns + 1, i % columns + 1
        for kind in ("shuffled", "random", "concept"):
            curve = part[(part["layer"] == layer) & (part["vector"] == kind)].sort_values("multiplier")
            figure.add_traces(_curve(curve, change, VECTORS[kind], i == 0), row, col)
        figure.add_hline(0, line={"color": "#888", "width": 1}, row=row, col=col)
        figure.update_xaxes(title_text="multiplier", row=rows, col=col)
    for row in range(1, rows + 1):
        figure.update_yaxes(title_text="shift", row=row, col=1)
    title = f"{_titled(protocol)}, {words(arm)}: shift of {METRICS.get(metric, words(metric))}"
    note = "From no injection, paired by concept; bands: 95% intervals over concepts."
    return finish(figure, title, note, max(640, 210 * columns + 110), 250 * rows + 220)


def _curve(part: pd.DataFrame, columns: tuple[str, str, str], style: Look, legend: bool) -> list[go.Scatter]:
    estimate, low, high = columns
    if part.empty:
        return []
    line = go.Scatter(
        x=part["multiplier"], y=part[estimate], mode="lines+markers", name=style.name, legendgroup=style.name,
        showlegend=legend, line={"color": style.colour, "width": 2.4, "dash": style.dash},
        marker={"symbol": style.symbol, "size": 8}, customdata=part[[low, high]],
        hovertemplate="%{y:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]",
    )  # fmt: skip
    area = part.dropna(subset=[low, high])
    return [line] if area.empty else [band(area["multiplier"], area[low], area[high], style.colour), line]


def by_protocol(tested: pd.DataFrame) -> go.Figure:
    """Every arm at the cell chosen for it, on the other concepts: the injected concept beside all controls.

    ``tested``: the table ``held_out`` of a run; one rate an arm is drawn.
    """
    controls = [name for name in VECTORS if name != "concept"]
    need(tested, [*_COLUMNS, *controls, "kind"], "by_protocol")
    rates = tested[(tested["kind"] == "rate") | (tested["metric"] == "transcription")]
    rates = rates[rates["metric"].isin(PRIMARY)]
    need(rates, [], "by_protocol")
    order = rates["metric"].map({metric: i for i, metric in enumerate(PRIMARY)})
    one = rates.assign(order=order).sort_values("order").drop_duplicates(["protocol", "arm"]).sort_index()
    names = [
        f"{_titled(str(row.protocol))}, {words(row.arm)}<br>{METRICS[str(row.metric)].replace(' (share)', '')}"
        for row in one.itertuples()
    ]
    figure = go.Figure()
    for kind, style in VECTORS.items():
        columns = ["estimate", "low", "high"] if kind == "concept" else [kind, f"{kind}_low", f"{kind}_high"]
        figure.add_trace(_bars(one[columns].to_numpy().tolist(), names, style))
    figure.update_layout(barmode="group", bargap=0.25, bargroupgap=0.05)
    figure.update_yaxes(title_text="share", range=[-0.02, 1.05])
    note = f"Layer and multiplier chosen on every second concept, shown for the others. {_NOTE}"
    return finish(figure, "Injected concepts and their controls", note, max(820, 150 * len(names) + 120), 560)


def _bars(values: list[list[float]], names: list[str], style: Look) -> go.Bar:
    error = {"type": "data", "array": [v[2] - v[0] for v in values], "arrayminus": [v[0] - v[1] for v in values]}
    return go.Bar(
        x=names, y=[v[0] for v in values], name=style.name, marker_color=style.colour, opacity=0.75,
        error_y={**error, "thickness": 1.5, "width": 3, "color": "#222"}, customdata=[v[1:] for v in values],
        hovertemplate="%{y:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]",
    )  # fmt: skip


def intention(results: pd.DataFrame) -> go.Figure:
    """Cosine of the activations with the concept's vector, by layer: told to think of it, told not to, no mention."""
    need(results, _COLUMNS, "intention")
    part = results[(results["protocol"] == "control") & (results["metric"] == "cosine")]
    need(part, [], "intention")
    lines = {
        ("think", "concept"): Look("told to think of it", BLUE, "solid", "circle"),
        ("avoid", "concept"): Look("told not to", GREEN, "dash", "triangle-down"),
        ("think", "none"): Look("no mention", BLACK, "solid", "square"),
        ("think", "random"): Look("told to, with a random vector", ORANGE, "dot", "cross"),
        ("think", "shuffled"): Look("told to, with a shuffled vector", VERMILION, "dash", "x"),
    }
    figure = go.Figure()
    for (arm, vector), style in lines.items():
        curve = part[(part["arm"] == arm) & (part["vector"] == vector)].sort_values("layer").assign(multiplier=_layers)
        figure.add_traces(_curve(curve, ("estimate", "low", "high"), style, True))
    figure.add_hline(0, line={"color": "#888", "width": 1})
    figure.update_xaxes(title_text="layer", dtick=1 if part["layer"].max() < 20 else None)
    figure.update_yaxes(title_text=METRICS["cosine"])
    return finish(
        figure,
        "Intentional control",
        "While the model writes a sentence; bands: 95% intervals over concepts.",
        820,
        500,
    )


def _layers(curve: pd.DataFrame) -> Any:
    return curve["layer"]
