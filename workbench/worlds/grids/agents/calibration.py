"""Whether an agent's confidence is its accuracy: expected calibration error over the states it visited.

Confidence is the largest probability of pi_hat in a state, and a state is correct when that move is optimal.  States
are sorted into equal bins of confidence; the error is the mean gap between confidence and accuracy in a bin, weighted
by the states in it (arXiv 2602.08964; ten bins, a confidence of exactly 1 in the last).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from workbench.errors import DataError
from workbench.statistics import Interval, cluster_bootstrap
from workbench.worlds.episode_table import need_columns

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy.typing import ArrayLike

BINS = 10


def calibration_error(
    confidence: ArrayLike,
    correct: ArrayLike,
    clusters: ArrayLike,
    bins: int = BINS,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Expected calibration error with a 95% cluster-bootstrap interval.  confidence, correct, clusters: [states].

    >>> print(calibration_error([0.75, 0.75, 1.0, 1.0], [1, 0, 1, 1], [0, 0, 1, 1]).estimate)
    0.125
    """
    gaps, weights, labels = _by_cluster(confidence, correct, clusters, bins)
    table = np.column_stack([gaps, weights])  # [clusters, bins + 1]
    return cluster_bootstrap(
        table, labels, lambda rows: np.abs(rows[:, :-1].sum(0)).sum() / rows[:, -1].sum(), resamples, seed
    )


def _by_cluster(
    confidence: ArrayLike, correct: ArrayLike, clusters: ArrayLike, bins: int
) -> tuple[Float[np.ndarray, "clusters bins"], Int[np.ndarray, " clusters"], np.ndarray]:
    """Sum of confidence - correct in each bin, states, and label of each cluster: all that the error depends on."""
    sure, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    if not len(sure) or not (len(sure) == len(right) == len(np.asarray(clusters))):
        raise DataError("confidence, correct and clusters must be as long as one another, and not empty")
    labels, index = np.unique(np.asarray(clusters), return_inverse=True)
    gaps = np.zeros((len(labels), bins))
    np.add.at(gaps, (index, _bin(sure, bins)), sure - right)
    return gaps, np.bincount(index), labels


def _bin(confidence: np.ndarray, bins: int) -> Int[np.ndarray, " states"]:
    # Frequencies such as 0.3 come out of a mean a hair below or above an edge; they belong to the bin above it.
    return np.clip(np.floor(confidence * bins + 1e-9).astype(np.int64), 0, bins - 1)


def calibration_bins(states: pd.DataFrame, by: Sequence[str] = (), bins: int = BINS) -> pd.DataFrame:
    """The bins of a calibration plot: columns ``by``, ``bin``, ``low``, ``high``, mean ``confidence``, ``accuracy``
    (share correct), ``n`` states.  ``states`` as ``visited_states`` gives them."""
    need_columns(states, [*by, "confidence", "correct"], "calibration_bins")
    number = _bin(states["confidence"].to_numpy(dtype=np.float64), bins)
    groups = states.assign(bin=number, correct=states["correct"].astype(float)).groupby([*by, "bin"], sort=True)
    table = groups.agg(confidence=("confidence", "mean"), accuracy=("correct", "mean"), n=("correct", "size"))
    table = table.reset_index()
    table = table.assign(low=table["bin"] / bins, high=(table["bin"] + 1) / bins)
    return table[[*by, "bin", "low", "high", "confidence", "accuracy", "n"]]
