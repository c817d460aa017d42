"""Predictions against behaviour.

An item whose object-level answer does not comply has no truth and is dropped; a prediction that does not comply is
wrong.  Beside every predictor stands the mode: the most common true value of each task and property, taken from the
tested items themselves, which favours it.

Two predictors are compared on the same items.  An item recurs under several properties, so whole items are resampled
(interval) or have the sign of their difference flipped (test).  The test is exact but for the number of flips: its null
is that the two are exchangeable on every item.

Models are compared by the share of test items whose property is the same for both.  A model that was trained on
another's behaviour predicts its own better than the other's, so a second model that behaves unlike the first makes
self-prediction look better than it is: the second model is chosen by its agreement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from workbench.errors import DataError
from workbench.seeding import derive_seed
from workbench.statistics import Interval, cluster_bootstrap

METRICS = ("accuracy", "balanced_accuracy")
_ITEM = ["task", "split", "id", "property"]
_CELL = ["task", "property"]


def judged(truth: pd.DataFrame, said: pd.DataFrame) -> pd.DataFrame:
    """One row a prediction that can be judged: ``task, split, id, property, truth, said, correct`` (0.0 or 1.0).

    ``truth`` and ``said`` have ``task, split, id, property, value``; only what both have is compared.

    >>> import pandas as pd
    >>> rows = {"task": "t", "split": "train", "id": ["1", "2", "3"], "property": "first_word"}
    >>> truth = pd.DataFrame(rows | {"value": ["red", None, "blue"]})
    >>> judged(truth, pd.DataFrame(rows | {"value": ["red", "red", None]}))["correct"].tolist()
    [1.0, 0.0]
    """
    known = truth[[*_ITEM, "value"]].rename(columns={"value": "truth"}).dropna(subset=["truth"])
    both = known.merge(said[[*_ITEM, "value"]].rename(columns={"value": "said"}), on=_ITEM, validate="1:1")
    right = (both["truth"] == both["said"]).fillna(False).astype(float)
    return both.assign(correct=right)


def with_mode(rows: pd.DataFrame) -> pd.DataFrame:
    """What always naming the most common true value would score on the same rows (the first by name of several)."""
    mode = rows.groupby(_CELL)["truth"].transform(lambda values: values.mode().iloc[0])
    return rows.assign(said=mode, correct=(mode == rows["truth"]).astype(float))


def balance_weights(rows: pd.DataFrame) -> np.ndarray:
    """Weights [rows] of mean 1 with which every true value of a task and property counts the same.

    The mode then scores 1 / values: a predictor that has collapsed to one answer gains nothing by it.

    >>> import pandas as pd
    >>> balance_weights(pd.DataFrame({"task": "t", "property": "p", "truth": ["a", "a", "a", "b"]})).round(2).tolist()
    [0.67, 0.67, 0.67, 2.0]
    """
    cell, value = (rows.groupby(by, sort=False).ngroup().to_numpy() for by in (_CELL, [*_CELL, "truth"]))
    of_value, size = np.bincount(value), np.bincount(cell)
    values = np.bincount(cell[np.unique(value, return_index=True)[1]])  # how many values a cell has
    return size[cell] / (values[cell] * of_value[value])


def accuracy_rows(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows ``split, task, property, metric, estimate, low, high, n`` over a split, a task, and a task's property.

    ``rows``: as :func:`judged` gives them; intervals resample whole items.
    """
    found: list[dict[str, Any]] = []
    for by in (["split"], ["split", "task"], ["split", "task", "property"]):
        for key, part in rows.groupby(by, sort=True):
            names = dict(zip(by, key if isinstance(key, tuple) else (key,), strict=True))
            row = {"split": "", "task": "", "property": ""} | names
            for metric in METRICS:
                found.append(row | {"metric": metric} | level(part, metric))
    return found


