"""Bootstrap by sums draws the clusters, and gives the intervals, of workbench.statistics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.cluster_sums import ClusterSums
from workbench.errors import DataError
from workbench.statistics import cluster_bootstrap, cluster_bootstrap_difference


def ratio(sums):
    return sums[..., 0] / sums[..., 1]


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(0, 3))
def test_a_mean_has_the_interval_of_the_cluster_bootstrap(seed, n_clusters, draw):
    rng = np.random.default_rng(seed)
    values, clusters = rng.normal(size=40), rng.integers(0, n_clusters, 40)
    found = ClusterSums(np.stack([values, np.ones(40)], 1), clusters, resamples=300, seed=draw).interval(ratio)
    expected = cluster_bootstrap(values, clusters, resamples=300, seed=draw)
    np.testing.assert_allclose(
        [found.estimate, found.low, found.high], [expected.estimate, expected.low, expected.high], atol=1e-12
    )


def test_a_difference_has_the_interval_of_the_paired_bootstrap():
    rng = np.random.default_rng(0)
    a, b, clusters = rng.random(60), rng.random(60), rng.integers(0, 9, 60)
    sums = ClusterSums(np.stack([a, b, np.ones(60)], 1), clusters)
    found = sums.interval(lambda s: (s[..., 0] - s[..., 1]) / s[..., 2])
    expected = cluster_bootstrap_difference(a, b, clusters, clusters)
    np.testing.assert_allclose(
        [found.estimate, found.low, found.high], [expected.estimate, expected.low, expected.high], atol=1e-12
    )


def test_many_clusters_are_drawn_in_the_same_blocks():
    values, clusters = np.random.default_rng(0).random(3000), np.arange(3000)  # 2^21 // 3000 < 2000 resamples
    found = ClusterSums(np.stack([values, np.ones(3000)], 1), clusters).interval(ratio)
    expected = cluster_bootstrap(values, clusters)
    np.testing.assert_allclose([found.low, found.high], [expected.low, expected.high], atol=1e-12)


def test_input_that_cannot_be_summed_is_refused():
    with pytest.raises(DataError, match="nothing to sum"):
        ClusterSums(np.zeros((0, 2)), [])
    with pytest.raises(DataError, match="one label a row"):
        ClusterSums(np.zeros((3, 2)), [0, 1])
