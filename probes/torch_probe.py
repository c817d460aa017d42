"""What the torch probes on plain rows share: standardisation, labels, training, prediction, arrays for saving.

A subclass names its network and its hyperparameters.  Features are standardised inside, so a probe takes raw
activations; the scaling is kept beside the network's weights and saved with them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float, Shaped
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn
from torch.nn import functional as F

from probes.torch_training import (
    balanced_weights,
    check_training,
    hold_out,
    load_network,
    network_arrays,
    resolve_device,
    seeded,
    shuffled,
    train,
)
from workbench.arguments import refused, to_numpy
from workbench.errors import DataError
from workbench.labels import label_array

_CHUNK = 8192  # rows that go through the network at a time when predicting


class TorchProbe(BaseEstimator):
    """Base of the torch probes on [rows, features]; subclasses give ``_network`` and the hyperparameters read here."""

    def _network(self, n_features: int, n_outputs: int) -> nn.Module:
        raise NotImplementedError

    def _train(
        self,
        X: Float[np.ndarray, "rows features"],
        targets: Shaped[Tensor, " rows"],
        n_outputs: int,
        loss: Callable[[Tensor, Tensor], Tensor],
        groups: Any,
        labels: np.ndarray | None = None,
        weights: np.ndarray | None = None,
    ) -> None:
        """Fit the network; ``loss(outputs, targets)`` gives one number a row, ``weights`` how often a row is drawn."""
        with refused("random_state"):
            seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        device = resolve_device(self.device)
        held = hold_out(row_groups(groups, len(X)), self.validation, seed, labels)
        self.mean_, self.scale_ = scaling(X)
        features, targets = self._standardised(X).to(device), targets.to(device)
        rows = torch.from_numpy(np.flatnonzero(~held)).to(device)
        out = torch.from_numpy(np.flatnonzero(held)).to(device)
        drawn = None if weights is None else torch.from_numpy(weights)

        def epoch() -> Any:
            for batch in shuffled(rows, self.batch_size, None if drawn is None else drawn[rows.cpu()]):
                yield loss(self.network_(features[batch]), targets[batch]).mean()

        def validate() -> float:
            parts = (loss(self.network_(features[part]), targets[part]) for part in out.split(_CHUNK))
            losses = torch.cat(list(parts)).double()
            share = torch.ones_like(losses) if drawn is None else drawn[out.cpu()].to(device)
            return float((losses * share).sum() / share.sum())

        with seeded(seed):
            self.network_ = self._network(X.shape[1], n_outputs).to(device)
            self._learn(epoch, validate if held.any() and (drawn is None or bool((drawn[held] > 0).any())) else None)

    def _learn(self, epoch: Callable[[], Any], validate: Callable[[], float] | None) -> None:
        """Train ``network_`` by the hyperparameters, and leave it on the CPU."""
        self.history_ = train(
            self.network_,
            epoch,
            validate,
            lr=self.lr,
            weight_decay=self.weight_decay,
            epochs=self.epochs,
            patience=self.patience,
            progress=self.progress,
        )
        self.network_ = self.network_.cpu().eval()

    def _standardised(self, X: np.ndarray) -> Float[Tensor, "rows features"]:
        return torch.from_numpy(((X - self.mean_) / self.scale_).astype(np.float32))

    def _outputs(self, X: Any, chunk: int = _CHUNK) -> Float[np.ndarray, "rows outputs"]:
        check_is_fitted(self)
        with refused("X"):
            X = validate_data(self, to_numpy(X), dtype=np.float32, reset=False)
        device = resolve_device(self.device)
        network = self.network_.to(device)
        with torch.no_grad():
            parts = [network(part.to(device)).cpu() for part in self._standardised(X).split(chunk)]
        return torch.cat(parts).numpy()

    def _arrays(self) -> dict[str, np.ndarray]:
        """Everything fitted, as named arrays (see ``probes.saving``)."""
        check_is_fitted(self)
        return {"mean": self.mean_, "scale": self.scale_} | network_arrays(self.network_)

    def _load_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        self.mean_, self.scale_ = arrays["mean"], arrays["scale"]
        self.n_features_in_ = len(self.mean_)
        with seeded(0):
            self.network_ = load_network(self._network(self.n_features_in_, self._n_outputs()), arrays)

    def _n_outputs(self) -> int:
        return 1


class TorchClassifier(ClassifierMixin, TorchProbe):
    """A classifier whose network gives one logit a class."""

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Fit on X [rows, features] and labels y [rows]; ``groups`` [rows] are held out whole for early stopping."""
        check_training(self)
        with refused("X and y"):
            X, y = validate_data(self, to_numpy(X), to_numpy(y), dtype=np.float32)
            check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(f"a classifier cannot be fitted on one class: all rows are {y[:1].tolist()[0]!r}")
        weights = balanced_weights(self.classes_, labels, self.class_weight)

        def loss(logits: Tensor, targets: Tensor) -> Tensor:
            return F.cross_entropy(logits, targets, reduction="none")

        self._train(X, torch.from_numpy(labels), len(self.classes_), loss, groups, labels, weights)
        return self

    def decision_function(self, X: Any) -> Float[np.ndarray, "rows ..."]:
        """Logits [rows, classes]; for two classes [rows], positive for ``classes_[1]``."""
        logits = self._outputs(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X: Any) -> Float[np.ndarray, "rows classes"]:
        """Class probabilities [rows, classes], in the order of ``classes_``."""
        check_is_fitted(self)
        return torch.from_numpy(self._outputs(X)).softmax(-1).numpy()

    def predict(self, X: Any) -> Shaped[np.ndarray, " rows"]:
        """The likeliest class of each row [rows]."""
        check_is_fitted(self)
        return self.classes_[self._outputs(X).argmax(-1)]

    def _arrays(self) -> dict[str, np.ndarray]:
        return super()._arrays() | {"classes": self.classes_}

    def _load_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        self.classes_ = arrays["classes"]
        super()._load_arrays(arrays)

    def _n_outputs(self) -> int:
        return len(self.classes_)


