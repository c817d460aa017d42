"""How well a probe reads a property from rows it was not fitted on, beside what reads it without the model.

Every row is predicted by a fit that saw neither its group nor, if groups are merged with
:func:`~probes.folds.duplicate_groups`, its rendered state.  Controls are predicted on the same rows and folds, so the
difference probe minus control is paired; intervals resample whole clusters.  Intervals are those of the test rows given
the fits: they do not include what another training set would change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from probes._fitting import checked_features, checked_labels, is_classifier
from probes._joined import Joined
from probes._out_of_fold import Task
from probes.controls import control_task_labels, majority_probe, random_features, shuffled_labels
from probes.metrics import (
    CLASSIFIER_METRICS,
    REGRESSOR_METRICS,
    Predictions,
    calibration_table,
    check_metrics,
    class_scores,
    resampled,
    score,
)
from workbench.arguments import integer, listed, mapping
from workbench.errors import SpecError, check_known, did_you_mean
from workbench.seeding import derive_seed
from workbench.sites import Site
from workbench.statistics import Interval, check_resamples

CONTROLS = ("majority", "shuffled", "random_features", "control_task")


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
        return Interval.of(row, "difference" if difference else "estimate")


def evaluate(
    probe: Any,
    X: Any,
    y: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    *,
    site: Site | str | int | None = None,
    target: str | None = None,
    test: Any = None,
    folds: int | ArrayLike | None = 5,
    seed: int = 0,
    clusters: ArrayLike | str | None = None,
    controls: Sequence[str] = ("majority", "shuffled"),
    control_features: Mapping[str, Any] | None = None,
    types: ArrayLike | str | None = None,
    holdout: float = 0.2,
    shuffles: int = 3,
    metrics: Sequence[str] | None = None,
    resamples: int = 2000,
) -> Evaluation:
    """Out-of-fold scores of ``probe`` and of its controls, with 95% intervals clustered by ``clusters``.

    Controls are fitted and tested on the same rows and folds: "majority" (most frequent class of the training rows with
    class shares as probabilities; for regressors their mean), "shuffled" (labels permuted by
    :func:`~probes.controls.shuffled_labels`; mean over ``shuffles`` permutations), "random_features" (noise of X's
    covariance) and "control_task" (random labels of each of ``types``, mean over ``shuffles``; Hewitt and Liang 2019).

    Args:
        probe: a scikit-learn classifier with ``predict_proba``, or a regressor; it is cloned for each fit.
        X: [rows, features] (or [rows, positions, features] for probes that take it), NumPy or torch; or an
            ``ActivationSet`` or ``ActivationStore``, read at ``site`` with its label column ``target`` as y and its own
            groups.  Rows without that label, or read at attention sinks, are left out, with a warning.
        y: [rows] classes or numbers.
        groups: [rows], never split over folds.
        site: of a set or store; may be left out where it has one.
        target: the label column of a set or store.
        test: other rows, which are tested on and never fitted to, in place of folds: another set (read at the same site
            and target), or ``(X, y, groups)``.  ``clusters``, ``types`` and ``control_features`` are then of X's rows
            and, behind them, those of ``test``.  That nothing is in both is the caller's to see to.
        folds: their number, the fold of each row (from :func:`~probes.folds.group_folds`, to share over probes), or
            None to test one held-out share ``holdout`` of the rows.
        seed: of folds, controls and resamples.
        clusters: [rows] what is resampled, by default ``groups``; of a set also the name of a label column.
        controls: names of the controls above.
        control_features: more controls by name: the same probe on other features of the same rows, for instance those
            of an untrained model (a set of which may be given), or ``X[other_rows(groups)]``.
        types: [rows], for "control_task"; of a set also the name of a label column.
        holdout: share of the rows that is tested, for ``folds=None``.
        shuffles: how many times the labels of a control are drawn.
        metrics: names of :func:`probes.metrics.score`, by default accuracy, balanced_accuracy, auroc, log_loss, ece or
            r2, mae, spearman.
        resamples: of the bootstrap (300 at most for spearman).

    Returns:
        An :class:`Evaluation`.  A score undefined on more than 5% of the resamples has NaN bounds.  The ``row`` of a
        prediction counts the rows of X, of a set all of its rows.

    Raises:
        DataError: for data that are empty, misaligned, missing, not finite, of mixed kinds or too few.
        SpecError: for unknown controls, metrics that are not of the probe's kind, and estimators of no use.

    >>> from sklearn.linear_model import LogisticRegression
    >>> rng = np.random.default_rng(0)
    >>> X, groups = rng.normal(size=(200, 3)), np.arange(200) // 10
    >>> result = evaluate(LogisticRegression(), X, X[:, 0] > 0, groups)
    >>> result.interval("accuracy").low > 0.9
    True
    >>> result.interval("accuracy", "shuffled", difference=True).low > 0.3
    True

    Fitted to all of these rows and tested on others:

    >>> other = rng.normal(size=(100, 3)) + 1
    >>> carried = evaluate(LogisticRegression(), X, X[:, 0] > 0, groups, test=(other, other[:, 0] > 0, range(100)))
    >>> len(carried.predictions), carried.interval("auroc").low > 0.9
    (100, True)

    >>> from workbench.activations import ActivationSet
    >>> read = ActivationSet({"1.resid_post": X}, {"positive": X[:, 0] > 0}, groups)
    >>> evaluate(LogisticRegression(), read, target="positive").interval("accuracy").low > 0.9
    True
    """
    metrics = None if metrics is None else listed(metrics, "metrics", ": give names, for instance ('accuracy',)")
    check_metrics(metrics or (), is_classifier(probe))
    check_resamples(resamples)
    others = mapping(control_features, "control_features")
    wanted = _checked_controls(controls, others, types is not None)
    rows = None
    if hasattr(X, "xy"):
        joined = Joined.of(X, y, groups, site, target)
        folds, clusters, types = (joined.rows_of(value) for value in (folds, clusters, types))
        others = {name: joined.features(value) for name, value in others.items()}
        X, y, groups, rows = joined.X, joined.y, joined.groups, joined.rows
        if hasattr(test, "xy"):
            tested = joined.alongside(test)
            test, rows = (tested.X, tested.y, tested.groups), np.concatenate([rows, tested.rows])
    elif y is None or groups is None or site is not None or target is not None:
        raise SpecError("evaluate takes X, y and groups, or an activation set with site= and target=")
    task = (
        Task.of(probe, X, y, groups, folds, holdout, seed) if test is None else Task.across(probe, X, y, groups, test)
    )
    metrics = metrics or (REGRESSOR_METRICS if task.classes is None else CLASSIFIER_METRICS)
    of_rows = task.groups if clusters is None else checked_labels(clusters, len(task.y), "clusters")
    for name, features in others.items():
        others[name] = checked_features(features, len(task.y), f"control_features[{name!r}]")
    runs = {"none": [task.out_of_fold(probe, task.X, task.y)]}
    for name in wanted:
        runs[name] = _control_runs(name, task, probe, types, shuffles, seed)
    runs |= {name: [task.out_of_fold(probe, features, task.y)] for name, features in others.items()}
    table = _table(runs, metrics, of_rows[task.tested], resamples, seed)
    return _evaluation(table, runs["none"][0], task, np.arange(len(task.y)) if rows is None else rows)


def _checked_controls(controls: Sequence[str], others: Mapping[str, Any], has_types: bool) -> list[str]:
    controls = listed(controls, "controls", ": give names, for instance ('majority',)")
    for name in controls:
        check_known(name, CONTROLS, "control")
    for name in others:
        if name in (*CONTROLS, "none"):
            raise SpecError(f"control_features may not be named {name!r}: that is the name of another row of the table")
    if "control_task" in controls and not has_types:
        raise SpecError("control 'control_task' needs types=, a label a row such as the token or the rendered state")
    return list(dict.fromkeys([*controls, *(["control_task"] if has_types else [])]))


def _control_runs(
    name: str, task: Task, probe: Any, types: ArrayLike | None, shuffles: int, seed: int
) -> list[Predictions]:
    """The control's out-of-fold predictions, one for each time it was drawn."""
    if name == "majority":
        nothing = np.zeros((len(task.y), 1))
        return [task.out_of_fold(majority_probe(task.classes is not None), nothing, task.y)]
    if name == "random_features":
        noise = random_features(task.X, derive_seed(seed, name))
        return [task.out_of_fold(probe, noise, task.y)]
    shuffles = integer(shuffles, f"shuffles of control {name!r}", least=1)
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


def _evaluation(table: pd.DataFrame, said: Predictions, task: Task, rows: Int[np.ndarray, " rows"]) -> Evaluation:
    columns: dict[str, Any] = {"row": rows[task.tested], "fold": said.folds, "y": task.y[task.tested]}
    if task.classes is None:
        columns["predicted"] = said.predicted
        empty = pd.DataFrame()
        return Evaluation(table, pd.DataFrame(columns), empty, empty)
    columns |= {"predicted": task.classes[said.predicted], "confidence": said.confidence}
    columns |= {f"p_{label}": said.known_probabilities[:, code] for code, label in enumerate(task.classes)}
    return Evaluation(table, pd.DataFrame(columns), class_scores(said, task.classes), calibration_table(said))
