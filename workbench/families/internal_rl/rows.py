"""Tidy rows: one measure a row, with its interval over whole episodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.statistics import Interval, cluster_bootstrap, times_drawn, wilson

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["counted", "mean_by_episode", "mean_of", "row", "share_of"]

_RESAMPLES = 1000


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


def counted(sums: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray]) -> Interval:
    """An interval of ``statistic`` of sums over episodes, [episodes, columns] -> [..., columns] -> [...].

    >>> print(counted(np.array([[1.0, 2.0], [1.0, 2.0]]), lambda total: total[..., 0] / total[..., 1]))
    0.5 [0.5, 0.5]
    """
    drawn = np.concatenate(list(_resampled(sums, statistic)))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(float(statistic(sums.sum(0))), float(low), float(high))


def _resampled(sums: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray]) -> Iterator[np.ndarray]:
    for times in times_drawn(len(sums), _RESAMPLES, 0):
        yield statistic(times @ sums)
