"""Predictions against behaviour.

An item whose object-level answer does not comply has no truth and is dropped; a prediction that does not comply is
wrong.  Beside every predictor stands the mode: the most common true value of each task and property, taken from the
tested items themselves, which favours it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from workbench.statistics import cluster_bootstrap

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
