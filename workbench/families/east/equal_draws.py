"""Entropies that can be compared: of equally many valid answers.

The entropy of a few draws is too low, the more so the fewer there are, and corrections remove the first order only.  A
condition under which answers fall apart leaves few that parse, so it would look certain.  Therefore every entropy is
that of half of the answers that were drawn, on average over the ways to take them out of the valid ones, with the
Miller-Madow correction; where fewer are valid there is none.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import hypergeom

HALF = 0.5  # the least share of valid answers of which anything is said


def entropy_of(counts: Float[np.ndarray, "rows arms"], draws: int) -> Float[np.ndarray, " rows"]:
    """Miller-Madow entropy (nats) of ``draws`` answers taken out of those counted, on average over the ways to do so.

    NaN for rows with fewer.  Its mean over rows does not depend on how many were drawn.

    >>> entropy_of(np.array([[3, 3], [2, 0], [1, 0]]), 2).round(3).tolist()  # two alike, or (3 in 5) one of each
    [0.566, 0.0, nan]
    """
    counts = np.asarray(counts, dtype=np.int64)
    total, taken = counts.sum(axis=1), np.arange(1, draws + 1)
    chance = hypergeom.pmf(taken[:, None, None], total[:, None], counts, draws)  # [taken rows arms]
    share = taken[:, None, None] / draws
    plain = -(np.nan_to_num(chance) * share * np.log(share)).sum(axis=(0, 2))
    seen = np.nan_to_num(chance).sum(axis=(0, 2))
    # Not cut off at ln(arms): then the mean would depend on how many were drawn after all.
    return np.where(total >= draws, plain + (seen - 1) / (2 * draws), np.nan)


def comparable(rows: pd.DataFrame, completions: int, exact: bool) -> pd.DataFrame:
    """The rows with an ``entropy`` of equally many valid answers of ``completions``.

    ``rows`` has ``entropy, valid`` and the counts ``n0, n1, ...``.  Exact entropies stay where at least half of the
    probability lies on the arms.
    """
    if exact:
        return rows.assign(entropy=rows["entropy"].where(rows["valid"] >= HALF))
    arms = sorted(name for name in rows if str(name).removeprefix("n").isdigit() and str(name).startswith("n"))
    return rows.assign(entropy=entropy_of(rows[arms].fillna(0).to_numpy(), max(2, -(-completions // 2))))
