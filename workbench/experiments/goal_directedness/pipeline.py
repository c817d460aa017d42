"""The order of a goal-directedness run.  Each step is a unit of the run folder: finished units are never done again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.agents.grid_play import play_grids
from workbench.environments.grid_oracles import optimal_policy, random_policy
from workbench.environments.transforms import TRANSFORMS
from workbench.errors import SpecError
from workbench.experiments.goal_directedness.causal import causal_rows
from workbench.experiments.goal_directedness.decoded import score_decoded
from workbench.experiments.goal_directedness.examples import save_examples
from workbench.experiments.goal_directedness.layouts import Layouts, maze_layouts, structure_layouts
from workbench.experiments.goal_directedness.orderings import orderings
from workbench.experiments.goal_directedness.probing import (
    TARGETS,
    ProbeData,
    cell_accuracy,
    decode_maps,
    decode_plans,
    distance_rows,
    map_controls,
    map_rows,
    plan_rows,
    prefix_right,
    target_rows,
)
from workbench.experiments.goal_directedness.spec import GoalSpec
from workbench.experiments.goal_directedness.states import (
    POSITIONS,
    agent_of,
    play_states,
    probe_layouts,
    read_states,
)
from workbench.experiments.goal_directedness.summary import chosen_layer, save_tables
from workbench.models.language_model import LanguageModel
from workbench.models.loading import load_model, n_layers_of
from workbench.models.untrained import untrained
from workbench.provenance import provenance
from workbench.runs import RunFolder
from workbench.seeding import derive_seed
from workbench.sites import Site

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["plan", "run"]

Say = Callable[[str], None]
ORACLES = {"random": random_policy, "optimal": optimal_policy}


def plan(spec: GoalSpec) -> list[tuple[str, str, int]]:
    """Units in order: (name, what it does, completions it draws at most)."""
    return [(unit.name, unit.what, unit.completions) for unit in _units(spec, _layers(spec, n_layers_of(spec.model)))]


def run(
    spec: GoalSpec,
    root: str | os.PathLike[str],
    name: str | None = None,
    progress: bool = False,
    say: Say | None = None,
) -> Path:
    """Run (or go on with) a goal-directedness run in ``root``; return its folder.

    Tables end up in the folder's artifacts (``behaviour``, ``maps``, ``plans``, ``orderings``...).  ``say`` gets one
    line a unit.
    """
    say = say or (lambda _line: None)
    model = load_model(spec.model, spec.backend, device=spec.device, device_map=spec.device_map, dtype=spec.dtype)
    with RunFolder.open(root, "goal-directedness", spec, name, provenance(model, spec.seed)) as folder:
        job = _Job(model, spec, folder, progress)
        units = {unit.name: unit for unit in _units(spec, job.layers)}
        for number, unit in enumerate(units.values(), 1):
            if unit.name not in folder.plan(units):
                continue
            say(f"[{number}/{len(units)}] {unit.what}")
            folder.log(f"begin {unit.name}")
            folder.write(unit.name, unit.work(job))
        probed = "states" in units
        save_tables(folder, spec)
        data, layer = (job.data, job.layer) if probed else (None, None)
        folder.save_table("orderings", orderings(folder, spec, data, layer))
        if data is not None and layer is not None:
            folder.write_json("chosen", {"layer": layer})
            save_examples(folder, data, layer)
    return folder.path


class _Job:
    """What the units of one run share."""

    def __init__(self, model: LanguageModel, spec: GoalSpec, folder: RunFolder, progress: bool) -> None:
        self.model, self.spec, self.folder, self.progress = model, spec, folder, progress
        self.layers = _layers(spec, model.n_layers)

    @cached_property
    def data(self) -> ProbeData:
        return ProbeData(self.spec, self.folder.read("states"))

    def activations(self, position: str, layer: int, control: str = "") -> np.ndarray:
        """[states, tokens * d] of the model, or of its untrained twin."""
        key = f"{position}.{layer}"
        if (control, key) not in self._loaded:
            tensors = self.folder.load_tensors(f"activations{control and '-' + control}")[0]
            self._loaded = {(control, name): tensor.numpy() for name, tensor in tensors.items()}
        return self._loaded[control, key]

    _loaded: dict[tuple[str, str], np.ndarray] = {}  # noqa: RUF012 - replaced, never changed

    def decoded(self, position: str, layer: int) -> np.ndarray:
        """Decoded maps of the test states by the MLP probe."""
        tensor = self.folder.load_tensors(f"decoded-{position}-{layer}")[0]["probabilities"]
        return np.asarray(tensor.float().numpy())

    @property
    def layer(self) -> int:
        """The layer whose maps are best, before and after reasoning taken together."""
        return chosen_layer(self.folder)


Work = Callable[[_Job], "pd.DataFrame"]


@dataclass(frozen=True)
class _Unit:
    name: str
    what: str
    completions: int
    work: Work


def _layers(spec: GoalSpec, n_layers: int) -> tuple[int, ...]:
    layers = tuple(range(n_layers)) if spec.layers is None else spec.layers
    for layer in layers:
        if not 0 <= layer < n_layers:
            raise SpecError(f"layer {layer} does not exist: {spec.model} has layers 0 to {n_layers - 1}")
    return layers


def _units(spec: GoalSpec, layers: tuple[int, ...]) -> Iterator[_Unit]:
    mazes = len(spec.sizes) * len(spec.densities)
    steps = round(1.2 * float(np.mean(spec.sizes)))  # of an episode, about
    for player in (*spec.modes, *ORACLES):
        drawn = mazes * spec.layouts * spec.rollouts * steps if player in spec.modes else 0
        yield _Unit(f"behaviour-{player}", f"play mazes: {player}", drawn, _behaviour(player))
    for transform in ("original", *TRANSFORMS):
        drawn = mazes * spec.layouts * spec.transform_rollouts * steps
        yield _Unit(f"transform-{transform}", f"play transformed mazes: {transform}", drawn, _transformed(transform))
    for player in (*spec.modes, *ORACLES):
        drawn = 3 * spec.structures * steps if player in spec.modes else 0
        yield _Unit(f"structures-{player}", f"play keys and doors: {player}", drawn, _structures(player))
    if "reasoning" not in spec.modes:  # nothing to read before and after
        return
    drawn = mazes * spec.probe_layouts * spec.probe_rollouts * steps
    yield _Unit("states", "play the states that are probed", drawn, _states)
    yield _Unit("activations", "read their activations, and those of an untrained model", 0, _activations)
    for position in POSITIONS:
        for layer in layers:
            yield _Unit(
                f"map-{position}-{layer}", f"cognitive map, {position}, layer {layer}", 0, _map(position, layer)
            )
    for position in POSITIONS:
        yield _Unit(
            f"map-controls-{position}", f"controls of the cognitive map, {position}", 0, _map_controls(position)
        )
        yield _Unit(f"map-sizes-{position}", f"cognitive map of each size, {position}", 0, _map_sizes(position))
        yield _Unit(f"plan-{position}", f"plan decoder and controls, {position}", 0, _plan(position))
        yield _Unit(f"distance-{position}", f"distance to the goal by layer, {position}", 0, _distance(position))
        yield _Unit(f"directions-{position}", f"plain properties by layer, {position}", 0, _directions(position))
    yield _Unit("decoded-actions", "actions on the decoded maps", 0, _decoded_actions)
    for layer in layers:
        yield _Unit(f"causal-{layer}", f"steer and erase at layer {layer}", 0, _causal(layer))


def _player(job: _Job, player: str) -> Any:
    return ORACLES[player] if player in ORACLES else agent_of(job.model, job.spec, player)


def _play(job: _Job, player: str, layouts: Layouts, rollouts: int) -> pd.DataFrame:
    steps = play_grids(_player(job, player), layouts.layouts, rollouts, job.spec.seed, progress=job.progress)
    return steps.assign(player=player)


def _behaviour(player: str) -> Work:
    return lambda job: _play(job, player, maze_layouts(job.spec, "mazes", job.spec.layouts), job.spec.rollouts)


def _transformed(name: str) -> Work:
    def work(job: _Job) -> pd.DataFrame:
        layouts = maze_layouts(job.spec, "mazes", job.spec.layouts)
        if name != "original":
            layouts.layouts = [TRANSFORMS[name].apply(layout) for layout in layouts.layouts]
        return _play(job, job.spec.modes[0], layouts, job.spec.transform_rollouts).assign(transform=name)

    return work


def _structures(player: str) -> Work:
    return lambda job: _play(job, player, structure_layouts(job.spec), 1)


def _states(job: _Job) -> pd.DataFrame:
    return play_states(job.model, job.spec, job.progress)


def _activations(job: _Job) -> pd.DataFrame:
    import pandas as pd

    steps, sites = job.data.steps, [Site(layer) for layer in job.layers]
    for control in ("", "untrained"):
        model = untrained(job.model, derive_seed(job.spec.seed, "untrained") % 2**32) if control else job.model
        read = read_states(model, job.spec, steps, sites, job.progress)
        tensors = {f"{position}.{site.layer}": z for position, by in read.items() for site, z in by.items()}
        stamp = {"fingerprint": model.fingerprint, "basis": model.basis, "component": "resid_post"}
        job.folder.save_tensors(f"activations{control and '-' + control}", tensors, stamp)
    return pd.DataFrame({"states": [len(steps)], "groups": [len(np.unique(job.data.groups))]})


def _map(position: str, layer: int) -> Work:
    def work(job: _Job) -> pd.DataFrame:
        import pandas as pd

        tables, right, h = [], {}, job.activations(position, layer)
        for kind in ("linear", "mlp"):
            proba = decode_maps(job.data, h, kind)
            labels = {"position": position, "layer": layer, "probe": kind, "train": "all", "control": "none"}
            tables.append(map_rows(job.data, proba, labels))
            right[kind] = cell_accuracy(job.data, proba)
        job.folder.save_tensors(f"decoded-{position}-{layer}", {"probabilities": proba.astype(np.float16)} | right)
        return pd.concat(tables, ignore_index=True)

    return work


def _map_controls(position: str) -> Work:
    def work(job: _Job) -> pd.DataFrame:
        import pandas as pd

        tables, right, layer = [], {}, job.layer
        labels = {"position": position, "layer": layer, "train": "all"}
        for control, proba in map_controls(job.data, job.decoded(position, layer)):
            tables.append(map_rows(job.data, proba, labels | {"probe": "mlp", "control": control}))
            right[f"mlp.{control}"] = cell_accuracy(job.data, proba)
        for kind in ("linear", "mlp"):
            for control in ("shuffled", "untrained"):
                h = job.activations(position, layer, "untrained" if control == "untrained" else "")
                proba = decode_maps(job.data, h, kind, shuffle=control == "shuffled")
                tables.append(map_rows(job.data, proba, labels | {"probe": kind, "control": control}))
                right[f"{kind}.{control}"] = cell_accuracy(job.data, proba)
        job.folder.save_tensors(f"map-controls-{position}", right)
        return pd.concat(tables, ignore_index=True)

    return work


def _map_sizes(position: str) -> Work:
    """The general probe and a probe of its own, on the grids of each size."""

    def work(job: _Job) -> pd.DataFrame:
        import pandas as pd

        tables, layer, sizes = [], job.layer, job.data.steps["size"].to_numpy()
        general = job.decoded(position, layer)
        for size in job.spec.sizes:
            rows = sizes == size
            labels = {"position": position, "layer": layer, "control": "none", "size": size}
            found = {("mlp", "all"): general[rows[job.data.test]]}
            for kind in ("linear", "mlp"):
                h = job.activations(position, layer)
                found[kind, f"size {size}"] = decode_maps(job.data, h, kind, rows=rows)
            for (kind, train), proba in found.items():
                tables.append(map_rows(job.data, proba, labels | {"probe": kind, "train": train}, rows))
        return pd.concat(tables, ignore_index=True)

    return work


def _plan(position: str) -> Work:
    def work(job: _Job) -> pd.DataFrame:
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


def _by_layer(position: str, rows: Callable[[_Job, np.ndarray, np.ndarray, int], list[pd.DataFrame]]) -> Work:
    def work(job: _Job) -> pd.DataFrame:
        import pandas as pd

        tables = []
        for layer in job.layers:
            h, other = (job.activations(position, layer, control) for control in ("", "untrained"))
            tables += [table.assign(position=position, layer=layer) for table in rows(job, h, other, layer)]
        return pd.concat(tables, ignore_index=True)

    return work


def _distance(position: str) -> Work:
    return _by_layer(position, lambda job, h, other, layer: [distance_rows(job.data, h, other)])


def _directions(position: str) -> Work:
    def rows(job: _Job, h: np.ndarray, other: np.ndarray, layer: int) -> list[pd.DataFrame]:
        return [target_rows(job.data, h, other, name, mdl=layer == job.layer) for name in TARGETS]

    return _by_layer(position, rows)


def _decoded_actions(job: _Job) -> pd.DataFrame:
    import pandas as pd

    steps = job.data.steps.assign(group=job.data.groups)[job.data.test]
    rows = []
    for position in POSITIONS:
        decoded = job.decoded(position, job.layer)
        others = dict(map_controls(job.data, decoded))["other grids"]
        scored = score_decoded(steps, {"decoded": decoded, "other grids": others})
        rows += [row | {"position": position, "layer": job.layer} for row in scored]
    return pd.DataFrame(rows)


def _causal(layer: int) -> Work:
    def work(job: _Job) -> pd.DataFrame:
        import pandas as pd

        steps = job.data.steps.assign(group=job.data.groups, test=job.data.test)
        places = steps.drop_duplicates(["layout", "row", "column", "has_key"])
        order = np.random.default_rng(derive_seed(job.spec.seed, "causal")).permutation(len(places))
        few = places.iloc[np.sort(order[: job.spec.causal_states])]
        return pd.DataFrame(causal_rows(job.model, job.spec, layer, few, probe_layouts(job.spec).layouts))

    return work
