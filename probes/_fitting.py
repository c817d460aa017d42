"""Fitting a clone of a probe on some rows and reading its predictions on others, in one form for every estimator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from probes._inputs import to_numpy
from probes.metrics import Predictions
from workbench.errors import DataError, SpecError

if TYPE_CHECKING:
    from jaxtyping import Int, Shaped
    from numpy.typing import ArrayLike

__all__ = ["checked_features", "checked_labels", "fit_clone", "is_classifier", "predictions_of", "take"]


def is_classifier(probe: Any) -> bool:
    """Whether ``probe`` is a classifier; :class:`SpecError` unless it is one with probabilities, or a regressor."""
    from sklearn.base import is_classifier, is_regressor

    tagged = hasattr(probe, "__sklearn_tags__")
    if tagged and is_regressor(probe):
        return False
    if not (tagged and is_classifier(probe)):
        raise SpecError(f"{type(probe).__name__} is neither a scikit-learn classifier nor a regressor")
    if not hasattr(probe, "predict_proba"):
        name = type(probe).__name__
        raise SpecError(f"{name} has no predict_proba: wrap it in sklearn.calibration.CalibratedClassifierCV")
    return True


def checked_features(X: Any, n_rows: int, what: str = "X") -> Any:
    """``X`` [rows, ...] as an array, or as the tensor it is; :class:`DataError` if empty, misaligned or not finite."""
    import torch

    features = X if isinstance(X, torch.Tensor) else np.asarray(X)
    if features.ndim < 2 or 0 in features.shape:
        raise DataError(f"{what} must be [rows, features] with at least one of each, not {list(features.shape)}")
    if len(features) != n_rows:
        raise DataError(f"{what} has {len(features)} rows and y has {n_rows}: give one label a row")
    if isinstance(features, torch.Tensor):
        finite = to_numpy(features.isfinite().flatten(1).all(1))
    else:
        finite = np.isfinite(features).reshape(n_rows, -1).all(1)
    if not finite.all():
        raise DataError(f"{what} is not finite at row {int(finite.argmin())}: drop such rows first")
    return features


def checked_labels(y: ArrayLike, n_rows: int | None = None, what: str = "y") -> Shaped[np.ndarray, " rows"]:
    """One label a row as an array; :class:`DataError` if empty, of another length, or NaN."""
    labels = np.asarray(to_numpy(y))
    if labels.ndim != 1 or labels.size == 0:
        raise DataError(f"{what} must be one value a row, [rows] with at least one row, not {list(labels.shape)}")
    if n_rows is not None and len(labels) != n_rows:
        raise DataError(f"{what} has {len(labels)} rows and y has {n_rows}: give one of each a row")
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise DataError(f"{what} is not finite at row {int(np.isfinite(labels).argmin())}: drop such rows first")
    return labels


def take(X: Any, rows: Int[np.ndarray, " taken"]) -> Any:
    """Rows of an array or of a tensor on any device."""
    if isinstance(X, np.ndarray):
        return X[rows]
    import torch

    return X[torch.from_numpy(rows).to(X.device)]


def fit_clone(probe: Any, X: Any, y: np.ndarray, groups: np.ndarray) -> Any:
    """A clone of ``probe`` fitted; ``groups`` are passed where ``fit`` takes them."""
    from sklearn.base import clone
    from sklearn.utils.validation import has_fit_parameter

    fitted = clone(probe)
    if has_fit_parameter(fitted, "groups"):
        return fitted.fit(X, y, groups=groups)
    return fitted.fit(X, y)


def predictions_of(fitted: Any, X: Any, y: np.ndarray, classes: np.ndarray | None) -> Predictions:
    """Predictions on ``X`` against ``y``; ``classes`` (sorted) become codes; those the fit did not see have p = 0."""
    said = np.asarray(to_numpy(fitted.predict(X)))
    if classes is None:
        return Predictions(y, said)
    table = np.zeros((len(y), len(classes)))
    table[:, np.searchsorted(classes, fitted.classes_)] = to_numpy(fitted.predict_proba(X))
    return Predictions(np.searchsorted(classes, y), np.searchsorted(classes, said), table)
