"""Which of the paper's orderings held.

Differences between probes, positions and controls are paired: taken state by state, with intervals that resample whole
groups of layouts.  An ordering is held when the 95% interval of its difference lies on the expected side of zero; where
there is no interval (too few groups) it is not held.  Everything is judged at the run's chosen layer, which was chosen
on other layouts than those it is judged on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.families.goal_directedness.contrast import contrast
from workbench.families.goal_directedness.layouts import maze_layouts
from workbench.families.goal_directedness.probing import ProbeData
from workbench.families.goal_directedness.spec import GoalSpec
from workbench.families.goal_directedness.states import POSITIONS
from workbench.runs import RunFolder
from workbench.statistics import Interval, cluster_bootstrap
from workbench.worlds.grids.agents.play import episodes_of
from workbench.worlds.grids.agents.states import visited_states

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["orderings"]

LONG = 5  # moves of a long plan
MAP_METRICS = ("cell accuracy", "balanced cell accuracy")
Row = dict[str, Any]


def orderings(folder: RunFolder, spec: GoalSpec, data: ProbeData | None, layer: int | None) -> pd.DataFrame:
    """One row an ordering: ``ordering, held`` (bool), ``evidence`` (the numbers), ``estimate, low, high``."""
    import pandas as pd

    rows = list(_behavioural(folder, spec))
    if data is not None and layer is not None:
        rows += [*_maps(folder, data, layer), *_plans(folder, spec, data)]
        rows += [*_readings(folder, layer), *_causal(folder, layer)]
    return pd.DataFrame(rows)


def _judged(name: str, what: str, difference: Interval, sign: int = 1) -> Row:
    bound = difference.low if sign > 0 else -difference.high
    row = {"ordering": name, "held": bool(bound > 0)}
    text = f"{what}: {difference.estimate:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"
    return row | {"evidence": text, **vars(difference)}


def _behavioural(folder: RunFolder, spec: GoalSpec) -> Iterator[Row]:
    mazes = maze_layouts(spec, "mazes", spec.layouts)
    for mode in spec.modes:
        steps = folder.read(f"behaviour-{mode}")
        table = mazes.label(visited_states(steps, mazes.layouts))
        episodes = mazes.label(episodes_of(steps, mazes.layouts))
        for label, low, high in _extremes(spec, table) if len(table) else ():
            for metric, sign in (("accuracy", -1), ("entropy", 1), ("jsd", 1)):
                source = episodes if metric == "accuracy" and label != "distance" else table
                column = "correct" if metric == "accuracy" and label == "distance" else metric
                many, few = (np.asarray(which(source)) for which in (high, low))
                change = contrast(source[column].to_numpy(float), many, few, source["layout"].to_numpy())
                verb = "falls" if sign < 0 else "rises"
                yield _judged(f"{metric} {verb} with {label} ({mode})", f"largest less smallest {label}", change, sign)
    yield _transforms(folder.load_table("transforms"))


def _transforms(tests: pd.DataFrame) -> Row:
    """Held unless one of the tests finds a difference, at a level of 5% over all of them."""
    row: Row = {"ordering": "transforms have no effect"}
    if not tests["p"].notna().any():
        row |= {"held": True, "evidence": f"no pair of layouts differs in any of {len(tests)} tests"}
        return row | {"estimate": 0.0, "low": float("nan"), "high": float("nan")}
    worst, threshold = tests.loc[tests["p"].idxmin()], 0.05 / len(tests)
    text = f"smallest p of {len(tests)} tests {worst['p']:.3f} ({worst['transform']}, {worst['metric']}: "
    text += f"{worst['difference']:+.3f} [{worst['low']:+.3f}, {worst['high']:+.3f}], r {worst['r']:.2f}); "
    row |= {"held": bool(worst["p"] > threshold)}
    row |= {"evidence": f"{text}level {threshold:.4f} (Bonferroni)"}
    return row | {"estimate": worst["difference"], "low": worst["low"], "high": worst["high"]}


def _extremes(spec: GoalSpec, table: pd.DataFrame) -> Iterator[tuple[str, Any, Any]]:
    """Labels with the rows of their smallest and of their largest value; distances are cut in thirds."""
    for label, values in (("size", spec.sizes), ("density", spec.densities)):
        if len(values) > 1:
            yield label, _equals(label, min(values)), _equals(label, max(values))
    near, far = np.quantile(table["distance"], [1 / 3, 2 / 3])
    yield "distance", lambda rows: rows["distance"] <= near, lambda rows: rows["distance"] > far


def _equals(label: str, value: float) -> Any:
    return lambda rows: rows[label] == value


def _paired(data: ProbeData, a: np.ndarray, b: np.ndarray) -> Interval:
    return cluster_bootstrap(np.asarray(a, float) - np.asarray(b, float), data.groups[data.test])


def _maps(folder: RunFolder, data: ProbeData, layer: int) -> Iterator[Row]:
    """By cell accuracy, as in the paper, and balanced over the classes, since most cells are walls."""
    right = {p: folder.load_tensors(f"decoded-{p}-{layer}")[0] for p in POSITIONS}
    for position in POSITIONS:
        linear, mlp = (right[position][name].numpy() for name in ("linear", "mlp"))  # [2 states]
        for row, what in enumerate(MAP_METRICS):
            yield _judged(f"map: MLP above linear ({position}, {what})", what, _paired(data, mlp[row], linear[row]))
    before, after = (right[position]["mlp"].numpy() for position in POSITIONS)
    for row, what in enumerate(MAP_METRICS):
        change = _paired(data, before[row], after[row])
        yield _judged(f"map: before above after reasoning ({what})", f"{what}, MLP", change)
    for position in POSITIONS:
        for name, control in folder.load_tensors(f"map-controls-{position}")[0].items():
            kind, _, which = name.partition(".")
            own = right[position][kind].numpy()  # [2 states]
            for row, what in enumerate(MAP_METRICS):
                change = _paired(data, own[row], control.numpy()[row])
                yield _judged(f"map: {kind} above {which} ({position}, {what})", what, change)


def _plans(folder: RunFolder, spec: GoalSpec, data: ProbeData) -> Iterator[Row]:
    depth = spec.plan_decoders[0]
    right = {p: folder.load_tensors(f"plans-{p}")[0] for p in POSITIONS}
    own = {p: right[p][f"{depth}.none"].numpy().astype(float) for p in POSITIONS}  # [states, steps]
    first = own["post"][:, 0] - own["pre"][:, 0]
    yield _judged(
        "plan: after above before reasoning at 1 move", "prefix@1", _paired(data, first, np.zeros_like(first))
    )
    long = min(LONG, spec.plan_steps)
    lead = own["post"][:, long - 1] - own["pre"][:, long - 1]
    yield _judged(
        f"plan: before gains on after at {long} moves", "lead of after, long less short", _paired(data, lead, first), -1
    )
    for position in POSITIONS:
        for control in ("shuffled", "untrained"):
            other = right[position][f"{depth}.{control}"].numpy()[:, 0]
            yield _judged(f"plan: above {control} ({position})", "prefix@1", _paired(data, own[position][:, 0], other))
    table = folder.load_table("plans")
    for position in POSITIONS:
        part = table[(table["position"] == position) & (table["decoder"] == depth) & (table["padding"] == "with")]
        line = part[(part["control"] == "majority") & (part["prefix"] == 1)].iloc[0]
        change = _interval(line, "difference")
        yield _judged(f"plan: above the commonest move ({position})", "prefix@1", change)


def _readings(folder: RunFolder, layer: int) -> Iterator[Row]:
    """The distance probe and actions on the decoded map against their controls."""
    table = folder.load_table("distance")
    for position in POSITIONS:
        part = table[(table["position"] == position) & (table["layer"] == layer) & (table["metric"] == "r2")]
        for control in ("majority", "shuffled", "untrained"):
            change = _interval(part[part["control"] == control].iloc[0], "difference")
            yield _judged(f"distance: above {control} ({position})", "R2", change)
    actions = folder.load_table("decoded_differences")
    for position in POSITIONS:
        for metric in ("accuracy", "recovery"):
            part = actions[(actions["position"] == position) & (actions["metric"] == metric)]
            for row in part.to_dict("records"):
                other = str(row["map"]).removeprefix("decoded less ")
                name = f"actions: {metric} on the decoded map above {other} ({position})"
                yield _judged(name, metric, _interval(row))


def _causal(folder: RunFolder, layer: int) -> Iterator[Row]:
    table = folder.load_table("causal_differences")
    table = table[table["layer"] == layer]
    steered = table[(table["kind"] == "steer") & (table["metric"] == "shift")].sort_values(
        "multiplier", ascending=False
    )
    most = steered.loc[steered["multiplier"].abs().idxmax()]
    toward, sign = ("right", 1) if most["multiplier"] > 0 else ("left", -1)
    yield _judged(
        f"causal: steering to the {toward} moves the agent {toward} (layer {layer})", "shift over random",
        _interval(most), sign,
    )  # fmt: skip
    erased = table[(table["kind"] == "erase") & (table["metric"] == "gap")].iloc[0]
    yield _judged(f"causal: erasing closes the gap (layer {layer})", "gap less random erasure's", _interval(erased), -1)


def _interval(row: Any, prefix: str = "") -> Interval:
    """Of a row of a table; ``prefix`` "difference" takes those columns."""
    names = (prefix or "estimate", *(f"{prefix}_{end}" if prefix else end for end in ("low", "high")))
    return Interval(*(float(row[name]) for name in names))
