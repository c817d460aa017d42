"""How the goal-directedness figures look: players, positions, controls and maps, and how measures are named.

A player, position or control keeps its colour, dash and marker in every figure, so nothing is said by colour alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from workbench.figures.panels import lay_out, share_axis
from workbench.figures.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, Look, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    import plotly.graph_objects as go

LEVEL = ("metric", "estimate", "low", "high")
PLAYERS = {
    "optimal": Look("optimal", BLACK, "dashdot", "square"),
    "direct": Look("agent, direct", BLUE, "solid", "circle"),
    "reasoning": Look("agent, reasoning", VERMILION, "longdash", "diamond"),
    "random": Look("random", GREY, "dot", "x"),
}
POSITIONS = {
    "pre": Look("before the reasoning", BLUE, "solid", "circle"),
    "post": Look("after the reasoning", VERMILION, "longdash", "diamond"),
}
PROBES = {"linear": "linear", "mlp": "MLP"}
CONTROLS = {
    "none": Look("probe", BLACK, "solid", "circle"),
    "majority": Look("majority", GREY, "dot", "square"),
    "uniform": Look("uniform", SKY, "dot", "triangle-up"),
    "shuffled": Look("shuffled labels", ORANGE, "dash", "x"),
    "untrained": Look("untrained model", GREEN, "dashdot", "cross"),
    "other grids": Look("other grids", PURPLE, "longdash", "triangle-down"),
}
MAPS = {
    "true": Look("true map", BLACK, "solid", "square"),
    "decoded": Look("decoded map", SKY, "solid", "circle"),
    "other grids": Look("other grids' decoded maps", PURPLE, "dash", "triangle-down"),
    "no walls": Look("true map without its inner walls", ORANGE, "dot", "x"),
}
METRICS = {
    "success": "goal success (share)",
    "accuracy": "accuracy (share)",
    "accuracy_pooled": "accuracy, pooled (share)",
    "spl": "SPL",
    "jsd": "JSD from optimal (bits)",
    "entropy": "action entropy (nats)",
    "ece": "calibration error (ECE)",
    "accuracy_padded": "accuracy with padding (share)",
    "balanced_accuracy": "balanced accuracy (share)",
    "manhattan": "Manhattan error (cells)",
    "r2": "R²",
    "mae": "mean absolute error (steps)",
    "spearman": "Spearman correlation",
    "auroc": "AUROC",
    "f1": "F1",
    "recovery": "recovery (share)",
    "key_pickup": "picks the key up (share)",
    "toward_key": "sub-optimal moves toward the key (share)",
    "shift": "shift of p(RIGHT) - p(LEFT)",
}
SHARES = {"success", "accuracy", "accuracy_pooled", "spl", "accuracy_padded", "balanced_accuracy", "recovery", "f1",
          "key_pickup", "toward_key", "precision", "recall", "auroc"}  # fmt: skip


def label(metric: str) -> str:
    """A metric with its unit; one that is not known as words.

    >>> label("jsd"), label("my_metric")
    ('JSD from optimal (bits)', 'my metric')
    """
    return METRICS.get(metric, words(metric))


def probe_name(probe: str) -> str:
    """How a probe is named.

    >>> probe_name("mlp"), probe_name("mean_difference")
    ('MLP', 'mean difference')
    """
    return PROBES.get(probe, words(probe))


def score_axes(figure: go.Figure, metrics: Sequence[str], columns: int = 0) -> None:
    """The vertical axis of each panel for the metric that it shows, panels laid out in ``columns``."""
    for metric, (row, col) in zip(metrics, lay_out(len(metrics), columns or len(metrics)), strict=True):
        score_axis(figure, metric, row=row, col=col)


def score_axis(figure: go.Figure, metric: str, top: float | None = None, **place: Any) -> None:
    """0 to 1 for shares; other measures of error or spread go from 0 to ``top``.

    plotly.js takes a wrong top by itself where panels share both axes; then it must be given.
    """
    if metric in SHARES:
        share_axis(figure, **place)
    elif metric in ("jsd", "entropy", "ece", "manhattan", "mae"):
        scale = {"range": [-0.03 * top, 1.05 * top]} if top else {"rangemode": "tozero"}
        figure.update_yaxes(**scale, **place)


def best_layer(table: pd.DataFrame) -> int:
    """The layer of the highest estimate; the lowest such layer when several are equal.

    >>> import pandas as pd
    >>> best_layer(pd.DataFrame({"layer": [0, 2, 1], "estimate": [0.1, 0.9, 0.9]}))
    1
    """
    top = table.sort_values(["estimate", "layer"], ascending=[False, True])
    return int(top["layer"].iloc[0])
