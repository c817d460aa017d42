"""How the figures of the internal-RL family look: methods, discoveries and controls, and the marks they share.

A method keeps its colour, dash and marker in every figure, and so does the discovery that it starts from; nothing is
said by colour alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.figures.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILION, Look, look_in, ordered, words
from workbench.statistics import Interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

ESTIMATE = ("estimate", "low", "high")
METHODS = {
    "expert": Look("expert (ceiling)", BLACK, "dashdot", "square"),
    "internal RL": Look("internal RL", BLUE, "solid", "circle"),
    "random codes": Look("random codes", GREY, "dot", "x"),
    "forced switching": Look("forced switching", ORANGE, "dash", "triangle-up"),
    "co-trained": Look("co-trained", VERMILION, "longdash", "diamond"),
    "CompILE": Look("CompILE", PURPLE, "dashdot", "triangle-down"),
    "raw actions": Look("raw actions", GREEN, "solid", "star"),
}
CONDITIONS = {
    "frozen": Look("frozen base", BLUE, "solid", "circle"),
    "forced": Look("forced switching", ORANGE, "dash", "triangle-up"),
    "co-trained": Look("co-trained base", VERMILION, "longdash", "diamond"),
    "compile": Look("CompILE", PURPLE, "dashdot", "triangle-down"),
}
BELIEFS = {
    "bayes": Look("exact Bayes filter (best possible)", BLACK, "dashdot", "square"),
    "none": Look("probe", BLUE, "solid", "circle"),
    "untrained": Look("untrained model", GREEN, "dashdot", "cross"),
    "shuffled": Look("shuffled labels", ORANGE, "dash", "x"),
    "majority": Look("commonest subgoal", GREY, "dot", "triangle-up"),
}
CONTROLLERS = {
    "solvable": Look("worlds that can be solved (ceiling)", BLACK, "dashdot", "square"),
    "supervised": Look("supervised controllers", BLUE, "solid", "circle"),
    "random": Look("random controllers of the same norm", ORANGE, "dash", "x"),
    "none": Look("no controller", GREY, "dot", "triangle-up"),
}
TASKS = {
    "one subgoal": "one subgoal",
    "pretraining": "pretraining tasks",
    "held-out": "held-out task",
    "seen transitions": "seen-transitions task",
}


def task_name(task: str) -> str:
    """A task as titles name it.

    >>> task_name("held-out"), task_name("my_task")
    ('held-out task', 'my task')
    """
    return TASKS.get(task, words(task))


def looks_in(values: Iterable[Any], looks: Mapping[str, Look]) -> list[tuple[str, Look]]:
    """The distinct values with their looks: known ones in their order, then the others."""
    return [(value, look_in(looks, value)) for value in ordered(map(str, values), looks)]


def of_measure(table: pd.DataFrame, measure: str) -> pd.DataFrame:
    """The rows of a measure that have an estimate."""
    return table[(table["measure"] == measure) & table["estimate"].notna()]


def bars_of(part: pd.DataFrame, colour: str) -> dict[str, Any]:
    """Plotly's description of the intervals, for either axis."""
    up, down = part["high"] - part["estimate"], part["estimate"] - part["low"]
    return {"type": "data", "array": up, "arrayminus": down, "thickness": 1.6, "width": 4, "color": colour}


def labelled(row: Any, place: float, style: Look, top: float) -> Iterator[go.Scatter]:
    """A point of a row with its horizontal interval at height ``place``, and its numbers on the side where there is
    room on an axis that ends at ``top``."""
    estimate, low, high = (float(getattr(row, name)) for name in ESTIMATE)
    error = {"type": "data", "array": [high - estimate], "arrayminus": [estimate - low], "thickness": 1.8, "width": 4}
    yield go.Scatter(
        x=[estimate], y=[place], mode="markers", name=style.name, showlegend=False, cliponaxis=False,
        marker={"symbol": style.symbol, "size": 10, "color": style.colour}, error_x=error | {"color": style.colour},
        hovertemplate=f"{style.name}: {Interval.of(row).text(3)}<extra></extra>",
    )  # fmt: skip
    right = estimate < 0.55 * top
    yield go.Scatter(
        x=[np.nanmax([high, estimate]) if right else np.nanmin([low, estimate])], y=[place], mode="text",
        text=[f"\u2007{Interval.of(row).text(3)}\u2007"], textposition="middle right" if right else "middle left",
        textfont={"size": 11, "color": "#444"}, hoverinfo="skip", showlegend=False,
    )  # fmt: skip


def depth_axis(figure: go.Figure, sites: Sequence[tuple[int, str]], **place: int) -> None:
    """Names the depths on the horizontal axis: 0 is the embedding, the others are outputs of layers.

    ``sites``: (depth, site) pairs, such as ``(1, "blocks.0.hook_resid_post")``.
    """
    depths = sorted(dict(sites).items())
    names = ["embedding" if depth == 0 else f"layer {site.split('.')[1]}" for depth, site in depths]
    figure.update_xaxes(
        tickvals=[depth for depth, _ in depths], ticktext=names, range=[-0.3, max(dict(sites)) + 0.3],
        title_text="residual stream after", **place,
    )  # fmt: skip
