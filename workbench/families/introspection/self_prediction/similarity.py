"""How alike two models behave: the share of test items whose property is the same for both.

A model that was trained on another's behaviour predicts its own better than the other's, so a second model that behaves
unlike the first makes self-prediction look better than it is: the second model is chosen by its agreement.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from workbench.errors import DataError
from workbench.families.introspection.self_prediction.scoring import judged, level


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
