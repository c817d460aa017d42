"""Intervals and entropies: the numbers that a result is believed by.

Rows of one episode (or prompt, or seed) are not independent, so intervals resample whole clusters: over rows they would
be too narrow by a factor that grows with a cluster's rows.  The same seed gives the same interval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.arguments import flag, integer, number, real_array, shown
from workbench.errors import DataError, SpecError
from workbench.labels import label_array

if TYPE_CHECKING:
    from jaxtyping import Float, Int, Shaped
    from numpy.typing import ArrayLike

Statistic = Callable[[Any], Any]
# Draws held in memory at once: bounds memory, and being fixed keeps the random stream the same on every machine.
_BLOCK = 2**21


@dataclass(frozen=True)
class Interval:
    """An estimate and its confidence bounds (NaN bounds: the data cannot say).

    >>> print(Interval(0.5, 0.41234, 0.58766))
    0.5 [0.4123, 0.5877]
    """

    estimate: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.estimate:.4g} [{self.low:.4g}, {self.high:.4g}]"

    @classmethod
    def of(cls, row: Any, name: str = "estimate") -> Interval:
        """The interval in a row of a table (a mapping, Series or named tuple): columns ``estimate, low, high``, or
        ``name, name_low, name_high``.

        >>> Interval.of({"difference": 0.5, "difference_low": 0.25, "difference_high": 0.75}, "difference")
        Interval(estimate=0.5, low=0.25, high=0.75)
        """
        bounds = ("low", "high") if name == "estimate" else (f"{name}_low", f"{name}_high")
        get = row.__getitem__ if hasattr(row, "keys") else lambda column: getattr(row, column)
        return cls(*(float(get(column)) for column in (name, *bounds)))

    def text(self, digits: int = 2, sign: str = "") -> str:
        """As tables show it: fixed digits, ``sign`` "+" for differences; without bounds where there are none.

        >>> Interval(0.5, 0.25, 0.75).text(), Interval(0.5, 0.25, 0.75).text(1, "+")
        ('0.50 [0.25, 0.75]', '+0.5 [+0.2, +0.8]')
        >>> Interval(0.5, np.nan, np.nan).text()
        '0.50'
        """
        if np.isnan(self.estimate):
            return ""
        shown = [f"{number:{sign}.{digits}f}" for number in (self.estimate, self.low, self.high)]
        return shown[0] if np.isnan(self.low) else f"{shown[0]} [{shown[1]}, {shown[2]}]"


def cluster_bootstrap(
    values: ArrayLike,
    clusters: ArrayLike,
    statistic: Statistic = np.mean,
    resamples: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval:
    """Percentile interval of ``statistic(values)`` over resamples of whole clusters (Field and Welsh, 2007).

    Args:
        values: [rows] or [rows, columns], finite.
        clusters: [rows] labels, such as the episode or the prompt of each row.
        statistic: maps resampled values to one number; the default mean of [rows] is vectorised and takes milliseconds.
        resamples, seed: how many times the clusters are drawn with replacement, and the seed of the draws.
        confidence: share that the interval covers.

    Returns:
        The statistic of all values and its bounds, which are NaN with a single cluster or where the statistic is NaN on
        some resample.  Empty, unequally long or non-finite input raises a :class:`DataError`.

    >>> interval = cluster_bootstrap([1.0, 1.0, 3.0, 3.0], ["a", "a", "b", "b"])
    >>> print(interval)
    2 [1, 3]
    """
    sample = _Sample.of(values, clusters, statistic, "values")
    return percentiles(sample.estimate(), sample.bootstrap(resamples, [seed, 0]), sample.n_clusters > 1, confidence)


def cluster_bootstrap_difference(
    a: ArrayLike,
    b: ArrayLike,
    clusters_a: ArrayLike,
    clusters_b: ArrayLike,
    statistic: Statistic = np.mean,
    resamples: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
    paired: bool = True,
) -> Interval:
    """Percentile interval of ``statistic(a) - statistic(b)`` over resamples of whole clusters.

    Args:
        a, b, clusters_a, clusters_b: values of the two sides and the cluster of each of their rows.
        statistic, resamples, seed, confidence: those of :func:`cluster_bootstrap`.
        paired: draw the same clusters for both (the same prompts steered and unsteered, say), which needs the same
            labels on both sides; otherwise the two sides are drawn independently.

    Returns:
        The difference and its bounds, NaN as in :func:`cluster_bootstrap`.

    >>> print(cluster_bootstrap_difference([2.0, 5.0], [1.0, 4.0], [0, 1], [0, 1]))
    1 [1, 1]
    """
    first = _Sample.of(a, clusters_a, statistic, "a")
    second = _Sample.of(b, clusters_b, statistic, "b")
    if flag(paired, "paired"):
        _check_same_clusters(first.labels, second.labels)
    resampled = first.bootstrap(resamples, [seed, 0]) - second.bootstrap(resamples, [seed, 0 if paired else 1])
    enough = min(first.n_clusters, second.n_clusters) > 1
    return percentiles(first.estimate() - second.estimate(), resampled, enough, confidence)


def wilson(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Wilson's (1927) score interval of a proportion; :class:`DataError` unless 0 <= successes <= trials, trials > 0.

    It assumes independent trials: for outcomes that share an episode use :func:`cluster_bootstrap`.

    >>> print(wilson(8, 10))
    0.8 [0.4902, 0.9433]
    """
    _check_confidence(confidence)
    successes, trials = integer(successes, "wilson: successes"), integer(trials, "wilson: trials")
    if not (trials > 0 and 0 <= successes <= trials):
        raise DataError(f"wilson({successes}, {trials}): successes must lie in 0 to trials, and trials be at least 1")
    z2 = NormalDist().inv_cdf(0.5 + confidence / 2) ** 2
    p = successes / trials
    centre = (p + z2 / (2 * trials)) / (1 + z2 / trials)
    half = np.sqrt(z2 * (p * (1 - p) / trials + z2 / (4 * trials**2))) / (1 + z2 / trials)
    # At 0 and at all successes a bound is exactly 0 or 1; rounding would miss it.
    low = 0.0 if successes == 0 else float(centre - half)
    high = 1.0 if successes == trials else float(centre + half)
    return Interval(float(p), low, high)


