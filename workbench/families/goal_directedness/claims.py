"""What the paper found, judged on a run.

Differences between probes, positions and controls are paired: taken state by state, with intervals that resample whole
groups of layouts.  A claim is held when the 95% interval of its difference lies on the expected side of zero; where
there is no interval (too few groups) it is not held.  Everything is judged at the run's chosen layer, which was chosen
on other layouts than those it is judged on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from workbench.families import Claim, Verdict, verdict
from workbench.families.goal_directedness.context import GoalRun
from workbench.families.goal_directedness.contrast import contrast
from workbench.statistics import Interval, cluster_bootstrap
from workbench.worlds.grids.agents.probed_states import POSITIONS

LONG = 5  # moves of a long plan
MAP_METRICS = ("cell accuracy", "balanced cell accuracy")
MAP_CONTROLS = (
    ("mlp", "majority"), ("mlp", "other grids"), ("linear", "shuffled"), ("linear", "untrained"), ("mlp", "shuffled"),
    ("mlp", "untrained"),
)  # fmt: skip
Judge = Callable[[GoalRun], Iterator[Verdict]]


def claims() -> tuple[Claim, ...]:
    """The claims in the paper's order; those about probes are judged where the agent reasons."""
    behaviour: dict[str, Judge] = {
        f"{metric} {'falls' if sign < 0 else 'rises'} with {label}": partial(_changes, label, metric, sign)
        for label in ("size", "density", "distance")
        for metric, sign in (("accuracy", -1), ("entropy", 1), ("jsd", 1))
    }
    probes: dict[str, Judge] = {
        "map: MLP above linear": _mlp_above_linear,
        "map: before above after reasoning": _map_before_after,
        **{f"map: {kind} above {which}": partial(_map_control, kind, which) for kind, which in MAP_CONTROLS},
        "plan: after above before reasoning at 1 move": _plan_after_before,
        "plan: before gains on after over more moves": _plan_gains,
        **{f"plan: above {control}": partial(_plan_control, control) for control in ("shuffled", "untrained")},
        "plan: above the commonest move": _plan_majority,
        **{f"distance: above {of}": partial(_distance, of) for of in ("majority", "shuffled", "untrained")},
        **{
            f"actions: {metric} on the decoded map above {other}": partial(_actions, metric, other)
            for metric in ("accuracy", "recovery")
            for other in ("other grids", "no walls")
        },
        "causal: steering moves the agent its way": _steering,
        "causal: erasing closes the gap": _erasing,
    }
    probed = {name: partial(_if_probed, judge) for name, judge in probes.items()}
    every = behaviour | {"transforms have no effect": _transforms} | probed
    return tuple(Claim(name, judge) for name, judge in every.items())


def _if_probed(judge: Judge, run: GoalRun) -> Iterator[Verdict]:
    if run.probed:
        yield from judge(run)


def _changes(label: str, metric: str, sign: int, run: GoalRun) -> Iterator[Verdict]:
    """From the smallest to the largest value of a label; distances are cut in thirds."""
    for mode, (states, episodes) in run.behaviour.items():
        if not len(states) or (label != "distance" and run.mazes.table[label].nunique() < 2):
            continue
        source = episodes if metric == "accuracy" and label != "distance" else states
        column = "correct" if metric == "accuracy" and label == "distance" else metric
        if label == "distance":
            near, far = np.quantile(states["distance"], [1 / 3, 2 / 3])
            many, few = source[label] > far, source[label] <= near
        else:
            values = run.mazes.table[label]
            many, few = source[label] == values.max(), source[label] == values.min()
        values, groups = source[column].to_numpy(float), source["layout"].to_numpy()
        change = contrast(values, many.to_numpy(), few.to_numpy(), groups)
        yield verdict(f"largest less smallest {label}", change, mode, sign)


def _transforms(run: GoalRun) -> Iterator[Verdict]:
    """Held unless one of the tests finds a difference, at a level of 5% over all of them."""
    tests = run.folder.load_table("transforms")
    if not tests["p"].notna().any():
        yield Verdict(True, f"no pair of layouts differs in any of {len(tests)} tests", estimate=0.0)
        return
    worst, threshold = tests.loc[tests["p"].idxmin()], 0.05 / len(tests)
    found = Interval(*map(float, worst[["difference", "low", "high"]]))
    text = f"smallest p of {len(tests)} tests {worst['p']:.3f} ({worst['transform']}, {worst['metric']}: "
    text += f"{found.text(3, '+')}, r {worst['r']:.2f}); level {threshold:.4f} (Bonferroni)"
    yield Verdict(bool(worst["p"] > threshold), text, "", found.estimate, found.low, found.high)


def _paired(run: GoalRun, a: np.ndarray, b: np.ndarray) -> Interval:
    return cluster_bootstrap(np.asarray(a, float) - np.asarray(b, float), run.data.groups[run.data.test])


