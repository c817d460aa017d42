"""Paired differences: the interval is the cluster bootstrap's, the test is the exact sign-flip test."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import DataError
from workbench.families.introspection.self_prediction.scoring import contrast, sign_flip_p
from workbench.statistics import cluster_bootstrap_difference


def test_p_agrees_with_enumerating_all_flips() -> None:
    difference, clusters = np.array([1.0, 1, 0, -1, 1, 1, 1, -1, 1]), np.array([0, 0, 1, 2, 3, 4, 4, 5, 6])
    sums = np.array([difference[clusters == c].sum() for c in range(7)])
    far = [abs(np.dot(signs, sums)) >= abs(sums.sum()) for signs in product((-1, 1), repeat=7)]
    assert sign_flip_p(difference, clusters, flips=40_000) == pytest.approx(np.mean(far), abs=0.01)


def test_p_agrees_with_scipys_paired_permutation_test() -> None:
    from scipy.stats import permutation_test

    rng = np.random.default_rng(0)
    a, b = rng.normal(0.4, 1, 12), rng.normal(0, 1, 12)
    exact = permutation_test((a, b), lambda x, y, axis: np.mean(x - y, axis), permutation_type="samples")
    assert sign_flip_p(a - b, np.arange(12), flips=40_000) == pytest.approx(exact.pvalue, abs=0.01)


def test_rows_of_one_item_are_not_counted_as_independent() -> None:
    difference = np.array([1.0, 1, 1, -1])
    alone = sign_flip_p(np.repeat(difference, 10), np.arange(40))
    together = sign_flip_p(np.repeat(difference, 10), np.repeat(np.arange(4), 10))
    assert alone < 0.01 < 0.5 < together


def test_under_the_null_p_is_below_five_percent_five_percent_of_the_time() -> None:
    rng = np.random.default_rng(1)
    found = [sign_flip_p(rng.normal(size=30), np.arange(30), seed, flips=500) for seed in range(300)]
    assert np.mean(np.array(found) < 0.05) < 0.1


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 5)), min_size=2, max_size=40))
def test_a_contrast_is_antisymmetric_with_the_paired_bootstraps_interval(
    rows: list[tuple[int, int, int]],
) -> None:
    a, b, clusters = (np.array(column) for column in zip(*rows, strict=True))
    one, other = contrast(a, b, clusters), contrast(b, a, clusters)
    assert one.estimate == pytest.approx(-other.estimate) and one.p == pytest.approx(other.p) and one.n == len(rows)
    expected = cluster_bootstrap_difference(a, b, clusters, clusters)
    assert (one.low, one.high) == pytest.approx((expected.low, expected.high), nan_ok=True)


def test_misaligned_clusters_are_refused() -> None:
    with pytest.raises(DataError, match="one cluster a row"):
        sign_flip_p([1.0, 2.0], [0])
