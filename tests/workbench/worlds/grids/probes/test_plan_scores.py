"""prefix@N and its controls against loops."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import DataError
from workbench.statistics import cluster_bootstrap, cluster_bootstrap_difference
from workbench.worlds.grids.probes.plan_scores import PAD, next_moves, plan_scores
from workbench.worlds.moves import Move

HORIZON = 5
plan = st.lists(st.integers(0, 2), max_size=HORIZON).map(lambda moves: moves + [PAD] * (HORIZON - len(moves)))
answer = st.lists(st.sampled_from([0, 1, PAD]), min_size=HORIZON, max_size=HORIZON)


def look_up(table, steps, padding, control="none"):
    (row,) = table[(table.steps == steps) & (table.padding == padding) & (table.control == control)].itertuples()
    return row


def brute(true, predicted, steps, padding):
    right = []
    for wanted, said in zip(true, predicted, strict=True):
        if padding == "without" and PAD in wanted[:steps]:
            continue
        right.append(all(wanted[i] == said[i] for i in range(steps)))
    return np.mean(right) if right else np.nan


@settings(max_examples=12)
@given(st.lists(st.tuples(plan, answer), min_size=2, max_size=12), st.lists(plan, min_size=1, max_size=12))
def test_prefixes_and_the_majority_are_those_of_loops(rows, training):
    true, predicted = zip(*rows, strict=True)
    table = plan_scores(true, predicted, np.arange(len(rows)), training=training, resamples=5)
    for padding in ("with", "without"):
        for steps in range(1, HORIZON + 1):
            found = look_up(table, steps, padding)
            expected = brute(true, predicted, steps, padding)
            np.testing.assert_allclose(found.estimate, expected)
            seen = [tuple(p[:steps]) for p in training if padding == "with" or PAD not in p[:steps]]
            counts = Counter(seen)
            common = min(counts, key=lambda prefix: (-counts[prefix], prefix)) if seen else (-1,) * steps
            majority = brute(true, [common] * len(true), steps, padding)
            np.testing.assert_allclose(look_up(table, steps, padding, "majority").estimate, majority)
            uniform = look_up(table, steps, padding, "uniform").estimate
            np.testing.assert_allclose(uniform, np.nan if np.isnan(expected) else 4.0**-steps)


@given(st.lists(st.tuples(plan, answer), min_size=1, max_size=12))
def test_prefix_scores_never_rise_with_steps_when_padding_counts(rows):
    true, predicted = zip(*rows, strict=True)
    table = plan_scores(true, predicted, np.arange(len(rows)), resamples=2)
    estimates = table[(table.control == "none") & (table.padding == "with")].estimate
    assert (estimates.diff().dropna() <= 0).all()


def test_intervals_and_differences_are_clustered_and_paired():
    rng = np.random.default_rng(0)
    true, groups = rng.integers(0, 4, size=(80, 3)), np.repeat(np.arange(16), 5)
    predicted = np.where(rng.random(true.shape) < 0.6, true, 0)
    row = look_up(plan_scores(true, predicted, groups, training=true), 2, "with", "majority")
    right = (predicted[:, :2] == true[:, :2]).all(1)
    prefixes, counts = np.unique(true[:, :2], axis=0, return_counts=True)
    common = (true[:, :2] == prefixes[counts.argmax()]).all(1)
    share = cluster_bootstrap(common, groups)
    lead = cluster_bootstrap_difference(right, common, groups, groups)
    np.testing.assert_allclose(
        [row.estimate, row.low, row.high, row.difference, row.difference_low, row.difference_high],
        [share.estimate, share.low, share.high, lead.estimate, lead.low, lead.high],
        atol=1e-12,
    )


@given(st.lists(st.integers(0, 3), min_size=1, max_size=15), st.integers(1, 10))
def test_targets_are_the_moves_that_follow(moves, horizon):
    plans = next_moves(moves, horizon)
    assert plans.shape == (len(moves), horizon)
    for step, found in enumerate(plans.tolist()):
        rest = moves[step : step + horizon]
        assert found == rest + [PAD] * (horizon - len(rest))


def test_pad_is_no_move():
    assert PAD not in {int(move) for move in Move}


@pytest.mark.parametrize(
    ("true", "predicted", "says"),
    [
        ([[0, 1]], [[0, 1, 2]], r"predicted: int64 of shape \[1, 3\]; \[1, 2\]"),
        ([[0, 5]], [[0, 1]], "true: symbols from 0 to 5"),
        ([[PAD, 1]], [[0, 1]], "a move follows a PAD"),
        ([[0.5, 1]], [[0, 1]], "integers are needed"),
    ],
)
def test_plans_that_are_none_are_refused(true, predicted, says):
    with pytest.raises(DataError, match=says):
        plan_scores(true, predicted, [0])
