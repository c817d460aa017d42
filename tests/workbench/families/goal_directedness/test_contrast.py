"""Contrasts: the difference of two means whose rows may lie in the same clusters."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.families.goal_directedness.contrast import contrast
from workbench.statistics import cluster_bootstrap_difference


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