def plugin_entropy(counts: ArrayLike) -> Float[np.ndarray, "..."]:
    """Entropy in nats of the frequencies ``counts / counts.sum(-1)``, clipped to [0, ln k].

    counts: [..., k], finite, not negative, at least one positive in each row (probabilities do as well as counts).
    Returns [...].  Raises :class:`DataError` naming the first row that has no counts: drop such rows first.

    >>> print(round(float(plugin_entropy([5, 5])), 4))
    0.6931
    >>> plugin_entropy([[3, 0], [0, 7]]).tolist()
    [0.0, 0.0]
    """
    table = _check_counts(counts)
    p = table / table.sum(-1, keepdims=True)  # [..., k]
    logs = np.log(p, where=p > 0, out=np.zeros_like(p))
    return np.clip(-(p * logs).sum(-1), 0.0, np.log(table.shape[-1])) + 0.0  # + 0.0 turns -0.0 into 0.0


def corrected_entropy(counts: ArrayLike) -> Float[np.ndarray, "..."]:
    """Miller-Madow entropy in nats: plug-in plus (categories seen - 1) / (2 * total), clipped to [0, ln k].

    counts: [..., k] whole numbers, as for :func:`plugin_entropy`; returns [...].  It removes the first-order bias of
    small samples; when one category alone was seen it stays 0.  Source: Miller (1955).

    >>> print(round(float(corrected_entropy([9, 1]) - plugin_entropy([9, 1])), 12))
    0.05
    """
    table = _check_counts(counts)
    if (table != np.floor(table)).any():
        raise DataError("corrected_entropy needs whole counts: the correction depends on how many draws there were")
    correction = ((table > 0).sum(-1) - 1) / (2 * table.sum(-1))
    return np.clip(plugin_entropy(table) + correction, 0.0, np.log(table.shape[-1]))


def times_drawn(n_clusters: int, resamples: int, seed: int) -> Iterator[Float[np.ndarray, "resamples clusters"]]:
    """How often each cluster is in each of the ``resamples`` of :func:`cluster_bootstrap`, a block at a time.

    >>> [times.sum(1).tolist() for times in times_drawn(3, resamples=2, seed=0)]
    [[3.0, 3.0]]
    """
    for draws in _draws(n_clusters, resamples, [seed, 0]):
        cells = draws + n_clusters * np.arange(len(draws))[:, None]
        yield np.bincount(cells.ravel(), minlength=draws.size).reshape(draws.shape).astype(np.float64)


