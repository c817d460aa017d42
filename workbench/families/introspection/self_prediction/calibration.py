"""Does a model know how its answers spread?  Probabilities at the object level against hypothetical ones.

For every item and property: the value that the model gives most often at temperature 1, the share of its (compliant)
answers that have it, and the share of its hypothetical answers that name it (all of them count: one that does not
comply names nothing).  Items fall into equal-frequency bins of the hypothetical share, equal shares together; the mean
absolute deviation (MAD) is that between the bins' means, weighted by their rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from workbench.families.introspection.self_prediction.context import FIRST, PredictionContext
from workbench.families.introspection.self_prediction.scoring import level
from workbench.families.introspection.self_prediction.steps import pairings
from workbench.statistics import Interval, cluster_bootstrap, cluster_bootstrap_difference

_ITEM = ["task", "split", "id", "property"]
_RESAMPLES = 1000


def points(behaviour: pd.DataFrame, foresight: pd.DataFrame) -> pd.DataFrame:
    """Rows ``task, split, id, property, value, object, hypothetical`` (shares).

    Both tables count samples: ``task, split, id, property, value, count``.  An item without a compliant answer is left
    out; of equally frequent values the first by name is taken.
    """
    known = behaviour.dropna(subset=["value"])
    total = known.groupby(_ITEM, as_index=False)["count"].sum().rename(columns={"count": "total"})
    top = known.sort_values([*_ITEM, "count", "value"], ascending=[True] * 4 + [False, True])
    top = top.drop_duplicates(_ITEM).merge(total, on=_ITEM)
    asked = foresight.groupby(_ITEM, as_index=False)["count"].sum().rename(columns={"count": "asked"})
    named = foresight[[*_ITEM, "value", "count"]].rename(columns={"count": "named"})
    both = top.merge(asked, on=_ITEM).merge(named, on=[*_ITEM, "value"], how="left")
    both["object"] = both["count"] / both["total"]
    both["hypothetical"] = both["named"].fillna(0) / both["asked"]
    return both[[*_ITEM, "value", "object", "hypothetical"]]


def bin_numbers(shares: Float[np.ndarray, " rows"], bins: int) -> Int[np.ndarray, " rows"]:
    """The equal-frequency bin of each row, 0 upwards; equal shares share a bin, so there may be fewer.

    >>> bin_numbers(np.array([0.1, 0.2, 0.3, 0.4]), 2).tolist(), bin_numbers(np.array([1.0, 0.0, 1.0, 1.0]), 2).tolist()
    ([0, 0, 1, 1], [1, 0, 1, 1])
    """
    inner = np.unique(np.quantile(shares, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.unique(np.searchsorted(inner, shares, side="right"), return_inverse=True)[1]


def deviation(pairs: Float[np.ndarray, "rows 2"], bins: int) -> float:
    """Mean absolute deviation between the bins' means of ``pairs`` (object, hypothetical)."""
    index = bin_numbers(pairs[:, 1], bins)
    gaps = np.bincount(index, pairs[:, 0] - pairs[:, 1])  # [bins] sums
    return float(np.abs(gaps).sum() / len(pairs))


def deviation_interval(rows: pd.DataFrame, bins: int) -> Interval:
    """The MAD of ``rows`` (from :func:`points`) with an interval that resamples items and bins them anew.

    Chance scatter within bins makes the MAD larger than zero for a calibrated model, the more so the fewer rows."""
    pairs = rows[["object", "hypothetical"]].to_numpy(dtype=float)
    ids = rows["id"].to_numpy(dtype=str)
    return cluster_bootstrap(pairs, ids, lambda drawn: deviation(drawn, bins), resamples=_RESAMPLES)


def calibration_bins(rows: pd.DataFrame, bins: int) -> pd.DataFrame:
    """Rows ``bin, hypothetical, estimate, low, high, n``: the mean hypothetical and object share of each bin."""
    index = bin_numbers(rows["hypothetical"].to_numpy(dtype=float), bins)
    found = []
    for number in np.unique(index):
        part = rows[index == number]
        mean = {"bin": int(number), "hypothetical": part["hypothetical"].mean()}
        found.append(mean | level(part, column="object"))
    return pd.DataFrame(found)


def calibration_tables(context: PredictionContext) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Bins ``predictor, learner, split, bin, hypothetical, estimate, low, high, n``; errors ``predictor, learner,
    split, metric, estimate, low, high, n`` (metric ``mad``); differences of errors ``comparison, learner, split,
    estimate, low, high, n``, on the same items."""
    spread, bins = context.answers(f"samples-{FIRST}"), context.spec.bins
    shares = {key: points(spread, context.answers(name)) for key, name in _predictors(context).items()}
    curves, errors, differences = [], [], []
    for (predictor, learner), table in shares.items():
        for split, part in table.groupby("split"):
            key = {"predictor": predictor, "learner": learner, "split": split}
            curves.append(calibration_bins(part, bins).assign(**key))
            errors.append(key | {"metric": "mad"} | vars(deviation_interval(part, bins)) | {"n": len(part)})
    for (predictor, learner), table in shares.items():
        if predictor != "self":
            differences += _differences(shares["self", ""], table, f"{predictor} less self", learner, bins)
    return pd.concat(curves, ignore_index=True), pd.DataFrame(errors), pd.DataFrame(differences)


def _predictors(context: PredictionContext) -> dict[tuple[str, str], str]:
    """(predictor, learner) -> its set of sampled predictions."""
    found = {("self_before", ""): f"foresight-{FIRST}", ("self", ""): f"foresight-{FIRST}-on-{FIRST}"}
    for learner, target in pairings(context.spec):
        if target == FIRST != learner:
            found["cross_before", learner] = f"foresight-{learner}"
            found["cross", learner] = f"foresight-{learner}-on-{target}"
    return found


def _differences(
    own: pd.DataFrame, other: pd.DataFrame, comparison: str, learner: str, bins: int
) -> list[dict[str, Any]]:
    """How much larger the other's error is, by split."""
    rows = []
    for split in sorted(own["split"].unique()):
        ours, theirs = (table[table["split"] == split] for table in (own, other))
        a, b = (part[["object", "hypothetical"]].to_numpy(dtype=float) for part in (theirs, ours))
        ids, own_ids = (part["id"].to_numpy(dtype=str) for part in (theirs, ours))

        def error(pairs: np.ndarray) -> float:
            return deviation(pairs, bins)

        change = cluster_bootstrap_difference(a, b, ids, own_ids, error, _RESAMPLES)
        row = {"comparison": comparison, "learner": learner, "split": split, "metric": "mad"}
        rows.append(row | vars(change) | {"n": len(ours)})
    return rows
