"""Figures of what an internal-RL run came to: the gates between its stages, and what of the paper held."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from workbench.families.internal_rl.figures.style import ESTIMATE, bars_of
from workbench.families.internal_rl.report import gate_table
from workbench.figures.style import BLUE, GREEN, VERMILION, finish, need

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
    need(table, ["claim", "on", "held", "evidence", *ESTIMATE], "claims")
    names = table["claim"] + table["on"].map(lambda on: f" ({on})" if on else "")
    figure, held = go.Figure(), table["held"].astype(bool)
    for label, chosen, colour, symbol in (("held", held, BLUE, "circle"), ("not held", ~held, VERMILION, "x")):
        part = table[chosen]
        figure.add_scatter(
            x=part["estimate"], y=names[chosen], mode="markers", name=f"{label} ({len(part)})", cliponaxis=False,
            marker={"color": colour, "symbol": symbol, "size": 10}, error_x=bars_of(part, colour),
            customdata=part["evidence"], hovertemplate="%{customdata}",
        )  # fmt: skip
    figure.add_vline(0, line={"color": "#888", "width": 1.2, "dash": "dot"})
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=names[::-1],
                        range=[-0.7, len(names) - 0.3])  # fmt: skip
    figure.update_xaxes(title_text="difference (accuracy, success or F1) with its 95% interval")
    figure.update_layout(showlegend=True)
    title = f"Claims of the paper: {int(held.sum())} of {len(names)} held"
    return finish(figure, title, "Held: the interval lies above 0.", 1040, 25 * len(names) + 210)