def _tensors(run: GoalRun, name: str, which: str) -> np.ndarray:
    return np.asarray(run.folder.load_tensors(name)[0][which].numpy())


def _map(run: GoalRun, position: str, kind: str) -> np.ndarray:
    """[2, states] of :data:`MAP_METRICS`."""
    return _tensors(run, f"decoded-{position}-{run.layer}", kind)


def _by_metric(run: GoalRun, a: np.ndarray, b: np.ndarray, where: str = "", what: str = "") -> Iterator[Verdict]:
    """By cell accuracy, as in the paper, and balanced over the classes, since most cells are walls."""
    for metric, left, right in zip(MAP_METRICS, a, b, strict=True):
        yield verdict(f"{metric}{what}", _paired(run, left, right), f"{where}{metric}")


def _mlp_above_linear(run: GoalRun) -> Iterator[Verdict]:
    for p in POSITIONS:
        yield from _by_metric(run, _map(run, p, "mlp"), _map(run, p, "linear"), f"{p}, ")


def _map_before_after(run: GoalRun) -> Iterator[Verdict]:
    before, after = (_map(run, p, "mlp") for p in POSITIONS)
    yield from _by_metric(run, before, after, what=", MLP")


def _map_control(kind: str, which: str, run: GoalRun) -> Iterator[Verdict]:
    for p in POSITIONS:
        control = _tensors(run, f"map-controls-{p}", f"{kind}.{which}")
        yield from _by_metric(run, _map(run, p, kind), control, f"{p}, ")


def _plan(run: GoalRun, position: str, control: str = "none") -> np.ndarray:
    """[states, steps] whether the first moves are right."""
    return _tensors(run, f"plans-{position}", f"{run.spec.plan_decoders[0]}.{control}").astype(float)


def _plan_lead(run: GoalRun, moves: int) -> np.ndarray:
    """[states] by how much the plan is better after the reasoning."""
    return np.asarray(_plan(run, "post")[:, moves - 1] - _plan(run, "pre")[:, moves - 1])


def _plan_after_before(run: GoalRun) -> Iterator[Verdict]:
    first = _plan_lead(run, 1)
    yield verdict("prefix@1", _paired(run, first, np.zeros_like(first)))


def _plan_gains(run: GoalRun) -> Iterator[Verdict]:
    long = min(LONG, run.spec.plan_steps)
    change = _paired(run, _plan_lead(run, long), _plan_lead(run, 1))
    yield verdict("lead of after, long less short", change, f"{long} moves", -1)


def _plan_control(control: str, run: GoalRun) -> Iterator[Verdict]:
    for p in POSITIONS:
        yield verdict("prefix@1", _paired(run, _plan(run, p)[:, 0], _plan(run, p, control)[:, 0]), p)


def _plan_majority(run: GoalRun) -> Iterator[Verdict]:
    line = {"decoder": run.spec.plan_decoders[0], "padding": "with", "control": "majority", "prefix": 1}
    yield from _of_table("prefix@1", "difference", run.folder.load_table("plans"), **line)


def _distance(control: str, run: GoalRun) -> Iterator[Verdict]:
    line = {"layer": run.layer, "metric": "r2", "control": control}
    yield from _of_table("R2", "difference", run.folder.load_table("distance"), **line)


def _actions(metric: str, other: str, run: GoalRun) -> Iterator[Verdict]:
    line = {"metric": metric, "map": f"decoded less {other}"}
    yield from _of_table(metric, "estimate", run.folder.load_table("decoded_differences"), **line)


def _of_table(what: str, column: str, table: pd.DataFrame, **line: Any) -> Iterator[Verdict]:
    """The difference in the rows whose columns are as in ``line``, one a position."""
    for name, value in line.items():
        table = table[table[name] == value]
    for position in POSITIONS:
        for row in table[table["position"] == position].to_dict("records"):
            yield verdict(what, Interval.of(row, column), position)


def _effects(run: GoalRun, kind: str, metric: str) -> pd.DataFrame:
    table = run.folder.load_table("causal_differences")
    return table[(table["layer"] == run.layer) & (table["kind"] == kind) & (table["metric"] == metric)]


def _steering(run: GoalRun) -> Iterator[Verdict]:
    """At the largest multiplier; to the right, where it is as large on either side."""
    steered = _effects(run, "steer", "shift").sort_values("multiplier", ascending=False)
    most = steered.loc[steered["multiplier"].abs().idxmax()]
    side, sign = ("right", 1) if most["multiplier"] > 0 else ("left", -1)
    yield verdict("shift over random", Interval.of(most), f"to the {side}, layer {run.layer}", sign)


def _erasing(run: GoalRun) -> Iterator[Verdict]:
    erased = _effects(run, "erase", "gap").iloc[0]
    yield verdict("gap less random erasure's", Interval.of(erased), f"layer {run.layer}", -1)
