"""The units of a goal-directedness run in their order, and the work of those that play."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.families.goal_directedness.job import Job, Work
from workbench.families.goal_directedness.layouts import Layouts, maze_layouts, structure_layouts
from workbench.families.goal_directedness.probe_units import (
    causal_unit,
    decoded_actions_unit,
    directions_unit,
    distance_unit,
    map_controls_unit,
    map_sizes_unit,
    map_unit,
    plan_unit,
    play_unit,
    read_unit,
)
from workbench.families.goal_directedness.spec import GoalSpec
from workbench.families.goal_directedness.states import POSITIONS, agent_of
from workbench.families.units import Unit
from workbench.worlds.grids.agents.play import play_grids
from workbench.worlds.grids.oracles import optimal_policy, random_policy
from workbench.worlds.grids.transforms import TRANSFORMS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["units_of"]

ORACLES = {"random": random_policy, "optimal": optimal_policy}


def units_of(spec: GoalSpec, layers: tuple[int, ...]) -> Iterator[Unit[Job]]:
    """All steps of a run: behaviour first, then (where the agent reasons) what is probed in it."""
    mazes = len(spec.sizes) * len(spec.densities)
    steps = round(1.2 * float(np.mean(spec.sizes)))  # of an episode, about
    for player in (*spec.modes, *ORACLES):
        drawn = mazes * spec.layouts * spec.rollouts * steps if player in spec.modes else 0
        yield Unit(f"behaviour-{player}", f"play mazes: {player}", drawn, _behaviour(player))
    for transform in ("original", *TRANSFORMS):
        drawn = mazes * spec.layouts * spec.transform_rollouts * steps
        yield Unit(f"transform-{transform}", f"play transformed mazes: {transform}", drawn, _transformed(transform))
    for player in (*spec.modes, *ORACLES):
        drawn = 3 * spec.structures * steps if player in spec.modes else 0
        yield Unit(f"structures-{player}", f"play keys and doors: {player}", drawn, _structures(player))
    if "reasoning" not in spec.modes:  # nothing to read before and after
        return
    drawn = mazes * spec.probe_layouts * spec.probe_rollouts * steps
    yield Unit("states", "play the states that are probed", drawn, play_unit)
    yield Unit("activations", "read their activations, and those of an untrained model", 0, read_unit)
    for position in POSITIONS:
        for layer in layers:
            yield Unit(
                f"map-{position}-{layer}", f"cognitive map, {position}, layer {layer}", 0, map_unit(position, layer)
            )
    for position in POSITIONS:
        yield Unit(
            f"map-controls-{position}", f"controls of the cognitive map, {position}", 0, map_controls_unit(position)
        )
        yield Unit(f"map-sizes-{position}", f"cognitive map of each size, {position}", 0, map_sizes_unit(position))
        yield Unit(f"plan-{position}", f"plan decoder and controls, {position}", 0, plan_unit(position))
        yield Unit(f"distance-{position}", f"distance to the goal by layer, {position}", 0, distance_unit(position))
        yield Unit(f"directions-{position}", f"plain properties by layer, {position}", 0, directions_unit(position))
    yield Unit("decoded-actions", "actions on the decoded maps", 0, decoded_actions_unit)
    for layer in layers:
        yield Unit(f"causal-{layer}", f"steer and erase at layer {layer}", 0, causal_unit(layer))


def _player(job: Job, player: str) -> Any:
    return ORACLES[player] if player in ORACLES else agent_of(job.model, job.spec, player)


def _play(job: Job, player: str, layouts: Layouts, rollouts: int) -> pd.DataFrame:
    steps = play_grids(_player(job, player), layouts.layouts, rollouts, job.spec.seed, progress=job.progress)
    return steps.assign(player=player)


def _behaviour(player: str) -> Work:
    return lambda job: _play(job, player, maze_layouts(job.spec, "mazes", job.spec.layouts), job.spec.rollouts)


def _transformed(name: str) -> Work:
    def work(job: Job) -> pd.DataFrame:
        layouts = maze_layouts(job.spec, "mazes", job.spec.layouts)
        if name != "original":
            layouts = layouts.transformed(TRANSFORMS[name].apply)
        return _play(job, job.spec.modes[0], layouts, job.spec.transform_rollouts).assign(transform=name)

    return work


def _structures(player: str) -> Work:
    return lambda job: _play(job, player, structure_layouts(job.spec), 1)
