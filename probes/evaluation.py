"""How well a probe reads a property from rows it was not fitted on, beside what reads it without the model.

Every row is predicted by a fit that saw neither its group nor, if groups are merged with
:func:`~probes.folds.duplicate_groups`, its rendered state.  Controls are predicted on the same rows and folds, so the
difference probe minus control is paired; intervals resample whole clusters.  Intervals are those of the test rows given
the fits: they do not include what another training set would change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from probes._fitting import checked_features, checked_labels, fit_clone, is_classifier, predictions_of, take
from probes.controls import control_task_labels, majority_probe, random_features, shuffled_labels
from probes.folds import duplicate_groups, group_folds, group_holdout
from probes.metrics import (
    CLASSIFIER_METRICS,
    REGRESSOR_METRICS,
    Predictions,
    calibration_table,
    class_scores,
    resampled,
    score,
)
from workbench.errors import DataError, SpecError, did_you_mean
from workbench.seeding import derive_seed
from workbench.statistics import Interval

if TYPE_CHECKING:
    import pandas as pd
    from jaxtyping import Float, Int
    from numpy.typing import ArrayLike

__all__ = ["CONTROLS", "Evaluation", "duplicate_groups", "evaluate", "group_folds", "group_holdout"]

CONTROLS = ("majority", "shuffled", "random_features", "control_task")
_ATTEMPTS = 20  # permutations tried until every training side holds two classes


@dataclass(frozen=True)
class Evaluation:
    """What :func:`evaluate` found.

    ``table``: [control, metric, estimate, low, high, difference, difference_low, difference_high], control "none" being
    the probe itself; difference = probe minus control.  ``predictions``: [row, fold, y, predicted], of classes also
    [confidence, p_<class>...].  ``per_class``: [class, precision, recall, f1, support]; ``calibration``: [low, high,
    rows, confidence, accuracy]; both are empty for regressors.
    """

    table: pd.DataFrame
    predictions: pd.DataFrame
    per_class: pd.DataFrame
    calibration: pd.DataFrame

    def interval(self, metric: str, control: str = "none", difference: bool = False) -> Interval:
        """One line of the table; ``difference`` gives probe minus ``control``.  :class:`SpecError` if it is not there.

        The difference from "shuffled" or "control_task" is the probe's selectivity.
        """
        for column, name in (("metric", metric), ("control", control)):
            known = list(dict.fromkeys(self.table[column]))
            if name not in known:
                raise SpecError(f"the table has no {column} {name!r}{did_you_mean(name, known)}")
        row = self.table[(self.table["metric"] == metric) & (self.table["control"] == control)].iloc[0]
        names = ("difference", "difference_low", "difference_high") if difference else ("estimate", "low", "high")
        return Interval(*(float(row[name]) for name in names))


def evaluate(
    probe: Any,
    X: Any,
    y: ArrayLike,
    groups: ArrayLike,
    *,
    folds: int | ArrayLike | None = 5,
    seed: int = 0,
    clusters: ArrayLike | None = None,
    controls: Sequence[str] = ("majority", "shuffled"),
    control_features: Mapping[str, Any] | None = None,
    types: ArrayLike | None = None,
    holdout: float = 0.2,
    shuffles: int = 3,
    metrics: Sequence[str] | None = None,
    resamples: int = 2000,
) -> Evaluation:
    """Out-of-fold scores of ``probe`` and of its controls, with 95% intervals clustered by ``clusters``.

    probe: a scikit-learn classifier with ``predict_proba``, or a regressor; it is cloned for each fit.  X: [rows,
    features] (or [rows, positions, features] for probes that take it), NumPy or torch; y: [rows]; groups: [rows], never
    split.  folds: their number, the fold of each row (from :func:`~probes.folds.group_folds`, to share over probes), or
    None to test one held-out share ``holdout`` of the rows.  clusters: [rows], default ``groups``.

    Controls, all on the same rows and folds: "majority" (most frequent class of the training rows with class shares as
    probabilities; for regressors their mean), "shuffled" (labels permuted by
    :func:`~probes.controls.shuffled_labels`, fitted and tested on; mean over ``shuffles`` permutations),
    "random_features" (noise of X's covariance), "control_task" (random labels of each of ``types`` [rows], mean over
    ``shuffles``; Hewitt and Liang 2019), and each name of ``control_features`` (the same probe on other features of the
    same rows, for instance those of an untrained model, or ``X[other_rows(groups)]``).

    metrics: names of :func:`probes.metrics.score`, by default accuracy, balanced_accuracy, auroc, log_loss, ece or r2,
    mae, spearman.  resamples: of the bootstrap (300 at most for spearman).  A score undefined on more than 5%
    of the resamples has NaN bounds.

    Raises :class:`DataError` for data that are empty, misaligned, not finite or too few, :class:`SpecError` for unknown
    controls and metrics and for estimators of no use.

    >>> from sklearn.linear_model import LogisticRegression
    >>> rng = np.random.default_rng(0)
    >>> X, groups = rng.normal(size=(200, 3)), np.arange(200) // 10
    >>> result = evaluate(LogisticRegression(), X, X[:, 0] > 0, groups)
    >>> result.interval("accuracy").low > 0.9
    True
    >>> result.interval("accuracy", "shuffled", difference=True).low > 0.3
    True
    """
    task = _Task.of(probe, X, y, groups, folds, holdout, seed)
    metrics = metrics or (REGRESSOR_METRICS if task.classes is None else CLASSIFIER_METRICS)
    others = dict(control_features or {})
    wanted = _checked_controls(controls, others, types is not None)
    runs = {"none": [task.out_of_fold(probe, task.X, task.y)]}
    for name in wanted:
        runs[name] = _control_runs(name, task, probe, types, shuffles, seed)
    for name, features in others.items():
        features = checked_features(features, len(task.y), f"control_features[{name!r}]")
        runs[name] = [task.out_of_fold(probe, features, task.y)]
    of_rows = task.groups if clusters is None else checked_labels(clusters, len(task.y), "clusters")
    table = _table(runs, metrics, of_rows[task.tested], resamples, seed)
    return _evaluation(table, runs["none"][0], task)


@dataclass(frozen=True)
class _Task:
    """Checked data and which rows each fit trains on and is tested on."""

    X: Any
    y: np.ndarray
    groups: np.ndarray
    classes: np.ndarray | None
    fold_of: Int[np.ndarray, " rows"]  # -1: never tested

    @classmethod
    def of(
        cls, probe: Any, X: Any, y: Any, groups: Any, folds: int | ArrayLike | None, holdout: float, seed: int
    ) -> _Task:
        labels = checked_labels(y)
        group_of = checked_labels(groups, len(labels), "groups")
        features = checked_features(X, len(labels))
        classes = np.unique(labels) if is_classifier(probe) else None
        strata = None if classes is None else labels
        if folds is None:
            fold_of = np.where(group_holdout(group_of, holdout, seed, strata), 0, -1)
        elif isinstance(folds, int | np.integer):
            fold_of = group_folds(group_of, int(folds), seed, strata)
        else:
            fold_of = _checked_folds(folds, group_of, strata)
        return cls(features, labels if classes is not None else labels.astype(np.float64), group_of, classes, fold_of)

    @property
    def tested(self) -> Int[np.ndarray, " tested"]:
        return np.flatnonzero(self.fold_of >= 0)

    def splits(self) -> list[tuple[Int[np.ndarray, " train"], Int[np.ndarray, " test"]]]:
        folds = np.unique(self.fold_of[self.tested])
        return [(np.flatnonzero(self.fold_of != fold), np.flatnonzero(self.fold_of == fold)) for fold in folds]

    def out_of_fold(self, probe: Any, X: Any, y: np.ndarray) -> Predictions:
        """Predictions of the tested rows in their order, each by the fit that did not see its fold."""
        parts, rows = [], []
        for train, test in self.splits():
            fitted = fit_clone(probe, take(X, train), y[train], self.groups[train])
            parts.append(predictions_of(fitted, take(X, test), y[test], self.classes))
            rows.append(test)
        order = np.argsort(np.concatenate(rows))
        table = None if self.classes is None else np.concatenate([part.known_probabilities for part in parts])[order]
        truth, predicted = (
            np.concatenate([getattr(part, name) for part in parts])[order] for name in ("truth", "predicted")
        )
        return Predictions(truth, predicted, table, self.fold_of[self.tested])

    def labels_drawn(self, draw: Callable[[int], np.ndarray], *name: int | str) -> np.ndarray:
        """``draw(seed)`` such that every training side holds at least two classes."""
        for attempt in range(_ATTEMPTS):
            labels = draw(derive_seed(*name, attempt))
            if self.classes is None or all(len(np.unique(labels[train])) > 1 for train, _ in self.splits()):
                return labels
        raise DataError(f"control {name[1]!r}: its labels leave a training side with one class; leave this control out")


def _checked_folds(folds: ArrayLike, groups: np.ndarray, y: np.ndarray | None) -> Int[np.ndarray, " rows"]:
    labels = checked_labels(folds, len(groups), "folds")
    fold_of = np.unique(labels, return_inverse=True)[1]
    if fold_of.max() == 0:
        raise DataError("folds hold one fold only: there is nothing to train on")
    _, first, group_of = np.unique(groups, return_index=True, return_inverse=True)
    torn = np.flatnonzero(fold_of[first][group_of] != fold_of)
    if len(torn):
        raise DataError(f"folds split group {groups[torn[0]].item()!r}: give all of its rows one fold")
    for fold in range(int(fold_of.max()) + 1):
        missing = np.empty(0) if y is None else np.setdiff1d(y, y[fold_of != fold])
        if len(missing):
            raise DataError(f"class {missing[0].item()!r} occurs in fold {fold} only: its training side lacks it")
    return fold_of


def _checked_controls(controls: Sequence[str], others: Mapping[str, Any], has_types: bool) -> list[str]:
    if isinstance(controls, str):
        raise SpecError(f"controls={controls!r} must be a list of names, for instance ({controls!r},)")
    for name in controls:
        if name not in CONTROLS:
            raise SpecError(f"unknown control {name!r}{did_you_mean(name, CONTROLS)}")
    for name in others:
        if name in (*CONTROLS, "none"):
            raise SpecError(f"control_features may not be named {name!r}: that is the name of another row of the table")
    if "control_task" in controls and not has_types:
        raise SpecError("control 'control_task' needs types=, a label a row such as the token or the rendered state")
    return list(dict.fromkeys([*controls, *(["control_task"] if has_types else [])]))


def _control_runs(
    name: str, task: _Task, probe: Any, types: ArrayLike | None, shuffles: int, seed: int
) -> list[Predictions]:
    """The control's out-of-fold predictions, one for each time it was drawn."""
    if name == "majority":
        nothing = np.zeros((len(task.y), 1))
        return [task.out_of_fold(majority_probe(task.classes is not None), nothing, task.y)]
    if name == "random_features":
        noise = random_features(task.X, derive_seed(seed, name))
        return [task.out_of_fold(probe, noise, task.y)]
    if shuffles < 1:
        raise SpecError(f"shuffles={shuffles}: at least 1 is needed, or leave control {name!r} out")
    if name == "shuffled":
        draws = [lambda s: shuffled_labels(task.y, task.groups, s)] * shuffles
    else:
        kinds = checked_labels(types, len(task.y), "types")  # type: ignore[arg-type]  # _checked_controls saw to it
        draws = [lambda s: control_task_labels(kinds, task.y, s)] * shuffles
    labels = [task.labels_drawn(draw, seed, name, number) for number, draw in enumerate(draws)]
    return [task.out_of_fold(probe, task.X, drawn) for drawn in labels]


