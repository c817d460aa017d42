"""Episodes of an oracle: thousands at once, as one tidy table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from scipy.special import entr

from workbench.arguments import integer, listed, shown
from workbench.errors import DataError, SpecError
from workbench.seeding import derive_seed, uniforms
from workbench.worlds.bandits.arms import Arms, reward_table
from workbench.worlds.bandits.bandit import BernoulliBandit, GaussianBandit
from workbench.worlds.bandits.oracles import ORACLES, Oracle, draw_arms, make_oracle

if TYPE_CHECKING:
    import pandas as pd


def play(
    oracle: Oracle | str,
    environments: gymnasium.Env[Any, Any] | Sequence[gymnasium.Env[Any, Any]],
    seeds: Sequence[int],
    horizon: int | None = None,
) -> pd.DataFrame:
    """Play one episode for each environment and seed; returns a tidy table of one row a step.

    Columns: ``episode`` (0-based, running over environments, then seeds), ``seed``, ``step``, ``arm``, ``reward``,
    ``regret`` (of the step), ``best_arm``, ``entropy`` (of the policy's exact distribution, in nats), ``mean0``...
    The environments are bandits of this package, wrapped or not; ``horizon`` defaults to theirs.  Rewards are those the
    environment would pay, and the policy's own randomness comes from the episode's seed, so an episode does not depend
    on the others and two policies on the same seeds form pairs.

    >>> table = play("thompson", GaussianBandit(means=(95, 105)), seeds=range(100))
    >>> len(table), bool(table.groupby("step").entropy.mean().iloc[-1] < 0.3)
    (5000, True)
    """
    import pandas as pd

    policy = make_oracle(oracle) if isinstance(oracle, str) else oracle
    several = [environments] if isinstance(environments, gymnasium.Env) else listed(environments, "environments")
    if not hasattr(policy, "probabilities"):
        raise SpecError(f"oracle must be a policy or its name ({', '.join(ORACLES)}), not {shown(oracle)}")
    bandits = [_bandit(env) for env in several]
    seeds = [integer(seed, "a seed") for seed in listed(seeds, "seeds")]
    if not bandits or not seeds:
        raise DataError("nothing to play: give at least one environment and one seed")
    tables = [_play(policy, env.arms, seeds, env.horizon if horizon is None else horizon) for env in bandits]
    for i, table in enumerate(tables):
        table["episode"] += i * len(seeds)
    return pd.concat(tables, ignore_index=True)


def _bandit(env: gymnasium.Env[Any, Any]) -> GaussianBandit | BernoulliBandit:
    bandit = getattr(env, "unwrapped", env)
    if not isinstance(bandit, GaussianBandit | BernoulliBandit):
        raise DataError(f"{type(bandit).__name__} is not a bandit: give a GaussianBandit or a BernoulliBandit")
    return bandit


def _play(policy: Oracle, arms: Arms, seeds: list[int], horizon: int) -> pd.DataFrame:
    horizon = integer(horizon, "horizon", least=1)
    means, table = reward_table(arms, seeds, horizon)  # [episodes, arms], [episodes, horizon, arms]
    streams = np.array([derive_seed(seed, "policy") for seed in seeds], dtype=np.uint64)
    rows, counts, sums = np.arange(len(seeds)), np.zeros_like(means), np.zeros_like(means)
    chosen, entropy = np.empty((len(seeds), horizon), dtype=np.int64), np.empty((len(seeds), horizon))
    for step in range(horizon):
        probabilities = policy.probabilities(counts, sums, step)
        arm = draw_arms(probabilities, uniforms(streams, step))
        chosen[:, step], entropy[:, step] = arm, entr(probabilities).sum(axis=1)
        counts[rows, arm] += 1
        sums[rows, arm] += table[rows, step, arm]
    return _tidy(seeds, means, table, chosen, entropy)


def _tidy(
    seeds: list[int], means: np.ndarray, rewards: np.ndarray, arms: np.ndarray, entropy: np.ndarray
) -> pd.DataFrame:
    import pandas as pd

    episodes, horizon = arms.shape
    columns = {
        "episode": np.repeat(np.arange(episodes), horizon),
        "seed": np.repeat(seeds, horizon),
        "step": np.tile(np.arange(horizon), episodes),
        "arm": arms.ravel(),
        "reward": np.take_along_axis(rewards, arms[:, :, None], axis=2).ravel(),
        "regret": (means.max(axis=1, keepdims=True) - np.take_along_axis(means, arms, axis=1)).ravel(),
        "best_arm": np.repeat(means.argmax(axis=1), horizon),
        "entropy": entropy.ravel(),
    }
    return pd.DataFrame(columns | {f"mean{k}": np.repeat(means[:, k], horizon) for k in range(means.shape[1])})
