"""Low-rank controllers: matrices applied to the residual stream, ``e <- e + U e`` with ``U = A B`` (arXiv 2512.20605).

A controller is a linear map of the activation, not a vector added to it, so that what it writes depends on what is
there.  :class:`LowRankControllers` is a bank of them, one a subgoal; :class:`LowRankControl` applies one of the bank at
every position.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from steering.edits import AtSite
from workbench.errors import DataError
from workbench.models.interventions import Scope, Where


class LowRankControllers(nn.Module):
    """``n`` controllers of rank ``rank``; untrained ones do nothing, bit for bit (``A`` is zero)."""

    def __init__(self, n: int, d_model: int, rank: int = 16) -> None:
        super().__init__()
        self.up = nn.Parameter(torch.zeros(n, d_model, rank))
        self.down = nn.Parameter(torch.randn(n, rank, d_model) / d_model**0.5)

    def forward(self, activation: Float[Tensor, "batch pos d"], choice: Int[Tensor, "batch pos"]) -> Tensor:
        """``e + U^(choice) e``.  All controllers are applied as one matrix and masked: there are few."""
        n = len(self.up)
        inner = activation @ rearrange(self.down, "n rank d -> (n rank) d").mT
        picked = nn.functional.one_hot(choice, n).to(activation.dtype)[..., None]  # [batch pos n 1]
        inner = rearrange(inner, "batch pos (n rank) -> batch pos n rank", n=n) * picked
        written = rearrange(inner, "batch pos n rank -> batch pos (n rank)")
        return activation + written @ rearrange(self.up, "n d rank -> (n rank) d")


@dataclass(frozen=True, eq=False)
class LowRankControl(AtSite):
    """The controllers of a bank as an intervention.

    Args:
        controllers: the bank.
        choice: which of them acts: [rows] for whole sequences, or [rows, pos] by absolute position.
        site: where it acts.
        scope: the positions; by default all.
        fingerprint: of the model that the bank was made for (None: unknown).
    """

    controllers: LowRankControllers
    choice: Int[Tensor, "rows *pos"]
    scope: Any = field(default=Scope.everywhere(), kw_only=True)
    fingerprint: str | None = field(default=None, kw_only=True)

    _source = "controllers"

    def __post_init__(self) -> None:
        super().__post_init__()
        n = len(self.controllers.up)
        if self.choice.numel() and not 0 <= int(self.choice.min()) <= int(self.choice.max()) < n:
            raise DataError(f"{self}: a choice names a controller outside 0 to {n - 1}")

    def __call__(self, activation: Float[Tensor, "batch pos d"], where: Where) -> Float[Tensor, "batch pos d"]:
        if self.choice.ndim == 1:
            choice = self.choice[where.rows]
        else:
            choice = self.choice[where.rows, where.positions.clamp(0, self.choice.shape[1] - 1)]
        steered = self.controllers(activation, choice)
        return torch.where(self.scope.mask(where)[..., None], steered, activation)