def _table(
    runs: Mapping[str, list[Predictions]], metrics: Sequence[str], clusters: np.ndarray, resamples: int, seed: int
) -> pd.DataFrame:
    import pandas as pd

    several = len(np.unique(clusters)) > 1
    rows = []
    for metric in metrics:
        estimate = {name: np.mean([score(metric, run) for run in said]) for name, said in runs.items()}
        spread = {
            name: np.mean([resampled(metric, run, clusters, resamples, seed) for run in said], axis=0)
            for name, said in runs.items()
        }
        for name in runs:
            row = {"control": name, "metric": metric, "estimate": estimate[name]}
            row["low"], row["high"] = _bounds(spread[name], several)
            row["difference"] = np.nan if name == "none" else estimate["none"] - estimate[name]
            row["difference_low"], row["difference_high"] = _bounds(
                spread["none"] - spread[name], several and name != "none"
            )
            rows.append(row)
    table = pd.DataFrame(rows)
    order = {name: number for number, name in enumerate(runs)}
    return table.sort_values("control", key=lambda names: names.map(order), kind="stable", ignore_index=True)


def _bounds(resampled_scores: Float[np.ndarray, " resamples"], several: bool) -> tuple[float, float]:
    """95% percentiles of the defined resamples; NaN with one cluster or with more than 5% undefined."""
    defined = np.isfinite(resampled_scores)
    if not several or defined.mean() < 0.95:
        return np.nan, np.nan
    low, high = np.quantile(resampled_scores[defined], [0.025, 0.975])
    return float(low), float(high)


def _evaluation(table: pd.DataFrame, said: Predictions, task: _Task) -> Evaluation:
    import pandas as pd

    columns: dict[str, Any] = {"row": task.tested, "fold": said.folds, "y": task.y[task.tested]}
    if task.classes is None:
        columns["predicted"] = said.predicted
        empty = pd.DataFrame()
        return Evaluation(table, pd.DataFrame(columns), empty, empty)
    columns |= {"predicted": task.classes[said.predicted], "confidence": said.confidence}
    columns |= {f"p_{label}": said.known_probabilities[:, code] for code, label in enumerate(task.classes)}
    return Evaluation(table, pd.DataFrame(columns), class_scores(said, task.classes), calibration_table(said))
