"""Principal components of activations: the few directions along which rows differ most."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.errors import DataError


@dataclass(frozen=True)
class PrincipalComponents:
    """``scores`` [rows, n]: the rows in the new coordinates; ``directions`` [n, d] of length 1; ``mean`` [d];
    ``explained`` [n]: the share of the variance along each direction."""

    scores: Float[Tensor, "rows n"]
    directions: Float[Tensor, "n d"]
    mean: Float[Tensor, " d"]
    explained: Float[Tensor, " n"]


def principal_components(activations: Float[Tensor, "rows d"], n: int = 2) -> PrincipalComponents:
    """The first ``n`` principal components (in float64; the sign makes the largest weight of a direction positive).

    Raises :class:`DataError` when there are not more than ``n`` rows, or all rows are the same.

    >>> found = principal_components(torch.tensor([[0.0, 0.0], [2.0, 0.0], [1.0, 0.5], [1.0, -0.5]]))
    >>> found.directions.tolist(), [round(share, 3) for share in found.explained.tolist()]
    ([[1.0, 0.0], [0.0, 1.0]], [0.8, 0.2])
    """
    from sklearn.decomposition import PCA

    if activations.ndim != 2 or not 1 <= n <= min(len(activations) - 1, activations.shape[1]):
        shape = list(activations.shape)
        raise DataError(f"{n} components need activations [rows, d] with more than {n} rows and d >= {n}, not {shape}")
    rows = activations.detach().double().cpu().numpy()
    if (rows == rows[0]).all():
        raise DataError("all rows are the same, so they have no principal components")
    fitted = PCA(n, svd_solver="full").fit(rows)
    directions = torch.from_numpy(fitted.components_)
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    directions = directions * largest.sign()
    mean = torch.from_numpy(fitted.mean_)
    scores = (torch.from_numpy(rows) - mean) @ directions.T
    return PrincipalComponents(scores, directions, mean, torch.from_numpy(fitted.explained_variance_ratio_))
