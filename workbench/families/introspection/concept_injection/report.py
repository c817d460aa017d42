"""What a concept-injection run says: every arm at its chosen cell beside its controls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from workbench.families.family import Table
from workbench.figures.record import Tables
from workbench.statistics import Interval

if TYPE_CHECKING:
    from workbench.figures.record import Record

__all__ = ["report"]

_METRICS = {"success": "detects and names", "yes_no": "yes minus no, nats", "says_yes": "yes likelier than no"}
_CONTROLS = {"none": "no injection", "random": "random", "shuffled": "shuffled", "perturbed": "odd input"}
_CAPTION = (
    "cells (layer, strength) were chosen on every second concept and are shown for the others; brackets: 95% intervals,"
    " Wilson for rates, over concepts for the rest; the grid is in the table results"
)


def report(record: Record) -> Iterator[Table]:
    """A table an arm."""
    tested = Tables(record).table("held_out")
    if tested is None:
        return
    groups = list(tested.groupby(["protocol", "arm"], sort=False))
    for place, ((protocol, arm), rows) in enumerate(groups, 1):
        title = f"{protocol}, {arm}".replace("_", "-")
        yield _of_arm(title, rows, _CAPTION if place == len(groups) else "")


def _of_arm(name: str, part: Any, caption: str) -> Table:
    """A row a metric, at the arm's cell: the concept's vector and every control that was run."""
    import pandas as pd

    rows = part.to_dict("records")
    shown = {"estimate": "concept"} | {each: label for each, label in _CONTROLS.items() if part[each].notna().any()}
    found = [
        {"metric": _METRICS.get(row["metric"], row["metric"].replace("_", " "))}
        | {label: Interval.of(row, each).text() for each, label in shown.items()}
        for row in rows
    ]
    title = f"{name} (layer {rows[0]['layer']}, strength {rows[0]['strength']:g})"
    return Table(title, pd.DataFrame(found), caption)
