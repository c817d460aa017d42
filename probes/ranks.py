"""AUROC and Spearman's correlation of weighted rows, for many weightings at once.

A weight is how often a row occurs in a resample.  Scores are sorted once; each weighting then costs a few cumulative
sums.  Rows of different folds were scored by different fits, so ranks are compared within a fold only: pooled over
folds, even the share of positives in the training rows "predicts", being high where that of the test rows is low
(Forman and Scholz 2010).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, Shaped

__all__ = ["auroc", "spearman"]


def auroc(
    scores: Float[np.ndarray, " rows"],
    positive: Bool[np.ndarray, " rows"],
    folds: Int[np.ndarray, " rows"],
    weights: Float[np.ndarray, "resamples rows"],
) -> Float[np.ndarray, " resamples"]:
    """Share of (positive, negative) pairs of a fold in which the positive scores higher, ties counting half.

    NaN where there is no such pair.

    >>> auroc(np.array([0.1, 0.9]), np.array([False, True]), np.zeros(2), np.ones((1, 2))).tolist()
    [1.0]
    """
    order = np.lexsort((scores, folds))
    fold_starts, tie_starts = _starts(folds[order]), _starts(folds[order], scores[order])
    ordered, is_high = weights[:, order], positive[order]
    high = np.add.reduceat(ordered * is_high, tie_starts, axis=1)  # [resamples, ties]
    low = np.add.reduceat(ordered * ~is_high, tie_starts, axis=1)
    below = low.cumsum(1) - low / 2
    first_tie = np.searchsorted(tie_starts, fold_starts)
    highs, lows = (np.add.reduceat(part, first_tie, axis=1) for part in (high, low))  # [resamples, folds]
    fold_of_tie = np.searchsorted(fold_starts, tie_starts, side="right") - 1
    earlier = (lows.cumsum(1) - lows)[:, fold_of_tie]  # negatives of earlier folds do not count
    with np.errstate(divide="ignore", invalid="ignore"):
        return (high * (below - earlier)).sum(1) / (highs * lows).sum(1)


def spearman(
    truth: Float[np.ndarray, " rows"],
    predicted: Float[np.ndarray, " rows"],
    folds: Int[np.ndarray, " rows"],
    weights: Float[np.ndarray, "resamples rows"],
) -> Float[np.ndarray, " resamples"]:
    """Rank correlation in each fold, averaged over folds by their rows.

    A constant prediction scores 0 (it ranks nothing; SciPy gives NaN); folds of constant truth are left out, and NaN
    is the score where all are.

    >>> spearman(np.array([1.0, 2.0, 3.0]), np.array([1.0, 8.0, 9.0]), np.zeros(3), np.ones((1, 3))).tolist()
    [1.0]
    """
    total, rows = np.zeros(len(weights)), np.zeros(len(weights))
    for fold in np.unique(folds):
        inside = folds == fold
        mass = weights[:, inside]
        true, said = (_centred_ranks(values[inside], mass) for values in (truth, predicted))  # [resamples, rows]
        true_spread, said_spread = ((mass * ranks**2).sum(1) for ranks in (true, said))
        scale = np.sqrt(true_spread * said_spread)
        correlation = np.divide((mass * true * said).sum(1), scale, out=np.zeros(len(mass)), where=scale > 0)
        counts = mass.sum(1) * (true_spread > 0)
        total += correlation * counts
        rows += counts
    with np.errstate(divide="ignore", invalid="ignore"):
        return total / rows


def _centred_ranks(values: np.ndarray, mass: Float[np.ndarray, "resamples rows"]) -> Float[np.ndarray, ...]:
    """Mid-ranks where row i occurs mass[i] times, minus their mean.  Multiples of 1/2, hence exact: no spread is 0."""
    tie_of = np.unique(values, return_inverse=True)[1]
    order = np.argsort(tie_of, kind="stable")
    ties = np.add.reduceat(mass[:, order], _starts(tie_of[order]), axis=1)  # [resamples, distinct values]
    return (ties.cumsum(1) - ties / 2 - ties.sum(1, keepdims=True) / 2)[:, tie_of]


def _starts(*sorted_keys: Shaped[np.ndarray, " rows"]) -> Int[np.ndarray, " runs"]:
    """First index of each run of equal keys."""
    changes = np.any([keys[1:] != keys[:-1] for keys in sorted_keys], axis=0)
    return np.concatenate([[0], np.flatnonzero(changes) + 1])
