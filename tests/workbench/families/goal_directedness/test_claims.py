"""The claims on results in which each of them is planted, and on results in which it is not."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest

from workbench.families.claims import judge, read_claims
from workbench.families.goal_directedness.claims import MAP_CONTROLS, claims
from workbench.families.goal_directedness.context import GoalRun
from workbench.families.goal_directedness.spec import GoalSpec
from workbench.runs import RunFolder, load_run
from workbench.worlds.grids.agents.play import play_grids
from workbench.worlds.grids.agents.probed_states import POSITIONS
from workbench.worlds.grids.maze_sets import maze_layouts, probe_layouts
from workbench.worlds.grids.oracles import optimal_policy

SPEC = GoalSpec(
    sizes=(7, 9), densities=(0.8, 1.0), layouts=6, rollouts=4, probe_layouts=8, map_size=9, holdout=0.3, layers=(0, 1),
    plan_decoders=(1,), plan_steps=6,
)  # fmt: skip
NAMES = [claim.name for claim in claims()]
ALL = "all claims hold"
N = 6  # moves that are forecast


@cache
def _played(easier: str) -> pd.DataFrame:
    """An agent that errs where grids are large, dense, or far from the goal; one of them is easier in its place."""
    mazes = maze_layouts(SPEC, "mazes", SPEC.layouts)
    density = dict(zip(mazes.layouts, mazes.table["density"], strict=True))

    def policy(layout, state):
        hard = {"size": layout.size > 7, "density": density[layout] == 1, "distance": layout.distance(state) > 6}
        errors = 0.02 + 0.3 * sum(is_hard != (label == easier) for label, is_hard in hard.items())
        p = np.full(4, errors / 4)
        best = layout.optimal_moves(state)
        p[list(best)] += (1 - errors) / len(best)
        return p

    return play_grids(policy, mazes.layouts, SPEC.rollouts, SPEC.seed)


@cache
def _states() -> pd.DataFrame:
    layouts = probe_layouts(SPEC)
    steps = layouts.label(play_grids(optimal_policy, layouts.layouts, 1, SPEC.seed))
    return steps.assign(reasoning=[list(range(SPEC.tokens))] * len(steps))


def _around(value, name="estimate"):
    low, high = ("low", "high") if name == "estimate" else (f"{name}_low", f"{name}_high")
    return {name: value, low: value - 0.05, high: value + 0.05}


class Planted:
    """A run folder with what the claims are judged by; ``broken`` is the claim that shall not hold."""

    def __init__(self, folder: RunFolder, broken: str, **changes: pd.DataFrame) -> None:
        self.folder, self.broken, self.run = folder, broken, GoalRun(SPEC, folder)
        for mode in SPEC.modes:
            folder.write(f"behaviour-{mode}", _played(broken.partition(" with ")[2]))
        folder.write("states", _states())
        for position in POSITIONS:
            self.maps(position)
            self.plans(position)
        tables = {"plans": self.majority, "distance": self.distance, "decoded_differences": self.actions,
                  "causal_differences": self.causal, "transforms": self.transforms}  # fmt: skip
        for name, rows in tables.items():
            folder.save_table(name, changes.get(name, pd.DataFrame(rows())))

    def good(self, name: str, held: float, broken: float) -> float:
        assert name in NAMES
        return broken if name == self.broken else held

    def noisy(self, value: float) -> np.ndarray:
        return value + np.random.default_rng(0).normal(0, 0.01, (2, int(self.run.data.test.sum())))

    def maps(self, position: str) -> None:
        mlp = 0.9 if position == "pre" else self.good("map: before above after reasoning", 0.8, 0.95)
        linear = self.good("map: MLP above linear", 0.5, 0.97)
        for layer in SPEC.layers:
            tensors = {"mlp": self.noisy(mlp), "linear": self.noisy(linear)}
            self.folder.save_tensors(f"decoded-{position}-{layer}", tensors, {"validation_loss": 1.0 - layer})
        controls = {
            f"{kind}.{which}": self.noisy(self.good(f"map: {kind} above {which}", 0.2, 0.98))
            for kind, which in MAP_CONTROLS
        }
        self.folder.save_tensors(f"map-controls-{position}", controls)

    def plans(self, position: str) -> None:
        u = np.random.default_rng(1).random((int(self.run.data.test.sum()), 1))
        first = 0.6 if position == "pre" else self.good("plan: after above before reasoning at 1 move", 0.9, 0.5)
        late = {"pre": 0.3, "post": 0.4}[position]
        late = self.good("plan: before gains on after over more moves", late, {"pre": 0.1, "post": 0.9}[position])
        tensors = {"1.none": u < np.array([first, *[min(first, late)] * (N - 1)])}
        for control in ("shuffled", "untrained"):
            tensors[f"1.{control}"] = u < np.full(N, self.good(f"plan: above {control}", 0.1, 0.99))
        self.folder.save_tensors(f"plans-{position}", tensors)

    def majority(self):
        value = self.good("plan: above the commonest move", 0.2, -0.2)
        line = {"layer": 1, "decoder": 1, "control": "majority", "padding": "with", "prefix": 1}
        return [line | {"position": p} | _around(value, "difference") for p in POSITIONS]

    def distance(self):
        return [
            {"layer": layer, "position": p, "metric": "r2", "control": control}
            | _around(self.good(f"distance: above {control}", 0.2, 0.01) if layer else -1.0, "difference")
            for layer in SPEC.layers
            for p in POSITIONS
            for control in ("majority", "shuffled", "untrained")
        ]

    def actions(self):
        return [
            {"position": p, "metric": metric, "map": f"decoded less {other}"}
            | _around(self.good(f"actions: {metric} on the decoded map above {other}", 0.2, 0.0))
            for p in POSITIONS
            for metric in ("accuracy", "recovery")
            for other in ("other grids", "no walls")
        ]

    def causal(self):
        """At layer 0, which is not the chosen one, everything is the other way round."""
        steered = self.good("causal: steering moves the agent its way", 1.0, 0.02)
        erased = self.good("causal: erasing closes the gap", -1.0, 1.0)
        for layer, sign in ((0, -1), (1, 1)):
            for multiplier in (-4.0, 4.0):
                shift = _around(sign * np.sign(multiplier) * steered)
                yield {"layer": layer, "kind": "steer", "metric": "shift", "multiplier": multiplier} | shift
            gap = _around(sign * erased)
            yield {"layer": layer, "kind": "erase", "metric": "gap", "multiplier": 1.0} | gap

    def transforms(self):
        p = self.good("transforms have no effect", 0.2, 0.01)
        line = {"transform": "swap", "metric": "spl", "difference": 0.1, "low": 0.0, "high": 0.2, "r": 0.3}
        return [line | {"p": p}, line | {"transform": "rotate", "p": 0.6}]


def judged(path, broken: str = ALL, **changes: pd.DataFrame) -> pd.DataFrame:
    with RunFolder.open(path, "goal-directedness", SPEC) as folder:
        return judge(claims(), Planted(folder, broken, **changes).run)


def test_every_claim_holds_where_it_is_planted(tmp_path) -> None:
    table = judged(tmp_path)
    assert list(dict.fromkeys(table["claim"])) == NAMES
    assert table["held"].all(), table[~table["held"]]
    assert not table.duplicated(["claim", "on"]).any()


@pytest.mark.parametrize("name", NAMES)
def test_a_claim_does_not_hold_where_the_results_say_otherwise(name: str, tmp_path) -> None:
    part = judged(tmp_path, name).query("claim == @name")
    assert len(part) and not part["held"].any()


def test_multipliers_to_the_left_alone_are_judged_to_the_left(tmp_path) -> None:
    line = {"layer": 1, "kind": "steer", "metric": "shift", "multiplier": -4.0}
    table = pd.DataFrame([line | _around(-1.0), line | {"kind": "erase", "metric": "gap"} | _around(-1.0)])
    row = judged(tmp_path, causal_differences=table).set_index("claim").loc["causal: steering moves the agent its way"]
    assert row["on"] == "to the left, layer 1" and row["held"] and row["estimate"] == -1


def test_transforms_without_any_difference_have_no_effect(tmp_path) -> None:
    nothing = pd.DataFrame({"p": [np.nan], "transform": "swap", "metric": "spl", "difference": 0.0})
    row = judged(tmp_path, transforms=nothing).set_index("claim").loc["transforms have no effect"]
    assert row["held"] and "no pair of layouts differs" in row["evidence"]


def test_a_run_judges_every_claim(goal_run) -> None:
    assert list(dict.fromkeys(read_claims(load_run(goal_run))["claim"])) == NAMES


def test_judged_means_are_those_of_the_tables(goal_run, goal_data) -> None:
    record = load_run(goal_run)
    table, layer = read_claims(record).set_index(["claim", "on"]), record.read_json("chosen")["layer"]
    plans = record.load_table("plans")
    at = plans[(plans["padding"] == "with") & (plans["prefix"] == 1) & (plans["decoder"] == 1)]
    at = at[at["control"] == "none"].set_index("position")["estimate"]
    row = table.loc["plan: after above before reasoning at 1 move", ""]
    assert row["estimate"] == pytest.approx(at["post"] - at["pre"])
    right = record.load_tensors(f"decoded-pre-{layer}")[0]  # [accuracy and balanced accuracy, states]
    cells = goal_data.sizes[goal_data.test] ** 2  # the table's accuracy is a mean over cells, the claim's over states
    maps = record.load_table("maps")
    at = maps[(maps["metric"] == "accuracy") & (maps["position"] == "pre") & (maps["layer"] == layer)]
    for kind in ("linear", "mlp"):
        own = at[(at["probe"] == kind) & (at["control"] == "none")]["estimate"].item()
        assert np.average(right[kind].numpy()[0], weights=cells) == pytest.approx(own)
    for row, what in enumerate(("cell accuracy", "balanced cell accuracy")):
        difference = (right["mlp"][row] - right["linear"][row]).mean().item()
        assert table.loc[("map: MLP above linear", f"pre, {what}"), "estimate"] == pytest.approx(difference)
