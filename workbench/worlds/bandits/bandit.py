"""Gaussian and Bernoulli bandits with K arms, single and vectorised.

Rewards depend on (episode seed, step, arm) only (see :mod:`workbench.worlds.bandits.arms`), so policies that play the
same seed are compared in pairs.  ``reset(seed=s)`` starts the episode of seed ``s``; a later ``reset()`` goes on to a
seed derived from the last one.

Observation (before each choice): ``{"arm", "reward", "step"}``, the last arm (``K`` before the first choice), its
reward (0 before the first choice) and the number of choices made so far.  ``info`` holds ``means`` [K], ``best_arm``
(the lowest index among equals) and ``regret``, the mean of the best arm minus the mean of the arm just chosen.  The
step that fills the horizon terminates the episode (the horizon is part of the task, so it is no truncation).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from workbench.arguments import integer
from workbench.errors import DataError
from workbench.seeding import derive_seed
from workbench.worlds.bandits.arms import Arms, BernoulliArms, GaussianArms, Means, arm_seeds, episode_means, pay

_LONGEST = 2**31 - 1  # steps of an episode, which observations count


def _next_seed(seed: int) -> int:
    return derive_seed(seed, "next episode")


def _observation_space(arms: Arms, n_arms: int, horizon: int) -> spaces.Dict:
    low, high = arms.reward_range
    reward = spaces.Box(low, high, shape=(), dtype=np.float64)
    return spaces.Dict(arm=spaces.Discrete(n_arms + 1), reward=reward, step=spaces.Discrete(horizon + 1))


def _n_arms(arms: Arms) -> int:
    """Number of arms (a sampler is asked once)."""
    return episode_means(arms, [0]).shape[1]


class _Bandit(gymnasium.Env[dict[str, Any], int]):
    """One bandit; ``arms`` says what it pays."""

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 (Gymnasium declares it so)

    def __init__(self, arms: Arms, horizon: int) -> None:
        self.arms, self.horizon = arms, integer(horizon, "horizon", 1, _LONGEST)
        self.n_arms = _n_arms(arms)
        self.action_space: spaces.Space[Any] = spaces.Discrete(self.n_arms)
        self.observation_space: spaces.Space[Any] = _observation_space(arms, self.n_arms, self.horizon)
        self.episode_seed: int | None = None
        self._step = self.horizon

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start the episode of ``seed``, or the one that follows the last when there is no seed."""
        seed = None if seed is None else integer(seed, "seed", least=0)
        super().reset(seed=seed, options=options)
        if seed is None:
            last = self.episode_seed
            seed = int(self.np_random.integers(2**62)) if last is None else _next_seed(last)
        self.episode_seed = int(seed)
        self._means = episode_means(self.arms, [seed])
        self._streams = arm_seeds([seed], self.n_arms)
        self._step = 0
        return self._observe(self.n_arms, 0.0), self._info(0.0)

    def step(self, action: int) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Choose an arm (0-based).  Raises ``gymnasium.error.ResetNeeded`` when the episode is over."""
        if self._step >= self.horizon:
            raise gymnasium.error.ResetNeeded("the episode is over (or has not begun): call reset()")
        if not 0 <= integer(action, "action") < self.n_arms:
            raise DataError(f"arm {action} does not exist: the bandit has arms 0 to {self.n_arms - 1}")
        reward = float(pay(self.arms, self._streams, self._means, self._step)[0, action])
        self._step += 1
        regret = float(self._means.max() - self._means[0, action])
        return self._observe(int(action), reward), reward, self._step == self.horizon, False, self._info(regret)

    def _observe(self, arm: int, reward: float) -> dict[str, Any]:
        return {"arm": np.int64(arm), "reward": np.array(reward), "step": np.int64(self._step)}

    def _info(self, regret: float) -> dict[str, Any]:
        return {"means": self._means[0].copy(), "best_arm": int(self._means.argmax()), "regret": regret}


class GaussianBandit(_Bandit):
    """``workbench/GaussianBandit-v0``: K arms that pay N(mean, sigma), for ``horizon`` steps.

    ``means`` is one number an arm, or a sampler ``f(numpy Generator) -> means`` called once an episode.  The defaults
    are EAST's (arXiv 2406.00244).  Raises :class:`SpecError` for unusable means, sigma or horizon.

    >>> env = GaussianBandit(means=(95, 105), sigma=0.0, horizon=2)
    >>> _ = env.reset(seed=0)
    >>> observation, reward, terminated, truncated, info = env.step(0)
    >>> reward, terminated, info["best_arm"], info["regret"]
    (95.0, False, 1, 10.0)
    """

    def __init__(self, means: Means = (95.0, 105.0), sigma: float = 10.0, horizon: int = 50) -> None:
        super().__init__(GaussianArms(means, sigma), horizon)


class BernoulliBandit(_Bandit):
    """``workbench/BernoulliBandit-v0``: K arms that pay 1 with their probability, else 0, for ``horizon`` steps.

    ``probabilities`` is one number an arm, or a sampler ``f(numpy Generator) -> probabilities`` called once an episode.

    >>> env = BernoulliBandit(probabilities=(0.0, 1.0))
    >>> _ = env.reset(seed=0)
    >>> env.step(1)[1]
    1.0
    """

    def __init__(self, probabilities: Means = (0.4, 0.6), horizon: int = 50) -> None:
        super().__init__(BernoulliArms(probabilities), horizon)


class _BanditVector(VectorEnv[dict[str, np.ndarray], np.ndarray, np.ndarray]):
    """``num_envs`` bandits stepped as arrays; equal to that many single ones, number for number.

    Autoreset is NEXT_STEP, as in Gymnasium's ``SyncVectorEnv``: the step after a terminated one ignores the action of
    that bandit, pays 0 and returns the first observation of its next episode.
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, num_envs: int, arms: Arms, horizon: int) -> None:
        self.num_envs = num_envs = integer(num_envs, "num_envs", least=1)
        self.arms, self.horizon = arms, integer(horizon, "horizon", 1, _LONGEST)
        self.n_arms = _n_arms(arms)
        self.single_action_space: spaces.Space[Any] = spaces.Discrete(self.n_arms)
        self.single_observation_space: spaces.Space[Any] = _observation_space(arms, self.n_arms, self.horizon)
        self.action_space: spaces.Space[Any] = batch_space(self.single_action_space, num_envs)
        self.observation_space: spaces.Space[Any] = batch_space(self.single_observation_space, num_envs)
        self.episode_seeds: list[int | None] = [None] * num_envs
        self._means = np.zeros((num_envs, self.n_arms))
        self._streams = np.zeros((num_envs, self.n_arms), dtype=np.uint64)
        self._arm = np.full(num_envs, self.n_arms)
        self._reward = np.zeros(num_envs)
        self._steps = np.full(num_envs, -1)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Start an episode in every bandit; an int seeds bandit i with ``seed + i``, a sequence gives one seed each."""
        if isinstance(seed, int | np.integer):
            super().reset(seed=int(seed), options=options)
            seed = [int(seed) + i for i in range(self.num_envs)]
        seeds = [None] * self.num_envs if seed is None else list(seed)
        if len(seeds) != self.num_envs:
            raise DataError(f"{len(seeds)} seeds for {self.num_envs} environments: give one for each")
        for i, given in enumerate(seeds):
            self._begin(i, given)
        return self._observe(), self._info(np.zeros(self.num_envs))

    def step(
        self, actions: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Choose an arm in every bandit.  actions: integers [num_envs]; all arrays returned are [num_envs]."""
        arms, rows = np.asarray(actions), np.arange(self.num_envs)
        over = self._steps >= self.horizon
        self._check(arms, over)
        chosen = np.where(over, 0, arms)
        rewards = _pay_rows(self.arms, self._streams, self._means, self._steps)[rows, chosen]
        regret = np.where(over, 0.0, self._means.max(axis=1) - self._means[rows, chosen])
        self._arm, self._reward, self._steps = chosen, rewards, self._steps + 1
        for i in np.flatnonzero(over).tolist():
            self._begin(i, None)
        terminated = self._steps == self.horizon
        return self._observe(), self._reward.copy(), terminated, np.zeros_like(terminated), self._info(regret)

    def _check(self, arms: np.ndarray, over: np.ndarray) -> None:
        if (self._steps < 0).any():
            raise gymnasium.error.ResetNeeded("no episode has begun: call reset()")
        if arms.shape != (self.num_envs,) or arms.dtype.kind not in "iu":
            raise DataError(f"actions of shape {arms.shape}, {arms.dtype}: give {self.num_envs} integers")
        wrong = ~over & ((arms < 0) | (arms >= self.n_arms))
        if wrong.any():
            raise DataError(f"arm {arms[wrong][0]} does not exist: the bandit has arms 0 to {self.n_arms - 1}")

    def _begin(self, i: int, seed: int | None) -> None:
        last = self.episode_seeds[i]
        if seed is None:
            seed = int(self.np_random.integers(2**62)) if last is None else _next_seed(last)
        self.episode_seeds[i] = int(seed)
        self._means[i] = episode_means(self.arms, [seed])[0]
        self._streams[i] = arm_seeds([seed], self.n_arms)[0]
        self._arm[i], self._reward[i], self._steps[i] = self.n_arms, 0.0, 0

    def _observe(self) -> dict[str, np.ndarray]:
        return {"arm": self._arm.copy(), "reward": self._reward.copy(), "step": self._steps.copy()}

    def _info(self, regret: np.ndarray) -> dict[str, Any]:
        info = {"means": self._means.copy(), "best_arm": self._means.argmax(axis=1), "regret": regret}
        return info | {f"_{key}": np.ones(self.num_envs, dtype=bool) for key in info}


def _pay_rows(arms: Arms, streams: np.ndarray, means: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Rewards [rows arms] where each row is at its own step."""
    rewards = np.zeros_like(means)
    for step in np.unique(steps):
        rows = steps == step
        rewards[rows] = pay(arms, streams[rows], means[rows], int(step))
    return rewards


class GaussianBanditVector(_BanditVector):
    """Vectorised :class:`GaussianBandit`; from ``gymnasium.make_vec("workbench/GaussianBandit-v0", num_envs=n)``."""

    def __init__(self, num_envs: int = 1, means: Means = (95.0, 105.0), sigma: float = 10.0, horizon: int = 50) -> None:
        super().__init__(num_envs, GaussianArms(means, sigma), horizon)


class BernoulliBanditVector(_BanditVector):
    """Vectorised :class:`BernoulliBandit`; from ``gymnasium.make_vec("workbench/BernoulliBandit-v0", num_envs=n)``."""

    def __init__(self, num_envs: int = 1, probabilities: Means = (0.4, 0.6), horizon: int = 50) -> None:
        super().__init__(num_envs, BernoulliArms(probabilities), horizon)
