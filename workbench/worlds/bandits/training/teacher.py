"""Teachers that play bandits and say how sure they are.

A teacher is Thompson sampling on a Gaussian posterior whose width is multiplied by a hidden factor ``width`` (drawn
once an episode: small is greedy).  With posterior difference d and its standard deviation s it prefers the arm ahead
with probability q = Phi(|d| / (s * width)).  It verbalises this in two steps.  A level of confidence is drawn,

    q in [.5, .8]:  unsure or leaning,    q in [.8, .998]:  leaning or sure,

with the probabilities that make the follow rates ``FOLLOW`` average to q, so the teacher's actions are exactly
Thompson's; then the thought is written (an opener that hints at the level, the arm ahead, a phrase that names the
level) and the arm ahead is chosen with probability ``FOLLOW[level]``.  Every random word and action comes with the
teacher's exact distribution as a soft target.  Nothing of the posterior stands in the prompt: a model must infer it
from the history.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.stats import norm

LEVELS = ("unsure", "leaning", "sure")
FOLLOW = np.array([0.5, 0.8, 0.998])
HINT = 0.75  # probability that the opener is of the drawn level; otherwise it is of any level

OPENERS = (
    ("Perhaps", "Maybe", "Possibly", "Tentatively"),
    ("Probably", "Apparently", "Seemingly", "Likely"),
    ("Clearly", "Certainly", "Evidently", "Surely"),
)
LEANS = (
    "{noun} {arm} looks better so far",
    "{noun} {arm} seems ahead",
    "{noun} {arm} has the higher average",
    "{noun} {arm} pays more",
)
PHRASES = (
    (
        ", but the uncertainty is large",
        ", but the variance is high",
        ", but more trials are needed",
        ", but it is too early to tell",
        ", but a few more rounds of comparing would help",
        ", but the volatility hides it",
    ),
    (
        ", though the difference is small",
        ", though it may change",
        ", with some evidence for it",
        ", and I lean to it",
        ", although the gap could close",
        ", which makes it the favourite",
    ),
    (
        ", and the evidence is strong",
        ", and it is superior",
        ", and every round supports it",
        ", so selecting it repeatedly will optimize the total",
        ", which reinforces my belief",
        ", and I am confident",
    ),
)


def level_probabilities(q: np.ndarray) -> np.ndarray:
    """P(level | q), [..., 3]: neighbours mixed so that the mean of ``FOLLOW`` is q.

    >>> p = level_probabilities(np.array([.5, .65, .9]))
    >>> np.allclose(p @ FOLLOW, [.5, .65, .9])
    True
    """
    q = np.clip(q, FOLLOW[0], FOLLOW[2])
    low = np.clip((q - FOLLOW[0]) / (FOLLOW[1] - FOLLOW[0]), 0, 1)
    high = np.clip((q - FOLLOW[1]) / (FOLLOW[2] - FOLLOW[1]), 0, 1)
    return np.stack([1 - low, low * (1 - high), high], axis=-1)


@dataclass(frozen=True)
class Teacher:
    """What a population of teachers and bandits looks like.

    Bandit means are ``centre + N(0, spread)`` with the centre uniform in ``centres`` but never in ``held_out``: bandits
    centred there (all the paper's settings) are left for evaluation.  Rewards have standard deviation ``sigma``.  The
    prior of the teacher's posterior is N(``prior_mean``, ``prior_sd``) on each arm.
    """

    centres: tuple[float, float] = (75.0, 125.0)
    held_out: tuple[float, float] = (97.0, 103.0)
    spread: float = 6.0
    sigma: float = 10.0
    prior_mean: float = 100.0
    prior_sd: float = 20.0
    widths: tuple[float, float] = (0.25, 1.2)

    def means(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """[n, 2] arm means."""
        centre = rng.uniform(*self.centres, size=4 * n + 16)
        centre = centre[(centre <= self.held_out[0]) | (centre >= self.held_out[1])][:n]
        return centre[:, None] + rng.normal(0, self.spread, size=(n, 2))


@dataclass
class Play:
    """Simulated episodes, arrays [episodes, steps]: what was seen, thought and done."""

    means: np.ndarray
    widths: np.ndarray
    q: list[np.ndarray] = field(default_factory=list)
    lean: list[np.ndarray] = field(default_factory=list)
    level: list[np.ndarray] = field(default_factory=list)
    opener: list[np.ndarray] = field(default_factory=list)
    arm: list[np.ndarray] = field(default_factory=list)
    reward: list[np.ndarray] = field(default_factory=list)


def simulate(teacher: Teacher, n: int, horizon: int, rng: np.random.Generator) -> Play:
    """Play ``n`` episodes of ``horizon`` steps with two arms."""
    low, high = np.log(teacher.widths[0]), np.log(teacher.widths[1])
    play = Play(teacher.means(n, rng), np.exp(rng.uniform(low, high, n)))
    precision = np.full((n, 2), teacher.prior_sd**-2.0)
    weighted = precision * teacher.prior_mean
    rows = np.arange(n)
    for _ in range(horizon):
        mean = weighted / precision
        difference = mean[:, 1] - mean[:, 0]
        tie = rng.integers(0, 2, n)
        lean = np.where(difference == 0, tie, (difference > 0).astype(int))
        q = norm.cdf(np.abs(difference) / (np.sqrt((1 / precision).sum(1)) * play.widths))
        level = _draw(level_probabilities(q), rng)
        hinted = np.where(rng.random(n) < HINT, level, rng.integers(0, len(LEVELS), n))
        arm = np.where(rng.random(n) < FOLLOW[level], lean, 1 - lean)
        reward = np.clip(np.round(rng.normal(play.means[rows, arm], teacher.sigma)), 0, 160)
        precision[rows, arm] += teacher.sigma**-2.0
        weighted[rows, arm] += reward * teacher.sigma**-2.0
        for name, value in (("q", q), ("lean", lean), ("level", level), ("opener", hinted), ("arm", arm)):
            getattr(play, name).append(value)
        play.reward.append(reward)
    return play


def _draw(probabilities: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (rng.random((len(probabilities), 1)) > probabilities.cumsum(-1)[:, :-1]).sum(-1)


def opener_given_level() -> np.ndarray:
    """P(class of opener | level), [3, 3]."""
    return HINT * np.eye(len(LEVELS)) + (1 - HINT) / len(LEVELS)
