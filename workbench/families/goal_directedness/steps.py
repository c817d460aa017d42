"""The steps of a goal-directedness run in their order, and the work of those that play."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pandas as pd

from workbench.families import Step
from workbench.families.goal_directedness import probe_steps as probing
from workbench.families.goal_directedness.context import GoalRun
from workbench.families.goal_directedness.spec import GoalSpec
from workbench.families.goal_directedness.summary import structure_layouts
from workbench.worlds.grids.agents.play import Player, play_grids
from workbench.worlds.grids.agents.probed_states import POSITIONS, agent_of
from workbench.worlds.grids.maze_sets import Layouts
from workbench.worlds.grids.oracles import optimal_policy, random_policy
from workbench.worlds.grids.transforms import TRANSFORMS

ORACLES = {"random": random_policy, "optimal": optimal_policy}


def steps(spec: GoalSpec) -> Iterator[Step]:
    """All steps of a run: behaviour first, then (where the agent reasons) what is probed in it."""
    layers = spec.known_layers(spec.layers)
    mazes = len(spec.sizes) * len(spec.densities)
    moves = round(1.2 * float(np.mean(spec.sizes)))  # of an episode, about
    for player in (*spec.modes, *ORACLES):
        drawn = mazes * spec.layouts * spec.rollouts * moves if player in spec.modes else 0
        yield Step(f"behaviour-{player}", f"play mazes: {player}", partial(_behaviour, player), drawn)
    for transform in ("original", *TRANSFORMS):
        drawn, what = mazes * spec.layouts * spec.transform_rollouts * moves, f"play transformed mazes: {transform}"
        yield Step(f"transform-{transform}", what, partial(_transformed, transform), drawn)
    for player in (*spec.modes, *ORACLES):
        drawn = 3 * spec.structures * moves if player in spec.modes else 0
        yield Step(f"structures-{player}", f"play keys and doors: {player}", partial(_structures, player), drawn)
    if "reasoning" in spec.modes:  # else there is nothing to read before and after
        drawn = mazes * spec.probe_layouts * spec.probe_rollouts * moves
        yield Step("states", "play the states that are probed", probing.play, drawn)
        yield from _probed(layers)


def _probed(layers: tuple[int, ...]) -> Iterator[Step]:
    yield Step("activations", "read their activations, and those of an untrained model", probing.read)
    for p in POSITIONS:
        for layer in layers:
            work = partial(probing.cognitive_map, p, layer)
            yield Step(f"map-{p}-{layer}", f"cognitive map, {p}, layer {layer}", work)
    at_positions: tuple[tuple[str, str, Callable[[str, GoalRun], pd.DataFrame]], ...] = (
        ("map-controls", "controls of the cognitive map", probing.map_controls),
        ("map-sizes", "cognitive map of each size", probing.map_sizes),
        ("plan", "plan decoder and controls", probing.plan),
        ("distance", "distance to the goal by layer", probing.distance),
        ("directions", "plain properties by layer", probing.directions),
    )
    for p in POSITIONS:
        for name, what, at in at_positions:
            yield Step(f"{name}-{p}", f"{what}, {p}", partial(at, p))
    yield Step("decoded-actions", "actions on the decoded maps", probing.decoded_actions)
    for layer in layers:
        yield Step(f"causal-{layer}", f"steer and erase at layer {layer}", partial(probing.causal, layer))


def _play(run: GoalRun, player: str, layouts: Layouts, rollouts: int) -> pd.DataFrame:
    who: Player = ORACLES[player] if player in ORACLES else agent_of(run.model, run.spec, player)
    played = play_grids(who, layouts.layouts, rollouts, run.spec.seed, progress=run.progress)
    return played.assign(player=player)


def _behaviour(player: str, run: GoalRun) -> pd.DataFrame:
    return _play(run, player, run.mazes, run.spec.rollouts)


def _transformed(name: str, run: GoalRun) -> pd.DataFrame:
    layouts = run.mazes if name == "original" else run.mazes.transformed(TRANSFORMS[name].apply)
    return _play(run, run.spec.modes[0], layouts, run.spec.transform_rollouts).assign(transform=name)


def _structures(player: str, run: GoalRun) -> pd.DataFrame:
    return _play(run, player, structure_layouts(run.spec), 1)