def level(rows: pd.DataFrame, metric: str = METRICS[0], column: str = "correct") -> dict[str, float]:
    """``estimate, low, high, n`` of the mean of a column; the interval resamples whole items (column ``id``).

    >>> import pandas as pd
    >>> level(pd.DataFrame({"id": ["a", "a", "b", "b"], "correct": [0.0, 0.0, 1.0, 1.0]}))
    {'estimate': 0.5, 'low': 0.0, 'high': 1.0, 'n': 4}
    """
    values = rows[column].to_numpy(dtype=float)
    if metric == "balanced_accuracy":
        values = values * balance_weights(rows)
    return vars(cluster_bootstrap(values, rows["id"].to_numpy(dtype=str))) | {"n": len(rows)}


_FLIPS = 10_000
_BLOCK = 2**22


@dataclass(frozen=True)
class Contrast(Interval):
    """A paired difference of means with its 95% interval, the p-value of no difference (two-sided), rows compared."""

    p: float
    n: int


def contrast(a: ArrayLike, b: ArrayLike, clusters: ArrayLike, seed: int = 0) -> Contrast:
    """Mean of ``a`` less that of ``b`` ([rows] each, the same items), clusters [rows].

    >>> found = contrast([1, 1, 1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0, 0], range(8))
    >>> found.estimate, found.low, round(found.p, 2)
    (1.0, 1.0, 0.01)
    """
    difference = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    interval = cluster_bootstrap(difference, clusters, seed=seed)
    return Contrast(**vars(interval), p=sign_flip_p(difference, clusters, seed), n=len(difference))


def sign_flip_p(difference: ArrayLike, clusters: ArrayLike, seed: int = 0, flips: int = _FLIPS) -> float:
    """Two-sided p of mean zero: the share of sign flips of whole clusters whose sum is at least as far from zero.

    The data as they are count as one of the flips, so p is never zero.  Source: Phipson and Smyth (2010).

    >>> sign_flip_p([0.0, 0.0, 0.0], [0, 1, 2])
    1.0
    """
    values = np.asarray(difference, dtype=np.float64)
    labels = np.asarray(clusters)
    if values.ndim != 1 or values.shape != labels.shape or not len(values):
        raise DataError(f"a test needs one cluster a row: {values.shape} rows and {labels.shape} clusters")
    index = np.unique(labels, return_inverse=True)[1]
    sums = np.bincount(index, values)  # [clusters]
    sums = sums[sums != 0]  # flipping zero changes nothing
    rng = np.random.default_rng(derive_seed(seed, "sign flips"))
    far, step = 0, max(1, _BLOCK // max(1, len(sums)))
    for start in range(0, flips, step):
        signs = rng.integers(0, 2, size=(min(step, flips - start), len(sums)), dtype=np.int8) * 2.0 - 1.0
        far += int((np.abs(signs @ sums) >= abs(sums.sum()) - 1e-9).sum())
    return (1 + far) / (1 + flips)


def agreement_table(first: pd.DataFrame, candidates: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a candidate and split (empty: both): ``candidate, split, estimate, low, high, n``.

    ``first`` and the candidates' tables: behaviour, with ``task, split, id, property, value``.  Items on which either
    model does not comply are left out.
    """
    rows = []
    for name, table in candidates.items():
        both = judged(first, table.dropna(subset=["value"]))
        if both.empty:
            raise DataError(f"{name}: there is no item on which it and M1 both give an answer that complies")
        for split in ("", *sorted(both["split"].unique())):
            part = both[both["split"] == split] if split else both
            rows.append({"candidate": name, "split": split} | level(part))
    return pd.DataFrame(rows)


def ranked(table: pd.DataFrame) -> list[str]:
    """Candidates, the most similar first; of equal ones the first named.

    >>> import pandas as pd
    >>> ranked(pd.DataFrame({"candidate": ["b", "c"], "split": "", "estimate": [0.4, 0.7]}))
    ['c', 'b']
    """
    overall = table[table["split"] == ""]
    return [str(name) for name in overall.sort_values("estimate", ascending=False, kind="stable")["candidate"]]
