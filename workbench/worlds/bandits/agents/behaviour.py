"""How an agent behaves in a bandit, measured from a tidy table of its episodes.

The table has one row a step with the columns ``episode``, ``step``, ``arm`` (0-based) and ``reward``; the arms' true
means ``mean0``, ``mean1``... (or ``regret`` of the step, or ``best_arm``) where a measure needs to know the best arm;
and ``entropy`` (nats) of the action distribution where there is one.  Oracles and language agents write the same table.

An episode is identified by ``episode`` within the columns ``by`` (condition, setting...).  Its steps are taken in the
order of ``step``; t counts them from 0.  Episodes may differ in length (a run ends on an answer that cannot be parsed).
No input is changed.  Intervals resample whole episodes, or the clusters that ``cluster`` names.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from workbench.errors import DataError, SpecError, check_known
from workbench.statistics import cluster_bootstrap
from workbench.worlds.episode_table import (
    Columns,
    arm_means,
    episode_key,
    mean_columns,
    need_columns,
    order_episodes,
    sum_before,
)


def regret(table: pd.DataFrame) -> pd.Series[float]:
    """Regret of each row: the best mean minus the chosen arm's mean (the column ``regret`` where there is one).

    >>> regret(pd.DataFrame({"arm": [0, 1], "mean0": [95.0, 95.0], "mean1": [105.0, 105.0]})).tolist()
    [10.0, 0.0]
    """
    if "regret" in table:
        return table["regret"].astype(np.float64)
    means = arm_means(table)
    chosen = means[np.arange(len(table)), table["arm"].to_numpy(dtype=np.int64)]
    return pd.Series(np.nanmax(means, axis=1) - chosen, index=table.index, name="regret")


def _greedy(ordered: pd.DataFrame) -> Float[np.ndarray, " rows"]:
    """1.0 where the chosen arm has the highest average reward so far, among the arms tried, else 0.0; rows in order.

    NaN at an episode's first step, when nothing has been seen.  Averages that are equal up to rounding are ties,
    and any arm of a tie is greedy.  Source: GreedyFrac of Krishnamurthy et al. (2024).
    """
    episode, arm, reward = ordered["_episode"], ordered["arm"].to_numpy(), ordered["reward"]
    averages = np.full((len(ordered), int(arm.max()) + 1), -np.inf)  # [rows, arms], before the row's choice
    for a in np.unique(arm):
        count = sum_before(pd.Series(arm == a, index=ordered.index, dtype=np.float64), episode)
        total = sum_before(reward.where(arm == a, 0.0), episode)
        averages[:, a] = np.where(count > 0, total / np.maximum(count, 1), -np.inf)
    best, chosen = averages.max(axis=1), averages[np.arange(len(arm)), arm]
    first = np.isneginf(best)
    slack = 1e-9 * np.where(first, 1.0, np.maximum(1.0, np.abs(best)))
    return np.where(first, np.nan, chosen >= best - slack)


def total_regret(table: pd.DataFrame, by: Columns = ()) -> pd.Series[float]:
    """Cumulative regret of each episode at its end; indexed by ``by`` and ``episode``."""
    ordered = order_episodes(table, by)
    return ordered.assign(_value=regret(ordered)).groupby(episode_key(by), dropna=False)["_value"].sum()


def total_reward(table: pd.DataFrame, by: Columns = ()) -> pd.Series[float]:
    """Sum of rewards of each episode; indexed by ``by`` and ``episode``."""
    return order_episodes(table, by).groupby(episode_key(by), dropna=False)["reward"].sum()


def mean_entropy(table: pd.DataFrame, by: Columns = ()) -> pd.Series[float]:
    """Mean action entropy of each episode, in nats, over the steps that have one; indexed by ``by`` and ``episode``."""
    need_columns(table, ["entropy"], "mean_entropy")
    return order_episodes(table, by).groupby(episode_key(by), dropna=False)["entropy"].mean()


def greedy_rate(table: pd.DataFrame, by: Columns = ()) -> pd.Series[float]:
    """Fraction of greedy choices from the second step on; NaN for an episode of one step."""
    ordered = order_episodes(table, by)
    return ordered.assign(_value=_greedy(ordered)).groupby(episode_key(by), dropna=False)["_value"].mean()


def suffix_failure(table: pd.DataFrame, by: Columns = (), after: int | None = None) -> pd.Series[float]:
    """1.0 for an episode in which no best arm is chosen at any step t >= ``after``, else 0.0.

    ``after`` defaults to half of the episode's length (rounded down); an episode that ends before is NaN.  With equal
    means every arm is best, so nothing fails.  Source: SuffFailFreq of Krishnamurthy et al. (2024), arXiv 2403.15371.

    >>> table = pd.DataFrame({"episode": 0, "step": range(4), "arm": [1, 0, 0, 0], "reward": 0.0, "best_arm": 1})
    >>> suffix_failure(table).tolist(), suffix_failure(table, after=0).tolist()
    ([1.0], [0.0])
    """
    if after is not None and after < 0:
        raise SpecError(f"after={after} is negative: steps count from 0")
    ordered = order_episodes(table, by)
    episode, t = ordered["_episode"], ordered["_t"]
    start = episode.groupby(episode).transform("size") // 2 if after is None else after
    found = pd.Series(_chose_best(ordered), index=ordered.index).where(t >= start)
    highest = ordered.assign(_value=found.astype(np.float64)).groupby(episode_key(by), dropna=False)["_value"].max()
    return 1.0 - highest


def minimum_arm_fraction(table: pd.DataFrame, by: Columns = (), arms: int | None = None) -> pd.Series[float]:
    """K times the share of the least chosen arm in each episode: 0 when an arm was never chosen, 1 when all alike.

    K is ``arms``, or the number of the episode's ``mean*`` columns.  Source: MinFrac of Krishnamurthy et al. (2024).

    >>> table = pd.DataFrame({"episode": 0, "step": range(4), "arm": [0, 0, 1, 0], "reward": 0.0})
    >>> minimum_arm_fraction(table, arms=2).tolist()
    [0.5]
    """
    ordered = order_episodes(table, by)
    groups = ordered.groupby(episode_key(by), dropna=False)
    length = groups.size()
    k = pd.Series(arms, index=length.index) if arms is not None else _arms_of(ordered, by)
    if (groups["arm"].max() >= k).any():
        raise DataError(f"arm {int(ordered['arm'].max())} was chosen: there are more arms than {int(k.min())}")
    counts = np.zeros((len(length), int(k.max())))  # [episodes, arms], episodes in the order of the groups
    np.add.at(counts, (groups.ngroup().to_numpy(), ordered["arm"].to_numpy()), 1)
    counts[np.arange(counts.shape[1]) >= k.to_numpy()[:, None]] = np.inf
    return pd.Series(k.to_numpy() * counts.min(axis=1) / length.to_numpy(), index=length.index)


def commitment_time(table: pd.DataFrame, by: Columns = ()) -> pd.Series[float]:
    """The first t from which an episode's arm never changes again: 0 for one arm throughout, at most its length - 1.

    >>> table = pd.DataFrame({"episode": 0, "step": range(5), "arm": [0, 1, 0, 1, 1], "reward": 0.0})
    >>> commitment_time(table).tolist()
    [3.0]
    """
    ordered = order_episodes(table, by)
    switched = ordered["arm"] != ordered.groupby("_episode")["arm"].shift(1)  # an episode's first step counts, at t = 0
    times = ordered.assign(_value=ordered["_t"].where(switched).astype(np.float64))
    return times.groupby(episode_key(by), dropna=False)["_value"].max()


# Name -> one number an episode.
MEASURES: dict[str, Callable[[pd.DataFrame, Columns], pd.Series[float]]] = {
    "regret": total_regret,
    "reward": total_reward,
    "entropy": mean_entropy,
    "greedy_rate": greedy_rate,
    "suffix_failure": suffix_failure,
    "minimum_arm_fraction": minimum_arm_fraction,
    "commitment_time": commitment_time,
}


def summarise(
    table: pd.DataFrame,
    by: Columns = (),
    measures: Columns | None = None,
    cluster: str = "episode",
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Every measure's mean over the episodes of each group, with a 95% cluster-bootstrap interval.

    Returns one row for each group and measure: the columns ``by``, ``measure``, ``estimate``, ``low``, ``high`` and
    ``episodes`` (those for which the measure exists).  ``measures`` defaults to all that the table's columns allow.
    ``cluster`` names the column whose values are resampled whole; give ``seed`` when episodes of one seed recur in
    a group.  Raises :class:`DataError` for a missing column.

    >>> from workbench.worlds.bandits import GaussianBandit, play
    >>> summary = summarise(play("random", GaussianBandit(), range(40)), measures=["regret"])
    >>> bool(summary.low[0] < 250 < summary.high[0])
    True
    """
    names = _available(table) if measures is None else list(measures)
    for name in names:
        check_known(name, MEASURES, "measure")
    clusters = _clusters(table, by, cluster)
    rows = []
    for name in names:
        values = MEASURES[name](table, by)
        frame = pd.DataFrame({"_value": values, "_cluster": clusters}).reset_index()
        rows.append(_intervals(frame, list(by), resamples, seed).assign(measure=name))
    return pd.concat(rows, ignore_index=True)[[*by, "measure", "estimate", "low", "high", "episodes"]]


