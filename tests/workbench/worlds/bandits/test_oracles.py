"""The oracles' action distributions against closed forms, Monte Carlo and numerical integration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import beta as beta_law
from scipy.stats import norm

from workbench.errors import DataError, SpecError
from workbench.worlds.bandits.oracles import (
    ORACLES,
    UCB,
    BernoulliThompson,
    EpsilonGreedy,
    Greedy,
    Random,
    Thompson,
    _gaussian_highest,
    draw_arms,
    make_oracle,
)


def histories(name, seed, episodes=5, arms=3, longest=12):
    """Counts and sums as the oracle of that name may see them: coins, or payments of about 100 +- 10."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, longest, (episodes, arms))
    wins = rng.integers(0, counts + 1).astype(float)
    return counts, wins if name.startswith("bernoulli") else 95 * counts + 10 * wins


@pytest.mark.parametrize("name", ORACLES)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), arms=st.integers(2, 5))
def test_probabilities_are_distributions_that_do_not_depend_on_the_batch_or_the_arms_order(name, seed, arms):
    counts, sums = histories(name, seed, arms=arms)
    oracle = make_oracle(name)
    p = oracle.probabilities(counts, sums, 0)
    assert p.shape == counts.shape and (p >= 0).all() and np.allclose(p.sum(axis=1), 1, atol=1e-12)
    assert np.allclose(oracle.probabilities(counts[2:3], sums[2:3], 0), p[2:3], atol=1e-10)
    order = np.random.default_rng(seed).permutation(arms)
    assert np.allclose(oracle.probabilities(counts[:, order], sums[:, order], 0), p[:, order], atol=1e-10)


@pytest.mark.parametrize("arms", [2, 4])
@pytest.mark.parametrize("name", ORACLES)
def test_act_draws_from_the_probabilities(name, arms):
    counts, sums = histories(name, 1, episodes=1, arms=arms)
    p = make_oracle(name).probabilities(counts, sums, 0)[0]
    n = 20_000
    drawn = make_oracle(name).act(np.repeat(counts, n, 0), np.repeat(sums, n, 0), 0, np.random.default_rng(0))
    share = np.bincount(drawn, minlength=arms) / n
    assert (np.abs(share - p) <= 4.5 * np.sqrt(p * (1 - p) / n) + 1e-12).all()


def test_random_is_uniform_and_greedy_takes_the_highest_average():
    counts, sums = np.array([[1, 2, 4]]), np.array([[90.0, 210.0, 400.0]])
    assert Random().probabilities(counts, sums, 7).tolist() == [[1 / 3] * 3]
    assert Greedy().probabilities(counts, sums, 7).tolist() == [[0, 1, 0]]
    assert np.allclose(EpsilonGreedy(0.3).probabilities(counts, sums, 7), [[0.1, 0.8, 0.1]])


def test_greedy_tries_each_arm_once_and_shares_ties_evenly():
    assert Greedy().probabilities(np.array([[0, 3, 0]]), np.array([[0, 900.0, 0]]), 3).tolist() == [[0.5, 0, 0.5]]
    assert Greedy().probabilities(np.array([[1, 2, 1]]), np.array([[9.0, 18.0, 1.0]]), 4).tolist() == [[0.5, 0.5, 0]]


def test_ucb_is_ucb1_with_its_bonus_times_sigma():
    counts, sums = np.array([[30.0, 12.0]]), np.array([[3000.0, 1100.0]])
    bound = sums / counts + 10 * np.sqrt(2 * np.log(42) / counts)
    assert UCB(10).probabilities(counts, sums, 42).argmax() == bound.argmax() == 0
    # The sigma at which the two bounds cross: arm 0 leads by means, arm 1 by bonus.
    gap, bonus = 100 - 1100 / 12, np.sqrt(2 * np.log(42) / 12) - np.sqrt(2 * np.log(42) / 30)
    assert UCB(gap / bonus * 0.999).probabilities(counts, sums, 42).tolist() == [[1, 0]]
    assert UCB(gap / bonus * 1.001).probabilities(counts, sums, 42).tolist() == [[0, 1]]


def test_thompson_with_two_arms_is_phi_of_the_posterior_difference():
    # By hand: prior N(100, 20^2), sigma 10; arm 0 paid 110 once, arm 1 paid 90 + 100.
    precision = np.array([1 / 400 + 1 / 100, 1 / 400 + 2 / 100])
    mean = np.array([100 / 400 + 110 / 100, 100 / 400 + 190 / 100]) / precision
    for width in (0.3, 1.0, 2.0):
        expected = norm.cdf((mean[0] - mean[1]) / (width * np.sqrt((1 / precision).sum())))
        p = Thompson(width=width).probabilities(np.array([[1, 2]]), np.array([[110.0, 190.0]]), 3)
        assert np.allclose(p, [[expected, 1 - expected]], atol=1e-14)


