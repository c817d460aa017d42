"""One figure: what frames, instructions and vectors do to the choice of a lie, and what the probe finds by layer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.families.deception.detection import INSTRUCTED, PROBE, UNTRAINED, WORDS
from workbench.families.deception.scenarios import PLAIN
from workbench.figures.marks import Traces, curve, points
from workbench.figures.panels import name_axis, share_axis, zero_line
from workbench.figures.record import Record, Tables
from workbench.figures.style import BLUE, GREEN, GREY, ORANGE, PURPLE, Look, finish, need

_READERS = {
    PROBE: Look("probe", ORANGE), UNTRAINED: Look("untrained model", GREY, "dot", "x"),
    WORDS: Look("words alone", PURPLE, "dash", "square"),
}  # fmt: skip
_KINDS = {
    "frame": Look("frame, less plain", BLUE), "prompt": Look("instruction in front", GREEN),
    "vector": Look("vector", ORANGE), "random": Look("random directions, ± sd over draws", GREY, "dot", "x"),
}  # fmt: skip
_SIDES = {"up": "towards deception", "down": "away from it"}


def figures(record: Record) -> dict[str, Callable[[], go.Figure]]:
    """``deception``, once the run has its tables."""
    tables = [Tables(record).table(name) for name in ("frames", "steering", "detection")]
    return {} if any(table is None for table in tables) else {"deception": partial(deception, *tables)}


def deception(frames: pd.DataFrame, steering: pd.DataFrame, detection: pd.DataFrame) -> go.Figure:
    """Left: changes of the log-odds of the lie with 95% intervals over scenarios.  Right: AUROC on lies that nobody
    ordered, by layer, the probe with its 95% band."""
    changes = _changes(frames, steering)
    need(detection, ["set", "layer", "reader", "metric", "estimate", "low", "high"], "deception")
    sets = [name for name in dict.fromkeys(detection["set"]) if name != INSTRUCTED]
    titles = ["change of the log-odds of the lie (nats)", *(f"AUROC of the probe on {name}" for name in sets)]
    widths = [0.5, *[0.5 / len(sets)] * len(sets)]
    figure = make_subplots(1, 1 + len(sets), subplot_titles=titles, column_widths=widths, horizontal_spacing=0.09)
    for kind, look in _KINDS.items():
        part = changes[changes["kind"] == kind]
        figure.add_traces(points(part, look, y=part.index) if len(part) else [], 1, 1)
    name_axis(figure, changes["name"].tolist(), row=1, col=1)
    zero_line(figure, "x", row=1, col=1)
    auroc = detection[detection["metric"] == "auroc"]
    for column, name in enumerate(sets, 2):
        figure.add_traces(_by_layer(auroc[auroc["set"] == name]), 1, column)
        figure.add_hline(0.5, line={"color": "#888", "width": 1}, row=1, col=column)
        share_axis(figure, "y", row=1, col=column)
        figure.update_xaxes(title_text="layer", row=1, col=column)
    note = "Log-odds of the lie over the truth, their prior subtracted, mean of both orders. Vectors at equal damage. "
    note += "The probe is trained on instructed statements."
    return finish(figure, "Deception: what moves the choice, and what a probe finds", note, 1120, 560)


def _changes(frames: pd.DataFrame, steering: pd.DataFrame) -> pd.DataFrame:
    shown = frames[(frames["dimension"] == "all") & (frames["frame"] != PLAIN)]
    rows = [
        {"kind": "frame", "name": row["frame"], "estimate": row["change"], "low": row["change_low"],
         "high": row["change_high"]}
        for row in shown.to_dict("records")
    ]  # fmt: skip
    for row in steering.to_dict("records"):
        random = row["method"] == "random"
        name = "random directions" if random else f"{_NAMES[row['method']]}, {_SIDES[row['side']]}"
        ends = {"low": row["estimate"] - row["spread"], "high": row["estimate"] + row["spread"]} if random else row
        rows.append({"kind": row["method"], "name": name, "estimate": row["estimate"],
                     "low": ends["low"], "high": ends["high"]})  # fmt: skip
    return pd.DataFrame(rows)


_NAMES = {"prompt": "instruction", "vector": "vector"}


def _by_layer(part: pd.DataFrame) -> Traces:
    traces: Traces = []
    for reader, look in _READERS.items():
        rows = part[part["reader"] == reader].sort_values("layer")
        traces += curve(rows, "layer", look, shade=reader == PROBE, thin=reader != PROBE)
    return traces
