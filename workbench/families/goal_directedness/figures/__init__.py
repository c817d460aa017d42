"""Figures of a goal-directedness run (arXiv 2602.08964), drawn from the tables that the experiment writes.

Nothing is computed here: estimates, intervals and tests are those of the tables.  Where a figure shows one layer of
many it takes the one with the highest estimate, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import plotly.graph_objects as go

from workbench.errors import DataError, WorkbenchError
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
from workbench.figures.style import drawn

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "GridExample",
    "Record",
    "behaviour_by",
    "behaviour_by_distance",
    "calibration",
    "control_curves",
    "decoded_actions",
    "direction_curves",
    "drawings_of",
    "erasure",
    "examples_of",
    "figures_of",
    "grid_examples",
    "grid_step",
    "grid_steps",
    "layer_curves",
    "layer_heatmap",
    "map_cells",
    "map_training",
    "plan_controls",
    "plan_layers",
    "plan_prefix",
    "steering",
    "structures",
    "transforms",
]

_MAP_SCORES = ("accuracy", "balanced_accuracy", "accuracy_padded")


class Record(Protocol):
    """What the figures need of a run; :class:`workbench.runs.RunRecord` and an open run folder are both such."""

    @property
    def artifacts(self) -> list[str]: ...
    def load_table(self, name: str) -> pd.DataFrame: ...
    def load_tensors(self, name: str) -> tuple[dict[str, Any], dict[str, Any]]: ...
    def read_json(self, name: str) -> Any: ...


def figures_of(record: Record) -> dict[str, go.Figure]:
    """All figures for which the run has tables, and ``example-1``...; ``{}`` for a run that has none yet.

    A table that is missing, broken or lacks what a figure draws costs that figure only.
    """
    figures = drawn(drawings_of(record))
    try:
        examples = examples_of(record)
    except WorkbenchError:
        return figures
    return figures | {f"example-{k}": grid_steps(example) for k, example in enumerate(examples, 1)}


def drawings_of(record: Record) -> dict[str, Callable[[], go.Figure]]:
    """What draws each figure of the run's tables, by name, for who shows one at a time; drawing raises
    :class:`DataError` when a table lacks what the figure needs."""
    return dict([*_behaviour(record), *_probes(record), *_causal(record)])


def examples_of(record: Record) -> list[GridExample]:
    """The trajectories that the run kept for the viewer; none when it kept none.

    Raises :class:`RunError` when their files are broken, :class:`DataError` when they do not fit each other.
    """
    if not {"examples.json", "examples.safetensors"}.issubset(record.artifacts):
        return []
    described = record.read_json("examples")
    if not isinstance(described, list):
        raise DataError("the artifact examples.json is not a list of examples")
    return grid_examples(record.load_tensors("examples")[0], described)


Draws = Iterator[tuple[str, Callable[[], go.Figure]]]


def _behaviour(record: Record) -> Draws:
    behaviour, by_distance = _table(record, "behaviour"), _table(record, "by_distance")
    bins, changed, built = (_table(record, name) for name in ("calibration", "transforms", "structures"))
    if behaviour is not None:
        yield "behaviour_by_density", lambda: behaviour_by(behaviour, "density")
        if "size" in behaviour and behaviour["size"].nunique() > 1:
            yield "behaviour_by_size", lambda: behaviour_by(behaviour, "size")
    if by_distance is not None:
        yield "behaviour_by_distance", lambda: behaviour_by_distance(by_distance)
    if bins is not None:
        yield "calibration", lambda: calibration(bins, behaviour)
    if changed is not None:
        yield "transforms", lambda: transforms(changed)
    if built is not None:
        yield "structures", lambda: structures(built)


def _probes(record: Record) -> Draws:
    maps, plans, distance = (_table(record, name) for name in ("maps", "plans", "distance"))
    directions, actions = _table(record, "directions"), _table(record, "decoded_actions")
    if maps is not None:
        yield "map_layers", lambda: layer_curves(over_all(maps), _MAP_SCORES, "Cognitive map by layer")
        yield "map_controls", lambda: control_curves(over_all(maps), "accuracy", "Map probes beside their controls")
        yield "map_heatmap", lambda: layer_heatmap(over_all(maps), "accuracy", "Where the map can be read")
        yield "map_cells", lambda: map_cells(maps)
        yield "map_training", lambda: map_training(maps)
    if plans is not None:
        yield "plan_prefix", lambda: plan_prefix(plans)
        yield "plan_controls", lambda: plan_controls(plans)
        yield "plan_layers", lambda: plan_layers(plans)
    if distance is not None:
        yield "distance_controls", lambda: control_curves(distance, "r2", "Distance to the goal by layer")
        yield "distance_heatmap", lambda: layer_heatmap(distance, "r2", "Where the distance can be read")
    if directions is not None:
        yield "directions", lambda: direction_curves(directions)
    if actions is not None:
        yield "decoded_actions", lambda: decoded_actions(actions)


def _causal(record: Record) -> Draws:
    causal = _table(record, "causal")
    if causal is not None:
        yield "causal_steering", lambda: steering(causal)
        yield "causal_erasure", lambda: erasure(causal)


def _table(record: Record, name: str) -> pd.DataFrame | None:
    """A table of the record; None when it is missing or broken."""
    try:
        return record.load_table(name) if f"{name}.parquet" in record.artifacts else None
    except WorkbenchError:
        return None
