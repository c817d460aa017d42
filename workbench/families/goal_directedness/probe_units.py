"""The units of a goal-directedness run that probe: each takes the job and returns the unit's rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import DataError
from workbench.families.goal_directedness.causal import causal_rows, choose_places
from workbench.families.goal_directedness.decoded import score_decoded
from workbench.families.goal_directedness.job import Job, Work, activations_name
from workbench.families.goal_directedness.probing import (
    TARGETS,
    ProbeData,
    balanced_cell_accuracy,
    cell_accuracy,
    decode_maps,
    decode_plans,
    distance_rows,
    map_controls,
    map_rows,
    plan_rows,
    prefix_right,
    target_rows,
    without_walls,
)
from workbench.families.goal_directedness.states import POSITIONS, play_states, probe_layouts, read_states
from workbench.models.untrained import untrained
from workbench.seeding import derive_seed
from workbench.sites import Site

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "causal_unit",
    "decoded_actions_unit",
    "directions_unit",
    "distance_unit",
    "map_controls_unit",
    "map_sizes_unit",
    "map_unit",
    "plan_unit",
    "play_unit",
    "read_unit",
]


def play_unit(job: Job) -> pd.DataFrame:
    """The states; whether they can be held out is asked here, before anything is read."""
    steps = play_states(job.model, job.spec, job.progress)
    _ = ProbeData(job.spec, steps).test
    return steps


def read_unit(job: Job) -> pd.DataFrame:
    """Activations of the states at every position and layer, and of the untrained model, as artifacts."""
    import pandas as pd

    steps, sites = job.data.steps, [Site(layer) for layer in job.layers]
    for control in ("", "untrained"):
        model = untrained(job.model, derive_seed(job.spec.seed, "untrained") % 2**32) if control else job.model
        stamp = {"fingerprint": model.fingerprint, "basis": model.basis}
        for position, site, z in read_states(model, job.spec, steps, sites, job.progress):
            name = activations_name(position, site.layer, control)
            job.folder.save_tensors(name, {"activations": z}, stamp | {"site": str(site)})
    return pd.DataFrame({"states": [len(steps)], "groups": [len(np.unique(job.data.groups))]})


def _right(job: Job, proba: np.ndarray) -> np.ndarray:
    """[2, test states] cell accuracy and balanced cell accuracy of each state."""
    return np.stack([cell_accuracy(job.data, proba), balanced_cell_accuracy(job.data, proba)])


def map_unit(position: str, layer: int) -> Work:
    """The cognitive map of one position and layer, linear and MLP."""

    def work(job: Job) -> pd.DataFrame:
        import pandas as pd

        tables, right, h = [], {}, job.activations(position, layer)
        for kind in ("linear", "mlp"):
            proba, loss = decode_maps(job.data, h, kind)
            labels = {"position": position, "layer": layer, "probe": kind, "train": "all", "control": "none"}
            tables.append(map_rows(job.data, proba, labels))
            right[kind] = _right(job, proba)
        tensors = {"probabilities": proba.astype(np.float16)} | right
        job.folder.save_tensors(f"decoded-{position}-{layer}", tensors, {"validation_loss": loss})
        return pd.concat(tables, ignore_index=True)

    return work


def map_controls_unit(position: str) -> Work:
    """Controls of the cognitive map at the chosen layer."""

    def work(job: Job) -> pd.DataFrame:
        import pandas as pd

        tables, right, layer = [], {}, job.layer
        labels = {"position": position, "layer": layer, "train": "all"}
        for control, proba in map_controls(job.data, job.decoded(position, layer)):
            tables.append(map_rows(job.data, proba, labels | {"probe": "mlp", "control": control}))
            right[f"mlp.{control}"] = _right(job, proba)
        for kind in ("linear", "mlp"):
            for control in ("shuffled", "untrained"):
                h = job.activations(position, layer, "untrained" if control == "untrained" else "")
                proba, _ = decode_maps(job.data, h, kind, shuffle=control == "shuffled")
                tables.append(map_rows(job.data, proba, labels | {"probe": kind, "control": control}))
                right[f"{kind}.{control}"] = _right(job, proba)
        job.folder.save_tensors(f"map-controls-{position}", right)
        return pd.concat(tables, ignore_index=True)

    return work


def map_sizes_unit(position: str) -> Work:
    """The general probe and a probe of its own, on the grids of each size."""

    def work(job: Job) -> pd.DataFrame:
        import pandas as pd

        tables, layer, sizes = [], job.layer, job.data.sizes
        general, h = job.decoded(position, layer), job.activations(position, layer)
        for size in np.unique(sizes).tolist():
            rows = sizes == size
            labels = {"position": position, "layer": layer, "control": "none", "size": size}
            found = {("mlp", "all"): general[rows[job.data.test]]}
            for kind in ("linear", "mlp"):
                found[kind, f"size {size}"], _ = decode_maps(job.data, h, kind, rows=rows)
            for (kind, train), proba in found.items():
                tables.append(map_rows(job.data, proba, labels | {"probe": kind, "train": train}, rows))
        return pd.concat(tables, ignore_index=True)

    return work


def plan_unit(position: str) -> Work:
    """Plan decoders of every depth and their controls, at the chosen layer."""

    def work(job: Job) -> pd.DataFrame:
        import pandas as pd

        tables, right, layer = [], {}, job.layer
        h, other = (job.activations(position, layer, control) for control in ("", "untrained"))
        depth = job.spec.plan_decoders[0]
        fits = [("none", layers, h) for layers in (0, *job.spec.plan_decoders)]
        for control, layers, features in (*fits, ("shuffled", depth, h), ("untrained", depth, other)):
            proba = decode_plans(job.data, features, layers, shuffle=control == "shuffled")
            labels = {"position": position, "layer": layer, "decoder": layers, "control": control}
            tables.append(plan_rows(job.data, proba, labels))
            right[f"{layers}.{control}"] = prefix_right(job.data, proba)
            if (control, layers) == ("none", depth):
                right["probabilities"] = proba.astype(np.float16)
        job.folder.save_tensors(f"plans-{position}", right)
        return pd.concat(tables, ignore_index=True)

    return work


Rows = Callable[[Job, np.ndarray, np.ndarray, int], "list[pd.DataFrame]"]


def _by_layer(position: str, rows: Rows) -> Work:
    """``rows`` gets the job, the activations of a layer, those of the untrained model, and the layer."""

    def work(job: Job) -> pd.DataFrame:
        import pandas as pd

        tables = []
        for layer in job.layers:
            h, other = (job.activations(position, layer, control) for control in ("", "untrained"))
            tables += [table.assign(position=position, layer=layer) for table in rows(job, h, other, layer)]
        if not tables:
            raise DataError("no property of the states can be told apart: raise probe_layouts")
        return pd.concat(tables, ignore_index=True)

    return work


def distance_unit(position: str) -> Work:
    """Distance to the goal, at every layer."""
    return _by_layer(position, lambda job, h, other, layer: [distance_rows(job.data, h, other)])


def directions_unit(position: str) -> Work:
    """Plain properties, at every layer; one that the states do not show in enough layouts is left out, and logged."""

    def rows(job: Job, h: np.ndarray, other: np.ndarray, layer: int) -> list[pd.DataFrame]:
        found = []
        for name in TARGETS:
            try:
                found.append(target_rows(job.data, h, other, name, mdl=layer == job.layer))
            except DataError as error:
                job.folder.log(f"left out at layer {layer}, {position}: {name}: {error}")
        return found

    return _by_layer(position, rows)


def decoded_actions_unit(job: Job) -> pd.DataFrame:
    """The moves that were made, scored on the decoded maps of the chosen layer."""
    import pandas as pd

    steps = job.data.steps.assign(group=job.data.groups)[job.data.test]
    rows = []
    for position in POSITIONS:
        decoded = job.decoded(position, job.layer)
        others = dict(map_controls(job.data, decoded))["other grids"]
        scored = score_decoded(steps, {"decoded": decoded, "other grids": others, "no walls": without_walls(job.data)})
        rows += [row | {"position": position, "layer": job.layer} for row in scored]
    return pd.DataFrame(rows)


def causal_unit(layer: int) -> Work:
    """Steering and erasing at one layer."""

    def work(job: Job) -> pd.DataFrame:
        import pandas as pd

        layouts = probe_layouts(job.spec).layouts
        steps = job.data.steps.assign(group=job.data.groups, test=job.data.test)
        places = choose_places(job.spec, steps, layouts)
        return pd.DataFrame(causal_rows(job.model, job.spec, layer, places, layouts))

    return work
