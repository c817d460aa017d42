"""An affine change of an activation: erasing a concept (LEACE), whitening, any fixed linear edit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from steering.interventions import _dose_on, _edit, _wide
from workbench.errors import DataError
from workbench.models.interventions import Scope, Where
from workbench.sites import Site

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

__all__ = ["Affine"]


@dataclass(frozen=True, eq=False)
class Affine:
    """Replace ``z`` by ``matrix z + bias``; ``strength`` between 0 and 1 goes only part of the way.

    matrix: [d, d]; bias: [d].  With the matrix and bias of a least-squares concept erasure (LEACE, arXiv 2306.03819) no
    linear probe finds the concept any more.  ``fingerprint`` and ``basis`` name the model that they were fitted on.

    >>> import torch
    >>> where = Where(torch.tensor([[0]]), torch.tensor([[0]]), torch.tensor([[1]]))
    >>> Affine(Site(0), torch.tensor([[0.0, 0.0], [0.0, 1.0]]), torch.tensor([3.0, 0.0]))(torch.ones(1, 1, 2), where)
    tensor([[[3., 1.]]])
    """

    site: Site
    matrix: Float[Tensor, "d d"]
    bias: Float[Tensor, " d"]
    strength: float = 1.0
    scope: Scope = Scope()
    fingerprint: str | None = None
    basis: str | None = None
    _n_rows: Any = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        width = self.bias.shape[0] if self.bias.ndim == 1 else -1
        if tuple(self.matrix.shape) != (width, width):
            raise DataError(
                "Affine: a matrix [d, d] and a bias [d] are needed, not"
                f" {[*self.matrix.shape]} and {[*self.bias.shape]}"
            )
        if not bool(self.matrix.isfinite().all()) or not bool(self.bias.isfinite().all()):
            raise DataError("Affine: the matrix or the bias is not finite")

    def __call__(self, activation: Float[Tensor, "batch pos d"], where: Where) -> Float[Tensor, "batch pos d"]:
        if activation.shape[-1] != len(self.bias):
            raise DataError(
                f"Affine: the matrix is for width {len(self.bias)}, the activation has {activation.shape[-1]}"
            )
        dtype = _wide(activation)
        matrix, bias = (part.to(activation.device, dtype) for part in (self.matrix, self.bias))
        strength = _dose_on(self.strength, activation)
        return _edit(self, activation, where, strength, lambda z, rows: z + strength * (z @ matrix.T + bias - z))
