"""Figures of what an internal-RL run came to: the gates between its stages, and what of the paper held."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from workbench.families.internal_rl.report import gate_table
from workbench.figures.marks import LEVEL, points
from workbench.figures.panels import name_axis, zero_line
from workbench.figures.style import BLUE, GREEN, VERMILION, Look, finish, need

_CLEAR = "rgba(0, 0, 0, 0)"


def gates(table: pd.DataFrame) -> go.Figure:
    """The gates in their order as a table.  ``table``: ``stage, measure, value, low, high, bar, passed, where``."""
    need(table, ["stage", "measure", "value", "low", "high", "bar", "passed", "where"], "gates")
    shown = gate_table(table)
    frame = shown.frame.assign(passed=shown.frame["passed"].map({"yes": "<b>✓ passed</b>", "no": "<b>✗ failed</b>"}))
    verdicts = [GREEN if passed else VERMILION for passed in table["passed"]]
    figure = go.Figure(go.Table(
        columnwidth=[95, 95, 320, 190, 130, 190],
        header={"values": list(frame), "align": "left", "fill_color": "rgba(127, 127, 127, 0.2)",
                "font": {"size": 13, "color": "#222"}, "height": 30},
        cells={"values": [frame[name] for name in frame], "align": "left", "height": 30, "fill_color": _CLEAR,
               "line_color": "rgba(127, 127, 127, 0.4)",
               "font": {"size": 13, "color": [verdicts, *[["#222"] * len(frame)] * (frame.shape[1] - 1)]}},
    ))  # fmt: skip
    note = shown.caption[:1].upper() + shown.caption[1:]
    finish(figure, "Gates between the stages", f"{note}.", 1080, 32 * len(table) + 165)
    return figure.update_layout(margin={"l": 20, "r": 20, "b": 20})


def claims(table: pd.DataFrame) -> go.Figure:
    """Every claim as a difference with its 95% interval; held when the interval lies above 0.

    ``table``: ``claim, on, held, evidence, estimate, low, high``.
    """
    need(table, ["claim", "on", "held", "evidence", *LEVEL], "claims")
    names = table["claim"] + table["on"].map(lambda on: f" ({on})" if on else "")
    figure, held = go.Figure(), table["held"].astype(bool)
    table = table.assign(place=range(len(table)))
    for look, part in (
        (Look(f"held ({held.sum()})", BLUE), table[held]),
        (Look(f"not held ({(~held).sum()})", VERMILION, symbol="x"), table[~held]),
    ):
        shown = {"customdata": part["evidence"], "hovertemplate": "%{customdata}"}
        figure.add_traces(points(part, look, y=part["place"], **shown))
    name_axis(zero_line(figure, "x"), list(names))
    figure.update_xaxes(title_text="difference (accuracy, success or F1) with its 95% interval")
    figure.update_layout(showlegend=True)
    title = f"Claims of the paper: {int(held.sum())} of {len(names)} held"
    return finish(figure, title, "Held: the interval lies above 0.", 1040, 25 * len(names) + 210)
