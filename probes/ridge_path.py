"""``RidgePath``: ridge regression of many targets for many penalties from one eigendecomposition.

With standardised features, X'X = V diag(l) V'; the weights of penalty a are V diag(1 / (l + a)) V'X'y.  Nothing but the
cheap middle factor depends on the penalty, and nothing but the right one on the target, so a map of 121 cells costs
little more than one cell.  The penalty of each target is the one with the least squared error on held-out groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.fold_moments import FoldMoments, Task
from probes.moments import Moments, spread_of
from workbench.arguments import real_array
from workbench.errors import SpecError

ALPHAS: tuple[float, ...] = tuple(float(10**e) for e in np.arange(-1, 5.5, 0.5))  # 13 penalties, 0.1 to 100000


@dataclass(frozen=True, eq=False)
class RidgePath:
    """Solutions of ``|y - Xw|^2 + alpha |w|^2`` with standardised features and a free intercept.

    ``error`` [alphas, targets] is the mean squared error on held-out groups (None where nothing was held out: one
    penalty, or one fold), summed over the one-hot columns of a target; ``best`` [targets] numbers the least.

    >>> moments = FoldMoments("regression", folds=1)
    >>> moments.update(torch.tensor([[-1.0], [1.0]]), [-3.0, 3.0])
    >>> path = RidgePath.of(moments, [2.0])
    >>> path.weights(path.best)[0]  # 6 / (2 + 2)
    tensor([[[1.5000]]], dtype=torch.float64)
    """

    alphas: Float[Tensor, " alphas"]
    total: Moments  # of features divided by ``scale``
    scale: Float[Tensor, " d"]
    basis: _Basis
    n_targets: int
    labels: list[Any]  # of the one-hot columns of each target
    error: Float[np.ndarray, "alphas targets"] | None
    best: Int[np.ndarray, " targets"]
    rotation: Float[Tensor, "features d"] | None = None

    @classmethod
    def of_rows(
        cls,
        x: Float[Tensor, "rows features"],
        y: Any,
        groups: Any = None,
        task: Task = "classification",
        alphas: Sequence[float] = ALPHAS,
        folds: int = 5,
    ) -> RidgePath:
        """The path of rows in memory: of fewer rows than features, in the subspace they span (the same fit)."""
        moments = FoldMoments(task, folds if len(check_alphas(alphas)) > 1 else 1, x.device)
        if len(x) >= x.shape[1]:
            moments.update(x, y, groups)
            return cls.of(moments, alphas)
        x = x.double()
        rotation = span(x, spread_of(x.var(0, correction=0), x.mean(0)))
        moments.update(x @ rotation, y, groups)
        return replace(cls.of(moments, alphas, standardize=False), rotation=rotation)

    @classmethod
    def of(cls, moments: FoldMoments, alphas: Sequence[float] = ALPHAS, standardize: bool = True) -> RidgePath:
        """Factorise; :class:`SpecError` for penalties that are none, or that cannot be chosen between."""
        penalties = torch.as_tensor(check_alphas(alphas), device=moments.device)
        total = moments.total
        scale = total.spread if standardize else torch.ones_like(total.mean_x)
        error, best = None, np.zeros(moments.n_targets, dtype=np.int64)
        if len(penalties) > 1:
            sums = [_held_out(fit.scaled(scale), held.scaled(scale), penalties) for fit, held in moments.splits()]
            if not sums:
                raise SpecError(
                    "a penalty is chosen on held-out groups: give at least 2 groups (and folds), or 1 alpha"
                )
            by_column = torch.stack(sums).sum(0) / total.n
            error = by_column.reshape(len(penalties), moments.n_targets, -1).sum(2).cpu().numpy()
            best = error.argmin(0)
        total = total.scaled(scale)
        return cls(penalties, total, scale, _Basis.of(total), moments.n_targets, list(moments.labels), error, best)

    def weights(
        self, choice: Int[np.ndarray, " targets"]
    ) -> tuple[Float[Tensor, "d targets columns"], Float[Tensor, "targets columns"]]:
        """Weights and intercepts for raw features; ``choice`` numbers the penalty of each target."""
        columns = len(self.total.mean_y) // max(self.n_targets, 1)
        alphas = self.alphas[torch.as_tensor(choice).to(self.alphas.device)].repeat_interleave(columns)
        standard = self.basis.solve(alphas)
        intercept = self.total.mean_y - self.total.mean_x @ standard
        shape = (self.n_targets, columns)
        raw = standard / self.scale[:, None] if self.rotation is None else self.rotation @ standard
        return raw.reshape(-1, *shape), intercept.reshape(shape)


@dataclass(frozen=True, eq=False)
class _Basis:
    """Eigenvalues and eigenvectors of X'X, and X'y in that basis."""

    values: Float[Tensor, " d"]
    vectors: Float[Tensor, "d d"]
    projected: Float[Tensor, "d columns"]

    @classmethod
    def of(cls, moments: Moments) -> _Basis:
        values, vectors = torch.linalg.eigh(moments.xx)
        return cls(values.clamp(min=0), vectors, vectors.T @ moments.xy)

    def solve(self, alphas: Float[Tensor, " columns"]) -> Float[Tensor, "d columns"]:
        """Standardised weights, each column with its own penalty."""
        return self.vectors @ (_inverse(self.values[:, None], alphas) * self.projected)


def _held_out(fit: Moments, held: Moments, alphas: Tensor) -> Float[Tensor, "alphas columns"]:
    """Squared errors on held-out rows, summed: yy - 2 w'xy + w'xx w, and n times the squared error of the mean.

    The products are in float32, plenty to compare penalties and twice as fast; a column that never varies has no error.
    """
    varies = (fit.yy + held.yy > 0).nonzero()[:, 0]
    basis = _Basis.of(fit)
    projected = basis.projected[:, varies].float()
    xx = (basis.vectors.T @ held.xx @ basis.vectors).float()
    xy = (basis.vectors.T @ held.xy[:, varies]).float()
    gap_x = ((held.mean_x - fit.mean_x) @ basis.vectors).float()
    gap_y = (held.mean_y - fit.mean_y)[varies].float()
    errors = torch.zeros((len(alphas), len(held.yy)), dtype=torch.float64, device=held.yy.device)
    for number, alpha in enumerate(alphas):
        w = _inverse(basis.values, alpha).float()[:, None] * projected
        quadratic = (w * (xx @ w).sub_(xy, alpha=2)).sum(0)
        errors[number, varies] = (held.yy[varies] + quadratic + held.n * (gap_y - gap_x @ w) ** 2).double()
    return errors


def _inverse(values: Tensor, alphas: Tensor) -> Tensor:
    """1 / (eigenvalue + alpha), 0 where there is nothing to invert."""
    total = values + alphas
    return torch.where(total > 10 * len(values) * torch.finfo(values.dtype).eps * values.max(), 1 / total, 0.0)


def span(x: Float[Tensor, "rows features"], scale: Float[Tensor, " features"]) -> Float[Tensor, "features rows"]:
    """A map of fewer rows than features to their own subspace, of x / scale: the rows keep all their inner products."""
    return torch.linalg.qr((x / scale).T).Q / scale[:, None]


def check_alphas(alphas: Sequence[float] | float) -> Float[np.ndarray, " alphas"]:
    """Penalties as an array; :class:`SpecError` unless they are finite numbers that are not negative."""
    found = np.atleast_1d(real_array(alphas, "alphas")).astype(np.float64)
    if found.ndim != 1 or not found.size or not np.isfinite(found).all() or (found < 0).any():
        raise SpecError(f"alphas must be finite penalties >= 0, not {alphas!r:.60}")
    return found
