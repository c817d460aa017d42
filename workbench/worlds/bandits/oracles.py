"""Bandit policies with known behaviour: baselines to compare an agent with, and teachers to train one on.

A policy sees, for a batch of episodes, how often each arm was chosen and what it paid in total; that is all that any of
these needs of the history.  ``probabilities`` is the policy's action distribution, exact (in closed form, or by
quadrature to about 1e-6); ``act`` draws from it.  Ties between arms are broken evenly, and Greedy, EpsilonGreedy and
UCB try every arm once first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float, Int
from scipy.special import betainc, betaln, ndtr

from workbench.errors import DataError, SpecError, check_known


class Oracle(Protocol):
    """A policy over batches of episodes.

    ``counts`` [episodes, arms] says how often each arm was chosen, ``sums`` [episodes, arms] what it paid in total, and
    ``step`` (0-based) how many choices each episode has behind it.
    """

    def probabilities(
        self, counts: Float[np.ndarray, "episodes arms"], sums: Float[np.ndarray, "episodes arms"], step: int
    ) -> Float[np.ndarray, "episodes arms"]:
        """P(arm) for each episode; rows sum to 1."""

    def act(
        self,
        counts: Float[np.ndarray, "episodes arms"],
        sums: Float[np.ndarray, "episodes arms"],
        step: int,
        rng: np.random.Generator,
    ) -> Int[np.ndarray, " episodes"]:
        """An arm for each episode."""
        return draw_arms(self.probabilities(counts, sums, step), rng.random(len(counts)))


def draw_arms(
    probabilities: Float[np.ndarray, "episodes arms"], uniform: Float[np.ndarray, " episodes"]
) -> Int[np.ndarray, " episodes"]:
    """Arms by inverse CDF, one uniform number in [0, 1) an episode.

    >>> draw_arms(np.array([[0.3, 0.7], [0.3, 0.7], [1.0, 0.0]]), np.array([0.2, 0.3, 0.999])).tolist()
    [0, 1, 0]
    """
    cumulative = probabilities.cumsum(axis=1)
    # Scaling by the last entry keeps an arm of probability 0 from ever being drawn through rounding.
    return (uniform[:, None] * cumulative[:, -1:] >= cumulative[:, :-1]).sum(axis=1)


@dataclass(frozen=True)
class Random(Oracle):
    """Every arm alike.

    >>> Random().probabilities(np.zeros((1, 4)), np.zeros((1, 4)), step=0).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """

    def probabilities(self, counts: np.ndarray, sums: np.ndarray, step: int) -> np.ndarray:
        """1 / K."""
        return np.full(counts.shape, 1.0 / counts.shape[1])


@dataclass(frozen=True)
class Greedy(Oracle):
    """The arm of the highest empirical mean.

    >>> Greedy().probabilities(np.array([[2, 1]]), np.array([[180.0, 100.0]]), step=3).tolist()
    [[0.0, 1.0]]
    """

    def probabilities(self, counts: np.ndarray, sums: np.ndarray, step: int) -> np.ndarray:
        """Shared evenly among the best arms, or among the untried ones while there are any."""
        return _evenly(np.where(counts > 0, sums / np.maximum(counts, 1), np.inf))


@dataclass(frozen=True)
class EpsilonGreedy(Oracle):
    """Any arm with probability ``epsilon``, else the greedy one.

    >>> EpsilonGreedy(0.1).probabilities(np.array([[2, 1]]), np.array([[180.0, 100.0]]), step=3).tolist()
    [[0.05, 0.9500000000000001]]
    """

    epsilon: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon <= 1:
            raise SpecError(f"epsilon {self.epsilon} is no probability: give a number between 0 and 1")

    def probabilities(self, counts: np.ndarray, sums: np.ndarray, step: int) -> np.ndarray:
        """Greedy mixed with uniform."""
        return (1 - self.epsilon) * Greedy().probabilities(counts, sums, step) + self.epsilon / counts.shape[1]


@dataclass(frozen=True)
class UCB(Oracle):
    """UCB1 (Auer et al. 2002) with its bonus scaled by ``sigma``: mean + sigma * sqrt(2 ln n / n_arm).

    ``sigma=1`` is UCB1 as published for rewards in [0, 1].

    >>> UCB(sigma=10).probabilities(np.array([[30, 2]]), np.array([[3000.0, 190.0]]), step=32).tolist()
    [[0.0, 1.0]]
    """

    sigma: float = 10.0

    def __post_init__(self) -> None:
        _positive("sigma", self.sigma)

    def probabilities(self, counts: np.ndarray, sums: np.ndarray, step: int) -> np.ndarray:
        """Shared evenly among the arms of the highest upper bound; an untried arm has no upper bound."""
        tried = np.maximum(counts, 1)
        total = np.maximum(counts.sum(axis=1, keepdims=True), 1)
        bound = sums / tried + self.sigma * np.sqrt(2 * np.log(total) / tried)
        return _evenly(np.where(counts > 0, bound, np.inf))


@dataclass(frozen=True)
class Thompson(Oracle):
    """Thompson sampling for Gaussian rewards of known ``sigma`` and a prior N(prior_mean, prior_sd) on each mean.

    ``width`` multiplies the posterior standard deviation of the draws: small is greedy, 1 is Thompson sampling.  It may
    be an array [episodes], one width an episode.

    >>> Thompson().probabilities(np.array([[1, 1]]), np.array([[100.0, 100.0]]), step=2).tolist()
    [[0.5, 0.5]]
    """

    sigma: float = 10.0
    prior_mean: float = 100.0
    prior_sd: float = 20.0
    width: float | Float[np.ndarray, " episodes"] = 1.0

    def __post_init__(self) -> None:
        for name in ("sigma", "prior_sd", "width"):
            _positive(name, getattr(self, name))

    def posterior(self, counts: np.ndarray, sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Posterior mean and (unwidened) standard deviation of each arm's mean, [episodes, arms] each."""
        precision = self.prior_sd**-2.0 + counts * self.sigma**-2.0
        mean = (self.prior_mean * self.prior_sd**-2.0 + sums * self.sigma**-2.0) / precision
        return mean, precision**-0.5

    def probabilities(self, counts: np.ndarray, sums: np.ndarray, step: int) -> np.ndarray:
        """P(an arm's draw is the highest): Phi of the standardised difference for two arms, else quadrature."""
        mean, sd = self.posterior(counts, sums)
        sd = sd * _column(self.width)
        if mean.shape[1] > 2:
            return _gaussian_highest(mean, sd)
        first = ndtr((mean[:, 0] - mean[:, 1]) / np.hypot(sd[:, 0], sd[:, 1]))
        return np.stack([first, 1 - first], axis=1)

    def act(self, counts: np.ndarray, sums: np.ndarray, step: int, rng: np.random.Generator) -> np.ndarray:
        """The arm of the highest posterior draw."""
        mean, sd = self.posterior(counts, sums)
        return (mean + sd * _column(self.width) * rng.standard_normal(mean.shape)).argmax(axis=1)


