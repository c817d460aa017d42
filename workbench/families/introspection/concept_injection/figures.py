"""Figures of a concept-injection run (arXiv 2601.01828), drawn from the tables that the experiment writes.

Nothing is computed here.  Every figure that shows a rate under injection shows the false positives beside it: without
injection, and under random and shuffled vectors of the same norm.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pandas as pd
import plotly.graph_objects as go

from workbench.families.introspection.concept_injection.scale import scale_of
from workbench.figures.marks import Traces, bars, bounds, curve, each, heat
from workbench.figures.panels import colour_axis, panels, share_axis, zero_line
from workbench.figures.record import Record, Tables
from workbench.figures.style import BLACK, BLUE, GREEN, ORANGE, PURPLE, VERMILION, Look, finish, need, words
from workbench.statistics import Interval

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
    "logprob": "log-probability of the reply, unsteered (nats a token)",
    "outside_mass": "probability outside the answers",
    "rule_success": "detects and names, by the rules (share)",
    "judge_success": "detects and names, by the judge (share)",  # in runs of before 0.1
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
    "grid_coherent": ("detection", "standard", "coherent"),
    "grid_rules": ("detection", "standard", "rule_success"),
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
_COLUMNS = ("protocol", "arm", "vector", "layer", "metric", "estimate", "low", "high")
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
        found |= {name: partial(strength_curves, results, *what) for name, what in CURVES.items()}
        found["intention"] = partial(intention, results)
    return found


def injection_grid(results: pd.DataFrame, protocol: str, arm: str, metric: str) -> go.Figure:
    """A metric by layer and dose: without injection, with the concept's vector, with each control vector.

    ``results``: the table of a run.  All panels share one colour scale; a share's goes from 0 to 1.
    """
    need(results, [*_COLUMNS, "none", *bounds("none")], "injection_grid")
    part = _part(results, protocol, arm, metric)
    need(part, [], f"injection_grid of {protocol}, {arm}, {metric}")
    kinds = [kind for kind in ("none", "concept", "random", "shuffled", "perturbed") if (part["vector"] == kind).any()]
    titles = {kind: VECTORS[kind].name.replace(", no injection", "") for kind in kinds}
    layers = sorted(int(layer) for layer in part.loc[part["layer"] >= 0, "layer"].unique())
    figure = panels(
        titles, lambda kind: _cells(part[part["vector"] == kind], layers), x=scale_of(part), y="layer", shared=False,
        column_widths=[1 if kind in ("none", "perturbed") else 4 for kind in kinds], horizontal_spacing=0.03,
    )  # fmt: skip
    ends = (0.0, 1.0) if "share" in METRICS.get(metric, "") else (part["estimate"].min(), part["estimate"].max())
    colour_axis(figure, "", "Blues", *ends)
    for col, kind in enumerate(kinds, 1):
        figure.update_yaxes(showticklabels=col == 1, row=1, col=col)
        figure.update_xaxes(type="category", row=1, col=col)
        if kind in ("none", "perturbed"):
            figure.update_xaxes(title_text="", row=1, col=col)
    n = int(part["n"].max()) if "n" in part else 0
    note = f"{n} trials a cell; control vectors have the norm of the concept's. Intervals are in the hover text."
    title = f"{_titled(protocol)}, {words(arm)}: {METRICS.get(metric, words(metric))}"
    return finish(figure, title, note, 1060, max(320, 46 * len(layers) + 230))


def _titled(protocol: str) -> str:
    return "KV cache" if protocol == "kv_cache" else words(protocol).capitalize()


def _part(results: pd.DataFrame, protocol: str, arm: str, metric: str) -> pd.DataFrame:
    same = (results["protocol"] == protocol) & (results["arm"] == arm) & (results["metric"] == metric)
    return results[same & results["estimate"].notna()]


def _cells(rows: pd.DataFrame, layers: list[int]) -> Traces:
    """One panel; what was not injected is the same whatever the layer: one number, over the height of the grid."""
    spread, scale = rows[rows["layer"] < 0], scale_of(rows)
    if len(spread):
        rows = spread.iloc[[0] * len(layers)].assign(layer=layers)
    notes = [Interval.of(row).text(3) for row in rows.itertuples()]
    rows = rows.assign(note=notes, shown=rows["estimate"].map("{:.2f}".format))
    cells = rows.pivot(index="layer", columns=scale, values=["estimate", "shown", "note"])
    cells = cells.rename(columns=lambda name: name if isinstance(name, str) else "-" if len(spread) else f"{name:g}")
    if len(spread):
        cells.loc[cells.index != layers[len(layers) // 2], "shown"] = ""
    hover = f"layer %{{y}}, {scale} %{{x}}: %{{customdata}}"
    return heat(cells["estimate"].astype(float), cells["shown"], hover, cells["note"])


def strength_curves(results: pd.DataFrame, protocol: str, arm: str, metric: str = "yes_no") -> go.Figure:
    """How far a metric moves from where it is without injection, against the dose, a panel a layer.

    Paired by concept (columns ``over_none*``), for the concept's vector and its controls.
    """
    need(results, [*_COLUMNS, "over_none", *bounds("over_none")], "strength_curves")
    part = _part(results, protocol, arm, metric)
    looks = {kind: VECTORS[kind] for kind in ("shuffled", "random", "concept")}
    part = part[part["vector"].isin(looks) & part["over_none"].notna()]
    need(part, [], f"strength_curves of {protocol}, {arm}, {metric}")

    scale = scale_of(part)

    def draw(layer: int) -> Traces:
        own = part[part["layer"] == layer]
        return each(own, "vector", looks, lambda rows, look: curve(rows, scale, look, of="over_none"))

    layers = {int(layer): f"layer {layer}" for layer in sorted(part["layer"].unique())}
    figure = zero_line(panels(layers, draw, 5, scale, "shift"))
    size = {"width": max(640, 210 * min(5, len(layers)) + 110), "height": 250 * -(-len(layers) // 5) + 220}
    title = f"{_titled(protocol)}, {words(arm)}: shift of {METRICS.get(metric, words(metric))}"
    note = "From no injection, paired by concept; bands: 95% intervals over concepts."
    return finish(figure, title, note, **size)


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
    kinds = [("estimate" if kind == "concept" else kind, look) for kind, look in VECTORS.items()]
    figure = go.Figure([trace for kind, look in kinds for trace in bars(one, names, look, kind)])
    share_axis(figure).update_yaxes(title_text="share")
    note = f"Layer and {scale_of(tested)} chosen on every second concept, shown for the others. {_NOTE}"
    return finish(figure, "Injected concepts and their controls", note, max(820, 150 * len(names) + 120), 560)


def intention(results: pd.DataFrame) -> go.Figure:
    """Cosine of the activations with the concept's vector, by layer: told to think of it, told not to, no mention."""
    part = need(results, _COLUMNS, "intention", protocol="control", metric="cosine")
    lines = {
        ("think", "concept"): Look("told to think of it", BLUE, "solid", "circle"),
        ("avoid", "concept"): Look("told not to", GREEN, "dash", "triangle-down"),
        ("think", "none"): Look("no mention", BLACK, "solid", "square"),
        ("think", "random"): Look("told to, with a random vector", ORANGE, "dot", "cross"),
        ("think", "shuffled"): Look("told to, with a shuffled vector", VERMILION, "dash", "x"),
    }
    found = [(part[(part["arm"] == arm) & (part["vector"] == vector)], look) for (arm, vector), look in lines.items()]
    figure = zero_line(go.Figure([trace for rows, look in found for trace in curve(rows, "layer", look)]))
    figure.update_xaxes(title_text="layer", dtick=1 if part["layer"].max() < 20 else None)
    figure.update_yaxes(title_text=METRICS["cosine"])
    note = "While the model writes a sentence; bands: 95% intervals over concepts."
    return finish(figure, "Intentional control", note, 820, 500)
