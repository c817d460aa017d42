"""How well scores detect: AUROC, and the share that is found at a few false positives, with intervals.

For scores from anywhere: a probe's, a projection's, another judge's.  :func:`probes.evaluate` gives the same of a probe
fitted in folds (metrics ``auroc``, ``recall@0.01``).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from probes._fitting import checked_labels
from probes.ranks import OnResamples, auroc, recall
from workbench.arguments import number, real_array
from workbench.errors import DataError, SpecError
from workbench.statistics import Interval, check_resamples, percentiles, times_drawn


def recall_at(
    scores: ArrayLike, positive: ArrayLike, fpr: float = 0.01, clusters: ArrayLike | None = None,
    resamples: int = 2000, seed: int = 0,
) -> Interval:  # fmt: skip
    """Share of the positives that score above all but a share ``fpr`` of the negatives, with its 95% interval.

    The threshold is taken from the negatives, anew on each resample of whole ``clusters``.  With fewer than 1 / ``fpr``
    negatives it is the highest of them.

    Args:
        scores: [rows], higher for what is more likely positive.
        positive: [rows] truth values.
        fpr: share of the negatives that may be taken for positive, between 0 and 1.
        clusters: [rows] what is resampled (a chat, a scenario); default: each row.
        resamples, seed: of the bootstrap.

    >>> print(recall_at([0.1, 0.2, 0.3, 0.25, 0.9], [False, False, False, True, True], fpr=0.01).estimate)
    0.5
    """
    rate = number(fpr, "fpr")
    if not 0 < rate < 1:
        raise SpecError(f"fpr {rate:g}: give a share of the negatives between 0 and 1, such as 0.01")
    return _interval(scores, positive, clusters, resamples, seed, partial(recall, rate))


def auroc_of(
    scores: ArrayLike, positive: ArrayLike, clusters: ArrayLike | None = None, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Area under the ROC curve of scores, with its 95% interval; arguments as :func:`recall_at`.

    >>> print(auroc_of([0.1, 0.2, 0.3, 0.25], [False, False, True, True]).estimate)
    1.0
    """
    return _interval(scores, positive, clusters, resamples, seed, auroc)


def _interval(
    scores: ArrayLike, positive: ArrayLike, clusters: ArrayLike | None, resamples: int, seed: int, kernel: Any
) -> Interval:
    values = real_array(scores, "scores").astype(np.float64)
    is_positive = checked_labels(positive, len(values), "positive").astype(bool)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise DataError(f"scores must be [rows] finite numbers, not {list(values.shape)}")
    if is_positive.all() or not is_positive.any():
        raise DataError("all rows are of one kind: scores are judged by positives and negatives")
    check_resamples(resamples)
    of_rows = np.arange(len(values)) if clusters is None else checked_labels(clusters, len(values), "clusters")
    names, cluster_of = np.unique(of_rows, return_inverse=True)
    on: OnResamples = kernel(values, is_positive, np.zeros(len(values), dtype=np.int64), cluster_of)
    drawn = np.concatenate([on(counts) for counts in times_drawn(len(names), resamples, seed)])
    estimate = float(on(np.ones((1, len(names))))[0])
    defined = drawn[np.isfinite(drawn)]
    return percentiles(estimate, defined, len(names) > 1 and len(defined) >= 0.95 * len(drawn), 0.95)
