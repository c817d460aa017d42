"""The teachers of bandit-smollm2: UCB's index, Thompson's posterior, soft targets, and the states they are asked in."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta, norm

from workbench.worlds.bandits.oracles import BernoulliThompson, Thompson
from workbench.worlds.bandits.summary import PAYS, SummaryText
from workbench.worlds.bandits.training.summaries import (
    BEHAVIOURS,
    at_once,
    bandits,
    bonuses,
    groups,
    pair,
    sample_chances,
    upper_bounds,
    visited,
)  # fmt: skip

COUNTS, SUMS = np.array([4, 3, 1]), np.array([444.0, 294.0, 111.0])  # averages 61, 48, 61


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def texts(**values) -> SummaryText:
    return SummaryText(("A", "B", "C"), **values)


@pytest.mark.parametrize(("pays", "constant"), [("points", 10 * 2**0.5), ("all or nothing", 50.0)])
def test_ucbs_bonus_is_that_of_the_formula(pays: str, constant: float) -> None:
    """C sqrt(ln t / N); the paper's C is .5 for rewards of 0 and 1, here 0 and 100."""
    expected = [round(constant * np.sqrt(np.log(8) / n)) for n in COUNTS]
    assert bonuses(COUNTS, pays).tolist() == expected


def test_ucbs_thought_adds_up_and_its_action_has_the_highest_bound() -> None:
    said, p = upper_bounds(texts(), COUNTS, [61, 48, 61])
    assert said == " A 61+10=71, B 48+12=60, C 61+20=81."
    assert p.tolist() == [0, 0, 1]
    said, p = upper_bounds(texts(), np.array([1, 0, 0]), [61, None, None])
    assert said == " A 61+0=61, B new, C new." and p.tolist() == [0, 0.5, 0.5]


def test_gaussian_draws_have_the_chances_of_the_conjugate_posterior() -> None:
    p, (mean, sd) = sample_chances(61, 4, "points"), Thompson(10, 50, 20).posterior(np.array([[4]]), np.array([[244]]))
    edges = np.array([-np.inf, *np.arange(0.5, 99), np.inf])
    np.testing.assert_allclose(p, np.diff(norm.cdf(edges, mean[0, 0], sd[0, 0])), atol=1e-12)


def test_bernoulli_draws_have_the_chances_of_the_beta_posterior() -> None:
    p = sample_chances(75, 4, "all or nothing")
    np.testing.assert_allclose(p, np.diff(beta.cdf(np.arange(101) / 100, 1 + 3, 1 + 1)), atol=1e-12)
    np.testing.assert_allclose(sample_chances(None, 0, "all or nothing"), 0.01)


def test_an_action_without_a_thought_has_the_oracles_probabilities() -> None:
    p = at_once(COUNTS, [61, 48, 61], "points")
    np.testing.assert_allclose(p, Thompson(10, 50, 20).probabilities(COUNTS[None], COUNTS * [[61, 48, 61]], 8)[0])
    p = at_once(COUNTS, [75, 67, 100], "all or nothing")
    np.testing.assert_allclose(p, BernoulliThompson().probabilities(COUNTS[None], np.array([[3, 2, 1]]), 8)[0])


def test_the_digits_soft_targets_multiply_to_the_chance_of_the_draw(rng: np.random.Generator) -> None:
    taught = pair(texts(), COUNTS, SUMS, rng)
    for label, average, count in zip("ABC", (61, 48, 61), COUNTS, strict=True):
        at = taught.completion.index(f" {label} ") + 3
        tens, units = (dict(taught.soft)[at + k][taught.completion[at + k]] for k in (0, 1))
        value = int(taught.completion[at : at + 2])
        assert tens * units == pytest.approx(sample_chances(average, count, "points")[value], rel=1e-4)


def test_thompsons_action_is_the_highest_of_the_written_draws_and_ties_are_soft(rng: np.random.Generator) -> None:
    text, tied = texts(), 0
    for _ in range(300):
        taught = pair(text, np.zeros(3), np.zeros(3), rng)
        values = [int(part[3:5]) for part in taught.completion.split("\n")[0].split(",")]
        best = {k for k in range(3) if values[k] == max(values)}
        assert text.parse(taught.completion) in best
        place = taught.completion.rindex(" ")
        if len(best) > 1:
            tied += 1
            assert dict(taught.soft)[place] == {f" {text.labels[k]}": 1 / len(best) for k in best}
        else:
            assert place not in dict(taught.soft)
    assert tied


def test_frequencies_of_thompsons_actions_are_the_oracles(rng: np.random.Generator) -> None:
    """Draws are rounded to whole points, so the two differ by a little."""
    text, n = texts(), 2000
    arms = [text.parse(pair(text, COUNTS, SUMS, rng).completion) for _ in range(n)]
    expected = at_once(COUNTS, [61, 48, 61], "points")
    np.testing.assert_allclose(np.bincount(arms, minlength=3) / n, expected, atol=4 * 0.5 / np.sqrt(n))


@pytest.mark.parametrize("behaviour", sorted(set(BEHAVIOURS)))
@pytest.mark.parametrize("pays", PAYS)
def test_states_are_ones_that_an_episode_can_reach(behaviour: str, pays: str, rng: np.random.Generator) -> None:
    counts, sums = visited(behaviour, bandits(pays, 3), 60, 20, rng)
    assert counts.sum(1).max() < 20 and (counts.sum(1) == 0).any()
    assert (sums[counts == 0] == 0).all()
    if pays == "all or nothing":
        assert (sums <= counts).all() and (sums == sums.round()).all()


def test_one_who_is_stuck_leaves_arms_untried(rng: np.random.Generator) -> None:
    untried = {
        name: (visited(name, bandits("points", 4), 200, 50, rng)[0] == 0).any(1).mean() for name in ("stuck", "ucb")
    }
    assert untried["stuck"] > untried["ucb"] + 0.1


def test_a_group_asks_all_teachers_in_the_same_states_behind_one_instruction(rng: np.random.Generator) -> None:
    for group in groups(8, 2, 50, rng):
        assert len({pair.prompt[0]["content"].split("\n")[0] for pair in group}) == 1
        states = {pair.prompt[0]["content"] for pair in group}
        asked = {(pair.prompt[0]["content"], pair.prompt[1]["content"]) for pair in group}
        assert len(asked) == 3 * len(states)
