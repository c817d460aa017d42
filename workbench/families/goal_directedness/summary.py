"""From units to tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from workbench.families.goal_directedness.layouts import maze_layouts, structure_layouts
from workbench.families.goal_directedness.spec import GoalSpec
from workbench.families.goal_directedness.states import POSITIONS
from workbench.runs import RunFolder
from workbench.worlds.grids.agents.behaviour import behaviour_by_distance, grid_behaviour
from workbench.worlds.grids.agents.calibration import calibration_bins
from workbench.worlds.grids.agents.goals import goal_structures
from workbench.worlds.grids.agents.play import episodes_of
from workbench.worlds.grids.agents.states import visited_states
from workbench.worlds.grids.agents.transforms import compare_transforms
from workbench.worlds.grids.transforms import TRANSFORMS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["chosen_layer", "gather", "save_tables"]


def gather(folder: RunFolder, kind: str, but: tuple[str, ...] = ()) -> pd.DataFrame:
    """The rows of all units whose names begin with ``kind``-, except those that begin with one of ``but``."""
    import pandas as pd

    names = [name for name in folder.steps() if name.startswith(f"{kind}-")]
    return pd.concat([folder.read(name) for name in names if not name.startswith(but)], ignore_index=True)


def maps_by_layer(folder: RunFolder) -> pd.DataFrame:
    """The scores of the cognitive map at every layer and position."""
    return gather(folder, "map", but=("map-controls", "map-sizes"))


def chosen_layer(folder: RunFolder, layers: Sequence[int]) -> int:
    """The layer whose MLP maps are best, the mean of before and after reasoning.

    Judged by the loss on the training layouts that the probes kept for early stopping: the test layouts have no part in
    the choice, so what is reported at this layer is not the best of many.
    """
    losses = {
        layer: sum(folder.load_tensors(f"decoded-{position}-{layer}")[1]["validation_loss"] for position in POSITIONS)
        for layer in layers
    }
    return min(losses, key=lambda layer: (losses[layer], layer))


def save_tables(folder: RunFolder, spec: GoalSpec) -> None:
    """Everything that follows from the rows: tables of behaviour, of the probes, of the causal checks."""
    import pandas as pd

    for name, table in _behaviour_tables(folder, spec).items():
        folder.save_table(name, table)
    if "states" not in folder.steps():
        return
    folder.save_table("maps", _plain_maps(pd.concat([maps_by_layer(folder), gather(folder, "map-controls")])))
    folder.save_table("maps_by_size", _plain_maps(gather(folder, "map-sizes")))
    folder.save_table("plans", gather(folder, "plan").fillna({"control": "none"}))
    for name in ("distance", "directions"):
        folder.save_table(name, gather(folder, name))
    for name, table, column in (
        ("decoded", folder.read("decoded-actions"), "map"),
        ("causal", gather(folder, "causal"), "direction"),
    ):
        differences = table[column].str.contains(" less ")
        folder.save_table("decoded_actions" if name == "decoded" else name, table[~differences].reset_index(drop=True))
        folder.save_table(f"{name}_differences", table[differences].reset_index(drop=True))


def _plain_maps(maps: pd.DataFrame) -> pd.DataFrame:
    """Scores of the cells inside the grids; with padding only the accuracy is kept, as ``accuracy_padded``."""
    maps = maps.reset_index(drop=True)
    padded = (maps["padding"] == "with") & (maps["metric"] == "accuracy")
    kept = padded | (maps["padding"] == "without") | (maps["metric"] == "manhattan")
    named = maps.assign(metric=maps["metric"].mask(padded, "accuracy_padded"))
    return named[kept].drop(columns="padding").reset_index(drop=True)


def _behaviour_tables(folder: RunFolder, spec: GoalSpec) -> dict[str, pd.DataFrame]:
    import pandas as pd

    mazes, steps = maze_layouts(spec, "mazes", spec.layouts), gather(folder, "behaviour")
    transformed = {}
    for name in ("original", *TRANSFORMS):
        layouts = mazes.layouts if name == "original" else [TRANSFORMS[name].apply(each) for each in mazes.layouts]
        transformed[name] = episodes_of(folder.read(f"transform-{name}"), layouts)
    original = transformed.pop("original")
    structures = structure_layouts(spec)
    groupings: tuple[list[str], ...] = (["size", "density"], [], ["size"], ["density"])
    cells, whole, *margins = (grid_behaviour(steps, mazes.layouts, by=by, labels=mazes.table) for by in groupings)
    return {
        "behaviour": pd.concat([cells, whole], ignore_index=True),
        "behaviour_margins": pd.concat(margins, ignore_index=True),
        "by_distance": behaviour_by_distance(steps, mazes.layouts),
        "calibration": calibration_bins(visited_states(steps, mazes.layouts), by=["player"]),
        "transforms": compare_transforms(original, transformed),
        "structures": goal_structures(
            gather(folder, "structures"), structures.layouts, structures.table["structure"].tolist()
        ),
    }
