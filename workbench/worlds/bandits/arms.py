"""What the arms of a bandit pay: means, given or sampled, and rewards by seed.

The reward of an arm at a step is a function of (episode seed, step, arm) and of nothing else: it is what the arm would
pay *if* chosen then.  So two policies, or an agent with and without steering, that play the same seed face the same
table of rewards, and their difference is a paired comparison.  Adding an arm leaves the rewards of the others as they
were.  Means may be given, or drawn once an episode by a sampler, from the episode seed too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float, Int
from scipy.special import ndtri

from workbench.arguments import integer, listed, number, real_array, shown
from workbench.errors import DataError, SpecError
from workbench.seeding import derive_seed, uniforms

Sampler = Callable[[np.random.Generator], "Sequence[float] | np.ndarray"]
Means = Sequence[float] | np.ndarray | Sampler

_LARGEST = 1e9  # bound of the observation space for rewards; Gymnasium's check_env warns of an infinite one


class Arms(Protocol):
    """What the arms pay: ``means``, their number, the range of rewards, and rewards from uniform numbers."""

    @property
    def means(self) -> Means: ...

    @property
    def reward_range(self) -> tuple[float, float]: ...

    def check(self, means: Float[np.ndarray, " arms"]) -> None:
        """Raise :class:`SpecError` for means that these arms cannot have."""

    def rewards(self, uniform: np.ndarray, means: np.ndarray) -> np.ndarray:
        """Rewards, of the shape of ``means``, from uniform numbers in [0, 1) of the same shape."""


@dataclass(frozen=True)
class GaussianArms:
    """Rewards N(mean, sigma); ``sigma`` is a standard deviation.

    >>> GaussianArms((95, 105)).rewards(np.array([0.5, 0.5]), np.array([95.0, 105.0])).tolist()
    [95.0, 105.0]
    """

    means: Means
    sigma: float = 10.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "sigma", number(self.sigma, "sigma"))
        if not 0 <= self.sigma < _LARGEST / 20:
            raise SpecError(f"sigma {self.sigma} is no standard deviation: give a number from 0 up")

    @property
    def reward_range(self) -> tuple[float, float]:
        """Bounds of the observation space."""
        return -_LARGEST, _LARGEST

    def check(self, means: Float[np.ndarray, " arms"]) -> None:
        """Means must leave room for nine sigma within the observation space."""
        if np.abs(means).max() > _LARGEST / 2:
            raise SpecError(f"means {means.tolist()} are too large: keep them within {_LARGEST / 2:g}")

    def rewards(self, uniform: np.ndarray, means: np.ndarray) -> np.ndarray:
        """Inverse-CDF draws.  ``uniforms`` may return exactly 0, whose quantile would be minus infinity."""
        return means + self.sigma * ndtri(np.maximum(uniform, 2.0**-54))


@dataclass(frozen=True)
class BernoulliArms:
    """Rewards of 1 with probability ``means``, else 0.

    >>> BernoulliArms((0.2, 0.8)).rewards(np.array([0.5, 0.5]), np.array([0.2, 0.8])).tolist()
    [0.0, 1.0]
    """

    means: Means

    @property
    def reward_range(self) -> tuple[float, float]:
        """Bounds of the observation space."""
        return 0.0, 1.0

    def check(self, means: Float[np.ndarray, " arms"]) -> None:
        """Means are probabilities."""
        if means.min() < 0 or means.max() > 1:
            raise SpecError(f"probabilities {means.tolist()} must lie between 0 and 1")

    def rewards(self, uniform: np.ndarray, means: np.ndarray) -> np.ndarray:
        """1.0 where the uniform number is below the probability."""
        return (uniform < means).astype(np.float64)


def episode_means(arms: Arms, seeds: Sequence[int]) -> Float[np.ndarray, "episodes arms"]:
    """The means of the arms in the episodes of ``seeds``: the given ones, or the sampler's draws."""
    if not callable(arms.means):
        return np.tile(_checked(arms, arms.means), (len(seeds), 1))
    draws = [arms.means(np.random.default_rng(derive_seed(int(seed), "means"))) for seed in seeds]
    return np.stack([_checked(arms, draw) for draw in draws])


def arm_seeds(seeds: Sequence[int], n_arms: int) -> Int[np.ndarray, "episodes arms"]:
    """One seed for each episode and arm, the same whatever the other episodes and arms are."""
    table = [[derive_seed(int(seed), "arm", arm) for arm in range(n_arms)] for seed in seeds]
    return np.array(table, dtype=np.uint64).reshape(-1, n_arms)


def reward_table(
    arms: Arms, seeds: Sequence[int], horizon: int
) -> tuple[Float[np.ndarray, "episodes arms"], Float[np.ndarray, "episodes horizon arms"]]:
    """Means, and what each arm would pay at each step, for the episodes of ``seeds``.

    The environments pay exactly these rewards.

    >>> means, rewards = reward_table(GaussianArms((95, 105)), [0, 1], horizon=3)
    >>> rewards.shape
    (2, 3, 2)
    >>> bool((reward_table(GaussianArms((95, 105)), [1], horizon=3)[1] == rewards[1:]).all())
    True
    """
    seeds = [integer(seed, "a seed") for seed in listed(seeds, "seeds")]
    if not seeds:
        raise DataError("seeds must name at least one episode")
    horizon = integer(horizon, "horizon", least=1)
    means = episode_means(arms, seeds)
    streams = arm_seeds(seeds, means.shape[1])
    return means, np.stack([pay(arms, streams, means, step) for step in range(horizon)], axis=1)


def pay(
    arms: Arms, streams: Int[np.ndarray, "episodes arms"], means: Float[np.ndarray, "episodes arms"], step: int
) -> Float[np.ndarray, "episodes arms"]:
    """What each arm pays at a step; ``streams`` are the seeds of :func:`arm_seeds`."""
    return arms.rewards(uniforms(streams.ravel(), step).reshape(streams.shape), means)


def _checked(arms: Arms, means: Sequence[float] | np.ndarray) -> Float[np.ndarray, " arms"]:
    array = real_array(means, "means").astype(np.float64)
    if array.ndim != 1 or array.size < 2 or not np.isfinite(array).all():
        raise SpecError(f"means {shown(means)} are unusable: give one finite number for each of at least two arms")
    arms.check(array)
    return array
