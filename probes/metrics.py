"""Scores of out-of-fold predictions, each computable on thousands of cluster resamples at once.

A resample draws whole clusters with replacement, so it is a count for each cluster.  Most scores are functions of sums
over rows (hits, squared errors, hits in a confidence bin): those sums are taken once a cluster, and a resample is one
row of a matrix product.  AUROC is the same with sums over pairs of clusters, Spearman's correlation needs the ranks of
each resample (:mod:`probes.ranks`) and gets fewer of them.  No score is approximated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Shaped
from numpy.typing import ArrayLike
from scipy.sparse import csr_array
from sklearn.metrics import precision_recall_fscore_support

from probes.ranks import OnResamples, auroc, recall, spearman
from workbench.arguments import listed
from workbench.errors import DataError, SpecError, did_you_mean
from workbench.labels import label_array
from workbench.statistics import times_drawn

RANK_RESAMPLES = 300
_MANY_CLUSTERS = 2000  # above, AUROC too gets the fewer resamples: its cost grows with their square
_BINS = 10


@dataclass(frozen=True)
class Predictions:
    """What was true and what was said, on rows that the fit did not see.

    Of classes: ``truth`` and ``predicted`` [rows] are codes 0 .. classes-1 and ``probabilities`` is [rows, classes].
    Of numbers: ``truth`` and ``predicted`` are numbers and ``probabilities`` is None.  ``folds`` [rows] says which fit
    a row's prediction is from (None: one fit).  Raises :class:`DataError` when these do not fit together.

    >>> said = Predictions(truth=[0, 1, 1], predicted=[0, 1, 0], probabilities=[[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    >>> round(score("accuracy", said), 3), score("auroc", said)
    (0.667, 1.0)
    """

    truth: Shaped[np.ndarray, " rows"]
    predicted: Shaped[np.ndarray, " rows"]
    probabilities: Float[np.ndarray, "rows classes"] | None = None
    folds: Int[np.ndarray, " rows"] | None = None

    def __post_init__(self) -> None:
        kind = np.float64 if self.probabilities is None else np.int64
        folds = np.zeros(len(self.truth), dtype=np.int64) if self.folds is None else np.asarray(self.folds)
        values = {"truth": np.asarray(self.truth, kind), "predicted": np.asarray(self.predicted, kind), "folds": folds}
        n_rows = len(values["truth"])
        for name, array in values.items():
            if array.shape != (n_rows,) or n_rows == 0:
                raise DataError(f"{name} has shape {list(array.shape)}: give one value for each of {n_rows} rows")
            object.__setattr__(self, name, array)
        if self.probabilities is not None:
            table = np.asarray(self.probabilities, np.float64)
            codes = np.concatenate([values["truth"], values["predicted"]])
            if table.ndim != 2 or len(table) != n_rows or codes.min() < 0 or codes.max() >= table.shape[1]:
                raise DataError(f"probabilities are {list(table.shape)}: give {n_rows} rows and a column a class")
            object.__setattr__(self, "probabilities", table)

    @property
    def confidence(self) -> Float[np.ndarray, " rows"]:
        """Probability given to the predicted class."""
        return self.known_probabilities[np.arange(len(self.truth)), self.predicted]

    @property
    def known_probabilities(self) -> Float[np.ndarray, "rows classes"]:
        """``probabilities``; :class:`SpecError` for predictions of numbers."""
        if self.probabilities is None:
            raise SpecError("this score is of classes, and the predictions are numbers")
        return self.probabilities


def score(name: str, predictions: Predictions) -> float:
    """One score of all rows; of classes or of numbers by name.

    ``accuracy``; ``balanced_accuracy`` (mean recall of the classes that occur); ``auroc`` (binary, or one-vs-rest macro
    mean over the classes that occur; pairs within a fold); ``log_loss`` (nats, probabilities clipped to float64's
    epsilon as scikit-learn does); ``ece`` (expected calibration error, 10 equal bins of the predicted class'
    probability, exactly 1.0 in the last); ``brier`` (binary: mean squared error of one class' probability; else summed
    over classes); ``recall@0.01`` (share of the positives that is found where
    at most 1% of the negatives, or another share, is taken for positive; binary, or one-vs-rest as ``auroc``; within a
    fold); ``r2``; ``mae``; ``spearman`` (within folds, averaged by rows; 0 for a constant prediction).
    NaN where undefined: AUROC of one class, R2 and Spearman of constant truth.

    >>> score("mae", Predictions(truth=[1.0, 2.0], predicted=[1.0, 4.0]))
    1.0
    """
    ones = np.zeros(len(predictions.truth), dtype=np.int64)
    return float(_on(name, predictions, ones, 1)(np.ones((1, 1)))[0])


def resampled(
    name: str, predictions: Predictions, clusters: ArrayLike, resamples: int = 2000, seed: int = 0
) -> Float[np.ndarray, " resamples"]:
    """The score on each of the ``resamples`` of whole clusters.

    The same clusters and seed draw the same resamples whatever the predictions, and the same as
    :func:`workbench.statistics.cluster_bootstrap`, so differences of two calls are paired.

    Args:
        name: of the score, see :func:`score`.
        predictions: what was true and what was said.
        clusters: [rows].
        resamples: how many; spearman, and auroc of more than 2,000 clusters, stop at the first
            :data:`RANK_RESAMPLES` of them.
        seed: of the draws.

    Returns:
        The score on each resample, NaN where it is not defined.

    >>> said = Predictions(truth=[1.0, 2.0], predicted=[1.0, 4.0])
    >>> sorted(set(resampled("mae", said, clusters=["a", "b"]).tolist()))
    [0.0, 1.0, 2.0]
    """
    labels, cluster_of = np.unique(label_array(clusters, "clusters"), return_inverse=True)
    if cluster_of.shape != predictions.truth.shape:
        raise DataError(f"clusters have shape {list(cluster_of.shape)}: give one for each of the predicted rows")
    on = _on(name, predictions, cluster_of, len(labels))
    if name == "spearman" or (name == "auroc" and len(labels) > _MANY_CLUSTERS):
        resamples = min(resamples, RANK_RESAMPLES)
    return np.concatenate([on(counts) for counts in times_drawn(len(labels), resamples, seed)])


def class_scores(predictions: Predictions, classes: ArrayLike) -> pd.DataFrame:
    """Columns ``class``, ``precision``, ``recall``, ``f1`` (0 where undefined) and ``support``, a row a class."""
    names = np.asarray(classes)
    scores = precision_recall_fscore_support(
        predictions.truth, predictions.predicted, labels=np.arange(len(names)), zero_division=0.0
    )
    columns = dict(zip(("precision", "recall", "f1", "support"), scores, strict=True))
    return pd.DataFrame({"class": names, **columns})


def calibration_table(predictions: Predictions, bins: int = _BINS) -> pd.DataFrame:
    """Columns ``low``, ``high``, ``rows``, ``confidence``, ``accuracy``: means in equal bins [low, high) of confidence.

    The last bin includes 1.0; an empty bin has NaN means.  The ECE is the mean of |confidence - accuracy| over rows.
    """
    bin_of = _bin(predictions.confidence, bins)
    rows = np.bincount(bin_of, minlength=bins)
    sums = [np.bincount(bin_of, values, bins) for values in (predictions.confidence, _hits(predictions))]
    with np.errstate(invalid="ignore"):
        confidence, accuracy = (total / rows for total in sums)
    edges = np.arange(bins + 1) / bins
    return pd.DataFrame(
        {"low": edges[:-1], "high": edges[1:], "rows": rows, "confidence": confidence, "accuracy": accuracy}
    )


def check_metrics(names: Sequence[str], of_classes: bool) -> None:
    """Raise :class:`SpecError` unless ``names`` is a list of scores of classes, or of numbers."""
    names = listed(names, "metrics", ": give names, for instance ('accuracy',)")
    known = [name for name in (*_SUMS, *_RANKS) if (name in REGRESSOR_METRICS) != of_classes]
    for name in names:
        if name not in known and not (of_classes and _rate(name) is not None):
            if name in _SUMS or name in _RANKS or _rate(name) is not None:
                kinds = ("numbers", "classes") if of_classes else ("classes", "numbers")
                raise SpecError(f"{name!r} is of {kinds[0]}, the predictions are {kinds[1]}: use {', '.join(known)}")
            raise SpecError(f"unknown metric {name!r}{did_you_mean(name, known)}")


def _on(name: str, said: Predictions, cluster_of: Int[np.ndarray, " rows"], n_clusters: int) -> OnResamples:
    """The score as a function of the clusters' counts, with all that does not depend on them done."""
    check_metrics([name], said.probabilities is not None)
    if (rate := _rate(name)) is not None:
        return _one_vs_rest(partial(recall, rate), said, cluster_of)
    if name in _RANKS:
        return _RANKS[name](said, cluster_of)
    columns, combine = _SUMS[name]
    terms = columns(said)
    n_rows = len(terms)
    member = csr_array((np.ones(n_rows), (cluster_of, np.arange(n_rows))), shape=(n_clusters, n_rows))
    sums = member @ np.column_stack([terms, np.ones(n_rows)])  # [clusters, terms + 1]

    def on(counts: Float[np.ndarray, "resamples clusters"]) -> Float[np.ndarray, " resamples"]:
        total = counts @ sums
        with np.errstate(divide="ignore", invalid="ignore"):
            return combine(total[:, :-1], total[:, -1])

    return on


def _hits(said: Predictions) -> Float[np.ndarray, " rows"]:
    return (said.predicted == said.truth).astype(np.float64)


def _one_hot(codes: Int[np.ndarray, " rows"], n: int) -> Float[np.ndarray, "rows n"]:
    return (codes[:, None] == np.arange(n)).astype(np.float64)


def _bin(confidence: Float[np.ndarray, " rows"], bins: int) -> Int[np.ndarray, " rows"]:
    return np.clip(np.searchsorted(np.arange(bins + 1) / bins, confidence, side="right") - 1, 0, bins - 1)


def _recall_terms(said: Predictions) -> Float[np.ndarray, "rows twice_classes"]:
    true = _one_hot(said.truth, said.known_probabilities.shape[1])
    return np.hstack([true * _hits(said)[:, None], true])


def _mean_recall(sums: np.ndarray, _: np.ndarray) -> Float[np.ndarray, " resamples"]:
    hits, rows = np.split(sums, 2, axis=1)  # [resamples, classes] each
    return np.where(rows > 0, hits / rows, 0.0).sum(1) / (rows > 0).sum(1)


def _log_loss_terms(said: Predictions) -> Float[np.ndarray, " rows"]:
    epsilon = np.finfo(np.float64).eps
    return -np.log(np.clip(said.known_probabilities[np.arange(len(said.truth)), said.truth], epsilon, 1 - epsilon))


def _brier_terms(said: Predictions) -> Float[np.ndarray, " rows"]:
    squares = ((said.known_probabilities - _one_hot(said.truth, said.known_probabilities.shape[1])) ** 2).sum(1)
    return squares / 2 if said.known_probabilities.shape[1] == 2 else squares


def _gap_terms(said: Predictions) -> Float[np.ndarray, "rows bins"]:
    gaps = said.confidence - _hits(said)
    return gaps[:, None] * _one_hot(_bin(said.confidence, _BINS), _BINS)


def _r2_terms(said: Predictions) -> Float[np.ndarray, "rows 3"]:
    centred = said.truth - said.truth.mean()  # R2 does not change; the sums lose no digits
    return np.column_stack([centred, centred**2, (said.truth - said.predicted) ** 2])


def _r2(sums: np.ndarray, rows: np.ndarray) -> Float[np.ndarray, " resamples"]:
    spread = sums[:, 1] - sums[:, 0] ** 2 / rows
    return np.where(spread > 1e-12 * sums[:, 1], 1 - sums[:, 2] / spread, np.nan)


def _mean(sums: np.ndarray, rows: np.ndarray) -> Float[np.ndarray, " resamples"]:
    return sums[:, 0] / rows


def _rate(name: str) -> float | None:
    """The share of false positives that ``recall@SHARE`` names; None for another score."""
    head, at, share = str(name).partition("@")
    if head != "recall" or not at:
        return None
    try:
        rate = float(share)
    except ValueError:
        rate = np.nan
    if not 0 < rate < 1:
        raise SpecError(f"{name!r}: write the share of negatives taken for positive, such as recall@0.01 (1%)")
    return rate


def _one_vs_rest(score_of: Callable[..., OnResamples], said: Predictions, cluster_of: np.ndarray) -> OnResamples:
    """``score_of`` the second of two classes, or its mean over the classes that occur, each against the rest."""
    table, folds = said.known_probabilities, np.asarray(said.folds)
    classes = [1] if table.shape[1] == 2 else range(table.shape[1])
    of_classes = [score_of(table[:, c], said.truth == c, folds, cluster_of) for c in classes]

    def mean(counts: Float[np.ndarray, "resamples clusters"]) -> Float[np.ndarray, " resamples"]:
        scores = np.stack([of_class(counts) for of_class in of_classes])
        defined = np.isfinite(scores)
        with np.errstate(invalid="ignore"):
            return np.where(defined, scores, 0.0).sum(0) / defined.sum(0)

    return mean


def _auroc(said: Predictions, cluster_of: Int[np.ndarray, " rows"]) -> OnResamples:
    return _one_vs_rest(auroc, said, cluster_of)


def _spearman(said: Predictions, cluster_of: Int[np.ndarray, " rows"]) -> OnResamples:
    return spearman(said.truth, said.predicted, np.asarray(said.folds), cluster_of)


_Terms: TypeAlias = Callable[[Predictions], np.ndarray]
_Combine: TypeAlias = Callable[[np.ndarray, np.ndarray], np.ndarray]
_SUMS: dict[str, tuple[_Terms, _Combine]] = {
    "accuracy": (_hits, _mean),
    "balanced_accuracy": (_recall_terms, _mean_recall),
    "log_loss": (_log_loss_terms, _mean),
    "ece": (_gap_terms, lambda sums, rows: np.abs(sums).sum(1) / rows),
    "brier": (_brier_terms, _mean),
    "r2": (_r2_terms, _r2),
    "mae": (lambda said: np.abs(said.truth - said.predicted), _mean),
}
_RANKS: dict[str, Callable[[Predictions, np.ndarray], OnResamples]] = {"auroc": _auroc, "spearman": _spearman}
CLASSIFIER_METRICS = ("accuracy", "balanced_accuracy", "auroc", "log_loss", "ece")  # "brier" on demand
REGRESSOR_METRICS = ("r2", "mae", "spearman")
