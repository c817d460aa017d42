"""Multi-layer perceptron probes: what can be read off an activation without asking for a straight line.

Two hidden layers of 512 and 256 units, ReLU, dropout 0.1, AdamW (arXiv 2602.08964).  A probe this strong can also learn
from noise, so read its score beside that of the same probe on shuffled labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from probes.torch_probe import TorchClassifier, TorchRegressor


@dataclass(eq=False, repr=False)  # scikit-learn's own
class _Perceptron:
    hidden: Sequence[int] = (512, 256)
    dropout: float = 0.1
    lr: float = 1e-3
    weight_decay: float = 1e-2
    epochs: int = 100
    batch_size: int = 128
    patience: int = 10
    validation: float = 0.2
    random_state: int = 0
    device: str | None = None
    progress: bool = False

    def _network(self, n_features: int, n_outputs: int) -> nn.Module:
        return perceptron(n_features, self.hidden, n_outputs, self.dropout)


@dataclass(eq=False, repr=False)
class MLPProbe(_Perceptron, TorchClassifier):
    """Classifier with hidden layers; rare classes are upsampled, training stops early on held-out groups.

    Source: arXiv 2602.08964, probes (512 and 256 units, ReLU, dropout 0.1, AdamW, upsampling).

    Args:
        hidden: widths of the layers.
        dropout: share of the hidden units left out at a time.
        lr, weight_decay: of AdamW.
        epochs: at most so many passes over the rows.
        batch_size: rows a step.
        patience: epochs without progress after which training stops.
        validation: share of the rows, in whole groups, held out to see that.
        class_weight: "balanced" (upsampling), a dict class -> weight, or None.
        random_state: the same gives the same weights.
        device: by default CUDA where there is one.
        progress: whether to draw a bar.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(400, 2))
    >>> y = np.where(X[:, 0] * X[:, 1] > 0, "same", "other")      # no straight line tells these apart
    >>> probe = MLPProbe(hidden=(32,), lr=1e-2, epochs=50).fit(X, y)
    >>> probe.score(X, y) > 0.9
    True
    """

    class_weight: str | dict[object, float] | None = "balanced"


class MLPRegressionProbe(_Perceptron, TorchRegressor):
    """Regression with hidden layers (squared error on the standardised target); hyperparameters as :class:`MLPProbe`.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(400, 2))
    >>> probe = MLPRegressionProbe(hidden=(32,), lr=1e-2, epochs=50).fit(X, np.abs(X[:, 0]))
    >>> probe.score(X, np.abs(X[:, 0])) > 0.9
    True
    """


def perceptron(n_inputs: int, hidden: Sequence[int], n_outputs: int, dropout: float = 0.1) -> nn.Sequential:
    """Linear layers with ReLU and dropout between them; without ``hidden`` it is one linear layer.

    >>> [type(layer).__name__ for layer in perceptron(8, (4,), 2)]
    ['Linear', 'ReLU', 'Dropout', 'Linear']
    """
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise((n_inputs, *hidden)):
        layers += [nn.Linear(width_in, width_out), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear((n_inputs, *hidden)[-1], n_outputs))
