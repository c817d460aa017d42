"""Whether a transform of equal difficulty changes an agent's behaviour: paired tests over layouts.

A layout and its image (reflected, rotated, transposed, start and goal swapped) are equally hard, so an agent that has
understood the grid does equally well on both.  Success, accuracy and SPL are averaged over the rollouts of each layout,
and the differences of the pairs go into Wilcoxon's signed-rank test (arXiv 2602.08964).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from workbench.errors import DataError
from workbench.statistics import cluster_bootstrap_difference
from workbench.worlds.episode_table import need_columns


@dataclass(frozen=True)
class SignedRank:
    """Wilcoxon's signed-rank test: ``w`` the smaller rank sum, two-sided ``p``, the effect ``r`` = 1 - 2 w / (n (n + 1)
    / 2), from 0 (both signs alike) to 1 (all differences of one sign), and ``n`` differences that are not zero."""

    w: float
    p: float
    r: float
    n: int


def signed_rank(differences: ArrayLike) -> SignedRank:
    """Test whether paired differences [pairs] are symmetric about zero; zero differences are left out.

    Where none is left there is nothing to test, and w, p and r are NaN.  Source: Wilcoxon (1945), by scipy; r is the
    size of the matched-pairs rank-biserial correlation (Kerby, 2014), as in arXiv 2602.08964.

    >>> signed_rank([1.0, 2.0, 3.0, 4.0, -2.5, 0.0])
    SignedRank(w=3.0, p=0.3125, r=0.6, n=5)
    """
    from scipy.stats import wilcoxon

    values = np.asarray(differences, dtype=np.float64)
    if not np.isfinite(values).all():
        raise DataError("differences must be finite: leave out pairs of which one side is missing")
    values = values[np.abs(values) > 1e-12]  # means of equal outcomes may differ in their last bit
    n = len(values)
    if n == 0:
        return SignedRank(math.nan, math.nan, math.nan, 0)
    test = wilcoxon(values)
    w = float(test.statistic)
    return SignedRank(w, float(test.pvalue), 1 - 2 * w / (n * (n + 1) / 2), n)


def compare_transforms(
    original: pd.DataFrame,
    transformed: Mapping[str, pd.DataFrame],
    metrics: Sequence[str] = ("success", "accuracy", "spl"),
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Each transform against the original, layout by layout.

    Both are tables of episodes (:func:`~workbench.worlds.grids.agents.play.episodes_of`), in which ``layout`` i of a
    transform is the image of layout i of the original.  Returns a row for each ``player`` (``agent`` where there is no
    such column), ``transform`` and ``metric``: mean ``difference`` (transformed - original) with its cluster-bootstrap
    bounds ``low`` and ``high``, ``n`` pairs, ``differing`` pairs, and of the signed-rank test ``w``, two-sided ``p``
    (not corrected for several tests) and ``r``, NaN where no pair differs.  Raises :class:`DataError` when the layouts
    or players do not pair up.
    """
    base = _per_layout(original, metrics)
    rows = []
    for name, table in transformed.items():
        image = _per_layout(table, metrics)
        if not image.index.equals(base.index):
            raise DataError(f"the layouts or players of {name!r} are not those of the original: play the same on both")
        for player, part in image.groupby(level="player", sort=True):
            before = base.loc[part.index]
            for metric in metrics:
                row = {"player": player, "transform": name, "metric": metric}
                rows.append(row | _paired(before[metric].to_numpy(), part[metric].to_numpy(), resamples, seed))
    return pd.DataFrame(rows)


def _per_layout(episodes: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """The mean of each metric over the rollouts of a layout, indexed by player and layout."""
    need_columns(episodes, ["layout", *metrics], "compare_transforms")
    known = episodes if "player" in episodes else episodes.assign(player="agent")
    return known.astype(dict.fromkeys(metrics, float)).groupby(["player", "layout"], sort=True)[list(metrics)].mean()


def _paired(before: np.ndarray, after: np.ndarray, resamples: int, seed: int) -> dict[str, float]:
    pairs = np.arange(len(before))
    interval = cluster_bootstrap_difference(after, before, pairs, pairs, resamples=resamples, seed=seed)
    test = signed_rank(after - before)
    result = {"difference": interval.estimate, "low": interval.low, "high": interval.high}
    return result | {"n": len(pairs), "differing": test.n, "w": test.w, "p": test.p, "r": test.r}
