"""AUROC, recall at a rate of false positives and Spearman's correlation on many cluster resamples, exactly.

All take the data apart once and return a function of ``counts`` [resamples, clusters], how often each cluster occurs.
AUROC counts pairs: how many (positive of cluster a, negative of cluster b) are in the right order is a matrix M, and a
resample's share of such pairs is counts @ M @ counts over the same with all pairs.  Thresholds and ranks of a resample
are cumulative sums over the rows in their sorted order; of ranks there are two, and Spearman's correlation gets fewer
resamples.

Rows of different folds were scored by different fits, so ranks are compared within a fold only: pooled over folds, even
the share of positives in the training rows "predicts", being high where that of the test rows is low (Forman and Scholz
2010).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int

OnResamples: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""A score as a function of ``counts`` [resamples, clusters], giving [resamples]."""
_BLOCK = 2**20  # resampled rows held in memory at once


def auroc(
    scores: Float[np.ndarray, " rows"],
    positive: Bool[np.ndarray, " rows"],
    folds: Int[np.ndarray, " rows"],
    cluster_of: Int[np.ndarray, " rows"],
) -> OnResamples:
    """Share of (positive, negative) pairs of a fold in which the positive scores higher, ties counting half.

    ``cluster_of`` numbers the clusters from 0.  NaN where there is no pair.

    >>> one = auroc(np.array([0.1, 0.9]), np.array([False, True]), np.zeros(2), np.zeros(2, dtype=int))
    >>> one(np.ones((1, 1))).tolist()
    [1.0]
    """
    parts = []
    for fold in np.unique(folds):
        high, low = ((folds == fold) & side for side in (positive, ~positive))
        if high.any() and low.any():
            parts.append(_pairs(scores[high], cluster_of[high], scores[low], cluster_of[low]))

    def on(counts: Float[np.ndarray, "resamples clusters"]) -> Float[np.ndarray, " resamples"]:
        right, pairs = np.zeros(len(counts)), np.zeros(len(counts))
        for (highs, n_high), (lows, n_low), ordered in parts:
            right += ((counts[:, highs] @ ordered) * counts[:, lows]).sum(1)
            pairs += (counts[:, highs] @ n_high) * (counts[:, lows] @ n_low)
        with np.errstate(divide="ignore", invalid="ignore"):
            return right / pairs

    return on


