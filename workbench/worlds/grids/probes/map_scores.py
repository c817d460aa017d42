"""How good decoded maps are: per cell, per class, and how far off the agent and the goal are placed.

Cells of one layout are not independent, so intervals resample whole groups.  Everything is a function of confusion
matrices and of sums over states, which are added up per group once (``probes.cluster_sums``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from probes.cluster_sums import ClusterSums
from workbench.arguments import to_numpy
from workbench.errors import DataError
from workbench.statistics import Interval
from workbench.worlds.grids.probes.cells import CELLS, PADDING, cell_class, locate

_K = len(CELLS)


def map_scores(true: Any, proba: Any, groups: Any, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Scores of decoded maps: a table [metric, cell_class, padding, estimate, low, high].

    true: [states, size, size] numbers of ``CELLS``; proba: [states, size, size, len(CELLS)] as ``predict_proba`` gives
    it; groups: [states], resampled whole for 95% intervals.

    Metrics: ``accuracy``, ``balanced_accuracy`` (mean recall of the classes that occur), and of each class that occurs
    ``precision`` (0 where the class is never decoded), ``recall``, ``f1``.  They come twice: ``padding`` "with" counts
    every cell, "without" only cells inside their grid.  ``manhattan`` is the distance from the likeliest cell of "A"
    and of "G" to the nearest true one, averaged over the states that have one.  Raises :class:`DataError` for shapes
    that do not fit.

    >>> true = np.array([[[1, 2], [3, 0]], [[2, 1], [0, 3]]])
    >>> table = map_scores(true, np.eye(len(CELLS))[true], groups=[0, 1])
    >>> table[table.metric.isin(["accuracy", "manhattan"])].estimate.tolist()
    [1.0, 1.0, 0.0, 0.0]
    """
    maps, probabilities = _checked(true, proba)
    labels = np.asarray(to_numpy(groups))
    confusion = _confusion(maps, probabilities.argmax(-1))
    inside = confusion.copy()
    inside[:, PADDING] = 0
    rows: list[tuple[str, str, str, float, float, float]] = []
    for padding, counts in (("with", confusion), ("without", inside)):
        sums = ClusterSums(counts.reshape(len(maps), -1), labels, resamples, seed)
        present = sums.total.reshape(_K, _K).sum(1) > 0
        for metric, cell, statistic in _statistics(present):
            interval = sums.interval(statistic)
            rows.append((metric, cell, padding, interval.estimate, interval.low, interval.high))
    for cell in ("A", "G"):
        found = _manhattan(maps, probabilities, labels, cell, resamples, seed)
        rows += [] if found is None else [("manhattan", cell, "with", found.estimate, found.low, found.high)]
    return pd.DataFrame(rows, columns=["metric", "cell_class", "padding", "estimate", "low", "high"])


def _confusion(true: Int[np.ndarray, "states size size"], decoded: np.ndarray) -> Float[np.ndarray, "states k k"]:
    """Counts of (true class, decoded class) in each state."""
    state = np.arange(len(true))[:, None]
    flat = (state * _K + true.reshape(len(true), -1)) * _K + decoded.reshape(len(true), -1)
    return np.bincount(flat.ravel(), minlength=len(true) * _K * _K).reshape(len(true), _K, _K).astype(np.float64)


def _statistics(present: np.ndarray) -> list[tuple[str, str, Callable[[np.ndarray], np.ndarray]]]:
    """(metric, cell class, function of flat confusion matrices [..., k * k]) for the classes that occur."""

    def hits(c: np.ndarray) -> np.ndarray:
        return np.diagonal(c, axis1=-2, axis2=-1)

    def precisions(c: np.ndarray) -> np.ndarray:
        return hits(c) / np.maximum(c.sum(-2), 1)

    def recalls(c: np.ndarray) -> np.ndarray:
        return hits(c) / c.sum(-1)

    def f1s(c: np.ndarray) -> np.ndarray:
        return 2 * hits(c) / (c.sum(-1) + c.sum(-2))

    def flat(score: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
        return lambda sums: score(sums.reshape(*sums.shape[:-1], _K, _K))

    def one(scores: Callable[[np.ndarray], np.ndarray], k: int) -> Callable[[np.ndarray], np.ndarray]:
        return flat(lambda c: scores(c)[..., k])

    found = [
        ("accuracy", "", flat(lambda c: hits(c).sum(-1) / c.sum((-2, -1)))),
        ("balanced_accuracy", "", flat(lambda c: _mean_of_finite(recalls(c)))),
    ]
    for metric, scores in (("precision", precisions), ("recall", recalls), ("f1", f1s)):
        found += [(metric, CELLS[k], one(scores, k)) for k in np.flatnonzero(present).tolist()]
    return found


def _mean_of_finite(values: Float[np.ndarray, "... k"]) -> Float[np.ndarray, "..."]:
    finite = np.isfinite(values)
    return np.where(finite, values, 0.0).sum(-1) / finite.sum(-1)


def _manhattan(
    true: np.ndarray, proba: np.ndarray, groups: np.ndarray, cell: str, resamples: int, seed: int
) -> Interval | None:
    """Mean distance from the likeliest cell to the nearest true one; None where no state has such a cell."""
    here = true == cell_class(cell)  # [states, size, size]
    states = here.any((1, 2))
    if not states.any():
        return None
    size = true.shape[1]
    place = locate(proba[states], cell)  # [states, 2]
    along = np.abs(place[:, :, None] - np.arange(size))  # [states, 2, size]
    distance = along[:, 0, :, None] + along[:, 1, None, :]  # [states, size, size]
    nearest = np.where(here[states], distance, 2 * size).min((1, 2)).astype(np.float64)
    sums = ClusterSums(np.stack([nearest, np.ones_like(nearest)], 1), groups[states], resamples, seed)
    return sums.interval(lambda s: s[..., 0] / s[..., 1])


def _checked(true: Any, proba: Any) -> tuple[np.ndarray, np.ndarray]:
    maps, probabilities = np.asarray(to_numpy(true)), np.asarray(to_numpy(proba))
    if maps.ndim != 3 or not len(maps) or maps.dtype.kind not in "iu" or maps.min() < 0 or maps.max() >= _K:
        raise DataError(f"true maps are [states, size, size] numbers 0 to {_K - 1}; got {maps.dtype} {maps.shape}")
    if probabilities.shape != (*maps.shape, _K):
        raise DataError(f"proba has shape {probabilities.shape}; {(*maps.shape, _K)} is needed, as predict_proba gives")
    return maps, probabilities
