"""From the rows of steps to tables."""

from __future__ import annotations

import pandas as pd

from workbench.families.goal_directedness.context import GoalRun
from workbench.families.goal_directedness.examples import save_examples
from workbench.families.goal_directedness.spec import GoalSpec
from workbench.seeding import derive_seed
from workbench.worlds.grids.agents.behaviour import behaviour_by_distance, grid_behaviour
from workbench.worlds.grids.agents.goals import goal_structures
from workbench.worlds.grids.agents.play import episodes_of
from workbench.worlds.grids.agents.states import calibration_bins, visited_states
from workbench.worlds.grids.agents.transforms import compare_transforms
from workbench.worlds.grids.maze_sets import Layouts
from workbench.worlds.grids.mazes import GOAL_STRUCTURES, make_layout
from workbench.worlds.grids.transforms import TRANSFORMS


def structure_layouts(spec: GoalSpec) -> Layouts:
    """The same number of layouts of each goal structure, sizes in turn."""
    layouts, labels = [], []
    for structure in GOAL_STRUCTURES:
        for k in range(spec.structures):
            size = spec.structure_sizes[k % len(spec.structure_sizes)]
            seed = derive_seed(spec.seed, "structure", structure, k)
            layouts.append(make_layout(size, 0.0, structure, seed, held_out=spec.held_out))
            labels.append({"structure": structure, "size": size})
    return Layouts(layouts, labels)


def finish(run: GoalRun) -> None:
    """Everything that follows from the rows: tables of behaviour, of the probes, of the causal checks; examples."""
    for name, table in _behaviour_tables(run).items():
        run.folder.save_table(name, table)
    if run.probed:
        for name, table in _probe_tables(run).items():
            run.folder.save_table(name, table)
        run.folder.write_json("chosen", {"layer": run.layer})
        save_examples(run.folder, run.data, run.layer)


def _probe_tables(run: GoalRun) -> dict[str, pd.DataFrame]:
    by_layer = run.gather("map", but=("map-controls", "map-sizes"))
    actions, causal = run.folder.read("decoded-actions"), run.gather("causal")
    compared, effects = (t[c].str.contains(" less ") for t, c in ((actions, "map"), (causal, "direction")))
    return {
        "maps": _plain_maps(pd.concat([by_layer, run.gather("map-controls")])),
        "maps_by_size": _plain_maps(run.gather("map-sizes")),
        "plans": run.gather("plan").fillna({"control": "none"}),
        "distance": run.gather("distance"),
        "directions": run.gather("directions"),
        "decoded_actions": actions[~compared].reset_index(drop=True),
        "decoded_differences": actions[compared].reset_index(drop=True),
        "causal": causal[~effects].reset_index(drop=True),
        "causal_differences": causal[effects].reset_index(drop=True),
    }


def _plain_maps(maps: pd.DataFrame) -> pd.DataFrame:
    """Scores of the cells inside the grids; with padding only the accuracy is kept, as ``accuracy_padded``."""
    maps = maps.reset_index(drop=True)
    padded = (maps["padding"] == "with") & (maps["metric"] == "accuracy")
    kept = padded | (maps["padding"] == "without") | (maps["metric"] == "manhattan")
    named = maps.assign(metric=maps["metric"].mask(padded, "accuracy_padded"))
    return named[kept].drop(columns="padding").reset_index(drop=True)


def _behaviour_tables(run: GoalRun) -> dict[str, pd.DataFrame]:
    mazes, steps = run.mazes, run.gather("behaviour")
    transformed = {}
    for name in ("original", *TRANSFORMS):
        where = mazes if name == "original" else mazes.transformed(TRANSFORMS[name].apply)
        transformed[name] = episodes_of(run.gather(f"transform-{name}"), where.layouts)
    original = transformed.pop("original")
    structures = structure_layouts(run.spec)
    groupings: tuple[list[str], ...] = (["size", "density"], [], ["size"], ["density"])
    cells, whole, *margins = (grid_behaviour(steps, mazes.layouts, by=by, labels=mazes.table) for by in groupings)
    return {
        "behaviour": pd.concat([cells, whole], ignore_index=True),
        "behaviour_margins": pd.concat(margins, ignore_index=True),
        "by_distance": behaviour_by_distance(steps, mazes.layouts),
        "calibration": calibration_bins(visited_states(steps, mazes.layouts), by=["player"]),
        "transforms": compare_transforms(original, transformed),
        "structures": goal_structures(
            run.gather("structures"), structures.layouts, structures.table["structure"].tolist()
        ),
    }
