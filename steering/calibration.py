"""Doses: how strongly a vector is added, in units of what it is added to.

A multiplier of 2 means little across vectors, layers and models: vectors have any length, and the residual stream grows
with depth.  A dose is the length of what is added as a share of the residual stream's typical norm at that site,
``multiplier * ||vector|| / norm``.  That norm is a median over tokens, so attention sinks (which may have a hundred
times the norm of the others) do not count; it comes with the vector (``SteeringVector.residual_norm``) where its
estimator saw activations of the site, else the model measures it (``LanguageModel.residual_norm``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, overload

import torch
from jaxtyping import Float
from torch import Tensor

from steering.vectors import SteeringVector, real_tensor, rows_of
from workbench.arguments import listed, number, one_of
from workbench.errors import DataError, SpecError
from workbench.models.norms import typical_norm
from workbench.models.sinks import norms_of
from workbench.sites import Site


def residual_norm(activations: Float[Tensor, "*rows d"]) -> float:
    """The median norm of activations at a site: the ``residual_norm`` of a vector that is made of them.

    Rows are tokens: a mean over tokens is shorter than they are, so a vector made of means is better left without (its
    model then measures).

    >>> residual_norm(torch.tensor([[3.0, 4.0], [0.0, 5.0], [3000.0, 4000.0]]))
    5.0
    """
    return typical_norm(norms_of(rows_of(activations)))


class Strength(NamedTuple):
    """How strongly a vector is added, in both units; the columns of a table of steered results."""

    dose: float
    multiplier: float


def strengths(
    vector: SteeringVector,
    doses: Sequence[float] | None = None,
    multipliers: Sequence[float] | None = None,
    model: Any = None,
) -> list[Strength]:
    """A grid of doses or of multipliers (exactly one of the two), each in both units.

    Args:
        vector: what is added, at its own site.
        doses: shares of the residual stream's norm there, negative against the vector.
        multipliers: how many times it is added.
        model: measures the norm where the vector does not bring it.

    >>> import pandas as pd
    >>> vector = SteeringVector(3, torch.tensor([3.0, 4.0]), residual_norm=residual_norm(torch.tensor([[0.0, 10.0]])))
    >>> pd.DataFrame([s._asdict() | {"layer": 3} for s in strengths(vector, doses=[-0.5, 0.0, 1.0])])
       dose  multiplier  layer
    0  -0.5        -1.0      3
    1   0.0         0.0      3
    2   1.0         2.0      3
    >>> strengths(vector, multipliers=[4])
    [Strength(dose=2.0, multiplier=4.0)]
    """
    one_of(vector, SteeringVector, "vector")
    if (doses is None) == (multipliers is None):
        raise SpecError("give doses or multipliers, one of the two")
    norm = norm_at(vector, vector.site, model)
    if doses is not None:
        given = [number(dose, "a dose") for dose in listed(doses, "doses")]
        return [Strength(dose, multiplier_for(dose, vector, norm)) for dose in given]
    given = [number(multiplier, "a multiplier") for multiplier in listed(multipliers, "multipliers")]
    return [Strength(multiplier * vector.norm / norm, multiplier) for multiplier in given]


def norm_at(vector: SteeringVector | Tensor, site: Site, model: Any = None) -> float:
    """The typical norm at a site: the vector's own ``residual_norm`` where it is of that site, else the model's."""
    n_layers = getattr(model, "n_layers", None)
    if isinstance(vector, SteeringVector) and vector.residual_norm is not None and _same(vector.site, site, n_layers):
        return vector.residual_norm
    if not hasattr(model, "residual_norm"):
        raise DataError(
            f"a dose at {site} needs a residual_norm: the vector has none of that site, and there is no model"
        )
    return float(model.residual_norm(site))


@overload
def multiplier_for(dose: float, vector: SteeringVector | Float[Tensor, " d"], norm: float) -> float: ...
@overload
def multiplier_for(
    dose: float | Tensor, vector: SteeringVector | Float[Tensor, "*rows d"], norm: float
) -> float | Tensor: ...
def multiplier_for(
    dose: float | Tensor, vector: SteeringVector | Float[Tensor, "*rows d"], norm: float
) -> float | Tensor:
    """The multiplier of a vector that makes it ``dose * norm`` long; of doses [rows], one a row.

    >>> multiplier_for(0.5, torch.tensor([3.0, 4.0]), norm=10.0)
    1.0
    """
    values = real_tensor(vector)
    assert values is not None
    lengths = values.double().norm(dim=-1)
    doses = torch.as_tensor(dose, dtype=torch.float64, device=lengths.device)
    if bool(((lengths == 0) & (doses != 0)).any()):
        raise DataError("the vector is zero: no multiplier of it has a dose")
    found = torch.where(doses == 0, 0.0, doses * norm / lengths)
    return float(found) if found.ndim == 0 else found.float()


def _same(one: Site, other: Site, n_layers: int | None) -> bool:
    return one == other or (n_layers is not None and one.resolve(n_layers) == other.resolve(n_layers))
