"""Discriminants from moments: class means, the covariance within classes, and the linear scores that follow."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from probes.moments import Moments
from workbench.arguments import number


def discriminant(
    moments: Moments, covariance: Float[Tensor, "d d"] | None = None, priors: bool = False
) -> tuple[Float[Tensor, "d classes"], Float[Tensor, " classes"]]:
    """Weights and biases of m'S^-1 x - m'S^-1 m / 2 (+ log prior), the log density of class mean m up to a constant.

    ``covariance`` None stands for the identity: the nearest mean wins.  Means are taken from the overall mean, which
    changes no difference of scores and keeps them small.
    """
    offsets = _offsets(moments)
    weights = offsets if covariance is None else _solve(covariance, offsets)
    bias = -(offsets * weights).sum(0) / 2 - moments.mean_x @ weights
    return weights, bias + moments.mean_y.log() if priors else bias


def shrunk(moments: Moments, shrinkage: float | Literal["oas"]) -> Float[Tensor, "d d"]:
    """Covariance within classes, shrunk: (1 - s) S + s tr(S)/d I; s as given or by OAS (Chen et al. 2010, eq. 23).

    Raises :class:`SpecError` for a shrinkage outside [0, 1].
    """
    offsets = _offsets(moments)
    covariance = (moments.xx - (offsets * moments.mean_y * moments.n) @ offsets.T) / moments.n
    d, mean = len(covariance), covariance.diagonal().mean()
    if isinstance(shrinkage, str) and shrinkage == "oas":
        square = (covariance**2).mean()
        denominator = (moments.n + 1) * (square - mean**2 / d)
        shrinkage = min(1.0, float((square + mean**2) / denominator)) if denominator > 0 else 1.0
    shrinkage = number(shrinkage, "shrinkage, unless 'oas',", 0, 1)
    return (1 - shrinkage) * covariance + shrinkage * mean * torch.eye(d).to(covariance)


def score_slope(moments: Moments, weights: Float[Tensor, "d classes"]) -> float:
    """The slope b for which softmax(b * scores) is the posterior of Gaussian scores.

    With c_k the score of class k less the mean score (weighted by class shares p), b = sum_k p_k E[c_k | k] / sum_k p_k
    Var[c_k within classes]: exact for two classes, and for any number when noise is isotropic.
    """
    shares = moments.mean_y
    centred = weights - (weights @ shares)[:, None]
    offsets = _offsets(moments)
    within = moments.xx / moments.n - (offsets * shares) @ offsets.T
    rise = (shares * (centred * offsets).sum(0)).sum()
    noise = (shares * (centred * (within @ centred)).sum(0)).sum()
    return float(rise / noise.clamp(min=1e-6 * float(rise) ** 2 + 1e-300))


def _offsets(moments: Moments) -> Float[Tensor, "d classes"]:
    """Class means less the overall mean."""
    return moments.xy / (moments.mean_y * moments.n)


def _solve(covariance: Tensor, right: Tensor) -> Tensor:
    """S^-1 right; the least-norm solution where S has no inverse."""
    factor, info = torch.linalg.cholesky_ex(covariance)
    diagonal = factor.diagonal()
    if int(info) == 0 and float(diagonal.min()) > 1e-7 * float(diagonal.max()):
        return torch.cholesky_solve(right, factor)
    return torch.linalg.pinv(covariance, hermitian=True, rtol=1e-10) @ right
