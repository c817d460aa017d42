"""Fitting a clone of a probe on some rows and reading its predictions on others, in one form for every estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
import sklearn.base
from jaxtyping import Shaped
from numpy.typing import ArrayLike
from sklearn.utils.validation import has_fit_parameter

from probes.metrics import Predictions
from workbench.arguments import as_array, to_numpy
from workbench.errors import DataError, SpecError
from workbench.labels import label_array


def is_classifier(probe: Any) -> bool:
    """Whether ``probe`` is a classifier; :class:`SpecError` unless it is one with probabilities, or a regressor."""
    if isinstance(probe, str | type):
        raise SpecError(f"{probe!r} is no estimator: make one, for instance probes.make_probe('logistic')")
    tagged = hasattr(probe, "__sklearn_tags__")
    if tagged and sklearn.base.is_regressor(probe):
        return False
    if not (tagged and sklearn.base.is_classifier(probe)):
        raise SpecError(f"{type(probe).__name__} is neither a scikit-learn classifier nor a regressor")
    if not hasattr(probe, "predict_proba"):
        name = type(probe).__name__
        raise SpecError(f"{name} has no predict_proba: wrap it in sklearn.calibration.CalibratedClassifierCV")
    return True


def checked_features(X: Any, n_rows: int, what: str = "X") -> Shaped[np.ndarray, "rows ..."]:
    """``X`` [rows, ...] as an array of numbers; :class:`DataError` if empty, misaligned, text, or not finite."""
    features = as_array(X, what)
    if features.ndim < 2 or 0 in features.shape:
        raise DataError(f"{what} must be [rows, features] with at least one of each, not {list(features.shape)}")
    if len(features) != n_rows:
        raise DataError(f"{what} has {len(features)} rows and y has {n_rows}: give one label a row")
    if features.dtype.kind not in "fiub":
        raise DataError(f"{what} must be numbers, not {features.dtype}: give activations, or encode what it holds")
    finite = np.isfinite(features).reshape(n_rows, -1).all(1)
    if not finite.all():
        raise DataError(f"{what} is not finite at row {int(finite.argmin())}: drop such rows first")
    return features


def checked_labels(y: ArrayLike, n_rows: int | None = None, what: str = "y") -> Shaped[np.ndarray, " rows"]:
    """One label a row as an array; :class:`DataError` as in :func:`workbench.labels.label_array`, or misaligned."""
    labels = label_array(y, what)
    if n_rows is not None and len(labels) != n_rows:
        raise DataError(f"{what} has {len(labels)} rows and y has {n_rows}: give one of each a row")
    return labels


def fit_clone(probe: Any, X: Any, y: np.ndarray, groups: np.ndarray) -> Any:
    """A clone of ``probe`` fitted; ``groups`` are passed where ``fit`` takes them."""
    fitted = sklearn.base.clone(probe)
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
