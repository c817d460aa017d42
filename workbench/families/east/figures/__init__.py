"""Figures of an EAST run (arXiv 2406.00244), drawn from the tables that the run writes.

Every number with an interval comes from a table; rows of single prompts are shown by their median and quartiles, as a
description of the rows and not as an estimate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from workbench.families.east.figures.behaviour import cumulative_arms, entropy_by_step, regret
from workbench.families.east.figures.steering import entropy_by_dose, layer_dose_heatmap, transfer_matrix
from workbench.families.east.figures.vectors import thought_trace, vector_norms, words_table
from workbench.figures.record import Record, Tables

if TYPE_CHECKING:
    import pandas as pd

Draw = Callable[[], go.Figure]


def figures(record: Record) -> dict[str, Draw]:
    """What draws each figure that the run has tables for, by name; names end on the rendering where one is shown
    (``entropy_by_dose-buttons``)."""
    return dict(_figures(Tables(record)))


def _figures(tables: Tables) -> Iterator[tuple[str, Draw]]:
    found = tables.json("chosen")
    chosen = found if isinstance(found, dict) else {}
    results = tables.table("results")
    if results is not None:
        for r, _ in _by_rendering(results):
            yield f"entropy_by_dose-{r}", partial(entropy_by_dose, results, r, chosen.get(r))
        min_valid = float(tables.record.spec.get("min_valid", 0.0))
        yield "layer_dose", partial(layer_dose_heatmap, results, min_valid, chosen)
        if results["rendering"].nunique() > 1:
            yield "transfer", partial(transfer_matrix, results, chosen)
    for name, draw, table in (
        ("cumulative_arms", cumulative_arms, tables.rows("behaviour", "steered")),
        ("entropy_by_step", entropy_by_step, tables.table("entropy_by_step")),
        ("thought_trace", thought_trace, tables.rows("thoughts")),
        ("words", words_table, tables.table("words")),
    ):
        yield from ((f"{name}-{r}", partial(draw, part)) for r, part in _by_rendering(table))
    behaviour, norms = tables.table("behaviour"), tables.rows("vectors")
    if behaviour is not None:
        yield "regret", partial(regret, behaviour)
    if norms is not None:
        yield "vector_norms", partial(vector_norms, norms)


def _by_rendering(table: pd.DataFrame | None) -> Iterator[tuple[str, pd.DataFrame]]:
    if table is not None and "rendering" in table:
        for rendering, part in table.groupby("rendering", sort=False):
            yield str(rendering), part
