"""Predictions of rows by fits that did not see them: checked data, and which rows each fit trains on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped
from numpy.typing import ArrayLike

from probes._fitting import checked_features, checked_labels, fit_clone, is_classifier, predictions_of
from probes.folds import group_folds, group_holdout
from probes.metrics import Predictions
from workbench.errors import DataError
from workbench.seeding import derive_seed

_ATTEMPTS = 20  # permutations tried until every training side holds two classes


@dataclass(frozen=True)
class Task:
    """Checked data and which rows each fit trains on and is tested on."""

    X: Float[np.ndarray, "rows ..."]
    y: Shaped[np.ndarray, " rows"]
    groups: np.ndarray
    classes: np.ndarray | None
    fold_of: Int[np.ndarray, " rows"]  # -1: never tested

    @classmethod
    def of(
        cls, probe: Any, X: Any, y: Any, groups: Any, folds: int | ArrayLike | None, holdout: float, seed: int
    ) -> Task:
        labels = checked_labels(y)
        group_of = checked_labels(groups, len(labels), "groups")
        features = checked_features(X, len(labels))
        classes = _checked_classes(labels, probe) if is_classifier(probe) else None
        strata = None if classes is None else labels
        if folds is None:
            fold_of = np.where(group_holdout(group_of, holdout, seed, strata), 0, -1)
        elif isinstance(folds, int | np.integer):
            fold_of = group_folds(group_of, int(folds), seed, strata)
        else:
            fold_of = _checked_folds(folds, group_of, strata)
        return cls(features, labels if classes is not None else _checked_numbers(labels), group_of, classes, fold_of)

    @classmethod
    def across(cls, probe: Any, X: Any, y: Any, groups: Any, test: Any) -> Task:
        """Fitted to these rows and tested on those of ``test``: (X, y, groups)."""
        if not isinstance(test, tuple | list) or len(test) != 3:
            raise DataError("test= takes an activation set beside an activation set, or (X, y, groups)")
        labels, others = checked_labels(y), checked_labels(test[1], what="y of test")
        features, far = checked_features(X, len(labels)), checked_features(test[0], len(others), "X of test")
        if features.shape[1:] != far.shape[1:]:
            raise DataError(f"X has rows of {list(features.shape[1:])} and X of test of {list(far.shape[1:])}")
        sides = ((groups, len(labels), "groups"), (test[2], len(others), "groups of test"))
        own, theirs = (np.unique(checked_labels(*side), return_inverse=True)[1] for side in sides)
        joined = checked_labels([*labels.tolist(), *others.tolist()])
        classes = _checked_classes(joined, probe) if is_classifier(probe) else None
        if classes is not None and (unseen := np.setdiff1d(classes, labels)).size:
            raise DataError(f"class {unseen[0].item()!r} of test is not in y: a probe cannot say what it has not seen")
        fold_of = np.repeat([-1, 0], [len(labels), len(others)])
        both = np.concatenate([features, far])
        group_of = np.concatenate([own, own.max() + 1 + theirs])
        return cls(both, joined if classes is not None else _checked_numbers(joined), group_of, classes, fold_of)

    @property
    def tested(self) -> Int[np.ndarray, " tested"]:
        return np.flatnonzero(self.fold_of >= 0)

    def splits(self) -> list[tuple[Int[np.ndarray, " train"], Int[np.ndarray, " test"]]]:
        folds = np.unique(self.fold_of[self.tested])
        return [(np.flatnonzero(self.fold_of != fold), np.flatnonzero(self.fold_of == fold)) for fold in folds]

    def out_of_fold(self, probe: Any, X: np.ndarray, y: np.ndarray) -> Predictions:
        """Predictions of the tested rows in their order, each by the fit that did not see its fold."""
        parts, rows = [], []
        for train, test in self.splits():
            fitted = fit_clone(probe, X[train], y[train], self.groups[train])
            parts.append(predictions_of(fitted, X[test], y[test], self.classes))
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


def _checked_classes(labels: np.ndarray, probe: Any) -> np.ndarray:
    if labels.dtype.kind == "f" and (labels % 1 != 0).any():
        part = labels[int((labels % 1 != 0).argmax())]
        raise DataError(f"y holds {part}, no class, and {type(probe).__name__} is a classifier: take a regressor")
    classes = np.unique(labels)
    if len(classes) < 2:
        raise DataError(f"y holds one class only, {classes[0].item()!r}: there is nothing to tell apart")
    return classes


def _checked_numbers(labels: np.ndarray) -> Float[np.ndarray, " rows"]:
    if labels.dtype.kind not in "fiub":
        raise DataError(f"y holds {labels[0]!r} and the like: a regressor needs numbers, a classifier takes labels")
    return labels.astype(np.float64)


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
