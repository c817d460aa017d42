"""The plan decoder: which moves will the agent make next, read off the activations before it makes the first.

Three token activations become a memory of three; ten learned queries look into it, all at once, through a transformer
decoder without a causal mask, and each names one of the next ten moves, or PAD once the episode is over
(arXiv 2602.08964, 'Plan').  Nothing is fed back, so a sequence it gets right was there to be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data
from torch import Tensor, nn
from torch.nn import functional as F

from probes.ridge_path import ALPHAS
from probes.shared import SharedRidge
from probes.torch_probe import TorchProbe, row_groups, scaling
from probes.torch_training import check_training, hold_out, resolve_device, seeded, shuffled
from workbench.arguments import to_numpy
from workbench.errors import DataError, SpecError, check_known
from workbench.worlds.grids.probes.plan_scores import N_SYMBOLS, PAD, checked_plans, next_moves, plan_scores

__all__ = ["PAD", "PRESETS", "LinearPlanProbe", "PlanDecoder", "next_moves", "plan_scores"]

# "paper" has 17 million parameters a layer: for a GPU.  "cpu" (the default) trains on 5,000 rows in about a minute on
# one core.
PRESETS: dict[str, dict[str, Any]] = {
    "cpu": {"width": 128, "feedforward": 256, "lr": 1e-3, "batch_size": 128},
    "paper": {"width": 1024, "feedforward": 4096, "lr": 1e-4, "batch_size": 256},
}
_CHUNK = 4096


@dataclass(eq=False, repr=False)  # scikit-learn's own
class PlanDecoder(TorchProbe):
    """Activations [rows, n_activations * d] in, the next ``horizon`` moves out (numbers of ``Move``, and PAD = 4).

    Each of the ``n_activations`` (one after the other in a row) goes through the same linear layer to ``width`` and a
    LayerNorm, and gets a learned mark of which one it is (the paper does not say how its three are told apart).
    ``horizon`` learned queries pass ``layers`` (1, 2 or 4 in the paper) decoder layers of ``heads`` heads.  The
    defaults are small; ``PlanDecoder.preset("paper", layers=2)`` has the paper's sizes (width 1024, feed-forward 4096).
    Early stopping holds whole groups out; features are standardised inside.

    >>> rng = np.random.default_rng(0)
    >>> plans = rng.integers(0, 4, size=(300, 2))
    >>> X = np.eye(4)[plans].reshape(300, 8) + 0.1 * rng.normal(size=(300, 8))
    >>> decoder = PlanDecoder(n_activations=2, horizon=2, width=32, feedforward=64).fit(X, plans)
    >>> bool((decoder.predict(X) == plans).mean() > 0.95)
    True
    """

    n_activations: int = 3
    horizon: int = 10
    width: int = 128
    layers: int = 1
    heads: int = 8
    feedforward: int = 256
    dropout: float = 0.1
    lr: float = 1e-3
    weight_decay: float = 1e-2
    epochs: int = 60
    batch_size: int = 128
    patience: int = 8
    validation: float = 0.1
    random_state: int = 0
    device: str | None = None
    progress: bool = False

    @classmethod
    def preset(cls, name: str, **changes: Any) -> PlanDecoder:
        """The decoder at the sizes of ``PRESETS[name]``, with some of them changed.

        >>> PlanDecoder.preset("paper", layers=4).width
        1024
        """
        check_known(name, PRESETS, "preset")
        return cls(**PRESETS[name] | changes)

    def fit(self, X: Any, plans: Any, groups: Any = None) -> Self:
        """X: [rows, n_activations * d]; plans: [rows, horizon] moves 0-3, PAD after the last; groups: [rows]."""
        check_training(self)
        X = validate_data(self, to_numpy(X), dtype=np.float32)
        self._check(X.shape[1])
        targets = checked_plans(plans, "plans", (len(X), self.horizon))
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        held = hold_out(row_groups(groups, len(X)), self.validation, seed)
        self.mean_, self.scale_ = scaling(X)
        device = resolve_device(self.device)
        features, moves = self._standardised(X).to(device), torch.from_numpy(targets).to(device)
        rows, out = (torch.from_numpy(np.flatnonzero(part)).to(device) for part in (~held, held))

        def loss(part: Int[Tensor, " batch"]) -> Tensor:
            return F.cross_entropy(self.network_(features[part]).flatten(0, 1), moves[part].flatten())

        def epoch() -> Iterator[Tensor]:
            return (loss(part) for part in shuffled(rows, self.batch_size))

        def validate() -> float:
            return sum(float(loss(part)) * len(part) for part in out.split(_CHUNK)) / len(out)

        with seeded(seed):
            self.network_ = self._network(X.shape[1]).to(device)
            self._learn(epoch, validate if held.any() else None)
        return self

    def predict(self, X: Any) -> Int[np.ndarray, "rows horizon"]:
        """The likeliest move at each step [rows, horizon]; steps are independent, so a PAD may come before a move."""
        return self.predict_proba(X).argmax(-1)

    def predict_proba(self, X: Any) -> Float[np.ndarray, "rows horizon symbols"]:
        """Probabilities [rows, horizon, 5] of LEFT, RIGHT, UP, DOWN, PAD."""
        return torch.from_numpy(self._outputs(X, _CHUNK)).softmax(-1).numpy()

    def _check(self, n_features: int) -> None:
        sizes = ("n_activations", "horizon", "width", "layers", "heads", "feedforward")
        for name in sizes:
            if getattr(self, name) < 1:
                raise SpecError(f"PlanDecoder: {name}={getattr(self, name)} must be at least 1")
        if self.width % self.heads:
            raise SpecError(f"PlanDecoder: width={self.width} must be a multiple of heads={self.heads}")
        if n_features % self.n_activations:
            raise DataError(
                f"X has {n_features} features, which n_activations={self.n_activations} does not divide: X is"
                " [rows, n_activations * d]"
            )

    def _network(self, n_features: int, n_outputs: int = N_SYMBOLS) -> nn.Module:
        return _PlanNetwork(self, n_features // self.n_activations)


class LinearPlanProbe(SharedRidge):
    """The linear baseline: ridge on the one-hot symbol of each step, the steps independent of one another.

    One factorisation for all steps and penalties; each step's penalty is chosen on held-out groups.

    >>> rng = np.random.default_rng(0)
    >>> plans = rng.integers(0, 4, size=(200, 3))
    >>> X = np.eye(4)[plans].reshape(200, 12) + 0.1 * rng.normal(size=(200, 12))
    >>> bool((LinearPlanProbe().fit(X, plans).predict(X) == plans).all())
    True
    """

    def __init__(self, alphas: Sequence[float] = ALPHAS, folds: int = 5) -> None:
        super().__init__(alphas, folds)

    def fit(self, X: Any, plans: Any, groups: Any = None) -> Self:
        """X: [rows, features]; plans: [rows, horizon] moves 0-3, PAD after the last; groups: [rows]."""
        return super().fit(X, checked_plans(plans, "plans"), groups)


class _PlanNetwork(nn.Module):
    """Linear and LayerNorm to a memory of n_activations; ``horizon`` queries decode it in one shot."""

    def __init__(self, sizes: PlanDecoder, d: int) -> None:
        super().__init__()
        self.n_activations = sizes.n_activations
        self.into_memory = nn.Sequential(nn.Linear(d, sizes.width), nn.LayerNorm(sizes.width))
        self.which = nn.Parameter(0.02 * torch.randn(sizes.n_activations, sizes.width))
        self.queries = nn.Parameter(torch.randn(sizes.horizon, sizes.width) / sizes.width**0.5)
        layer = nn.TransformerDecoderLayer(sizes.width, sizes.heads, sizes.feedforward, sizes.dropout, batch_first=True)
        self.decoder = nn.TransformerDecoder(layer, sizes.layers)
        self.head = nn.Linear(sizes.width, N_SYMBOLS)

    def forward(self, flat: Float[Tensor, "rows features"]) -> Float[Tensor, "rows horizon symbols"]:
        tokens = rearrange(flat, "rows (activations d) -> rows activations d", activations=self.n_activations)
        memory = self.into_memory(tokens) + self.which  # [rows, activations, width]
        queries = self.queries.expand(len(flat), -1, -1)  # [rows, horizon, width]
        return self.head(self.decoder(queries, memory))
