"""What a dose does and what it costs, at every layer of the grid, beside controls; which layers tell pairs apart."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from workbench.families.steer.measures import EFFECT, KL, NLL
from workbench.figures.marks import LEVEL, Traces, curve, points
from workbench.figures.panels import grid, zero_line
from workbench.figures.record import Record, Tables
from workbench.figures.style import BLACK, GREY, Look, finish, need

_DAMAGE = "damage: NLL (nats a token)"
_CONTROLS = {
    "shuffled": Look("shuffled", "#b0b0b0", "dot", "square"),
    "random": Look("random directions", GREY, "dot", "x"),
}
_PROMPTS = {"up": "dash", "down": "dot"}


def figures(record: Record) -> dict[str, Callable[[], go.Figure]]:
    """``doses``, ``tradeoff`` and ``layers``, once the run has its tables."""
    tables = Tables(record)
    results, layers, chosen = tables.table("results"), tables.table("layers"), tables.json("chosen")
    found: dict[str, Callable[[], go.Figure]] = {}
    if results is not None and isinstance(chosen, dict):
        found["doses"] = partial(doses, results, chosen)
        found["tradeoff"] = partial(tradeoff, results, chosen)
    if layers is not None:
        found["layers"] = partial(separation, layers)
    return found


def _looks(table: pd.DataFrame) -> dict[int, Look]:
    layers = sorted(set(table.loc[table["method"] == "vector", "layer"]))
    shares = [0.9 * i / max(1, len(layers) - 1) for i in range(len(layers))]
    shades = sample_colorscale("Viridis", shares, colortype="rgb")
    return {layer: Look(f"layer {layer}", _hex(shade)) for layer, shade in zip(layers, shades, strict=True)}


def doses(results: pd.DataFrame, chosen: dict[str, Any]) -> go.Figure:
    """Effect and, below, damage against the dose: a line a layer with its 95% band; random and shuffled directions at
    the chosen cell's damage, with the standard deviation over draws; the sentence in front as a level."""
    table = need(results, ["method", "layer", "dose", "measure", "spread", *LEVEL], "doses")
    looks = _looks(table)

    def draw(measure: str, _: str) -> Traces:
        part = table[table["measure"] == measure]
        traces: Traces = []
        for layer, look in looks.items():
            rows = part[(part["method"] == "vector") & (part["layer"] == layer)]
            origin = pd.DataFrame({"dose": [0.0], "estimate": [0.0], "low": [0.0], "high": [0.0]})
            own = layer == chosen["layer"]
            traces += curve(pd.concat([rows, origin]), "dose", look, thin=not own, shade=own)
        return traces + _controls(part, "dose")

    titles = {EFFECT: _effect(chosen), NLL: _DAMAGE}
    figure = grid(titles, {"": ""}, draw, x="dose", row_heights=[0.62, 0.38], vertical_spacing=0.07)
    for row, measure in enumerate(titles, 1):
        for _, level in table[(table["method"] == "prompt") & (table["measure"] == measure)].iterrows():
            style = {"color": BLACK, "width": 1.2, "dash": _PROMPTS[level["side"]]}
            text = f"sentence in front, {level['side']}" if row == 1 else ""
            place = "top left" if level["side"] == "up" else "bottom right"
            figure.add_hline(
                level["estimate"], line=style, row=row, col=1, annotation_text=text, annotation_position=place
            )
    note = (
        f"Chosen: layer {chosen['layer']}, dose {chosen['dose']:+g} (with its 95% band over items). Grey: random and "
    )
    note += "shuffled directions at the dose of equal KL, ± sd over draws."
    return finish(zero_line(figure), "Steering by layer and dose", note, 900, 680)


def tradeoff(results: pd.DataFrame, chosen: dict[str, Any]) -> go.Figure:
    """Effect against KL divergence on neutral text: at equal height, what is further right pays more for it."""
    table = need(results, ["method", "layer", "dose", "side", "measure", "spread", *LEVEL], "tradeoff")
    keys = ["method", "layer", "side", "dose"]
    wide = table[table["measure"].isin([EFFECT, KL])].assign(dose=table["dose"].round(9))  # a key
    kl = wide[wide["measure"] == KL].set_index(keys)["estimate"].rename("kl")
    rows = wide[wide["measure"] == EFFECT].set_index(keys).join(kl).reset_index()
    figure = go.Figure()
    for layer, look in _looks(table).items():
        for side in ("up", "down"):
            part = rows[(rows["method"] == "vector") & (rows["layer"] == layer) & (rows["side"] == side)]
            origin = pd.DataFrame({"kl": [0.0], "estimate": [0.0], "low": [0.0], "high": [0.0]})
            own = layer == chosen["layer"]
            for trace in curve(pd.concat([part, origin]), "kl", look, thin=not own, shade=own):
                trace.update(showlegend=trace.showlegend is not False and side == "up")
                figure.add_trace(trace)
    for trace in _controls(rows, "kl"):
        figure.add_trace(trace)
    for trace in points(
        p := rows[rows["method"] == "prompt"], Look("sentence in front", BLACK, "dash", "diamond"), x=p["kl"]
    ):
        figure.add_trace(trace)
    figure.update_xaxes(title="KL on neutral text (nats a token)").update_yaxes(title=_effect(chosen))
    note = "Each line: growing doses at a layer. Controls, sentence and vector are to be compared at equal KL."
    return finish(zero_line(figure), "What an effect costs", note, 900, 520)


def _controls(rows: pd.DataFrame, x: str) -> Traces:
    """The controls, with the standard deviation over draws."""
    traces: Traces = []
    for name, look in _CONTROLS.items():
        part = rows[rows["method"] == name]
        spread = part.assign(low=part["estimate"] - part["spread"], high=part["estimate"] + part["spread"])
        traces += points(spread, look, x=spread[x]) if len(spread) else []
    return traces


def _effect(chosen: dict[str, Any]) -> str:
    return f"effect: {chosen['unit']}" if "unit" in chosen else "effect"


def separation(layers: pd.DataFrame) -> go.Figure:
    """By layer, the share of held-out pairs that the vector tells apart, and how many standard deviations apart."""
    table = need(layers, ["layer", "accuracy", "separation", "candidate"], "layers")
    tried = table[table["candidate"]]
    figure = go.Figure()
    for column, look in (
        ("separation", Look("separation (sd)", "#3b528b")),
        ("accuracy", Look("accuracy", GREY, "dot")),
    ):
        figure.add_trace(go.Scatter(x=table["layer"], y=table[column], name=look.name, mode="lines",
                                    line={"color": look.colour, "dash": look.dash}))  # fmt: skip
    figure.add_trace(go.Scatter(x=tried["layer"], y=tried["separation"], name="tried in the grid", mode="markers",
                                marker={"color": "#3b528b", "size": 9}))  # fmt: skip
    figure.update_xaxes(title="layer").update_yaxes(title="held-out pairs")
    return finish(figure, "Which layers tell pairs apart", "By vectors made of other pairs (four folds).", 800, 420)


def _hex(colour: str) -> str:
    """``rgb(...)`` as ``#rrggbb``."""
    return "#" + "".join(f"{round(float(part)):02x}" for part in colour[4:-1].split(","))
