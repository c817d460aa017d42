"""Linear probes: logistic, ridge, mass-mean, linear discriminant, ridge regression.

Each is a scikit-learn estimator whose ``coef_`` and ``intercept_`` are in the units of the raw activations, whatever
was standardised for the fit, so ``X @ coef_.T + intercept_`` is its decision function anywhere.  All but the logistic
probe are functions of :class:`probes.moments.Moments`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import threadpool_limits

from probes._inputs import Array, to_tensor
from probes.discriminant import discriminant, score_slope, shrunk
from probes.fold_moments import FoldMoments, Task
from probes.moments import Moments
from probes.ridge_path import ALPHAS, RidgePath
from workbench.arguments import flag, refused, to_numpy
from workbench.errors import DataError

_FLOATS = [np.float64, np.float32]
_LEAST = 0.01  # the least score that counts as a probability, before normalising


class _Linear(BaseEstimator):
    """What linear probes share: validation, the affine map, directions, arrays for saving."""

    coef_: Array
    intercept_: Array

    _saved: tuple[str, ...] = ("coef_", "intercept_")

    def _rows(self, X: Any) -> Array:
        check_is_fitted(self)
        with refused("X"):
            return validate_data(self, to_numpy(X), dtype=_FLOATS, reset=False)

    def _affine(self, X: Any) -> Array:
        return self._rows(X) @ self.coef_.T + self.intercept_

    @property
    def direction_(self) -> Array:
        """Unit vector [features] along which the score rises (towards ``classes_[1]``); more than two classes: one unit
        row a class, of the weights centred over classes.  Zero weights stay zero."""
        check_is_fitted(self)
        weights = self.coef_ if len(self.coef_) == 1 else self.coef_ - self.coef_.mean(0)
        norms = np.linalg.norm(weights, axis=1, keepdims=True)
        unit = weights / np.where(norms > 0, norms, 1)
        return unit[0] if len(unit) == 1 else unit

    def _arrays(self) -> dict[str, Array]:
        check_is_fitted(self)
        return {name: np.asarray(getattr(self, name)) for name in self._saved}

    def _load_arrays(self, arrays: dict[str, Array]) -> None:
        for name in self._saved:
            setattr(self, name, arrays[name] if arrays[name].ndim else arrays[name].item())
        self.n_features_in_ = self.coef_.shape[1]


class _LinearClassifier(ClassifierMixin, _Linear):
    """Scores, labels and probabilities from an affine map."""

    classes_: Array

    _saved: tuple[str, ...] = ("coef_", "intercept_", "classes_")

    def decision_function(self, X: Any) -> Array:
        """Scores [rows] (two classes: positive for ``classes_[1]``) or [rows, classes]."""
        scores = self._affine(X)
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X: Any) -> Array:
        """The class with the highest score of each row."""
        scores = self._scores(X)
        return self.classes_[scores.argmax(axis=1)]

    def predict_proba(self, X: Any) -> Array:
        """Probabilities [rows, classes]: the softmax of the scores."""
        return softmax(self._scores(X), axis=1)

    def _scores(self, X: Any) -> Array:
        """One column a class; of two classes, half the decision and its negative."""
        scores = self._affine(X)
        return np.hstack([-scores / 2, scores / 2]) if scores.shape[1] == 1 else scores

    def _checked(self, X: Any, y: Any) -> tuple[Array, Array]:
        with refused("X and y"):
            X, y = validate_data(self, to_numpy(X), to_numpy(y), dtype=_FLOATS, ensure_min_samples=2)
            check_classification_targets(y)
        return X, y

    def _set_map(self, labels: Sequence[Any], weights: Array, bias: Array) -> None:
        """From weights [features, labels] and bias [labels], in any order of the labels."""
        if len(labels) < 2:
            raise DataError(f"a classifier cannot be fitted on one class: all rows are {labels[0]!r}")
        classes = np.asarray(labels)
        order = np.argsort(classes)
        self.classes_, weights, bias = classes[order], weights[:, order], bias[order]
        if len(order) == 2:
            weights, bias = weights[:, 1:] - weights[:, :1], bias[1:] - bias[:1]
        self.coef_, self.intercept_ = np.ascontiguousarray(weights.T), bias
        self.n_features_in_ = len(weights)


class LogisticProbe(_LinearClassifier):
    """Multinomial logistic regression on standardised features (scikit-learn's, L2 penalty).

    ``C``: inverse penalty on standardised weights; ``class_weight``: None or "balanced".  ``groups`` are ignored.

    >>> X, y = np.array([[0.0, 5.0], [1.0, 5.0], [10.0, 5.0], [11.0, 5.0]]), np.array(["low", "low", "high", "high"])
    >>> probe = LogisticProbe().fit(X, y)
    >>> probe.predict([[0.5, 5.0]]), probe.direction_
    (array(['low'], dtype='<U4'), array([-1.,  0.]))
    """

    def __init__(
        self, C: float = 1.0, class_weight: str | None = None, max_iter: int = 2000, tol: float = 1e-4
    ) -> None:
        self.C = C
        self.class_weight = class_weight
        self.max_iter = max_iter
        self.tol = tol

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Fit on X [rows, features] and labels y [rows]."""
        X, y = self._checked(X, y)
        scaler = StandardScaler().fit(X)
        inner = LogisticRegression(C=self.C, class_weight=self.class_weight, max_iter=self.max_iter, tol=self.tol)
        # One thread: its many small products are ten times slower when BLAS and torch threads compete.
        with refused("LogisticProbe"), threadpool_limits(1):
            inner.fit(scaler.transform(X), y)
        self.classes_, self.n_iter_ = inner.classes_, inner.n_iter_
        self.coef_ = inner.coef_.astype(np.float64) / scaler.scale_
        self.intercept_ = inner.intercept_ - self.coef_ @ scaler.mean_
        return self


class _MomentClassifier(_LinearClassifier):
    """A classifier that is a function of the moments of its rows."""

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Fit on X [rows, features] and labels y [rows]; ``groups`` are ignored."""
        X, y = self._checked(X, y)
        moments = FoldMoments(folds=1)
        moments.update(X, y)
        self._solve(moments.total, moments.labels)
        return self

    def _solve(self, total: Moments, labels: list[Any]) -> None:
        raise NotImplementedError


class LDAProbe(_MomentClassifier):
    """Linear discriminant analysis: Gaussian classes with one covariance, shrunk towards a multiple of the identity.

    ``shrinkage``: in [0, 1], or "oas" (Chen et al. 2010, which needs the covariance alone), on standardised features.
    Priors are the shares of the classes.  Equal to scikit-learn's ``LinearDiscriminantAnalysis(solver="lsqr")`` on
    standardised features.
    """

    def __init__(self, shrinkage: float | Literal["oas"] = "oas") -> None:
        self.shrinkage = shrinkage

    def _solve(self, total: Moments, labels: list[Any]) -> None:
        scale = total.spread
        scaled = total.scaled(scale)
        covariance = shrunk(scaled, self.shrinkage)
        weights, bias = discriminant(scaled, covariance, priors=True)
        self._set_map(labels, (weights / scale[:, None]).cpu().numpy(), bias.cpu().numpy())


class MassMeanProbe(_MomentClassifier):
    """Mass-mean probe: the difference of class means, the threshold half way (Marks and Tegmark, arXiv 2310.06824).

    Of two classes, ``coef_`` is exactly mean(class 1) - mean(class 0), so features are not standardised; of more, the
    nearest mean wins.  ``whiten`` multiplies by the inverse of the covariance within classes (their section 4.1, IID).
    Class shares have no influence.  ``predict_proba`` is the softmax of the scores times ``temperature_``, the slope
    that a linear discriminant on the scores would give them.

    >>> probe = MassMeanProbe().fit([[0.0, 0.0], [2.0, 0.0], [1.0, 4.0], [3.0, 4.0]], [0, 0, 1, 1])
    >>> probe.coef_, probe.decision_function([[1.5, 2.0]])
    (array([[1., 4.]]), array([0.]))
    """

    _saved = ("coef_", "intercept_", "classes_", "temperature_")

    def __init__(self, whiten: bool = False) -> None:
        self.whiten = whiten

    def predict_proba(self, X: Any) -> Array:
        """Probabilities [rows, classes]."""
        scores = self._scores(X)  # refuses a probe that is not fitted
        return softmax(self.temperature_ * scores, axis=1)

    def _solve(self, total: Moments, labels: list[Any]) -> None:
        covariance = shrunk(total, 0.0) if flag(self.whiten, "whiten") else None
        weights, bias = discriminant(total, covariance)
        self.temperature_ = score_slope(total, weights)
        self._set_map(labels, weights.cpu().numpy(), bias.cpu().numpy())


class _Ridge:
    """Penalties of a ridge regression, and the one that was taken."""

    def __init__(self, alphas: Sequence[float] = ALPHAS, folds: int = 5) -> None:
        self.alphas = alphas
        self.folds = folds

    def _fitted(self, X: Array, y: Array, groups: Any, task: Task) -> tuple[RidgePath, Array, Array]:
        path = RidgePath.of_rows(to_tensor(X), y, groups, task, self.alphas, self.folds)
        weights, bias = path.weights(path.best)
        self.alpha_ = float(path.alphas[path.best[0]])
        return path, weights[:, 0].cpu().numpy(), bias[0].cpu().numpy()


class RidgeProbe(_Ridge, _LinearClassifier):
    """Ridge regression on one-hot labels; the class with the highest score wins.

    ``alphas``: penalties of the squared norm of the standardised weights.  Of several, the one with the least squared
    error on held-out ``groups`` (dealt to ``folds``) is taken: ``alpha_``.  ``predict_proba``: the scores are
    least-squares estimates of the probabilities and sum to 1; they are cut off below at 0.01 and normalised.

    >>> probe = RidgeProbe(alphas=(1.0,)).fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
    >>> probe.predict([[0.4], [2.6]]), probe.direction_
    (array([0, 1]), array([1.]))
    """

    _saved = ("coef_", "intercept_", "classes_", "alpha_")

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Fit on X [rows, features] and labels y [rows]; rows of one group are held out together."""
        path, weights, bias = self._fitted(*self._checked(X, y), groups, "classification")
        self._set_map(path.labels, weights, bias)
        return self

    def predict_proba(self, X: Any) -> Array:
        """Probabilities [rows, classes]."""
        scores = self._scores(X)
        scores = scores + 0.5 if len(self.classes_) == 2 else scores
        kept = np.maximum(scores, _LEAST)
        return kept / kept.sum(axis=1, keepdims=True)


class RidgeRegressionProbe(_Ridge, RegressorMixin, _Linear):
    """Ridge regression of a number, with the penalty chosen as in :class:`RidgeProbe`.

    >>> probe = RidgeRegressionProbe(alphas=(0.0,)).fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
    >>> probe.predict([[10.0]]).round(6), probe.coef_.round(6)
    (array([21.]), array([[2.]]))
    """

    _saved = ("coef_", "intercept_", "alpha_")

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Fit on X [rows, features] and numbers y [rows]; rows of one group are held out together."""
        with refused("X and y"):
            X, y = validate_data(self, to_numpy(X), to_numpy(y), dtype=_FLOATS, y_numeric=True, ensure_min_samples=2)
        _, weights, self.intercept_ = self._fitted(X, y, groups, "regression")
        self.coef_ = weights.T.copy()
        return self

    def predict(self, X: Any) -> Array:
        """Numbers [rows]."""
        return self._affine(X)[:, 0]
