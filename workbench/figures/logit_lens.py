"""The logit lens as a heatmap: layers up, tokens across, in each cell the token that the model would say there.

Draws the table of :func:`workbench.activations.logit_lens.logit_lens`.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from workbench.errors import check_known
from workbench.figures.style import finish, need
from workbench.figures.token_strip import SINK_MARK, sink_note, visible
from workbench.labels import SINK

# column -> (title of the colour bar, range)
LENS_MEASURES: dict[str, tuple[str, tuple[float, float] | None]] = {
    "probability": ("probability of<br>the top token", (0, 1)),
    "next_probability": ("probability of<br>the token that<br>follows", (0, 1)),
    "entropy": ("entropy, nats", None),
    "kl": ("KL from the<br>model's output,<br>nats", None),
}
_COLUMNS = ("site", "position", "text", "predicted", "top_texts", "top_probabilities")
_CELL = 62  # pixels


def logit_lens_heatmap(table: pd.DataFrame, measure: str = "probability", title: str = "Logit lens") -> go.Figure:
    """Colour says ``measure`` (a key of :data:`LENS_MEASURES`); hovering a cell lists its likeliest tokens.

    Where the table has ``attention_sink``, such tokens are marked, and the colours are scaled by the others.
    """
    check_known(measure, LENS_MEASURES, "measure")
    need(table, [*_COLUMNS, measure], "logit lens")
    name, limits = LENS_MEASURES[measure]
    sites, positions = list(dict.fromkeys(table["site"])), sorted(set(table["position"]))
    grid = {column: _grid(table, column, sites, positions) for column in (measure, *_COLUMNS[3:])}
    tokens = table.drop_duplicates("position").set_index("position")["text"]
    sinks = set(table.loc[table[SINK], "position"]) if SINK in table else set()
    if limits is None:
        ordinary = table.loc[~table["position"].isin(sinks), measure]
        limits = (float(ordinary.min()), float(ordinary.max())) if sinks and len(ordinary) else None
    heat = go.Heatmap(
        z=grid[measure], x=positions, y=list(map(_short, sites)), colorscale="Cividis",
        zmin=limits and limits[0], zmax=limits and limits[1], colorbar={"title": {"text": name}, "thickness": 14},
        text=[[visible(each)[:9] for each in row] for row in grid["predicted"]], texttemplate="%{text}",
        textfont={"size": 11}, xgap=1, ygap=1, hovertemplate="%{customdata}<extra></extra>",
        customdata=[
            [_hover(*cell) for cell in zip(*rows, strict=True)]
            for rows in zip(grid[measure], grid["top_texts"], grid["top_probabilities"], strict=True)
        ],
    )  # fmt: skip
    figure = go.Figure(heat)
    ticks = [visible(tokens[p])[:12] + f" {SINK_MARK}" * (p in sinks) for p in positions]
    figure.update_xaxes(
        tickvals=positions, ticktext=ticks, tickangle=-60, showgrid=False, title_text="token that is read"
    )
    figure.update_yaxes(title_text="layer", type="category", showgrid=False)
    size = {"width": max(560, 190 + _CELL * len(positions)), "height": max(360, 190 + 30 * len(sites))}
    return finish(figure, title, f"In each cell the likeliest next token.{sink_note(sinks)}", **size)


def _grid(table: pd.DataFrame, column: str, sites: list[str], positions: list[int]) -> list[list[Any]]:
    cells = dict(zip(zip(table["site"], table["position"], strict=True), table[column], strict=True))
    return [[cells.get((site, position)) for position in positions] for site in sites]


def _short(site: str) -> str:
    """``blocks.3.hook_resid_post`` as ``3``; other points keep their name."""
    layer, point = site.removeprefix("blocks.").split(".", 1)
    return layer if point == "hook_resid_post" else f"{layer} {point.removeprefix('hook_')}"


def _hover(value: float, texts: list[str], probabilities: list[float]) -> str:
    lines = [f"{visible(text)}  {p:.3f}" for text, p in zip(texts, probabilities, strict=True)]
    return "<br>".join([*(line.replace("<", "&lt;") for line in lines), f"<i>{value:.3g}</i>"])
