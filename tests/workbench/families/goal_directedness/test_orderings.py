"""Orderings: differences with the right intervals, judged on the right side, at the chosen layer."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from workbench.families.goal_directedness import orderings as module
from workbench.families.goal_directedness.contrast import contrast
from workbench.statistics import Interval, cluster_bootstrap_difference

NAN = float("nan")


def folder_of(**tables: pd.DataFrame) -> SimpleNamespace:
    return SimpleNamespace(load_table=tables.__getitem__)


@pytest.mark.parametrize(
    ("interval", "sign", "held"),
    [
        (Interval(0.2, 0.1, 0.3), 1, True),
        (Interval(0.2, -0.1, 0.3), 1, False),
        (Interval(0.2, 0.1, 0.3), -1, False),
        (Interval(-0.2, -0.3, -0.1), -1, True),
        (Interval(-0.2, -0.3, 0.0), -1, False),
        (Interval(0.2, NAN, NAN), 1, False),
    ],
)
def test_an_ordering_is_held_when_its_interval_lies_on_the_expected_side(interval, sign, held) -> None:
    row = module._judged("MLP above linear", "accuracy", interval, sign)
    assert row["held"] is held and f"{interval.estimate:+.3f}" in row["evidence"]


def test_contrasts_draw_clusters_of_both_sides_at_once() -> None:
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(30), 6)
    level = rng.normal(size=30)[clusters]  # clusters differ much, the sides within each by one
    many = np.tile([True, True, True, False, False, False], 30)
    found = contrast(level + many, many, ~many, clusters)
    assert found.estimate == pytest.approx(1) and found.high - found.low < 1e-9
    apart = cluster_bootstrap_difference(
        (level + many)[many], level[~many], clusters[many], clusters[~many], paired=False
    )
    assert apart.high - apart.low > 0.5


def test_contrasts_of_uneven_sides_equal_a_bootstrap_by_hand() -> None:
    rng = np.random.default_rng(1)
    clusters, values = rng.integers(0, 12, size=200), rng.normal(size=200)
    many, few = rng.random(200) < 0.3, np.zeros(200, bool)
    few[~many] = rng.random((~many).sum()) < 0.5
    found = contrast(values, many, few, clusters)
    assert found.estimate == pytest.approx(values[many].mean() - values[few].mean())
    drawn = []
    for _ in range(2000):
        rows = np.concatenate([np.flatnonzero(clusters == c) for c in rng.integers(0, 12, size=12)])
        drawn.append(values[rows[many[rows]]].mean() - values[rows[few[rows]]].mean())
    assert [found.low, found.high] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.03)


def test_contrasts_without_a_side_or_with_one_cluster_have_no_interval() -> None:
    values, all_of, none = np.arange(4.0), np.ones(4, bool), np.zeros(4, bool)
    assert np.isnan(contrast(values, all_of, none, np.arange(4)).estimate)
    half = np.array([True, True, False, False])
    single = contrast(values, half, ~half, np.zeros(4))
    assert single.estimate == -2 and np.isnan([single.low, single.high]).all()


def causal_table(**changes: float) -> pd.DataFrame:
    """Layer 0 shows a large effect, layer 1 a small one; at both the largest doses act as they should."""
    rows = []
    for layer, size in ((0, 1.0), (1, 0.1)):
        for dose in (-4.0, 4.0):
            rows.append((layer, "steer", "probe less random", dose, "shift", np.sign(dose) * size))
        rows.append((layer, "erase", "probe less random", 1.0, "gap", -size))
    table = pd.DataFrame(rows, columns=["layer", "kind", "direction", "multiplier", "metric", "estimate"])
    return table.assign(low=table["estimate"] - 0.05, high=table["estimate"] + 0.05).assign(**changes)


def test_causal_orderings_are_those_of_the_chosen_layer_and_not_of_the_best() -> None:
    rows = list(module._causal(folder_of(causal_differences=causal_table()), 1))
    assert [row["estimate"] for row in rows] == [0.1, -0.1] and all(row["held"] for row in rows)
    assert all("(layer 1)" in row["ordering"] for row in rows) and "right" in rows[0]["ordering"]


def test_steering_that_goes_the_wrong_way_is_not_held() -> None:
    table = causal_table()
    table[["estimate", "low", "high"]] *= -1
    table[["low", "high"]] = table[["high", "low"]]
    assert not any(row["held"] for row in module._causal(folder_of(causal_differences=table), 0))


def test_doses_to_the_left_alone_are_judged_to_the_left() -> None:
    table = causal_table()
    table = table[(table["kind"] == "erase") | (table["multiplier"] < 0)]
    steered, _ = module._causal(folder_of(causal_differences=table), 0)
    assert "moves the agent left" in steered["ordering"] and steered["held"] and steered["estimate"] == -1


@pytest.mark.parametrize(("p", "held"), [((0.2, 0.6), True), ((0.01, 0.6), False), ((NAN, NAN), True)])
def test_transforms_have_no_effect_unless_a_corrected_test_finds_one(p: tuple[float, float], held: bool) -> None:
    table = pd.DataFrame(
        {"p": p, "transform": ["swap", "rotate"], "metric": "spl", "difference": 0.1, "low": 0.0, "high": 0.2, "r": 0.3}
    )
    row = module._transforms(table)
    assert row["held"] is held and ("swap" in row["evidence"]) == np.isfinite(p[0])


def test_a_run_judges_every_claim_of_the_paper(goal_run) -> None:
    from workbench.runs import load_run

    table = load_run(goal_run).load_table("orderings")
    assert not table["ordering"].duplicated().any()
    claims = (
        "accuracy falls with size", "entropy rises with density", "jsd rises with distance",
        "transforms have no effect", "MLP above linear", "map: before above after", "plan: after above before",
        "plan: before gains on after", "mlp above other grids", "linear above untrained", "plan: above shuffled",
        "plan: above the commonest move", "distance: above untrained",
        "recovery on the decoded map above other grids", "recovery on the decoded map above no walls",
        "causal: steering", "causal: erasing",
    )  # fmt: skip
    for claim in claims:
        assert table["ordering"].str.contains(claim, regex=False).any(), claim


def test_judged_means_are_those_of_the_tables(goal_run, goal_data) -> None:
    from workbench.runs import load_run

    record = load_run(goal_run)
    table, layer = record.load_table("orderings").set_index("ordering"), record.read_json("chosen")["layer"]
    plans = record.load_table("plans")
    at = plans[(plans["padding"] == "with") & (plans["prefix"] == 1) & (plans["decoder"] == 1)]
    at = at[at["control"] == "none"].set_index("position")["estimate"]
    row = table.loc["plan: after above before reasoning at 1 move"]
    assert row["estimate"] == pytest.approx(at["post"] - at["pre"])
    right = record.load_tensors(f"decoded-pre-{layer}")[0]  # [accuracy and balanced accuracy, states]
    cells = (
        goal_data.sizes[goal_data.test] ** 2
    )  # the table's accuracy is a mean over cells, the ordering's over states
    maps = record.load_table("maps")
    at = maps[(maps["metric"] == "accuracy") & (maps["position"] == "pre") & (maps["layer"] == layer)]
    for kind in ("linear", "mlp"):
        own = at[(at["probe"] == kind) & (at["control"] == "none")]["estimate"].item()
        assert np.average(right[kind].numpy()[0], weights=cells) == pytest.approx(own)
    for row, what in enumerate(("cell accuracy", "balanced cell accuracy")):
        difference = (right["mlp"][row] - right["linear"][row]).mean().item()
        assert table.loc[f"map: MLP above linear (pre, {what})", "estimate"] == pytest.approx(difference)
