"""What a concept-injection run says: every arm at its chosen cell beside its controls."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from workbench.families.family import Table
from workbench.families.introspection.concept_injection.figures import METRICS
from workbench.families.introspection.concept_injection.scale import scale_of
from workbench.figures.record import Record, Tables
from workbench.figures.style import words
from workbench.statistics import Interval

_CONTROLS = {"none": "no injection", "random": "random", "shuffled": "shuffled", "perturbed": "odd input"}
_CAPTION = (
    "cells (layer, dose) were chosen on every second concept and shown for the others; brackets: 95% intervals,"
    " Wilson for rates, over concepts for the rest; the grid is in the table results"
)


def report(record: Record) -> Iterator[Table]:
    """A table an arm."""
    tested = Tables(record).table("held_out")
    if tested is None:
        return
    scale, groups = scale_of(tested), list(tested.groupby(["protocol", "arm"], sort=False))
    for place, ((protocol, arm), rows) in enumerate(groups, 1):
        cell = f"layer {rows['layer'].iloc[0]}, {scale} {rows[scale].iloc[0]:g}"
        title = f"{protocol}, {arm}".replace("_", "-") + f" ({cell})"
        yield Table(title, with_controls(rows), _CAPTION if place == len(groups) else "")


def with_controls(part: pd.DataFrame) -> pd.DataFrame:
    """Rows of ``results`` or ``held_out`` as text: the concept's vector, and every control that was run."""
    shown = {"estimate": "concept"} | {each: label for each, label in _CONTROLS.items() if part[each].notna().any()}
    return pd.DataFrame(
        {"measure": METRICS.get(row["metric"], words(row["metric"]))}
        | {label: Interval.of(row, each).text() for each, label in shown.items()}
        for row in part.to_dict("records")
    )
