"""What a dose does and what it costs, at every layer, beside the controls."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from workbench.families.steer.summary import DAMAGE, EFFECT
from workbench.figures.marks import LEVEL, Traces, curve, points
from workbench.figures.panels import grid, zero_line
from workbench.figures.record import Record, Tables
from workbench.figures.style import BLACK, GREY, Look, finish, need

_TITLES = {EFFECT: "change of log-odds (nats)", DAMAGE: "damage (nats a token)"}
_CONTROLS = {
    "random": Look("random directions", GREY, "dot", "x"),
    "shuffled": Look("shuffled", "#b0b0b0", "dot", "square"),
}
_ASIDE = 0.008  # of a dose: the controls stand beside one another
_PROMPTS = {"up": "dash", "down": "dot"}


def figures(record: Record) -> dict[str, Callable[[], go.Figure]]:
    """``doses``, once the run has its table of results."""
    results = Tables(record).table("results")
    chosen = Tables(record).json("chosen")
    return {} if results is None else {"doses": partial(doses, results, chosen if isinstance(chosen, dict) else {})}


def doses(results: pd.DataFrame, chosen: dict[str, Any]) -> go.Figure:
    """Effect and, below, damage against the dose: a line a layer with its 95% band, random and shuffled directions with
    the standard deviation over draws, the sentence in front as a level."""
    table = need(results, ["method", "layer", "dose", "measure", "spread", *LEVEL], "doses")
    layers = sorted(set(table.loc[table["method"] == "vector", "layer"]))
    shades = sample_colorscale(
        "Viridis", [0.9 * i / max(1, len(layers) - 1) for i in range(len(layers))], colortype="rgb"
    )
    looks = {layer: Look(f"layer {layer}", _hex(shade)) for layer, shade in zip(layers, shades, strict=True)}

    def draw(measure: str, _: str) -> Traces:
        part = table[table["measure"] == measure]
        traces: Traces = []
        for layer in layers:
            rows = part[(part["method"] == "vector") & (part["layer"] == layer)]
            origin = pd.DataFrame({"dose": [0.0], "estimate": [0.0], "low": [0.0], "high": [0.0]})
            own = layer == chosen.get("layer")
            traces += curve(pd.concat([rows, origin]), "dose", looks[layer], thin=not own, shade=own)
        for (name, look), aside in zip(_CONTROLS.items(), (-_ASIDE, _ASIDE), strict=True):
            rows = part[part["method"] == name]
            spread = rows.assign(low=rows["estimate"] - rows["spread"], high=rows["estimate"] + rows["spread"])
            traces += points(spread, look, x=spread["dose"] + aside) if len(spread) else []
        return traces

    figure = grid(_TITLES, {"": ""}, draw, x="dose", row_heights=[0.62, 0.38], vertical_spacing=0.07)
    for row, measure in enumerate(_TITLES, 1):
        for _, level in table[(table["method"] == "prompt") & (table["measure"] == measure)].iterrows():
            style = {"color": BLACK, "width": 1.2, "dash": _PROMPTS[level["side"]]}
            text = f"sentence in front, {level['side']}" if row == 1 else ""
            place = "top left" if level["side"] == "up" else "bottom right"
            figure.add_hline(
                level["estimate"], line=style, row=row, col=1, annotation_text=text, annotation_position=place
            )
    note = "The vector, the chosen layer with its 95% band over prompts. Grey: random and shuffled directions "
    note += f"at layer {chosen.get('layer', '?')}, ± sd over draws."
    return finish(zero_line(figure), "Steering by layer and dose", note, 900, 680)


def _hex(colour: str) -> str:
    """``rgb(...)`` as ``#rrggbb``."""
    return "#" + "".join(f"{round(float(part)):02x}" for part in colour[4:-1].split(","))