def test_thompson_may_have_one_width_an_episode():
    counts, sums = np.array([[1, 2]] * 2), np.array([[110.0, 190.0]] * 2)
    together = Thompson(width=np.array([0.3, 2.0])).probabilities(counts, sums, 3)
    apart = [Thompson(width=w).probabilities(counts[:1], sums[:1], 3)[0] for w in (0.3, 2.0)]
    assert np.array_equal(together, apart)
    coins = np.array([[1.0, 0.0]] * 2)
    together = BernoulliThompson(width=np.array([0.3, 2.0])).probabilities(counts, coins, 3)
    apart = [BernoulliThompson(width=w).probabilities(counts[:1], coins[:1], 3)[0] for w in (0.3, 2.0)]
    assert np.array_equal(together, apart) and together[0, 0] > together[1, 0] > 0.5


@settings(max_examples=50, deadline=None)
@given(difference=st.floats(-60, 60), counts=st.tuples(st.integers(0, 50), st.integers(0, 50)), width=st.floats(0.1, 3))
def test_gaussian_quadrature_equals_the_closed_form_of_two_arms(difference, counts, width):
    sd = width * np.array([[1 / 400 + n / 100 for n in counts]]) ** -0.5
    expected = norm.cdf(difference / np.sqrt((sd**2).sum()))
    assert abs(_gaussian_highest(np.array([[100 + difference, 100.0]]), sd)[0, 0] - expected) < 2e-6


def test_thompson_with_four_arms_agrees_with_monte_carlo():
    counts, sums = np.array([[3, 1, 8, 0]]), np.array([[310.0, 95.0, 830.0, 0.0]])
    oracle = Thompson()
    mean, sd = oracle.posterior(counts, sums)
    draws = mean + sd * np.random.default_rng(0).standard_normal((200_000, 4))
    share = np.bincount(draws.argmax(axis=1), minlength=4) / 200_000
    assert np.abs(oracle.probabilities(counts, sums, 12)[0] - share).max() < 0.005


@pytest.mark.parametrize(("width", "tolerance"), [(1.0, 1e-10), (0.4, 2e-4), (1.7, 2e-4)])
@pytest.mark.parametrize("state", [((0, 0), (0, 0)), ((5, 2), (4, 1)), ((30, 20), (3, 15)), ((49, 0), (10, 0))])
def test_bernoulli_thompson_equals_numerical_integration(width, tolerance, state):
    counts, sums = np.array([state[0]]), np.array([state[1]], dtype=float)
    oracle = BernoulliThompson(width=width)
    (alpha,), (beta,) = oracle.posterior(counts, sums)
    mean = alpha / (alpha + beta)
    shift = (1 - width) / width * (mean[0] - mean[1])
    kinks = [x for x in (-shift, 1 - shift) if 0 < x < 1]

    def integrand(x):
        return beta_law.pdf(x, alpha[0], beta[0]) * beta_law.cdf(x + shift, alpha[1], beta[1])

    expected = quad(integrand, 0, 1, points=kinks or None, limit=200, epsabs=1e-12)[0]
    assert abs(oracle.probabilities(counts, sums, 0)[0, 0] - expected) < tolerance


def test_bernoulli_thompson_with_three_arms_agrees_with_monte_carlo():
    counts, sums = np.array([[3, 10, 1]]), np.array([[2.0, 6.0, 1.0]])
    draws = np.random.default_rng(0).beta(1 + sums, 1 + counts - sums, (200_000, 3))
    share = np.bincount(draws.argmax(axis=1), minlength=3) / 200_000
    assert np.abs(BernoulliThompson().probabilities(counts, sums, 14)[0] - share).max() < 0.005


@example([0.0, 1.0], 0.0)
@example([1.0, 0.0], 1 - 2.0**-53)
@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=5).filter(lambda p: sum(p) > 0.01), st.floats(0, 1, exclude_max=True)
)
def test_an_arm_of_probability_zero_is_never_drawn(weights, uniform):
    p = np.array([weights]) / sum(weights)
    assert p[0, draw_arms(p, np.array([uniform]))[0]] > 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_oracle("tompson"), "did you mean 'thompson'"),
        (lambda: make_oracle("ucb", epsilon=0.1), "oracle 'ucb' cannot be made of"),
        (lambda: EpsilonGreedy(1.5), "epsilon 1.5"),
        (lambda: UCB(0.0), "sigma 0.0"),
        (lambda: Thompson(prior_sd=-1), "prior_sd -1"),
        (lambda: Thompson(width=np.array([1.0, 0.0])), "width"),
        (lambda: BernoulliThompson(prior=(0.5, 1)), "prior"),
    ],
)
def test_unusable_oracles_raise_one_clear_line(make, message):
    with pytest.raises(SpecError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_bernoulli_thompson_refuses_rewards_that_are_no_coins():
    with pytest.raises(DataError, match="rewards 0 and 1"):
        BernoulliThompson().probabilities(np.array([[1, 1]]), np.array([[95.0, 0.0]]), 2)
