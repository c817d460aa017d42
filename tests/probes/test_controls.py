"""Controls destroy what is asked and keep the rest."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from probes.controls import control_task_labels, other_rows, random_features, shuffled_labels
from workbench.errors import DataError

ROWS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2)), min_size=1, max_size=60)


@given(ROWS, st.integers(0, 9))
def test_shuffling_keeps_the_labels_of_every_group_that_varies_and_the_sameness_of_every_other(rows, seed):
    groups, y = np.array(rows).T
    shuffled = shuffled_labels(y, groups, seed)
    constant = {}
    for group in set(groups):
        before, after = y[groups == group], shuffled[groups == group]
        if len(set(before)) > 1:
            assert Counter(before) == Counter(after)
        else:
            assert len(set(after)) == 1
            constant[group] = (before[0], after[0])
    assert Counter(a for a, _ in constant.values()) == Counter(b for _, b in constant.values())


def test_shuffled_labels_are_independent_of_the_true_ones_within_a_group():
    y, groups = np.tile([0, 1], 3000), np.repeat(np.arange(600), 10)
    agreement = np.mean([(shuffled_labels(y, groups, seed) == y).mean() for seed in range(20)])
    assert agreement == pytest.approx(0.5, abs=0.01)


def test_shuffling_across_groups_breaks_labels_that_are_constant_in_groups():
    y, groups = np.repeat(np.tile([0, 1], 200), 5), np.repeat(np.arange(400), 5)
    agreement = np.mean([(shuffled_labels(y, groups, seed) == y).mean() for seed in range(20)])
    assert agreement == pytest.approx(0.5, abs=0.02)


def test_shuffling_is_fixed_by_its_seed():
    y, groups = np.arange(30) % 3, np.arange(30) // 6
    np.testing.assert_array_equal(shuffled_labels(y, groups, 1), shuffled_labels(y, groups, 1))
    assert (shuffled_labels(y, groups, 1) != shuffled_labels(y, groups, 2)).any()


def test_a_type_has_one_control_label_drawn_from_the_labels_own_frequencies():
    rng = np.random.default_rng(0)
    types, y = rng.integers(0, 3000, size=9000), (rng.random(9000) < 0.2).astype(int)
    labels = control_task_labels(types, y, seed=4)
    assert all(len(set(labels[types == t])) == 1 for t in types[:200])
    of_types = labels[np.unique(types, return_index=True)[1]]
    assert of_types.mean() == pytest.approx(0.2, abs=0.03)
    assert abs(np.corrcoef(labels, y)[0, 1]) < 0.05


@given(st.lists(st.integers(0, 8), min_size=2, max_size=60), st.integers(0, 9))
def test_every_row_is_paired_with_another_groups_row_and_used_once(groups, seed):
    groups = np.array(groups)
    if 2 * np.bincount(groups).max() > len(groups):
        with pytest.raises(DataError, match="cannot all be paired"):
            other_rows(groups, seed)
        return
    partner = other_rows(groups, seed)
    assert sorted(partner) == list(range(len(groups)))
    assert (groups[partner] != groups).all()


def test_partners_vary_with_the_seed():
    groups = np.arange(60) // 3
    pairs = {tuple(groups[other_rows(groups, seed)]) for seed in range(20)}
    assert len(pairs) == 20


def test_random_features_have_the_covariance_and_nothing_else():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 4)) @ rng.normal(size=(4, 4)) + [1, 2, 3, 4]
    drawn = random_features(X, seed=1)
    assert np.cov(drawn.T) == pytest.approx(np.cov(X.T), rel=0.1, abs=0.1)
    assert drawn.mean(0) == pytest.approx(X.mean(0), abs=0.1)
    assert np.abs([np.corrcoef(drawn[:, k], X[:, k])[0, 1] for k in range(4)]).max() < 0.03


def test_random_features_take_half_precision_tensors():
    drawn = random_features(torch.randn(50, 3, dtype=torch.bfloat16))
    assert drawn.shape == (50, 3)
    assert drawn.dtype == np.float32


@pytest.mark.parametrize(
    "call",
    [
        lambda: shuffled_labels([1, 2], [0]),
        lambda: control_task_labels(["a"], [1, 2]),
        lambda: other_rows([]),
        lambda: random_features(np.zeros(3)),
    ],
)
def test_misaligned_or_empty_input_is_refused(call):
    with pytest.raises(DataError):
        call()
