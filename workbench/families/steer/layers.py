"""Which layers are worth steering at: those where pairs that a vector was not made of are told apart by it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from steering.estimators import get_estimator

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

FOLDS = 4
Maker = Callable[["Tensor", "np.ndarray", "np.ndarray"], "Tensor"]


def make(name: str, ups: Float[Tensor, "pairs d"], downs: Float[Tensor, "pairs d"]) -> Float[Tensor, " d"]:
    """The vector of an estimator from the activations of both sides of each pair."""
    is_up, pair = np.repeat([True, False], len(ups)), np.tile(np.arange(len(ups)), 2)
    estimator = get_estimator(name)
    rows = torch.cat([ups, downs])
    found: Tensor = estimator(rows, is_up) if name == "linear_probe" else estimator(rows, is_up, groups=pair)
    return found.float()


def separation(
    name: str, ups: Float[Tensor, "pairs d"], downs: Float[Tensor, "pairs d"], seed: int = 0
) -> dict[str, float]:
    """How well vectors made of the other folds tell the two texts of each held-out pair apart.

    ``accuracy``: the share of pairs whose up text projects higher; ``separation``: the mean difference of the two
    projections in its standard deviations over pairs.
    """
    fold = np.random.default_rng(seed).permutation(len(ups)) % min(FOLDS, len(ups))
    gaps = torch.zeros(len(ups))
    for k in range(fold.max() + 1):
        inside = torch.from_numpy(fold != k)
        direction = make(name, ups[inside], downs[inside])
        gaps[~inside] = (ups[~inside] - downs[~inside]) @ (direction / direction.norm().clamp_min(1e-12))
    return {
        "accuracy": float((gaps > 0).float().mean()),
        "separation": float(gaps.mean() / gaps.std(correction=1).clamp_min(1e-12)),
    }


def candidates(table: pd.DataFrame, n: int) -> list[int]:
    """``n`` layers, evenly spread in depth over those whose accuracy is within a standard error of the best.

    >>> accuracy = [0.5, 0.6, 0.95, 1.0, 1.0, 1.0, 0.95, 1.0]
    >>> candidates(pd.DataFrame({"layer": range(8), "accuracy": accuracy, "pairs": 20}), 3)
    [2, 4, 7]
    """
    best, pairs = float(table["accuracy"].max()), int(table["pairs"].iloc[0])
    error = max(np.sqrt(best * (1 - best) / pairs), 1 / pairs)
    good = [int(layer) for layer in table.loc[table["accuracy"] >= best - error - 1e-9, "layer"]]
    return spread(good, n)


def spread(layers: Sequence[int], n: int) -> list[int]:
    """At most ``n`` of them, evenly from the first to the last.

    >>> spread([3, 4, 5, 9, 12], 3), spread([4, 7], 1), spread([1, 2], 5)
    ([3, 5, 12], [7], [1, 2])
    """
    places = np.linspace(0, len(layers) - 1, min(n, len(layers))) if n > 1 else [len(layers) // 2]
    return [layers[round(place)] for place in places]
