"""What the arms pay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from workbench.errors import SpecError
from workbench.worlds.bandits.arms import BernoulliArms, GaussianArms, episode_means, reward_table


@settings(max_examples=30)
@given(seeds=st.lists(st.integers(0, 2**70), min_size=1, max_size=6, unique=True), horizon=st.integers(1, 8))
def test_rewards_do_not_depend_on_the_other_episodes_or_on_the_horizon(seeds, horizon):
    arms = GaussianArms((95, 105))
    _, together = reward_table(arms, seeds, horizon + 3)
    for i, seed in enumerate(seeds):
        assert np.array_equal(reward_table(arms, [seed], horizon)[1][0], together[i, :horizon])


def test_an_added_arm_leaves_the_rewards_of_the_others_as_they_were():
    two, three = (reward_table(GaussianArms(m), range(4), 5)[1] for m in ((95, 105), (95, 105, 100)))
    assert np.array_equal(two, three[:, :, :2])


def test_the_noise_is_the_same_whatever_the_means_are():
    low, high = (reward_table(GaussianArms(m), range(4), 5)[1] for m in ((0, 0), (0, 8)))
    assert np.allclose(high - low, [0, 8])


def test_gaussian_rewards_are_normal_with_the_given_standard_deviation_and_independent():
    _, rewards = reward_table(GaussianArms((95, 105), sigma=10), range(400), 50)
    noise = (rewards - np.array([95, 105])) / 10
    assert kstest(noise.ravel(), "norm").pvalue > 0.001
    between_arms = np.corrcoef(noise[:, :, 0].ravel(), noise[:, :, 1].ravel())[0, 1]
    between_steps = np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1]
    assert abs(between_arms) < 4 / np.sqrt(20_000) and abs(between_steps) < 4 / np.sqrt(39_200)


def test_bernoulli_rewards_have_the_given_probabilities():
    _, rewards = reward_table(BernoulliArms((0.0, 0.25, 1.0)), range(400), 50)
    assert set(np.unique(rewards)) == {0.0, 1.0}
    assert rewards[:, :, 0].max() == 0 and rewards[:, :, 2].min() == 1
    assert abs(rewards[:, :, 1].mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 20_000)


def test_a_uniform_number_of_zero_pays_a_finite_reward():
    assert np.isfinite(GaussianArms((0, 0)).rewards(np.zeros(2), np.zeros(2))).all()


def test_sampled_means_depend_on_the_seed_alone():
    arms = GaussianArms(lambda rng: 100 + 6 * rng.standard_normal(3))
    means = episode_means(arms, [5, 6, 5])
    assert np.array_equal(means[0], means[2]) and not np.array_equal(means[0], means[1])
    assert np.array_equal(means[1:2], episode_means(arms, [6]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: reward_table(GaussianArms((1.0,)), [0], 1), "at least two arms"),
        (lambda: reward_table(GaussianArms((1.0, np.nan)), [0], 1), "finite"),
        (lambda: reward_table(GaussianArms((0, 1e12)), [0], 1), "too large"),
        (lambda: reward_table(BernoulliArms((0.2, 1.2)), [0], 1), "between 0 and 1"),
        (lambda: reward_table(BernoulliArms(lambda rng: (0.5, -1)), [0], 1), "between 0 and 1"),
        (lambda: GaussianArms((0, 1), sigma=-1), "sigma -1"),
        (lambda: GaussianArms((0, 1), sigma=float("nan")), "sigma must be a finite number, not nan"),
    ],
)
def test_unusable_arms_raise_one_clear_line(make, message):
    with pytest.raises(SpecError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
