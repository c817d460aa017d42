"""Figures of a goal-directedness run (arXiv 2602.08964), drawn from the tables that the experiment writes.

Nothing is computed here: estimates, intervals and tests are those of the tables.  Where a figure shows one layer of
many it takes the one with the highest estimate, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from workbench.errors import DataError
from workbench.families.goal_directedness.figures.behaviour import (
    behaviour_by,
    behaviour_by_distance,
    calibration,
    structures,
    transforms,
)
from workbench.families.goal_directedness.figures.causal import erasure, steering
from workbench.families.goal_directedness.figures.examples import GridExample, grid_examples
from workbench.families.goal_directedness.figures.grid_maps import grid_step, grid_steps
from workbench.families.goal_directedness.figures.plans import decoded_actions, plan_controls, plan_layers, plan_prefix
from workbench.families.goal_directedness.figures.probes import (
    control_curves,
    direction_curves,
    layer_curves,
    layer_heatmap,
    map_cells,
    map_training,
    over_all,
)
from workbench.figures.record import Record, Tables

if TYPE_CHECKING:
    import pandas as pd

Draw = Callable[[], go.Figure]
_MAP_SCORES = ("accuracy", "balanced_accuracy", "accuracy_padded")
# figure -> (table, what draws it)
_OF_TABLES: dict[str, tuple[str, Callable[[pd.DataFrame], go.Figure]]] = {
    "behaviour_by_density": ("behaviour", lambda t: behaviour_by(t, "density")),
    "behaviour_by_size": ("behaviour", lambda t: behaviour_by(t, "size")),
    "behaviour_by_distance": ("by_distance", behaviour_by_distance),
    "calibration": ("calibration", calibration),
    "transforms": ("transforms", transforms),
    "structures": ("structures", structures),
    "map_layers": ("maps", lambda t: layer_curves(over_all(t), _MAP_SCORES, "Cognitive map by layer")),
    "map_controls": ("maps", lambda t: control_curves(over_all(t), "accuracy", "Map probes beside their controls")),
    "map_heatmap": ("maps", lambda t: layer_heatmap(over_all(t), "accuracy", "Where the map can be read")),
    "map_cells": ("maps", map_cells),
    "map_training": ("maps", map_training),
    "plan_prefix": ("plans", plan_prefix),
    "plan_controls": ("plans", plan_controls),
    "plan_layers": ("plans", plan_layers),
    "distance_controls": ("distance", lambda t: control_curves(t, "r2", "Distance to the goal by layer")),
    "distance_heatmap": ("distance", lambda t: layer_heatmap(t, "r2", "Where the distance can be read")),
    "directions": ("directions", direction_curves),
    "decoded_actions": ("decoded_actions", decoded_actions),
    "causal_steering": ("causal", steering),
    "causal_erasure": ("causal", erasure),
}


def figures(record: Record) -> dict[str, Draw]:
    """What draws each figure that the run has tables for, by name, and ``example-1``...; drawing raises
    :class:`DataError` when a table lacks what the figure needs."""
    tables = Tables(record)
    found = {name: tables.table(name) for name in {table for table, _ in _OF_TABLES.values()}}
    draws: dict[str, Draw] = {
        name: partial(draw, found[table]) for name, (table, draw) in _OF_TABLES.items() if found[table] is not None
    }
    behaviour = found["behaviour"]
    if behaviour is not None and ("size" not in behaviour or behaviour["size"].nunique() < 2):
        del draws["behaviour_by_size"]
    if "calibration" in draws:  # the errors in its legend are of the other table
        draws["calibration"] = partial(calibration, found["calibration"], behaviour)
    return draws | dict(_examples(record, tables.json("examples")))


def _examples(record: Record, described: object) -> Iterator[tuple[str, Draw]]:
    found = cache(partial(examples_of, record))

    def draw(number: int) -> go.Figure:
        return grid_steps(found()[number])

    for k in range(len(described)) if isinstance(described, list) else ():
        yield f"example-{k + 1}", partial(draw, k)


def examples_of(record: Record) -> list[GridExample]:
    """The trajectories that the run kept for the viewer; none when it kept none.

    Raises :class:`RunError` when their files are broken, :class:`DataError` when they do not fit each other.
    """
    if not {"examples.json", "examples.safetensors"}.issubset(record.artifacts):
        return []
    described = record.read_json("examples")
    if not isinstance(described, list):
        raise DataError("the artifact examples.json is not a list of examples")
    return grid_examples(record.load_arrays("examples"), described)