def recall(
    fpr: float,
    scores: Float[np.ndarray, " rows"],
    positive: Bool[np.ndarray, " rows"],
    folds: Int[np.ndarray, " rows"],
    cluster_of: Int[np.ndarray, " rows"],
) -> OnResamples:
    """Share of the positives that are found where at most the share ``fpr`` of the negatives is taken for positive.

    A positive is found when no more than that share of its fold's negatives scores as high or higher: the threshold is
    the negatives', and each resample has its own.  With fewer than 1 / ``fpr`` negatives none may be taken for
    positive.  NaN where there is no positive, or no negative.

    >>> scores, positive = np.array([0.1, 0.2, 0.3, 0.9]), np.array([False, False, True, True])
    >>> one = recall(0.5, scores, positive, np.zeros(4), np.zeros(4, dtype=int))
    >>> one(np.ones((1, 1))).tolist()
    [1.0]
    """
    parts = []
    for fold in np.unique(folds):
        rows = np.flatnonzero(folds == fold)
        rows = rows[np.lexsort((positive[rows], -scores[rows]))]  # from the highest; of equals the negatives first
        found = np.flatnonzero(positive[rows])
        if len(found) and len(found) < len(rows):
            parts.append((cluster_of[rows], ~positive[rows], found))

    def block(counts: Float[np.ndarray, "resamples clusters"]) -> Float[np.ndarray, " resamples"]:
        hits, positives = np.zeros(len(counts)), np.zeros(len(counts))
        for clusters, negative, found in parts:
            mass = counts[:, clusters]  # [resamples, rows of the fold]
            above = (mass * negative).cumsum(1)  # negatives that score as high or higher
            whole, drawn = above[:, -1], mass[:, found]
            caught = above[:, found] <= fpr * whole[:, None] * (1 + 1e-12)
            hits += (drawn * caught).sum(1) * (whole > 0)
            positives += drawn.sum(1) * (whole > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            return hits / positives

    return _in_blocks(block, len(scores))


def spearman(
    truth: Float[np.ndarray, " rows"],
    predicted: Float[np.ndarray, " rows"],
    folds: Int[np.ndarray, " rows"],
    cluster_of: Int[np.ndarray, " rows"],
) -> OnResamples:
    """Rank correlation in each fold, averaged over folds by their rows.

    A constant prediction scores 0 (it ranks nothing; SciPy gives NaN); folds of constant truth are left out, and NaN
    is the score where all are.

    >>> one = spearman(np.array([1.0, 2.0, 3.0]), np.array([1.0, 8.0, 9.0]), np.zeros(3), np.zeros(3, dtype=int))
    >>> one(np.ones((1, 1))).tolist()
    [1.0]
    """
    parts = []
    for fold in np.unique(folds):
        rows = np.flatnonzero(folds == fold)
        parts.append((cluster_of[rows], _ranks_of(truth[rows]), _ranks_of(predicted[rows])))

    def block(counts: Float[np.ndarray, "resamples clusters"]) -> Float[np.ndarray, " resamples"]:
        total, rows = np.zeros(len(counts)), np.zeros(len(counts))
        for clusters, true_ranks, said_ranks in parts:
            mass = counts[:, clusters]  # [resamples, rows of the fold]
            true, said = true_ranks(mass), said_ranks(mass)
            true_spread, said_spread = (np.einsum("br,br,br->b", mass, ranks, ranks) for ranks in (true, said))
            product, scale = np.einsum("br,br,br->b", mass, true, said), np.sqrt(true_spread * said_spread)
            in_fold = mass.sum(1) * (true_spread > 0)
            total += in_fold * np.divide(product, scale, out=np.zeros(len(counts)), where=scale > 0)
            rows += in_fold
        with np.errstate(divide="ignore", invalid="ignore"):
            return total / rows

    return _in_blocks(block, len(truth))


def _in_blocks(score: OnResamples, n_rows: int) -> OnResamples:
    """``score`` of some resamples at a time, as memory allows."""
    step = max(1, _BLOCK // n_rows)
    return lambda counts: np.concatenate([score(counts[k : k + step]) for k in range(0, len(counts), step)])


def _pairs(
    high: Float[np.ndarray, " positives"], high_of: np.ndarray, low: Float[np.ndarray, " negatives"], low_of: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray], Float[np.ndarray, "highs lows"]]:
    """Clusters of either side with their numbers of rows, and how many of their pairs are in order, ties half."""
    highs, high_code, n_high = np.unique(high_of, return_inverse=True, return_counts=True)
    lows, low_code, n_low = np.unique(low_of, return_inverse=True, return_counts=True)
    rising = np.argsort(high)
    high, high_code = high[rising], high_code[rising]  # sorted queries make the searches fast
    ordered = np.empty((len(lows), len(highs)))
    by_cluster = low[np.lexsort((low, low_code))]
    for number, scores in enumerate(np.split(by_cluster, np.cumsum(n_low)[:-1])):
        below = np.searchsorted(scores, high, side="left") + np.searchsorted(scores, high, side="right")
        ordered[number] = np.bincount(high_code, below / 2, minlength=len(highs))
    return (highs, n_high), (lows, n_low), ordered.T


def _ranks_of(values: Float[np.ndarray, " rows"]) -> OnResamples:
    """Mid-ranks of the values where row i occurs mass[:, i] times, minus their mean; exact, being multiples of 1/2."""
    tie_of = np.unique(values, return_inverse=True)[1]
    order = np.argsort(tie_of, kind="stable")
    starts = np.flatnonzero(np.diff(tie_of[order], prepend=-1))  # first row of each distinct value

    def ranks(mass: Float[np.ndarray, "resamples rows"]) -> Float[np.ndarray, "resamples rows"]:
        ties = np.add.reduceat(mass[:, order], starts, axis=1)  # [resamples, distinct values]
        return (ties.cumsum(1) - ties / 2 - ties.sum(1, keepdims=True) / 2)[:, tie_of]

    return ranks
