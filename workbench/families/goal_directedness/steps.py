"""The steps of a goal-directedness run in their order, and the work of those that play."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import product
from typing import Any

import pandas as pd

from workbench.families import Step
from workbench.families.goal_directedness import probe_steps as probing
from workbench.families.goal_directedness.context import GoalRun, activations_name
from workbench.families.goal_directedness.sizes import ANSWERS, moves_of, prompt_tokens, work_of
from workbench.families.goal_directedness.spec import GoalSpec
from workbench.families.goal_directedness.summary import structure_layouts
from workbench.worlds.grids.agents.play import Player, play_grids
from workbench.worlds.grids.agents.probed_states import POSITIONS, agent_of
from workbench.worlds.grids.maze_sets import Layouts
from workbench.worlds.grids.mazes import GOAL_STRUCTURES
from workbench.worlds.grids.oracles import optimal_policy, random_policy
from workbench.worlds.grids.transforms import TRANSFORMS

ORACLES = {"random": random_policy, "optimal": optimal_policy}


def steps(spec: GoalSpec) -> Iterator[Step]:
    """All steps of a run: behaviour first, then (where the agent reasons) what is probed in it.

    What a model plays or reads is cut by the size of the grids (and the density of their walls, or the structure of
    their goals), so that a kill costs minutes.
    """
    layers = spec.known_layers(spec.layers)
    for mode in spec.modes:
        for size, density in product(spec.sizes, spec.densities):
            work, what = (
                partial(_behaviour, mode, (size, density)),
                f"play mazes: {mode}, size {size}, density {density:g}",
            )
            yield Step(
                f"behaviour-{mode}-{size}-{density:g}",
                what,
                work,
                **work_of(spec, mode, size, spec.layouts, spec.rollouts),
            )
    for player in ORACLES:
        yield Step(f"behaviour-{player}", f"play mazes: {player}", partial(_behaviour, player, None))
    for transform in ("original", *TRANSFORMS):
        for size in spec.sizes:
            name, what = f"transform-{transform}-{size}", f"play transformed mazes: {transform}, size {size}"
            count = spec.layouts * len(spec.densities)
            yield Step(
                name,
                what,
                partial(_transformed, transform, size),
                **work_of(spec, spec.modes[0], size, count, spec.transform_rollouts),
            )
    largest = max(spec.structure_sizes)
    for mode in spec.modes:
        for structure in GOAL_STRUCTURES:
            name, what = f"structures-{mode}-{structure}", f"play keys and doors: {mode}, {structure}"
            yield Step(
                name, what, partial(_structures, mode, structure), **work_of(spec, mode, largest, spec.structures, 1)
            )
    for player in ORACLES:
        yield Step(f"structures-{player}", f"play keys and doors: {player}", partial(_structures, player, None))
    if "reasoning" in spec.modes:  # else there is nothing to read before and after
        for size, density in product(spec.sizes, spec.densities):
            name, what = (
                f"states-{size}-{density:g}",
                f"play the states that are probed: size {size}, density {density:g}",
            )
            yield Step(
                name,
                what,
                partial(probing.play, (size, density)),
                **work_of(spec, "reasoning", size, spec.probe_layouts, spec.probe_rollouts),
            )
        yield from _probed(spec, layers)


def _probed(spec: GoalSpec, layers: tuple[int, ...]) -> Iterator[Step]:
    for control, p, size in product(("", "untrained"), POSITIONS, spec.sizes):
        name, of = f"{activations_name(p, size, control)}", f"the {control} model" if control else "them"
        count = len(spec.densities) * spec.probe_layouts * spec.probe_rollouts * moves_of(size)
        length = prompt_tokens(size) + (spec.max_new_tokens // 2 if p == "post" else 0)
        yield Step(name, f"read {of}: {p}, size {size}", partial(probing.read, control, p, size), tokens=count * length)
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
    strengths = len(spec.doses if spec.multipliers is None else spec.multipliers)
    asked = (strengths + 1) * (1 + spec.random_directions) * ANSWERS
    for layer in layers:
        count = round(spec.causal_states * (prompt_tokens(max(spec.sizes)) + spec.holdout * asked))
        yield Step(f"causal-{layer}", f"steer and erase at layer {layer}", partial(probing.causal, layer), tokens=count)


def _play(run: GoalRun, player: str, layouts: Layouts, rollouts: int, labels: Mapping[str, Any]) -> pd.DataFrame:
    """Episodes in the layouts with these labels; ``layout`` counts among all."""
    who: Player = ORACLES[player] if player in ORACLES else agent_of(run.model, run.spec, player)
    rows = layouts.rows(**labels)
    played = play_grids(who, [layouts.layouts[i] for i in rows], rollouts, run.spec.seed, progress=run.progress)
    return played.assign(layout=rows[played["layout"]], player=player)


def _behaviour(player: str, cell: tuple[int, float] | None, run: GoalRun) -> pd.DataFrame:
    labels = dict(zip(("size", "density"), cell, strict=True)) if cell else {}
    return _play(run, player, run.mazes, run.spec.rollouts, labels)


def _transformed(name: str, size: int, run: GoalRun) -> pd.DataFrame:
    layouts = run.mazes if name == "original" else run.mazes.transformed(TRANSFORMS[name].apply)
    played = _play(run, run.spec.modes[0], layouts, run.spec.transform_rollouts, {"size": size})
    return played.assign(transform=name)


def _structures(player: str, structure: str | None, run: GoalRun) -> pd.DataFrame:
    return _play(run, player, structure_layouts(run.spec), 1, {"structure": structure} if structure else {})
