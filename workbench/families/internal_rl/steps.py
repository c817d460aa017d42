"""The steps of an internal-RL run in their order, and what each waits for."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from workbench.errors import SpecError
from workbench.families import Step
from workbench.families.internal_rl.base import base_rows, controller_rows
from workbench.families.internal_rl.beliefs import belief_rows, history_rows
from workbench.families.internal_rl.context import InternalRLRun
from workbench.families.internal_rl.discovery import discovery_rows, start_rows, sweep_rows
from workbench.families.internal_rl.reinforcement import ceiling_rows, reinforcement_rows, shown_rows, step_of
from workbench.families.internal_rl.spec import METHODS, InternalRLSpec
from workbench.families.internal_rl.summary import gates
from workbench.models.loading import n_layers_of
from workbench.training.recipes import preset_of
from workbench.worlds.pinpad.training import base as pinpad_base

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


def steps(spec: InternalRLSpec) -> Iterator[Step]:
    """All steps.  Long ones come first within their wave, so that no process is left alone with one at the end."""
    yield Step("base", "base model beside the exact Bayes filter", base_rows, spec.episodes + spec.held_out_episodes)
    controllers = [f"controllers-{depth}" for depth in range(layers_of(spec) + 1)]
    before = ("base",) if spec.layer is not None else ("base", *controllers)
    if spec.history:
        yield Step("history", "a second base, probed along its training", history_rows, after=("base",))
    for condition in sorted(spec.conditions, key=lambda name: name != "co-trained"):  # which takes longest
        for seed in seeds_of(spec, condition):
            work = partial(discovery_rows, condition=condition, seed=seed)
            yield Step(f"discovery-{condition}-{seed}", f"discovery: {condition}, seed {seed}", work, after=before)
    for depth, name in enumerate(controllers):
        work = partial(controller_rows, depth=depth)
        yield Step(name, f"supervised controllers at depth {depth}", work, after=("base",))
    yield Step("beliefs", "what every layer says of the subgoal", belief_rows, after=("base",))
    yield from _sweep(spec, before)
    yield from _reinforcement(spec)


def _sweep(spec: InternalRLSpec, before: tuple[str, ...]) -> Iterator[Step]:
    for condition in SWEPT if spec.alphas else ():
        for seed in range(spec.sweep_seeds):
            work, start = partial(start_rows, condition=condition, seed=seed), f"start-{condition}-{seed}"
            what = f"shared start of a rate-distortion curve: {condition}, seed {seed}"
            yield Step(start, what, work, after=before)
            for alpha in spec.alphas:
                work = partial(sweep_rows, condition=condition, seed=seed, alpha=alpha)
                what = f"rate-distortion: {condition}, alpha {alpha:g}"
                yield Step(f"alpha-{condition}-{seed}-{alpha:g}", what, work, after=(start,))


def _reinforcement(spec: InternalRLSpec) -> Iterator[Step]:
    """What the gates may stop.  A step that needs no discovery waits for one all the same: so it comes when gates can
    be judged, and cannot hold up a wave of short steps."""
    drawn = spec.updates * spec.rl_batch + spec.episodes
    passed = _passed if spec.stop_at_gate else None
    yield Step("ceiling", "the expert's ceiling", ceiling_rows, after=("discovery-frozen-0",), when=passed)
    for method in spec.methods:
        for task in spec.tasks:
            for seed in seeds_of(spec, method):
                after = (f"discovery-{METHODS[method] or 'frozen'}-{seed}",)
                work = partial(reinforcement_rows, method=method, task=task, seed=seed)
                name, what = step_of(method, task, seed), f"{method}: {task}, seed {seed}"
                yield Step(name, what, work, drawn, after, passed)
    if "internal RL" in spec.methods:
        trained = tuple(step_of("internal RL", task, 0) for task in spec.tasks)
        yield Step("shown", "episodes for pictures", shown_rows, spec.shown, trained, passed)


def _passed(run: InternalRLRun) -> bool:
    return bool(gates(run)["passed"].all())
