"""Two predictors on the same items: their difference with an interval, and a two-sided test.

An item recurs under several properties, so whole items are resampled (interval) or have the sign of their difference
flipped (test).  The test is exact but for the number of flips: its null is that the two are exchangeable on every item.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import DataError
from workbench.seeding import derive_seed
from workbench.statistics import cluster_bootstrap

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_FLIPS = 10_000
_BLOCK = 2**22


@dataclass(frozen=True)
class Contrast:
    """A paired difference of means, its 95% interval, the p-value of no difference (two-sided), and rows compared."""

    estimate: float
    low: float
    high: float
    p: float
    n: int


def contrast(a: ArrayLike, b: ArrayLike, clusters: ArrayLike, seed: int = 0) -> Contrast:
    """Mean of ``a`` less that of ``b`` ([rows] each, the same items), clusters [rows].

    >>> found = contrast([1, 1, 1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0, 0], range(8))
    >>> found.estimate, found.low, round(found.p, 2)
    (1.0, 1.0, 0.01)
    """
    difference = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    interval = cluster_bootstrap(difference, clusters, seed=seed)
    p = sign_flip_p(difference, clusters, seed)
    return Contrast(interval.estimate, interval.low, interval.high, p, len(difference))


def sign_flip_p(difference: ArrayLike, clusters: ArrayLike, seed: int = 0, flips: int = _FLIPS) -> float:
    """Two-sided p of mean zero: the share of sign flips of whole clusters whose sum is at least as far from zero.

    The data as they are count as one of the flips, so p is never zero.  Source: Phipson and Smyth (2010).

    >>> sign_flip_p([0.0, 0.0, 0.0], [0, 1, 2])
    1.0
    """
    values = np.asarray(difference, dtype=np.float64)
    labels = np.asarray(clusters)
    if values.ndim != 1 or values.shape != labels.shape or not len(values):
        raise DataError(f"a test needs one cluster a row: {values.shape} rows and {labels.shape} clusters")
    index = np.unique(labels, return_inverse=True)[1]
    sums = np.bincount(index, values)  # [clusters]
    sums = sums[sums != 0]  # flipping zero changes nothing
    rng = np.random.default_rng(derive_seed(seed, "sign flips"))
    far, step = 0, max(1, _BLOCK // max(1, len(sums)))
    for start in range(0, flips, step):
        signs = rng.integers(0, 2, size=(min(step, flips - start), len(sums)), dtype=np.int8) * 2.0 - 1.0
        far += int((np.abs(signs @ sums) >= abs(sums.sum()) - 1e-9).sum())
    return (1 + far) / (1 + flips)
