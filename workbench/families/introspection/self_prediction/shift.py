"""Behaviour shift: when finetuning changes what a model does, does what it says follow?

M1 is finetuned on another model's object-level answers and is then MC.  On items whose property changed, MC's
prediction is compared with the old and with the new value.  A model that has collapsed to frequent answers could follow
the new behaviour without knowing it, so the same is measured on the largest subset in which, for every task and
property, each value is old as often as it is new: there a constant answer scores the same on both sides.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from workbench.families.introspection.self_prediction.scoring import contrast, level
from workbench.seeding import derive_seed

_ITEM = ["task", "split", "id", "property"]


def changed(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Items that comply before and after and whose property is another: ``task, split, id, property, old, new``."""
    before = old[[*_ITEM, "value"]].rename(columns={"value": "old"}).dropna(subset=["old"])
    after = new[[*_ITEM, "value"]].rename(columns={"value": "new"}).dropna(subset=["new"])
    both = before.merge(after, on=_ITEM, validate="1:1")
    return both[(both["old"] != both["new"]).to_numpy(dtype=bool)].reset_index(drop=True)


def equalised(rows: pd.DataFrame, seed: int = 0) -> Bool[np.ndarray, " rows"]:
    """True for a largest subset of ``rows`` in which each value is old as often as new, by split, task and property.

    Values are the nodes and rows the edges of a graph; the subset is its largest circulation (a linear program with
    whole-numbered corners).  Which rows of a transition are kept is drawn from the seed.

    >>> import pandas as pd
    >>> rows = pd.DataFrame({"old": ["a", "a", "b"], "new": ["b", "b", "a"]})
    >>> int(equalised(rows.assign(task="t", split="train", property="p")).sum())
    2
    """
    kept = np.zeros(len(rows), dtype=bool)
    for key, index in rows.groupby(["split", "task", "property"]).indices.items():
        part = rows.iloc[index]
        edges, edge_of = np.unique(part[["old", "new"]].to_numpy(dtype=str), axis=0, return_inverse=True)
        flow = _circulation(edges, np.bincount(edge_of.ravel()))
        rng = np.random.default_rng(derive_seed(seed, "equalised", *map(str, key)))
        for edge, size in enumerate(flow):
            kept[rng.permutation(index[edge_of.ravel() == edge])[:size]] = True
    return kept


def _circulation(edges: np.ndarray, most: Int[np.ndarray, " edges"]) -> Int[np.ndarray, " edges"]:
    """The largest flow along ``edges`` [edges, 2], at most ``most``, that leaves every node as often as it enters."""
    from scipy.optimize import linprog

    nodes = np.unique(edges)
    balance = (nodes[:, None] == edges[:, 0]).astype(float) - (nodes[:, None] == edges[:, 1])  # [nodes edges]
    bounds = [(0, int(limit)) for limit in most]
    found = linprog(-np.ones(len(edges)), A_eq=balance, b_eq=np.zeros(len(nodes)), bounds=bounds, method="highs-ds")
    return np.rint(found.x).astype(int)


def shift_tables(
    old: pd.DataFrame, new: pd.DataFrame, said: dict[str, pd.DataFrame], seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How often predictions name the old and the new value, and the differences.

    ``said``: predictor -> its predictions.  The first table has ``subset`` (changed, equalised), ``split`` (empty:
    all), ``predictor, follows`` (old, new), ``estimate, low, high, n``; the second ``subset, split, predictor,
    estimate, low, high, p, n`` of new less old.  Without a changed item both are empty.
    """
    moved = changed(old, new)
    subsets = {"changed": moved, "equalised": moved[equalised(moved, seed)] if len(moved) else moved}
    levels, differences = [], []
    for subset, rows in subsets.items():
        for predictor, table in said.items():
            for split, part in _splits(_compared(rows, table)):
                key = {"subset": subset, "split": split, "predictor": predictor}
                levels += [key | {"follows": name} | level(part, column=f"is_{name}") for name in ("old", "new")]
                ids = part["id"].to_numpy(dtype=str)
                differences.append(key | vars(contrast(part["is_new"], part["is_old"], ids, seed)))
    names = ["subset", "split", "predictor"]
    return (
        pd.DataFrame(levels, columns=[*names, "follows", "estimate", "low", "high", "n"]),
        pd.DataFrame(differences, columns=[*names, "estimate", "low", "high", "p", "n"]),
    )


def _compared(rows: pd.DataFrame, said: pd.DataFrame) -> pd.DataFrame:
    both = rows.merge(said[[*_ITEM, "value"]], on=_ITEM, validate="1:1")
    return both.assign(
        **{f"is_{name}": (both["value"] == both[name]).fillna(False).astype(float) for name in ("old", "new")}
    )


def _splits(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    parts = [("", rows), *((str(split), part) for split, part in rows.groupby("split"))]
    return [(split, part) for split, part in parts if len(part)]
