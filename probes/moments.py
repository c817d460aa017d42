"""``Moments``: the sums from which every closed-form probe is fitted, so that rows need to be seen only once.

Counts, means and centred products of features and targets are kept in float64 and merged by the pairwise update of
Chan, Golub and LeVeque (1983), which stays exact where the mean is much larger than the spread, as it is in residual
streams.  Classes are one-hot targets: their counts and means follow from the same sums.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

_CHUNK = 4096  # rows turned into float64 at a time


@dataclass(eq=False)
class Moments:
    """Count, means and centred products of features x [d] and targets y [t], all float64.

    ``xx`` [d, d] is the sum of (x - mean)(x - mean)', ``xy`` [d, t] and ``yy`` [t] (the diagonal alone) likewise.

    >>> some = Moments.of(torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [5.0]]))
    >>> some.n, some.mean_x.item(), some.xx.item(), some.xy.item()
    (2, 1.0, 2.0, 4.0)
    """

    n: int
    mean_x: Float[Tensor, " d"]
    mean_y: Float[Tensor, " t"]
    xx: Float[Tensor, "d d"]
    xy: Float[Tensor, "d t"]
    yy: Float[Tensor, " t"]

    @classmethod
    def empty(cls, d: int, t: int, device: torch.device | str = "cpu") -> Moments:
        """No rows yet, of ``d`` features and ``t`` targets."""
        shapes = ((d,), (t,), (d, d), (d, t), (t,))
        return cls(0, *(torch.zeros(shape, dtype=torch.float64, device=device) for shape in shapes))

    @classmethod
    def of(cls, x: Float[Tensor, "rows d"], y: Float[Tensor, "rows t"]) -> Moments:
        """The moments of some rows."""
        moments = cls.empty(x.shape[1], y.shape[1], x.device)
        moments.update(x, y)
        return moments

    def update(self, x: Float[Tensor, "rows d"], y: Float[Tensor, "rows t"]) -> None:
        """Add rows, in place."""
        for part, target in zip(x.split(_CHUNK), y.split(_CHUNK), strict=True):
            if len(part):
                self._add(part.double(), target.double())

    def _add(self, x: Tensor, y: Tensor) -> None:
        mean_x, mean_y = x.mean(0), y.mean(0)
        x, y = x - mean_x, y - mean_y
        self.xx.addmm_(x.T, x)
        self.xy.addmm_(x.T, y)
        self.yy += (y * y).sum(0)
        self._shift(len(x), mean_x, mean_y)

    def _shift(self, n: int, mean_x: Tensor, mean_y: Tensor) -> None:
        """Count ``n`` more rows of these means, whose own products were added already."""
        total = self.n + n
        gap_x, gap_y = mean_x - self.mean_x, mean_y - self.mean_y
        weight = self.n * n / total
        self.xx.addr_(gap_x, gap_x, alpha=weight)
        self.xy.addr_(gap_x, gap_y, alpha=weight)
        self.yy += weight * gap_y * gap_y
        self.mean_x += gap_x * (n / total)
        self.mean_y += gap_y * (n / total)
        self.n = total

    def merge(self, other: Moments) -> Moments:
        """The moments of the rows of both (new; neither changes)."""
        xx, xy, yy = self.xx + other.xx, self.xy + other.xy, self.yy + other.yy
        merged = Moments(self.n, self.mean_x.clone(), self.mean_y.clone(), xx, xy, yy)
        if other.n:
            merged._shift(other.n, other.mean_x, other.mean_y)
        return merged

    def scaled(self, scale: Float[Tensor, " d"]) -> Moments:
        """The moments of x / scale."""
        xx = self.xx / scale / scale[:, None]
        return replace(self, mean_x=self.mean_x / scale, xx=xx, xy=self.xy / scale[:, None])

    @property
    def spread(self) -> Float[Tensor, " d"]:
        """Standard deviations of the features; 1 for a constant one."""
        return spread_of(self.xx.diagonal() / max(self.n, 1), self.mean_x)


def spread_of(variance: Float[Tensor, " d"], mean: Float[Tensor, " d"]) -> Float[Tensor, " d"]:
    """Standard deviations; 1 where the variance is no more than the rounding of a constant feature."""
    spread = variance.clamp(min=0).sqrt()
    tiny = 10 * torch.finfo(torch.float64).eps * mean.abs()
    return torch.where(spread > tiny, spread, torch.ones_like(spread))
