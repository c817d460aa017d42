"""How the figures of the self-prediction family look: predictors, splits, and the marks they share.

A predictor keeps its colour, dash and marker in every figure, so nothing is said by colour alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from workbench.errors import DataError
from workbench.figures.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, Look, translucent

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "FITS", "LEVEL", "METRICS", "NOTE", "PREDICTORS", "SPLITS", "bar", "error_bars", "known", "name_axis", "points",
    "role", "share_axis", "short",
]  # fmt: skip

LEVEL = ("estimate", "low", "high")
NOTE = "95% intervals resample whole items."
METRICS = {"accuracy": "accuracy (share)", "balanced_accuracy": "balanced accuracy (share)"}
PREDICTORS = {
    "mode": Look("commonest answer", GREY, "dot", "square"),
    "self_before": Look("itself, before finetuning", SKY, "dash", "circle-open"),
    "self": Look("self-trained", BLUE, "solid", "circle"),
    "cross_before": Look("other model, before finetuning", ORANGE, "dash", "diamond-open"),
    "cross": Look("cross-trained", VERMILION, "longdash", "diamond"),
    "probe": Look("probe on M1", GREEN, "solid", "triangle-up"),
    "second": Look("probe on M2", PURPLE, "dashdot", "triangle-down"),
    "untrained": Look("probe on untrained M1", BLACK, "dashdot", "cross"),
    "shuffled": Look("probe, shuffled labels", GREY, "dash", "x"),
}
SPLITS = {"held_out": "tasks never finetuned on", "train": "new prompts of training tasks"}
FITS = {"training": "fitted on the training pairs", "folds": "fitted in folds of the tested prompts"}


def known(values: Iterable[str], names: Iterable[str]) -> list[str]:
    """The distinct values that are among ``names``, in their order; :class:`DataError` when there is none.

    >>> known(["cross", "mine", "self", "cross"], PREDICTORS)
    ['self', 'cross']
    """
    found, names = set(values), list(names)
    if not found.intersection(names):
        raise DataError(f"none of {', '.join(map(repr, sorted(found)))} can be drawn: known are {', '.join(names)}")
    return [name for name in names if name in found]


def role(name: str) -> str:
    """A model's role as papers write it.

    >>> role("first"), role("second-1"), role("second-2")
    ('M1', 'M2', 'M3')
    """
    number = name.removeprefix("second-")
    return "M1" if name == "first" else f"M{int(number) + 1}" if number.isdigit() else name


def short(name: str) -> str:
    """A model's name without the folders before it."""
    return str(name).rstrip("/").rpartition("/")[2]


def error_bars(part: pd.DataFrame, colour: str = "#222", thickness: float = 1.6) -> dict[str, Any]:
    """Plotly's description of the intervals."""
    up, down = part["high"] - part["estimate"], part["estimate"] - part["low"]
    return {"type": "data", "array": up, "arrayminus": down, "thickness": thickness, "width": 4, "color": colour}


def bar(part: pd.DataFrame, names: list[str], style: Look, legend: bool) -> go.Bar:
    """Bars with their intervals; a light fill keeps the interval readable."""
    return go.Bar(
        x=names, y=part["estimate"], name=style.name, legendgroup=style.name, showlegend=legend,
        error_y=error_bars(part), customdata=part[["low", "high"]],
        marker={"color": translucent(style.colour, 0.55), "line": {"color": style.colour, "width": 1.5}},
        hovertemplate="%{y:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]",
    )  # fmt: skip


def points(part: pd.DataFrame, names: Iterable[str], style: Look, legend: bool) -> go.Scatter:
    """Points with horizontal intervals, a line of the axis a name."""
    return go.Scatter(
        x=part["estimate"], y=list(names), mode="markers", name=style.name, legendgroup=style.name, showlegend=legend,
        marker={"color": style.colour, "symbol": style.symbol, "size": 10}, customdata=part[["low", "high"]],
        error_x=error_bars(part, style.colour), cliponaxis=False,
        hovertemplate="%{x:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]",
    )  # fmt: skip


def share_axis(figure: go.Figure, title: str) -> None:
    """0 to 1 on every vertical axis, and a title on the first."""
    figure.update_yaxes(range=[-0.03, 1.04], tickvals=[0, 0.25, 0.5, 0.75, 1])
    figure.update_layout(yaxis_title_text=title)


def name_axis(figure: go.Figure, names: Sequence[str], row: int, col: int) -> None:
    """One line a name, the first at the top; plotly.js cuts lines off when it chooses the range of shared axes."""
    order = list(names)[::-1]
    figure.update_yaxes(
        type="category", categoryorder="array", categoryarray=order, range=[-0.6, len(order) - 0.4], tickvals=order,
        row=row, col=col,
    )  # fmt: skip
