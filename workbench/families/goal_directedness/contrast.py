"""The difference of two means whose rows may lie in the same clusters."""

from __future__ import annotations

import numpy as np

from probes.cluster_sums import ClusterSums
from workbench.statistics import Interval, cluster_bootstrap_difference

_DEFINED = 0.95  # of the resamples must hold rows of both sides


def contrast(values: np.ndarray, many: np.ndarray, few: np.ndarray, clusters: np.ndarray) -> Interval:
    """Mean of ``values`` [rows] where ``many`` less that where ``few`` (bool), with a cluster-bootstrap interval.

    Clusters with rows on both sides are drawn for both at once; where no cluster has, the sides are drawn apart.  NaN
    where a side is empty; NaN bounds where too few clusters are known.

    >>> values, clusters = np.array([1.0, 2.0, 5.0, 6.0]), np.array([0, 0, 1, 1])
    >>> print(contrast(values, np.array([False, True, False, True]), np.array([True, False, True, False]), clusters))
    1 [1, 1]
    """
    values = np.asarray(values, dtype=np.float64)
    if not many.any() or not few.any():
        return Interval(np.nan, np.nan, np.nan)
    if not np.intersect1d(clusters[many], clusters[few]).size:
        return cluster_bootstrap_difference(values[many], values[few], clusters[many], clusters[few], paired=False)
    kept = many | few
    columns = np.stack([values * many, many, values * few, few], axis=1)[kept]  # [rows 4]
    sums = ClusterSums(columns, clusters[kept])
    if sums.n_clusters < 2:
        return Interval(float(_difference(sums.total)), np.nan, np.nan)
    drawn = _difference(sums.resampled)
    defined = np.isfinite(drawn)
    low, high = np.quantile(drawn[defined], [0.025, 0.975]) if defined.mean() >= _DEFINED else (np.nan, np.nan)
    return Interval(float(_difference(sums.total)), float(low), float(high))


def _difference(sums: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(sums[..., 0] / sums[..., 1] - sums[..., 2] / sums[..., 3])