def by_step(
    table: pd.DataFrame, column: str, by: Columns = (), cluster: str = "episode", resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Mean of a column at each step, with a 95% cluster-bootstrap interval over the episodes that reach it.

    Returns the columns ``by``, ``step``, ``estimate``, ``low``, ``high``, ``episodes``; missing values are left out.
    Late steps hold only episodes that lasted until then: look at ``episodes`` where runs end early.
    """
    need_columns(table, [column, cluster], "by_step")
    ordered = order_episodes(table, by)
    frame = pd.DataFrame({"_value": ordered[column].astype(np.float64), "_cluster": ordered[cluster]})
    return _intervals(frame.join(ordered[[*by, "step"]]), [*by, "step"], resamples, seed)


def _intervals(frame: pd.DataFrame, by: list[str], resamples: int, seed: int) -> pd.DataFrame:
    """``frame`` has columns by, _value and _cluster; one interval a group, NaN where a group has no value."""
    rows = []
    groups = frame.groupby(by, dropna=False) if by else [((), frame)]
    for key, group in groups:
        known = group.dropna(subset=["_value"])
        row = dict(zip(by, key, strict=True)) | dict.fromkeys(("estimate", "low", "high"), np.nan)
        if len(known):
            row |= vars(
                cluster_bootstrap(
                    known["_value"].to_numpy(), known["_cluster"].to_numpy(), resamples=resamples, seed=seed
                )
            )
        rows.append(row | {"episodes": len(known)})
    return pd.DataFrame(rows, columns=[*by, "estimate", "low", "high", "episodes"])


def _available(table: pd.DataFrame) -> list[str]:
    means, entropy = mean_columns(table), "entropy" in table
    lacking = {
        "regret": not means and "regret" not in table,
        "suffix_failure": not means and "regret" not in table and "best_arm" not in table,
        "minimum_arm_fraction": not means,
        "entropy": not entropy,
    }
    return [name for name in MEASURES if not lacking.get(name, False)]


def _clusters(table: pd.DataFrame, by: Columns, cluster: str) -> pd.Series[object]:
    """The cluster of each episode."""
    need_columns(table, [cluster], "summarise")
    ordered = order_episodes(table, by)
    groups = ordered.assign(_cluster=ordered[cluster]).groupby(episode_key(by), dropna=False)["_cluster"]
    if (groups.nunique(dropna=False) > 1).any():
        raise DataError(f"cluster {cluster!r} changes within an episode: name a column that is constant in each")
    return groups.first()


def _chose_best(table: pd.DataFrame) -> Bool[np.ndarray, " rows"]:
    """True where no arm is better than the chosen one."""
    if "regret" not in table and "best_arm" in table and not mean_columns(table):
        return (table["arm"] == table["best_arm"]).to_numpy()
    return (regret(table) <= 1e-9).to_numpy()


def _arms_of(ordered: pd.DataFrame, by: Columns) -> pd.Series[int]:
    """Number of arms of each episode, from its means (a bandit with fewer arms leaves the others empty)."""
    names = mean_columns(ordered)
    if not names:
        raise DataError("the number of arms is unknown: give arms=, or add the columns mean0, mean1, ...")
    return ordered.assign(_k=ordered[names].notna().sum(axis=1)).groupby(episode_key(by), dropna=False)["_k"].first()
