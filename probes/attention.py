"""Attention-pooling probe: one learned query decides which of several positions of an episode to read.

Take the activations of the last p tokens instead of one.  The query scores each position, the softmax of the scores
averages the activations, and a linear head reads the average.  The weights say where the property is to be found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from probes._inputs import to_numpy
from probes.torch_probe import TorchClassifier, scaling
from probes.torch_training import check_training
from workbench.errors import DataError, SpecError

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor

__all__ = ["AttentionProbe"]


class AttentionProbe(TorchClassifier):
    """Softmax(x_p . q / sqrt(d)) over ``n_positions`` positions, then one linear layer; upsampling as in MLPProbe.

    X is [rows, n_positions * d], the activations of a row's positions one after the other (scikit-learn wants two
    axes).  A position whose features are all exactly 0 is padding and gets no weight, so rows may have fewer positions.
    Features are standardised over rows and positions together, so that the query meets all positions on equal terms.
    It starts from equal weights (q = 0), which is mean pooling.

    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(600, 3, 8)), rng.integers(0, 2, 600)
    >>> X[:, 2, 0] += 6 * (2 * y - 1)                              # the last of three positions tells
    >>> probe = AttentionProbe(n_positions=3, lr=1e-2).fit(X.reshape(600, 24), y)
    >>> probe.score(X.reshape(600, 24), y) > 0.9, probe.attention(X.reshape(600, 24)).shape
    (True, (600, 3))
    """

    def __init__(
        self,
        n_positions: int = 1,
        lr: float = 1e-2,
        weight_decay: float = 1e-2,
        epochs: int = 100,
        batch_size: int = 128,
        patience: int = 10,
        validation: float = 0.2,
        class_weight: str | dict[object, float] | None = "balanced",
        random_state: int = 0,
        device: str | None = None,
        progress: bool = False,
    ) -> None:
        self.n_positions = n_positions
        self.lr = lr
        self.weight_decay = weight_decay
        self.epochs = epochs
        self.batch_size = batch_size
        self.patience = patience
        self.validation = validation
        self.class_weight = class_weight
        self.random_state = random_state
        self.device = device
        self.progress = progress

    def attention(self, X: Any) -> Float[np.ndarray, "rows positions"]:
        """How much each position of a row counts; a row's weights sum to 1 and padding has none."""
        check_is_fitted(self)
        X = validate_data(self, to_numpy(X), dtype=np.float32, reset=False)
        with torch.no_grad():
            network = cast(_AttentionPooling, self.network_.cpu())
            return network.weights(self._standardised(X)).numpy()

    def _scaling(self, X: Float[np.ndarray, "rows features"]) -> tuple[np.ndarray, np.ndarray]:
        d = self._width(X.shape[1])
        positions = X.reshape(-1, d)
        filled = positions.any(-1)
        mean, scale = scaling(positions[filled] if filled.any() else positions)
        return np.tile(mean, self.n_positions), np.tile(scale, self.n_positions)

    def _standardised(self, X: np.ndarray) -> Float[Tensor, "rows features"]:
        """Padding is marked by NaN, since 0 is an ordinary value after standardising."""
        positions = X.reshape(len(X), self.n_positions, -1)
        empty = np.all(positions == 0, axis=-1)
        empty &= ~empty.all(1, keepdims=True)  # a row of nothing but zeros is read as it stands
        scaled = super()._standardised(X).reshape(positions.shape)
        scaled[torch.from_numpy(empty)] = torch.nan
        return scaled.flatten(1)

    def _network(self, n_features: int, n_outputs: int) -> nn.Module:
        return _AttentionPooling(self.n_positions, self._width(n_features), n_outputs)

    def _width(self, n_features: int) -> int:
        check_training(self)
        if self.n_positions < 1:
            raise SpecError(f"AttentionProbe: n_positions={self.n_positions} must be at least 1")
        if n_features % self.n_positions:
            raise DataError(
                f"X has {n_features} features, which n_positions={self.n_positions} does not divide: X is"
                " [rows, n_positions * d]"
            )
        return n_features // self.n_positions


class _AttentionPooling(nn.Module):
    def __init__(self, n_positions: int, d: int, n_outputs: int) -> None:
        super().__init__()
        self.n_positions = n_positions
        self.query = nn.Parameter(torch.zeros(d))
        self.head = nn.Linear(d, n_outputs)

    def forward(self, flat: Float[Tensor, "rows features"]) -> Float[Tensor, "rows outputs"]:
        x, empty = self._positions(flat)
        return self.head(torch.einsum("rp,rpd->rd", self._softmax(x, empty), x))

    def weights(self, flat: Float[Tensor, "rows features"]) -> Float[Tensor, "rows positions"]:
        return self._softmax(*self._positions(flat))

    def _positions(self, flat: Tensor) -> tuple[Float[Tensor, "rows positions d"], Bool[Tensor, "rows positions"]]:
        x = flat.unflatten(-1, (self.n_positions, -1))
        return x.nan_to_num(0.0), x[..., 0].isnan()

    def _softmax(self, x: Tensor, empty: Tensor) -> Float[Tensor, "rows positions"]:
        scores = x @ self.query / x.shape[-1] ** 0.5
        return scores.masked_fill(empty, -torch.inf).softmax(-1)
