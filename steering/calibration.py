"""Multipliers in units of the activation's own length.

A multiplier of 2 means little across layers and models, since the residual stream grows with depth.  The relative dose
``multiplier * ||u|| / mean ||z||`` says how large the push is beside what it pushes.
"""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

from steering.vectors import SteeringVector, rows_of
from workbench.arguments import number
from workbench.errors import DataError


def relative_dose(
    vector: SteeringVector | Float[Tensor, " d"], activations: Float[Tensor, "*rows d"], multiplier: float = 1.0
) -> float:
    """``multiplier * ||u|| / mean ||z||`` over the rows of activations at the vector's site; has the multiplier's sign.

    Args:
        vector: what is added.
        activations: rows at the vector's site.
        multiplier: how many times it is added.

    >>> import torch
    >>> relative_dose(torch.tensor([3.0, 4.0]), torch.tensor([[0.0, 10.0]]), multiplier=2.0)
    1.0
    """
    activations, values = rows_of(activations), rows_of(vector)
    multiplier = number(multiplier, "multiplier")
    if values.ndim != 1 or values.shape[-1] != activations.shape[-1]:
        raise DataError(f"vector {list(values.shape)} and activations {list(activations.shape)} differ in width")
    typical = float(activations.float().norm(dim=-1).double().mean())
    if not 0 < typical < math.inf:
        raise DataError("the activations have mean norm 0, are not finite, or there are none")
    return multiplier * float(values.double().norm()) / typical


def multiplier_for(
    relative: float, vector: SteeringVector | Float[Tensor, " d"], activations: Float[Tensor, "*rows d"]
) -> float:
    """The multiplier whose relative dose is ``relative``; inverse of :func:`relative_dose`.

    >>> import torch
    >>> multiplier_for(1.0, torch.tensor([3.0, 4.0]), torch.tensor([[0.0, 10.0]]))
    2.0
    """
    relative = number(relative, "relative")
    unit = relative_dose(vector, activations)
    if unit == 0:
        raise DataError("the vector is zero: no multiplier of it has a size")
    return relative / unit
