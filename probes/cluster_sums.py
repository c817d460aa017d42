"""Cluster-bootstrap intervals of numbers that are made of sums.

Accuracy, recall, F1 and the like are functions of sums over rows (of a confusion matrix, say).  So the rows of a
cluster are added up once, and a resample of clusters is a weighted sum of those: thousands of resamples of many
statistics are one matrix product, where resampling the cells of a thousand maps would take minutes.  The clusters drawn
are those that ``workbench.statistics.cluster_bootstrap`` draws for the same seed, so the intervals are the same too.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from workbench.errors import DataError
from workbench.labels import label_array
from workbench.statistics import Interval, percentiles, times_drawn


class ClusterSums:
    """Sums [columns] over all rows and over each of the ``resamples`` of whole clusters; rows are [rows, columns].

    >>> sums = ClusterSums([[1.0, 1.0], [1.0, 1.0], [0.0, 2.0]], clusters=["a", "a", "b"])
    >>> print(sums.interval(lambda s: s[..., 0] / s[..., 1]))
    0.5 [0, 1]
    """

    def __init__(self, rows: ArrayLike, clusters: ArrayLike, resamples: int = 2000, seed: int = 0) -> None:
        table = np.asarray(rows, dtype=np.float64)
        if table.ndim != 2 or not len(table):
            raise DataError(f"there is nothing to sum in rows of shape {table.shape}: [rows, columns] are needed")
        labels = label_array(clusters, "clusters")
        if labels.shape != table.shape[:1]:
            raise DataError(f"clusters have shape {labels.shape} for {len(table)} rows: give one label a row")
        names, index = np.unique(labels, return_inverse=True)
        sums = np.zeros((len(names), table.shape[1]))
        np.add.at(sums, index, table)
        self.total: Float[np.ndarray, " columns"] = sums.sum(0)
        self.n_clusters = len(names)
        self.resampled: Float[np.ndarray, "resamples columns"] = np.concatenate(
            [times @ sums for times in times_drawn(len(names), resamples, seed)]
        )

    def interval(self, statistic: Callable[[np.ndarray], np.ndarray], confidence: float = 0.95) -> Interval:
        """``statistic`` maps sums [..., columns] to numbers [...]; NaN on a resample, or one cluster: NaN bounds."""
        with np.errstate(divide="ignore", invalid="ignore"):
            estimate, resampled = float(statistic(self.total)), statistic(self.resampled)
        return percentiles(estimate, resampled, self.n_clusters > 1, confidence)
