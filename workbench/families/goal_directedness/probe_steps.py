"""The steps of a goal-directedness run that probe: each takes the run (last) and returns the step's rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from workbench.errors import DataError
from workbench.families.goal_directedness import probing
from workbench.families.goal_directedness.causal import causal_rows, choose_places
from workbench.families.goal_directedness.context import GoalRun, activations_name
from workbench.families.goal_directedness.decoded import score_decoded
from workbench.families.goal_directedness.probing import decode_maps, map_rows, without_walls
from workbench.models.fingerprint import stamp_of
from workbench.models.untrained import untrained
from workbench.seeding import derive_seed
from workbench.sites import Site
from workbench.worlds.grids.agents.probed_states import (
    POSITIONS,
    PROPERTIES,
    ProbedStates,
    play_reasoning,
    read_states,
)
from workbench.worlds.grids.maze_sets import probe_layouts


def play(cell: tuple[int, float], run: GoalRun) -> pd.DataFrame:
    """The states in grids of one size and density."""
    size, density = cell
    return play_reasoning(run.model, run.spec, run.progress, size=size, density=density)


def read(control: str, position: str, size: int, run: GoalRun) -> pd.DataFrame:
    """Activations of the states of one size at a position and every layer, of the model or (``control`` "untrained")
    the untrained one, as an artifact; whether the states can be held out is asked before anything is read."""
    data, sites = run.data, [Site(layer) for layer in run.layers]
    _ = data.test
    part = ProbedStates(run.spec, data.steps[data.sizes == size].reset_index(drop=True))
    seed = derive_seed(run.spec.seed, "untrained") % 2**32
    model = untrained(run.model, seed) if control else run.model
    found = {str(site.layer): z for site, z in read_states(model, part, position, sites, run.progress)}
    run.folder.save_tensors(activations_name(position, size, control), found, stamp_of(model))
    return pd.DataFrame({"states": [len(part.steps)], "groups": [len(np.unique(part.groups))]})


def _right(run: GoalRun, proba: np.ndarray) -> np.ndarray:
    """[2, test states] cell accuracy and balanced cell accuracy of each state."""
    return np.stack([probing.cell_accuracy(run.data, proba), probing.balanced_cell_accuracy(run.data, proba)])


def cognitive_map(position: str, layer: int, run: GoalRun) -> pd.DataFrame:
    """The cognitive map of one position and layer, linear and MLP."""
    tables, right, h = [], {}, run.activations(position, layer)
    for kind in ("linear", "mlp"):
        proba, loss = decode_maps(run.data, h, kind)
        labels = {"position": position, "layer": layer, "probe": kind, "train": "all", "control": "none"}
        tables.append(map_rows(run.data, proba, labels))
        right[kind] = _right(run, proba)
    tensors = {"probabilities": proba.astype(np.float16)} | right
    run.folder.save_tensors(f"decoded-{position}-{layer}", tensors, {"validation_loss": loss})
    return pd.concat(tables, ignore_index=True)


def map_controls(position: str, run: GoalRun) -> pd.DataFrame:
    """Controls of the cognitive map at the chosen layer."""
    tables, right, layer = [], {}, run.layer
    for kind, control, proba in _controls(position, run):
        labels = {"position": position, "layer": layer, "train": "all", "probe": kind, "control": control}
        tables.append(map_rows(run.data, proba, labels))
        right[f"{kind}.{control}"] = _right(run, proba)
    run.folder.save_tensors(f"map-controls-{position}", right)
    return pd.concat(tables, ignore_index=True)


def _controls(position: str, run: GoalRun) -> Iterator[tuple[str, str, np.ndarray]]:
    for control, proba in probing.map_controls(run.data, run.decoded(position, run.layer)):
        yield "mlp", control, proba
    for kind in ("linear", "mlp"):
        for control in ("shuffled", "untrained"):
            h = run.activations(position, run.layer, "untrained" if control == "untrained" else "")
            yield kind, control, decode_maps(run.data, h, kind, shuffle=control == "shuffled")[0]


def map_sizes(position: str, run: GoalRun) -> pd.DataFrame:
    """The general probe and a probe of its own, on the grids of each size."""
    tables, layer, sizes = [], run.layer, run.data.sizes
    general, h = run.decoded(position, layer), run.activations(position, layer)
    for size in np.unique(sizes).tolist():
        rows = sizes == size
        labels = {"position": position, "layer": layer, "control": "none", "size": size}
        found = {("mlp", "all"): general[rows[run.data.test]]}
        for kind in ("linear", "mlp"):
            found[kind, f"size {size}"], _ = decode_maps(run.data, h, kind, rows=rows)
        for (kind, train), proba in found.items():
            tables.append(map_rows(run.data, proba, labels | {"probe": kind, "train": train}, rows))
    return pd.concat(tables, ignore_index=True)


def plan(position: str, run: GoalRun) -> pd.DataFrame:
    """Plan decoders of every depth and their controls, at the chosen layer."""
    tables, right, layer = [], {}, run.layer
    h, other = (run.activations(position, layer, control) for control in ("", "untrained"))
    depth = run.spec.plan_decoders[0]
    fits = [("none", layers, h) for layers in (0, *run.spec.plan_decoders)]
    for control, layers, features in (*fits, ("shuffled", depth, h), ("untrained", depth, other)):
        proba = probing.decode_plans(run.data, features, layers, shuffle=control == "shuffled")
        labels = {"position": position, "layer": layer, "decoder": layers, "control": control}
        tables.append(probing.plan_rows(run.data, proba, labels))
        right[f"{layers}.{control}"] = probing.prefix_right(run.data, proba)
        if (control, layers) == ("none", depth):
            right["probabilities"] = proba.astype(np.float16)
    run.folder.save_tensors(f"plans-{position}", right)
    return pd.concat(tables, ignore_index=True)


Rows = Callable[[np.ndarray, np.ndarray, int], "list[pd.DataFrame]"]


def _by_layer(position: str, run: GoalRun, rows: Rows) -> pd.DataFrame:
    """``rows`` gets the activations of a layer, those of the untrained model, and the layer."""
    tables = []
    for layer in run.layers:
        h, other = (run.activations(position, layer, control) for control in ("", "untrained"))
        tables += [table.assign(position=position, layer=layer) for table in rows(h, other, layer)]
    if not tables:
        raise DataError("no property of the states can be told apart: raise probe_layouts")
    return pd.concat(tables, ignore_index=True)


def distance(position: str, run: GoalRun) -> pd.DataFrame:
    """Distance to the goal, at every layer."""
    return _by_layer(position, run, lambda h, other, layer: [probing.distance_rows(run.data, h, other)])


def directions(position: str, run: GoalRun) -> pd.DataFrame:
    """Plain properties, at every layer; one that the states do not show in enough layouts is left out, and logged."""

    def rows(h: np.ndarray, other: np.ndarray, layer: int) -> list[pd.DataFrame]:
        found = []
        for name in PROPERTIES:
            try:
                found.append(probing.target_rows(run.data, h, other, name, mdl=layer == run.layer))
            except DataError as error:
                run.folder.log(f"left out at layer {layer}, {position}: {name}: {error}")
        return found

    return _by_layer(position, run, rows)


def decoded_actions(run: GoalRun) -> pd.DataFrame:
    """The moves that were made, scored on the decoded maps of the chosen layer."""
    steps = run.data.steps.assign(group=run.data.groups)[run.data.test]
    rows = []
    for position in POSITIONS:
        decoded = run.decoded(position, run.layer)
        others = dict(probing.map_controls(run.data, decoded))["other grids"]
        scored = score_decoded(steps, {"decoded": decoded, "other grids": others, "no walls": without_walls(run.data)})
        rows += [row | {"position": position, "layer": run.layer} for row in scored]
    return pd.DataFrame(rows)


def causal(layer: int, run: GoalRun) -> pd.DataFrame:
    """Steering and erasing at one layer."""
    layouts = probe_layouts(run.spec).layouts
    steps = run.data.steps.assign(group=run.data.groups, test=run.data.test)
    places = choose_places(run.spec, steps, layouts)
    return pd.DataFrame(causal_rows(run.model, run.spec, layer, places, layouts))