class TorchRegressor(RegressorMixin, TorchProbe):
    """A regressor that is trained on the standardised target with squared error."""

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Fit on X [rows, features] and numbers y [rows]; ``groups`` [rows] are held out whole for early stopping."""
        check_training(self)
        with refused("X and y"):
            X, y = validate_data(self, to_numpy(X), to_numpy(y), dtype=np.float32, y_numeric=True)
        y = y.astype(np.float64)
        self.target_mean_, self.target_scale_ = float(y.mean()), float(y.std()) or 1.0
        targets = torch.from_numpy(((y - self.target_mean_) / self.target_scale_).astype(np.float32))

        def loss(outputs: Tensor, numbers: Tensor) -> Tensor:
            return (outputs[:, 0] - numbers) ** 2

        self._train(X, targets, 1, loss, groups)
        return self

    def predict(self, X: Any) -> Float[np.ndarray, " rows"]:
        """The predicted number of each row [rows], in the units of y."""
        return self._outputs(X)[:, 0] * self.target_scale_ + self.target_mean_

    def _arrays(self) -> dict[str, np.ndarray]:
        return super()._arrays() | {"target": np.array([self.target_mean_, self.target_scale_])}

    def _load_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        self.target_mean_, self.target_scale_ = (float(number) for number in arrays["target"])
        super()._load_arrays(arrays)


def row_groups(groups: Any, n_rows: int) -> np.ndarray:
    """``groups`` as an array [rows], each row its own group when None; :class:`DataError` for another length."""
    if groups is None:
        return np.arange(n_rows)
    labels = label_array(groups, "groups")
    if labels.shape != (n_rows,):
        raise DataError(f"groups have shape {labels.shape} for {n_rows} rows: give one label a row")
    return labels


def scaling(X: Float[np.ndarray, "rows features"]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each feature, float64; a constant feature gets scale 1.

    >>> scaling(np.array([[0.0, 7.0], [2.0, 7.0]]))
    (array([1., 7.]), array([1., 1.]))
    """
    wide = X.astype(np.float64)
    mean, scale = wide.mean(0), wide.std(0)
    # A float32 constant has a standard deviation of rounding errors, not of exactly 0.
    scale[scale <= 1e-7 * np.maximum(np.abs(mean), 1e-30)] = 1.0
    return mean, scale
