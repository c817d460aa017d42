"""How the figures of the internal-RL family look: methods, discoveries and controls, and marks of its own.

A method keeps its colour, dash and marker in every figure, and so does the discovery that it starts from; nothing is
said by colour alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from workbench.figures.marks import Traces, numbers, points
from workbench.figures.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILION, Look, words
from workbench.statistics import Interval

if TYPE_CHECKING:
    import plotly.graph_objects as go

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


def of_measure(table: pd.DataFrame, measure: str) -> pd.DataFrame:
    """The rows of a measure that have an estimate."""
    return table[(table["measure"] == measure) & table["estimate"].notna()]


def labelled(rows: pd.DataFrame, place: float, look: Look, top: float) -> Traces:
    """Points of rows with lying intervals at height ``place``, and their numbers on the side where there is room on an
    axis that ends at ``top``."""
    drawn = points(rows, look, y=[place] * len(rows), showlegend=False)
    for row in rows.itertuples():
        level = Interval.of(row)
        right = level.estimate < 0.55 * top
        end = np.nanmax([level.high, level.estimate]) if right else np.nanmin([level.low, level.estimate])
        drawn += numbers([end], [place], [f"\u2007{level.text(3)}\u2007"], "right" if right else "left")
    return drawn


def depth_axis(figure: go.Figure, table: pd.DataFrame) -> None:
    """Names the depths on the horizontal axes: 0 is the embedding, the others are outputs of layers.

    ``table`` has ``layer`` (the depth) and ``site``, such as ``blocks.0.hook_resid_post`` at depth 1.
    """
    sites = dict(sorted(zip(table["layer"], table["site"], strict=True)))
    names = ["embedding" if depth == 0 else f"layer {site.split('.')[1]}" for depth, site in sites.items()]
    figure.update_xaxes(
        tickvals=list(sites), ticktext=names, range=[-0.3, max(sites) + 0.3], title_text="residual stream after"
    )
