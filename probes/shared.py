"""Probes of many targets that share one set of features, such as the cells of a map: one factorisation for all.

A probe for each target reads the same activations again and again.  ``SharedRidge`` factorises them once for all
targets and penalties; ``SharedLogistic`` descends for all targets together and ends where a logistic regression for
each would.  Targets may be constant, and need not have all labels.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from probes._inputs import Array, bad_row, softmax, to_numpy, to_tensor
from probes.fold_moments import FoldMoments
from probes.logistic_solver import solve
from probes.moments import spread_of
from probes.ridge_path import ALPHAS, RidgePath, span
from workbench.errors import DataError, SpecError

__all__ = ["SharedLogistic", "SharedRidge"]

_AT_ONCE = 2**25  # logits in memory at once; more targets are solved in turns


class _Shared(BaseEstimator):
    """Scores and labels of all targets from ``coef_`` [targets, labels, features] and ``intercept_``.

    ``classes_`` are the labels of all targets; ``present_`` [targets, labels] says which a target has.
    """

    coef_: Array
    intercept_: Array
    classes_: Array
    present_: Array

    _saved: tuple[str, ...] = ("coef_", "intercept_", "classes_", "present_")

    def _arrays(self) -> dict[str, Array]:
        check_is_fitted(self)
        return {name: getattr(self, name) for name in self._saved}

    def _load_arrays(self, arrays: dict[str, Array]) -> None:
        for name in self._saved:
            setattr(self, name, arrays[name])
        self.n_features_in_ = self.coef_.shape[2]

    def scores(self, X: Any) -> Array:
        """Scores [rows, targets, labels]; -inf for a label that the target never had."""
        check_is_fitted(self)
        X = np.asarray(to_numpy(X))
        X = X if X.dtype.kind == "f" else X.astype(np.float64)
        targets, labels, features = self.coef_.shape
        if X.ndim != 2 or X.shape[1] != features:
            raise DataError(f"X must be [rows, {features}] as in the fit, not {list(X.shape)}")
        flat = X @ self.coef_.reshape(-1, features).T.astype(X.dtype)
        found = flat.reshape(-1, targets, labels) + self.intercept_.astype(X.dtype)
        return found if self.present_.all() else np.where(self.present_, found, -np.inf)

    def predict(self, X: Any) -> Array:
        """The label with the highest score, [rows, targets]."""
        return self.classes_[self.scores(X).argmax(axis=2)]

    def score(self, X: Any, Y: Any) -> Array:
        """Accuracy of each target."""
        return (self.predict(X) == to_numpy(Y)).mean(axis=0)


class SharedRidge(_Shared):
    """Ridge regression on the one-hot labels of every target, for every penalty, from one eigendecomposition.

    The penalty of each target, ``alpha_`` [targets], is the one with the least squared error on held-out groups
    (``error_`` [alphas, targets]).  For each target the same fit as a :class:`probes.linear.RidgeProbe`.
    ``targets="values"`` regresses numbers instead: ``predict`` then gives numbers and ``classes_`` is empty.

    >>> X, Y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([[0, 7], [0, 7], [1, 7], [1, 7]])
    >>> SharedRidge(alphas=(1.0,)).fit(X, Y).predict([[0.2], [2.8]])
    array([[0, 7],
           [1, 7]])
    """

    _saved = ("coef_", "intercept_", "classes_", "present_", "alpha_")

    def __init__(
        self, alphas: Sequence[float] = ALPHAS, folds: int = 5, targets: Literal["classes", "values"] = "classes"
    ) -> None:
        self.alphas = alphas
        self.folds = folds
        self.targets = targets

    def fit(self, X: Any, Y: Any, groups: Any = None) -> Self:
        """Fit on X [rows, features] and Y [rows, targets]; rows of one group are held out together."""
        X, Y = _checked(X, Y)
        return self._take(RidgePath.of_rows(X, Y, groups, self.targets, self.alphas, self.folds))

    def fit_from_moments(self, moments: FoldMoments) -> Self:
        """Fit on rows that were only accumulated (see :mod:`probes.streaming`)."""
        if moments.targets != self.targets:
            raise SpecError(f"moments of {moments.targets} do not fit SharedRidge(targets={self.targets!r})")
        return self._take(RidgePath.of(moments, self.alphas))

    def at(self, alpha: int) -> SharedRidge:
        """The same fit with one penalty, number ``alpha`` of ``alphas``, for all targets."""
        check_is_fitted(self, "path_")  # which a loaded probe lacks
        other = SharedRidge((float(self.path_.alphas[alpha]),), self.folds, self.targets)
        other._set(self.path_, np.full(self.path_.n_targets, alpha))
        return other

    def predict(self, X: Any) -> Array:
        """Labels, or numbers, [rows, targets]."""
        return super().predict(X) if self.targets == "classes" else self.scores(X)[..., 0]

    def _take(self, path: RidgePath) -> Self:
        self.path_ = path
        self.error_ = path.error
        self._set(path, path.best)
        return self

    def _set(self, path: RidgePath, choice: Array) -> None:
        weights, intercept = path.weights(choice)
        classes = np.asarray(path.labels)
        order = np.argsort(classes) if self.targets == "classes" else slice(None)
        self.alpha_ = path.alphas.cpu().numpy()[choice]
        self.classes_ = classes[order] if self.targets == "classes" else classes
        self.coef_ = weights.permute(1, 2, 0).cpu().numpy()[:, order]
        self.intercept_ = intercept.cpu().numpy()[:, order]
        shares = path.total.mean_y.reshape(path.n_targets, -1).cpu().numpy()[:, order]
        self.present_ = shares > 0 if self.targets == "classes" else np.ones_like(shares, dtype=bool)
        self.n_features_in_ = self.coef_.shape[2]


class SharedLogistic(_Shared):
    """Multinomial logistic regression of every target, on standardised features, all at once.

    For each target the same minimum as a :class:`probes.linear.LogisticProbe` with that ``C``, ``class_weight`` (None
    or "balanced") and ``tol``; see :mod:`probes.logistic_solver`.  ``device`` None: that of X, if it is a tensor.

    >>> X, Y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([["a", "c"], ["a", "c"], ["b", "c"], ["b", "c"]])
    >>> SharedLogistic().fit(X, Y).predict_proba([[1.5]]).round(3).tolist()
    [[[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]]
    """

    def __init__(
        self,
        C: float = 1.0,
        class_weight: str | None = None,
        max_iter: int = 200,
        tol: float = 1e-4,
        device: str | torch.device | None = None,
    ) -> None:
        self.C = C
        self.class_weight = class_weight
        self.max_iter = max_iter
        self.tol = tol
        self.device = device

    def fit(self, X: Any, Y: Any, groups: Any = None) -> Self:
        """Fit on X [rows, features] and labels Y [rows, targets]; ``groups`` are ignored."""
        if not self.C > 0 or self.class_weight not in (None, "balanced"):
            raise SpecError(
                f"C must be positive and class_weight None or 'balanced', not {self.C}, {self.class_weight!r}"
            )
        X, Y = _checked(X, Y)
        X = X.to(self.device or X.device)
        codes, labels = pd.factorize(Y.ravel(), sort=True)
        self.classes_ = np.asarray(labels)
        numbers = torch.from_numpy(codes.reshape(Y.shape)).to(X.device)
        mean = X.double().mean(0)
        scale = spread_of(X.double().var(0, correction=0), mean)
        x = ((X - mean) / scale).float()
        rotation = span(x, torch.ones_like(x[0])) if len(x) < x.shape[1] else None
        weights, intercept, steps = self._solve(x if rotation is None else x @ rotation, numbers)
        if rotation is not None:
            weights = (rotation @ weights.flatten(1)).view(-1, *weights.shape[1:])
        raw = weights.permute(2, 1, 0).double() / scale
        self.coef_, self.intercept_ = raw.cpu().numpy(), (intercept.T - raw @ mean).cpu().numpy()
        self.n_iter_, self.n_features_in_ = steps.clamp(max=self.max_iter).cpu().numpy(), X.shape[1]
        return self

    def _solve(self, x: torch.Tensor, numbers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Weights [features, labels, targets], intercepts and steps, as many targets at once as memory allows."""
        n, k = len(x), len(self.classes_)
        parts = []
        present = []
        for y in numbers.split(max(1, _AT_ONCE // (n * k)), dim=1):
            counts = torch.zeros((k, y.shape[1]), device=x.device).scatter_add_(0, y, torch.ones_like(y, dtype=x.dtype))
            present.append(counts > 0)
            balance = n / (present[-1].sum(0) * counts.clamp(min=1))
            weights = balance.gather(0, y) if self.class_weight else None
            parts.append(solve(x, y, k, self.C, weights, self.max_iter, self.tol))
        self.present_ = torch.cat(present, dim=1).T.cpu().numpy()
        found = [torch.cat(each, dim=-1) for each in zip(*parts, strict=True)]
        if late := int((found[2] > self.max_iter).sum()):
            from sklearn.exceptions import ConvergenceWarning

            warnings.warn(f"{late} targets did not converge in {self.max_iter} steps", ConvergenceWarning, stacklevel=3)
        return found[0], found[1], found[2]

    def predict_proba(self, X: Any) -> Array:
        """Probabilities [rows, targets, labels]; 0 for a label that the target never had."""
        return softmax(self.scores(X))


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
