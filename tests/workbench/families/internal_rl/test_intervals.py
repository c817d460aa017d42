"""Crossed resampling of seeds and episodes, against a plain loop and what must hold for any data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.families.internal_rl.intervals import over_seeds, over_seeds_difference
from workbench.statistics import cluster_bootstrap, times_drawn


def test_one_seed_is_the_bootstrap_over_episodes() -> None:
    values = np.random.default_rng(0).random(40)
    expected = cluster_bootstrap(values, np.arange(40), resamples=1000)
    found = over_seeds(values[None, :, None])
    assert (found.estimate, found.low, found.high) == pytest.approx((expected.estimate, expected.low, expected.high))


def test_seeds_and_episodes_are_both_drawn() -> None:
    sums = np.random.default_rng(1).random((3, 7, 2))
    seeds, episodes = (np.concatenate(list(times_drawn(n, 1000, seed))) for n, seed in ((3, 1), (7, 0)))
    drawn = []
    for s, e in zip(seeds, episodes, strict=True):
        ratios = []
        for k in range(3):
            total = sum(e[i] * sums[k, i] for i in range(7))
            ratios += [total[0] / total[1]] * int(s[k])
        drawn.append(np.mean(ratios))
    found = over_seeds(sums, lambda total: total[..., 0] / total[..., 1])
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])))
    assert found.estimate == pytest.approx(np.mean(sums[..., 0].sum(1) / sums[..., 1].sum(1)))


def test_seeds_that_differ_widen_the_interval() -> None:
    same, apart = np.full((4, 50, 1), 0.5), np.repeat([0.0, 1.0, 0.0, 1.0], 50).reshape(4, 50, 1)
    assert over_seeds(same).high == pytest.approx(over_seeds(same).low)
    assert over_seeds(apart).high - over_seeds(apart).low > 0.5


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 3), st.integers(2, 6), st.integers(0, 100))
def test_a_constant_shift_is_a_difference_without_doubt(seeds: int, episodes: int, seed: int) -> None:
    one = np.random.default_rng(seed).random((1, episodes, 1))
    a = np.repeat(one, seeds, 0)  # all seeds alike, so that only the episodes are drawn: the same on both sides
    found = over_seeds_difference(a + 0.25, one)
    assert (found.estimate, found.low, found.high) == pytest.approx((0.25, 0.25, 0.25))


def test_a_difference_turns_with_its_sides() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.random((1, 30, 1)), rng.random((1, 30, 1))
    one, other = over_seeds_difference(a, b), over_seeds_difference(b, a)
    assert (one.estimate, one.low) == pytest.approx((-other.estimate, -other.high))
