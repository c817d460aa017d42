"""The units of an internal-RL run in their order, and what each waits for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from workbench.errors import SpecError
from workbench.families.internal_rl.base import base_unit
from workbench.families.internal_rl.beliefs import beliefs_unit, history_unit
from workbench.families.internal_rl.controllers import controllers_unit
from workbench.families.internal_rl.discovery import discovery_unit, start_unit, sweep_unit
from workbench.families.internal_rl.processes import Waiting
from workbench.families.internal_rl.reinforcement import ceiling_unit, reinforcement_unit, unit_of
from workbench.families.internal_rl.shown import shown_unit
from workbench.families.internal_rl.spec import METHODS, InternalRLSpec
from workbench.models.loading import n_layers_of
from workbench.training.recipes import preset_of
from workbench.worlds.pinpad.training import base as pinpad_base

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from workbench.families.internal_rl.job import Job

__all__ = ["SWEPT", "layers_of", "seeds_of", "units_of", "work_of"]

SWEPT = ("frozen", "co-trained")


def layers_of(spec: InternalRLSpec) -> int:
    """Blocks of the base model; :class:`SpecError` when the spec's layer is none of them."""
    layers = preset_of(pinpad_base.PRESETS, spec.recipe).layers if spec.base == "train" else n_layers_of(spec.base)
    if spec.layer is not None and not -layers <= spec.layer < layers:
        raise SpecError(f"layer {spec.layer} does not exist: {spec.base} has layers 0 to {layers - 1}")
    return int(layers)


def seeds_of(spec: InternalRLSpec, name: str) -> range:
    """The seeds of a condition or method: those of the method itself, or those of baselines."""
    return range(spec.seeds if name in ("frozen", "internal RL", "random codes") else spec.baseline_seeds)


def units_of(spec: InternalRLSpec) -> Iterator[Waiting]:
    """All units.  Long ones come first within their wave, so that no process is left alone with one at the end."""
    yield Waiting("base", "base model beside the exact Bayes filter", spec.episodes + spec.held_out_episodes, base_unit)
    controllers = [f"controllers-{depth}" for depth in range(layers_of(spec) + 1)]
    before = ("base",) if spec.layer is not None else ("base", *controllers)
    if spec.history:
        yield Waiting("history", "a second base, probed along its training", 0, history_unit, ("base",))
    for condition in sorted(spec.conditions, key=lambda name: name != "co-trained"):  # which takes longest
        for seed in seeds_of(spec, condition):
            name, what = f"discovery-{condition}-{seed}", f"discovery: {condition}, seed {seed}"
            yield Waiting(name, what, 0, discovery_unit(condition, seed), before)
    for depth, name in enumerate(controllers):
        yield Waiting(name, f"supervised controllers at depth {depth}", 0, controllers_unit(depth), ("base",))
    yield Waiting("beliefs", "what every layer says of the subgoal", 0, beliefs_unit, ("base",))
    yield from _sweep(spec, before)
    yield from _reinforcement(spec)


def _sweep(spec: InternalRLSpec, before: tuple[str, ...]) -> Iterator[Waiting]:
    for condition in SWEPT if spec.alphas else ():
        for seed in range(spec.sweep_seeds):
            start = f"start-{condition}-{seed}"
            yield Waiting(start, f"shared start of a rate-distortion curve: {condition}, seed {seed}", 0,
                          start_unit(condition, seed), before)  # fmt: skip
            for alpha in spec.alphas:
                yield Waiting(f"alpha-{condition}-{seed}-{alpha:g}", f"rate-distortion: {condition}, alpha {alpha:g}",
                              0, sweep_unit(condition, seed, alpha), (start,))  # fmt: skip


def _reinforcement(spec: InternalRLSpec) -> Iterator[Waiting]:
    drawn = spec.updates * spec.rl_batch + spec.episodes
    yield Waiting("ceiling", "the expert's ceiling", 0, ceiling_unit, ("base",))
    for method in spec.methods:
        for task in spec.tasks:
            for seed in seeds_of(spec, method):
                condition = METHODS[method]
                # What needs no discovery waits for one all the same: so it cannot hold up a wave of short units.
                after = (f"discovery-{condition or 'frozen'}-{seed}",)
                name = unit_of(method, task, seed)
                work = reinforcement_unit(method, task, seed)
                yield Waiting(name, f"{method}: {task}, seed {seed}", drawn, work, after)
    if "internal RL" in spec.methods:
        trained = tuple(unit_of("internal RL", task, 0) for task in spec.tasks)
        yield Waiting("shown", "episodes for pictures", spec.shown, shown_unit, trained)


def work_of(spec: InternalRLSpec, name: str) -> Callable[[Job], pd.DataFrame]:
    """The work of a unit, for a process that knows its name only."""
    return next(unit.work for unit in units_of(spec) if unit.name == name)
