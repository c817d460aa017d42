"""Behaviour in grids: pi_hat, its divergence and calibration, and the table of metrics, against oracles."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from workbench.errors import DataError
from workbench.worlds.grids.agents.behaviour import (
    METRICS,
    behaviour_by_distance,
    grid_behaviour,
)
from workbench.worlds.grids.agents.play import episodes_of, play_grids
from workbench.worlds.grids.agents.states import calibration_bins, calibration_error, jensen_shannon, visited_states
from workbench.worlds.grids.layouts import Layout, State
from workbench.worlds.grids.mazes import make_layout
from workbench.worlds.grids.oracles import optimal_policy, random_policy

MOVES = ["p_0", "p_1", "p_2", "p_3"]


@pytest.fixture(scope="module")
def layouts() -> list[Layout]:
    return [make_layout(7, density, seed=seed) for density in (0.0, 1.0) for seed in range(8)]


@pytest.fixture(scope="module")
def labels(layouts) -> pd.DataFrame:
    return pd.DataFrame({"size": [layout.size for layout in layouts], "density": [0.0] * 8 + [1.0] * 8})


@pytest.fixture(scope="module")
def steps(layouts) -> pd.DataFrame:
    players = {"optimal": optimal_policy, "random": random_policy}
    plays = [play_grids(policy, layouts, rollouts=10).assign(player=name) for name, policy in players.items()]
    return pd.concat(plays, ignore_index=True)


def of(table: pd.DataFrame, player: str, metric: str, **keys: object) -> pd.Series:
    wanted = (table["player"] == player) & (table["metric"] == metric)
    for name, value in keys.items():
        wanted &= table[name] == value
    assert wanted.sum() == 1
    return table[wanted].iloc[0]


def test_the_optimal_player_is_perfect(steps, layouts, labels) -> None:
    table = grid_behaviour(steps, layouts, ["density"], labels)
    for density in (0.0, 1.0):
        for metric in ("accuracy", "accuracy_pooled", "success", "spl", "valid"):
            row = of(table, "optimal", metric, density=density)
            assert (row["estimate"], row["low"], row["high"], row["n"]) == (1, 1, 1, 8)
    # In a maze without loops one move is optimal, so frequencies show pi* itself.
    assert of(table, "optimal", "jsd", density=1.0)["estimate"] == 0
    assert of(table, "optimal", "entropy", density=1.0)["estimate"] == 0
    assert of(table, "optimal", "ece", density=1.0)["estimate"] == 0
    exact = grid_behaviour(steps, layouts, (), exact=True)
    assert of(exact, "optimal", "jsd")["estimate"] == pytest.approx(0, abs=1e-12)


def test_the_random_player_is_as_accurate_as_moves_are_optimal(steps, layouts, labels) -> None:
    """Given where it stands, it hits with probability |A*| / 4."""
    mine = steps[steps["player"] == "random"]
    chance = [
        len(layouts[i].optimal_moves(State((r, c)))) / 4
        for i, r, c in mine[["layout", "row", "column"]].itertuples(index=False)
    ]
    table = grid_behaviour(steps, layouts, (), resamples=4000)
    row = of(table, "random", "accuracy_pooled")
    assert row["low"] < np.mean(chance) < row["high"] and row["high"] - row["low"] < 0.15
    assert of(grid_behaviour(steps, layouts, (), exact=True), "random", "entropy")["estimate"] == pytest.approx(
        np.log(4)
    )


def test_accuracy_is_averaged_over_trajectories_then_layouts(layouts) -> None:
    """One layout with trajectories of 1 and 3 steps, one with a single step: worked by hand."""
    rows = [(0, 0, 0, 1), (0, 1, 0, 0), (0, 1, 1, 0), (0, 1, 2, 1), (1, 0, 0, 1)]
    table = pd.DataFrame(rows, columns=["layout", "rollout", "step", "optimal"])
    filler = {"row": 1, "column": 1, "has_key": False, "distance": 3, "move": -1, "valid": False}
    table = table.assign(optimal=table["optimal"] > 0, **filler)
    result = grid_behaviour(table, layouts[:2], ())
    assert of(result, "agent", "accuracy")["estimate"] == pytest.approx(((1 + 1 / 3) / 2 + 1) / 2)
    assert of(result, "agent", "accuracy_pooled")["estimate"] == pytest.approx(3 / 5)
    assert "jsd" not in set(result["metric"])  # no readable move, no policy


def test_pi_hat_is_the_frequency_of_moves_in_a_state(steps, layouts) -> None:
    states = visited_states(steps, layouts)
    for row in states.sample(20, random_state=0).itertuples():
        here = steps[(steps["player"] == row.player) & (steps["layout"] == row.layout)]
        here = here[(here["row"] == row.row) & (here["column"] == row.column)]
        counts = np.bincount(here["move"], minlength=4)
        best = layouts[row.layout].optimal_moves(State((row.row, row.column)))
        star = np.isin(range(4), best) / len(best)
        np.testing.assert_allclose([row.p_0, row.p_1, row.p_2, row.p_3], counts / counts.sum())
        assert row.visits == len(here) and row.confidence == pytest.approx(counts.max() / counts.sum())
        assert row.jsd == pytest.approx(jensenshannon(counts, star, base=2) ** 2, abs=1e-7)
        assert row.correct == (int(counts.argmax()) in best)
    assert states["visits"].sum() == len(steps)


def test_states_with_and_without_the_key_are_apart() -> None:
    layout = make_layout(7, structure="KeyDoor", seed=1)
    steps = play_grids(optimal_policy, [layout], rollouts=4)
    states = visited_states(steps, [layout])
    assert set(states["has_key"]) == {True, False} and (states["jsd"] < 1).all()


@given(st.lists(st.floats(0.01, 1), min_size=4, max_size=4), st.lists(st.floats(0.01, 1), min_size=4, max_size=4))
def test_divergence_is_scipys_symmetric_and_at_most_a_bit(p: list[float], q: list[float]) -> None:
    p, q = (np.array(x) / np.sum(x) for x in (p, q))
    value = float(jensen_shannon(p, q))
    assert value == pytest.approx(jensenshannon(p, q, base=2) ** 2, abs=1e-9)
    assert value == pytest.approx(float(jensen_shannon(q, p))) and 0 <= value <= 1


def brute_force(confidence, correct) -> float:
    total = 0.0
    for b in range(10):
        inside = [k for k, c in enumerate(confidence) if (b <= round(c * 10, 6) < b + 1) or (b == 9 and c >= 1)]
        if inside:
            gap = abs(np.mean([confidence[k] for k in inside]) - np.mean([correct[k] for k in inside]))
            total += len(inside) / len(confidence) * gap
    return total


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans(), st.integers(0, 3)), min_size=1, max_size=40))
def test_calibration_error_is_the_brute_force_sum_over_bins(rows) -> None:
    confidence, correct, clusters = np.array([r[0] / 20 for r in rows]), [r[1] for r in rows], [r[2] for r in rows]
    expected = brute_force(confidence, correct)
    assert calibration_error(confidence, correct, clusters, resamples=10).estimate == pytest.approx(expected)


def test_certainty_belongs_to_the_last_bin(layouts) -> None:
    states = pd.DataFrame({"confidence": [1.0, 0.95, 0.9, 0.89], "correct": [1, 0, 1, 1]})
    bins = calibration_bins(states)
    assert bins["bin"].tolist() == [8, 9] and bins["n"].tolist() == [1, 3]
    assert bins["accuracy"].tolist() == pytest.approx([1, 2 / 3]) and bins["high"].iloc[-1] == 1


def test_a_frequency_a_rounding_below_an_edge_belongs_above_it() -> None:
    states = pd.DataFrame({"confidence": [np.nextafter(0.7, 0), 0.7, 0.3], "correct": [1, 0, 1]})
    assert calibration_bins(states)["bin"].tolist() == [3, 7]


def test_bins_add_up_to_the_error(steps, layouts) -> None:
    states = visited_states(steps, layouts)
    bins = calibration_bins(states, ["player"])
    table = grid_behaviour(steps, layouts, ())
    for player, part in bins.groupby("player"):
        error = ((part["confidence"] - part["accuracy"]).abs() * part["n"]).sum() / part["n"].sum()
        assert of(table, player, "ece")["estimate"] == pytest.approx(error)
        assert part["n"].sum() == (states["player"] == player).sum()


def test_by_distance_is_the_measure_of_the_steps_at_that_distance(steps, layouts) -> None:
    table = behaviour_by_distance(steps, layouts)
    for distance in (1, 4):
        here = steps[(steps["player"] == "random") & (steps["distance"] == distance)]
        row = of(table, "random", "accuracy_pooled", distance=distance)
        assert row["estimate"] == pytest.approx(here["optimal"].mean()) and row["n"] == here["layout"].nunique()
    assert (table[(table["player"] == "optimal") & (table["metric"] == "accuracy_pooled")]["estimate"] == 1).all()


def test_labels_may_stand_in_the_steps_or_beside_them(steps, layouts, labels) -> None:
    beside = grid_behaviour(steps, layouts, labels=labels, resamples=50)
    numbered = labels.assign(layout=range(len(labels))).sample(frac=1, random_state=0)
    inside = steps.join(labels, on="layout")
    for other in (
        grid_behaviour(inside, layouts, resamples=50),
        grid_behaviour(steps, layouts, labels=numbered, resamples=50),
    ):
        pd.testing.assert_frame_equal(beside, other)
    assert list(beside.columns) == ["player", "size", "density", "metric", "estimate", "low", "high", "n"]
    assert len(beside) == 2 * 2 * (len(METRICS) - 1)  # of oracles nothing lies outside the answers


def test_success_and_spl_are_means_of_the_episodes(steps, layouts) -> None:
    table, episodes = grid_behaviour(steps, layouts, ()), episodes_of(steps, layouts)
    mine = episodes[episodes["player"] == "random"]
    for metric in ("success", "spl"):
        assert of(table, "random", metric)["estimate"] == pytest.approx(mine[metric].mean())
    assert 0 < mine["spl"].mean() < mine["success"].mean() < 0.5


def test_mistakes_are_named(steps, layouts, labels) -> None:
    with pytest.raises(DataError, match="'densty'"):
        grid_behaviour(steps, layouts, ["densty"], labels)
    with pytest.raises(DataError, match="give a list"):
        grid_behaviour(steps, layouts, "density", labels)
    with pytest.raises(DataError, match="not among those given"):
        grid_behaviour(steps, layouts[:3], ())
    with pytest.raises(DataError, match="several values"):
        grid_behaviour(steps, layouts, ["rollout"])
    with pytest.raises(DataError, match="exact=True"):
        visited_states(steps.assign(p_0=np.nan), layouts, exact=True)
