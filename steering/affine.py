"""An affine change of an activation: erasing a concept (LEACE), whitening, any fixed linear edit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor

from steering.edits import Edit, Multiplier, finite
from workbench.errors import DataError


@dataclass(frozen=True, eq=False)
class Affine(Edit):
    """Replace ``z`` by ``matrix z + bias``.

    With the matrix and bias of a least-squares concept erasure (LEACE, arXiv 2306.03819) no linear probe finds the
    concept any more.

    Args:
        matrix: [d, d].
        bias: [d], or one a row [rows, d].
        multiplier: between 0 and 1 goes only part of the way; a number or one a row [rows].
        site: where it acts.
        scope: the positions; by default the last prompt token and every generated one.
        fingerprint: of the model that the two were fitted on (None: unknown).
        basis: the coordinates of its residual stream.

    >>> import torch
    >>> from workbench.models.interventions import Where
    >>> where = Where(torch.tensor([[0]]), torch.tensor([[0]]), torch.tensor([[1]]))
    >>> erase = Affine(torch.tensor([[0.0, 0.0], [0.0, 1.0]]), torch.tensor([3.0, 0.0]), site=0)
    >>> erase(torch.ones(1, 1, 2), where)
    tensor([[[3., 1.]]])
    """

    matrix: Float[Tensor, "d d"]
    bias: Float[Tensor, "*rows d"]
    multiplier: Multiplier = 1.0
    fingerprint: str | None = field(default=None, kw_only=True)
    basis: str | None = field(default=None, kw_only=True)

    _source = "matrix"

    def _read(self) -> dict[str, Any]:
        matrix, bias = finite(self, "matrix", self.matrix), finite(self, "bias", self.bias)
        if [*matrix.shape] != 2 * [bias.shape[-1]]:
            raise DataError(
                f"{self}: a matrix [d, d] and a bias [d] are needed, not {[*matrix.shape]} and {[*bias.shape]}"
            )
        return {"matrix": matrix[None], "bias": bias}

    def _change(self, z: Tensor, multiplier: Any, matrix: Tensor, bias: Tensor) -> Tensor:
        return z + multiplier * (z @ matrix[0].T + bias - z)
