"""Ridge regression of many targets that share one set of features, such as the steps of a plan or the cells of a map.

A probe for each target reads the same activations again and again; ``SharedRidge`` factorises them once for all targets
and penalties.  Targets may be constant, and need not have all labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from einops import rearrange
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from probes._inputs import Array, bad_row, to_tensor
from probes.fold_moments import Task
from probes.ridge_path import ALPHAS, RidgePath
from workbench.arguments import to_numpy
from workbench.errors import DataError


class SharedRidge(BaseEstimator):
    """Ridge regression on the one-hot labels of every target, for every penalty, from one eigendecomposition.

    The penalty of each target, ``alpha_`` [targets], is the one with the least squared error on held-out groups
    (``error_`` [alphas, targets]).  For each target the same fit as a :class:`probes.linear.RidgeProbe`.
    ``coef_`` is [targets, labels, features]; ``classes_`` are the labels of all targets, and ``present_`` [targets,
    labels] says which a target has.  ``task="regression"`` regresses numbers instead: ``predict`` then gives numbers
    and ``classes_`` is empty.

    >>> X, Y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([[0, 7], [0, 7], [1, 7], [1, 7]])
    >>> SharedRidge(alphas=(1.0,)).fit(X, Y).predict([[0.2], [2.8]])
    array([[0, 7],
           [1, 7]])
    """

    coef_: Array
    intercept_: Array
    classes_: Array
    present_: Array

    _saved = ("coef_", "intercept_", "classes_", "present_", "alpha_")

    def __init__(self, alphas: Sequence[float] = ALPHAS, folds: int = 5, task: Task = "classification") -> None:
        self.alphas = alphas
        self.folds = folds
        self.task = task

    def fit(self, X: Any, Y: Any, groups: Any = None) -> Self:
        """Fit on X [rows, features] and Y [rows, targets]; rows of one group are held out together."""
        X, Y = _checked(X, Y)
        path = RidgePath.of_rows(X, Y, groups, self.task, self.alphas, self.folds)
        weights, intercept = path.weights(path.best)
        classes = np.asarray(path.labels)
        classify = self.task == "classification"
        order = np.argsort(classes) if classify else slice(None)
        self.error_ = path.error
        self.alpha_ = path.alphas.cpu().numpy()[path.best]
        self.classes_ = classes[order] if classify else classes
        self.coef_ = rearrange(weights.cpu().numpy(), "d targets columns -> targets columns d")[:, order]
        self.intercept_ = intercept.cpu().numpy()[:, order]
        shares = path.total.mean_y.reshape(path.n_targets, -1).cpu().numpy()[:, order]
        self.present_ = shares > 0 if classify else np.ones_like(shares, dtype=bool)
        self.n_features_in_ = self.coef_.shape[2]
        return self

    def scores(self, X: Any) -> Array:
        """Scores [rows, targets, labels]; -inf for a label that the target never had."""
        check_is_fitted(self)
        X = np.asarray(to_numpy(X))
        X = X if X.dtype.kind == "f" else X.astype(np.float64)
        targets, _, features = self.coef_.shape
        if X.ndim != 2 or X.shape[1] != features:
            raise DataError(f"X must be [rows, {features}] as in the fit, not {list(X.shape)}")
        flat = X @ rearrange(self.coef_, "targets labels d -> (targets labels) d").T.astype(X.dtype)
        found = rearrange(flat, "rows (targets labels) -> rows targets labels", targets=targets)
        found = found + self.intercept_.astype(X.dtype)
        return found if self.present_.all() else np.where(self.present_, found, -np.inf)

    def predict(self, X: Any) -> Array:
        """The label with the highest score, or the number, [rows, targets]."""
        scores = self.scores(X)
        return self.classes_[scores.argmax(axis=2)] if self.task == "classification" else scores[..., 0]

    def score(self, X: Any, Y: Any) -> Array:
        """Accuracy of each target."""
        return (self.predict(X) == to_numpy(Y)).mean(axis=0)

    def _arrays(self) -> dict[str, Array]:
        check_is_fitted(self)
        return {name: getattr(self, name) for name in self._saved}

    def _load_arrays(self, arrays: dict[str, Array]) -> None:
        for name in self._saved:
            setattr(self, name, arrays[name])
        self.n_features_in_ = self.coef_.shape[2]


def _checked(X: Any, Y: Any) -> tuple[torch.Tensor, Array]:
    """X as a floating-point tensor, Y as an array; :class:`DataError` unless they are tables of the same rows."""
    X, Y = to_tensor(X), np.asarray(to_numpy(Y))
    if X.ndim != 2 or Y.ndim != 2 or len(X) != len(Y) or 0 in (*X.shape, *Y.shape):
        raise DataError(f"X must be [rows, features] and Y [rows, targets], not {list(X.shape)} and {list(Y.shape)}")
    X = X if X.dtype in (torch.float32, torch.float64) else X.float()
    if (row := bad_row(X)) is not None:
        raise DataError(f"activations are not finite at row {row}")
    if pd.isna(Y).any():
        raise DataError(f"targets are missing or NaN at row {int(pd.isna(Y).any(axis=1).argmax())}")
    return X, Y
