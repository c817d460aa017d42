"""Tidy rows, one measure a row, and their intervals: over whole episodes, or over seeds and episodes at once.

Every seed of every method meets the same episodes, so rows are crossed: both seeds and episodes are resampled, and the
episodes of a draw are those of all seeds and methods alike (the pigeonhole bootstrap; Owen 2007, Ann. Appl. Stat. 1).
With one seed the interval is over episodes only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.statistics import Interval, cluster_bootstrap, times_drawn, wilson

if TYPE_CHECKING:
    from torch import Tensor

_RESAMPLES = 1000
Statistic = Callable[[np.ndarray], np.ndarray]
"""Sums over episodes [..., columns] -> [...]."""


def row(measure: str, interval: Interval | float, **labels: Any) -> dict[str, Any]:
    """A row of a tidy table; a bare number has no interval.

    >>> row("gap", 0.5, model="base")
    {'model': 'base', 'measure': 'gap', 'estimate': 0.5, 'low': nan, 'high': nan}
    """
    if not isinstance(interval, Interval):
        interval = Interval(float(interval), float("nan"), float("nan"))
    return labels | {"measure": measure} | vars(interval)


def mean_of(values: Tensor) -> Interval:
    """The mean of one number an episode, [episodes]."""
    return cluster_bootstrap(values.double().cpu().numpy(), np.arange(len(values)), resamples=_RESAMPLES)


def share_of(right: Tensor) -> Interval:
    """The share of episodes, [episodes] booleans; Wilson's interval, which says something of no success in many too."""
    return wilson(int(right.sum()), len(right))


def mean_by_episode(values: Tensor, mask: Tensor) -> Interval:
    """The mean over the steps of ``mask``, [episodes, time] both, resampling whole episodes."""
    sums = np.stack([(values.double() * mask).sum(1).cpu().numpy(), mask.sum(1).cpu().numpy()], 1)
    return counted(sums, lambda total: total[..., 0] / total[..., 1])


def counted(sums: np.ndarray, statistic: Statistic) -> Interval:
    """An interval of ``statistic`` of sums over episodes, [episodes, columns] -> [..., columns] -> [...].

    >>> print(counted(np.array([[1.0, 2.0], [1.0, 2.0]]), lambda total: total[..., 0] / total[..., 1]))
    0.5 [0.5, 0.5]
    """
    drawn = [statistic(times @ sums) for times in times_drawn(len(sums), _RESAMPLES, 0)]
    return _interval(float(statistic(sums.sum(0))), np.concatenate(drawn))


def _first(total: np.ndarray) -> np.ndarray:
    return np.asarray(total[..., 0])


def over_seeds(sums: np.ndarray, statistic: Statistic = _first, seed: int = 0) -> Interval:
    """The mean over seeds of ``statistic`` of the means over episodes of ``sums`` [seeds, episodes, columns].

    >>> print(over_seeds(np.ones((2, 3, 1))))
    1 [1, 1]
    """
    return _interval(*_drawn(sums, statistic, seed))


def over_seeds_difference(a: np.ndarray, b: np.ndarray, statistic: Statistic = _first) -> Interval:
    """The same of ``a`` less that of ``b``: the episodes drawn are the same, the seeds are independent.

    >>> print(over_seeds_difference(np.ones((2, 3, 1)), np.zeros((1, 3, 1))))
    1 [1, 1]
    """
    (value, drawn), (other, drawn_other) = _drawn(a, statistic, 0), _drawn(b, statistic, 1)
    return _interval(value - other, drawn - drawn_other)


def _drawn(sums: np.ndarray, statistic: Statistic, seed: int) -> tuple[float, np.ndarray]:
    """The estimate and its resamples; ``seed`` is of the draws of seeds."""
    seeds, episodes, _ = sums.shape
    of_seeds = np.concatenate(list(times_drawn(seeds, _RESAMPLES, 1 + seed))) / seeds  # [n seeds]
    of_episodes = np.concatenate(list(times_drawn(episodes, _RESAMPLES, 0))) / episodes  # [n episodes]
    by_seed = np.stack([statistic(of_episodes @ one) for one in sums], 1)  # [n seeds]
    estimate = float(np.mean([statistic(one.mean(0)) for one in sums]))
    return estimate, (of_seeds * by_seed).sum(1)


def _interval(estimate: float, drawn: np.ndarray) -> Interval:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(estimate, float(low), float(high))