@dataclass(frozen=True)
class BernoulliThompson(Oracle):
    """Thompson sampling for rewards 0 and 1 with a prior Beta(prior) on each probability.

    A draw is ``m + width * (x - m)`` with x from the posterior and m its mean, so ``width`` multiplies its standard
    deviation, as in :class:`Thompson`; it may be an array [episodes].

    >>> BernoulliThompson().probabilities(np.array([[1, 0]]), np.array([[1.0, 0.0]]), step=1).round(4).tolist()
    [[0.6667, 0.3333]]
    """

    prior: tuple[float, float] = (1.0, 1.0)
    width: float | Float[np.ndarray, " episodes"] = 1.0

    def __post_init__(self) -> None:
        _positive("width", self.width)
        if min(self.prior) < 1:
            raise SpecError(f"prior {self.prior} is too thin: both numbers of the Beta prior must be at least 1")

    def posterior(self, counts: np.ndarray, sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The two parameters of each arm's Beta posterior; raises :class:`DataError` for sums no coin can give."""
        if (sums < 0).any() or (sums > counts).any():
            raise DataError("sums of rewards must lie between 0 and counts: BernoulliThompson plays rewards 0 and 1")
        return self.prior[0] + sums, self.prior[1] + counts - sums

    def probabilities(self, counts: np.ndarray, sums: np.ndarray, step: int) -> np.ndarray:
        """P(an arm's draw is the highest), by Gauss-Legendre quadrature: exact at width 1, to about 1e-4 elsewhere."""
        alpha, beta = self.posterior(counts, sums)
        width = np.broadcast_to(_column(self.width), (len(counts), 1))
        # Few histories differ in (counts, sums), so each distinct one is integrated once.
        states, index = np.unique(np.concatenate([alpha, beta, width], axis=1), axis=0, return_inverse=True)
        k = counts.shape[1]
        return _beta_highest(states[:, :k], states[:, k : 2 * k], states[:, 2 * k :])[index.ravel()]

    def act(self, counts: np.ndarray, sums: np.ndarray, step: int, rng: np.random.Generator) -> np.ndarray:
        """The arm of the highest posterior draw."""
        alpha, beta = self.posterior(counts, sums)
        mean = alpha / (alpha + beta)
        return (mean + _column(self.width) * (rng.beta(alpha, beta) - mean)).argmax(axis=1)


def _positive(name: str, value: float | np.ndarray) -> None:
    if not (np.isfinite(value) & (np.asarray(value) > 0)).all():
        raise SpecError(f"{name} {value} must be a finite number above 0")


def _column(width: float | np.ndarray) -> np.ndarray:
    return np.asarray(width, dtype=np.float64).reshape(-1, 1)


def _evenly(index: np.ndarray) -> np.ndarray:
    best = index == index.max(axis=1, keepdims=True)
    return best / best.sum(axis=1, keepdims=True)


def _gaussian_highest(mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """P(arm a is the highest) = E_z[prod_b Phi((m_a + s_a z - m_b) / s_b)]; mean and sd are [episodes, arms]."""
    z = np.linspace(-6, 6, 121)  # the trapezoid rule converges exponentially on these integrands
    weight = np.exp(-(z**2) / 2)
    chances = np.empty_like(mean)
    for a in range(mean.shape[1]):
        draw = mean[:, a, None] + sd[:, a, None] * z  # [episodes, nodes]
        below = np.ones_like(draw)
        for b in range(mean.shape[1]):
            if b != a:
                below *= ndtr((draw - mean[:, b, None]) / sd[:, b, None])
        chances[:, a] = (below * weight).sum(axis=1)  # a matrix product would round by the size of the batch
    return chances / chances.sum(axis=1, keepdims=True)


def _beta_highest(alpha: np.ndarray, beta: np.ndarray, width: np.ndarray) -> np.ndarray:
    """P(arm a is the highest) = integral of f_a prod_b F_b; alpha, beta are [states, arms], width is [states, 1].

    With whole parameters and width 1 the integrand is a polynomial, on which enough Gauss-Legendre nodes are exact.
    """
    degree = (alpha + beta - 1).sum(axis=1).max()
    nodes, weight = np.polynomial.legendre.leggauss(max(int(degree) // 2 + 1, 1 if (width == 1).all() else 96))
    x, weight = (nodes + 1) / 2, weight / 2
    mean = alpha / (alpha + beta)
    chances = np.empty_like(mean)
    for a in range(mean.shape[1]):
        p, q = alpha[:, a, None], beta[:, a, None]
        mass = weight * np.exp((p - 1) * np.log(x) + (q - 1) * np.log1p(-x) - betaln(p, q))  # [states, nodes]
        for b in range(mean.shape[1]):
            if b != a:
                shift = (1 - width) / width * (mean[:, a, None] - mean[:, b, None])
                mass = mass * betainc(alpha[:, b, None], beta[:, b, None], np.clip(x + shift, 0, 1))
        chances[:, a] = mass.sum(axis=1)
    return chances / chances.sum(axis=1, keepdims=True)


# Name -> policy; a new one is a class above and a line here.
ORACLES: dict[str, Callable[..., Oracle]] = {
    "random": Random,
    "greedy": Greedy,
    "epsilon_greedy": EpsilonGreedy,
    "ucb": UCB,
    "thompson": Thompson,
    "bernoulli_thompson": BernoulliThompson,
}


def make_oracle(name: str, **parameters: Any) -> Oracle:
    """The policy of a name, with its parameters; raises :class:`SpecError` for a name or parameter it does not have.

    >>> make_oracle("epsilon_greedy", epsilon=0.2)
    EpsilonGreedy(epsilon=0.2)
    """
    check_known(name, ORACLES, "oracle")
    try:
        return ORACLES[name](**parameters)
    except TypeError as error:
        raise SpecError(f"oracle {name!r} cannot be made of {parameters}: {error}") from error