def _draws(n_clusters: int, resamples: int, seed: list[int]) -> Iterator[Int[np.ndarray, "resamples clusters"]]:
    """Numbers of the clusters drawn in each of the ``resamples``, a block at a time."""
    check_resamples(resamples)
    rng, step = np.random.default_rng([integer(part, "seed", least=0) for part in seed]), max(1, _BLOCK // n_clusters)
    for start in range(0, resamples, step):
        yield rng.integers(0, n_clusters, size=(min(step, resamples - start), n_clusters), dtype=np.int32)


@dataclass(frozen=True)
class _Sample:
    """Values sorted by cluster, and how to compute the statistic on drawn clusters."""

    values: Float[np.ndarray, "rows ..."]
    labels: Shaped[np.ndarray, " clusters"]
    starts: Int[np.ndarray, " clusters_plus_1"]
    statistic: Statistic

    @classmethod
    def of(cls, values: ArrayLike, clusters: ArrayLike, statistic: Statistic, what: str) -> _Sample:
        table = real_array(values, what).astype(np.float64)
        if not callable(statistic):
            raise SpecError(f"statistic must be a function of resampled values, not {shown(statistic)}")
        if table.ndim == 0 or table.size == 0:
            raise DataError(f"{what} is empty: an interval needs at least one row")
        groups = label_array(clusters, f"the clusters of {what}")
        _check_rows(table, groups, what)
        labels, index, counts = np.unique(groups, return_inverse=True, return_counts=True)
        starts = np.concatenate([[0], np.cumsum(counts)])
        return cls(table[np.argsort(index, kind="stable")], labels, starts, statistic)

    @property
    def n_clusters(self) -> int:
        return len(self.labels)

    def estimate(self) -> float:
        return float(self.statistic(self.values))

    def bootstrap(self, resamples: int, seed: list[int]) -> Float[np.ndarray, " resamples"]:
        """The statistic on each resample; equal seeds and equal numbers of clusters draw the same clusters."""
        return np.concatenate([self.resampled(draws) for draws in _draws(self.n_clusters, resamples, seed)])

    def resampled(self, draws: Int[np.ndarray, "resamples clusters"]) -> Float[np.ndarray, " resamples"]:
        if self.statistic is np.mean and self.values.ndim == 1:
            sums, counts = np.add.reduceat(self.values, self.starts[:-1]), np.diff(self.starts)  # [clusters] each
            return sums[draws].sum(1) / counts[draws].sum(1)
        pieces = np.split(self.values, self.starts[1:-1])
        return np.array([float(self.statistic(np.concatenate([pieces[c] for c in draw]))) for draw in draws])


def percentiles(estimate: float, resampled: np.ndarray, enough: bool, confidence: float) -> Interval:
    """The interval between percentiles of ``resampled``; NaN bounds unless there are ``enough`` clusters."""
    _check_confidence(confidence)
    if not enough:
        return Interval(estimate, float("nan"), float("nan"))
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Interval(estimate, float(low), float(high))


def _check_rows(values: np.ndarray, clusters: np.ndarray, what: str) -> None:
    if clusters.shape != values.shape[:1]:
        raise DataError(f"{what} has {len(values)} rows but its clusters have shape {clusters.shape}: give one a row")
    bad = ~np.isfinite(values).reshape(len(values), -1).all(1)
    if bad.any():
        raise DataError(f"{what} is not finite at row {int(bad.argmax())}: drop or fill such rows first")


def check_resamples(resamples: int) -> None:
    """Raise :class:`SpecError` unless a bootstrap can have that many resamples."""
    integer(resamples, "resamples", least=1)


def _check_confidence(confidence: float) -> None:
    if not 0 < number(confidence, "confidence", 0, 1) < 1:
        raise DataError(f"confidence={confidence} must lie between 0 and 1, for instance 0.95")


def _check_same_clusters(a: np.ndarray, b: np.ndarray) -> None:
    odd = sorted(set(a.tolist()) ^ set(b.tolist()), key=str)
    if odd:
        raise DataError(f"paired=True but cluster {odd[0]!r} is on one side only: give both sides or use paired=False")


def _check_counts(counts: ArrayLike) -> Float[np.ndarray, "... k"]:
    table = real_array(counts, "counts").astype(np.float64)
    if table.ndim == 0 or table.shape[-1] == 0:
        raise DataError(f"counts have shape {table.shape}: the last axis must hold one number a category")
    bad = ~(np.isfinite(table) & (table >= 0)).all(-1) | ~(table.sum(-1) > 0)
    if bad.any():
        where = f" at row {np.argwhere(bad)[0].tolist()}" if bad.ndim else ""
        raise DataError(f"counts{where} must be finite, not negative and not all zero")
    return table
