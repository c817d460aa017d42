"""Behaviour shift: what changed, the subset with equal answer counts, and which behaviour predictions follow."""

from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.families.introspection.self_prediction.shift import changed, equalised, shift_tables


def moves(pairs: list[str]) -> pd.DataFrame:
    rows = pd.DataFrame({"old": [pair[0] for pair in pairs], "new": [pair[1] for pair in pairs]})
    return rows.assign(task="t", split="train", property="p")


def test_only_items_that_comply_twice_and_changed_are_kept(answered) -> None:
    rows = changed(answered(["a", "a", None, "b"]), answered(["a", "b", "b", None]))
    assert rows[["id", "old", "new"]].to_numpy().tolist() == [["t-1", "a", "b"]]


@given(st.lists(st.sampled_from(["ab", "ba", "bc", "ca", "ac"]), max_size=9))
def test_the_subset_has_equal_counts_and_none_that_has_is_larger(pairs: list[str]) -> None:
    rows = moves(pairs)
    kept = equalised(rows) if pairs else np.zeros(0, bool)

    def balanced(mask: np.ndarray) -> bool:
        part = rows[mask]
        return Counter(part["old"]) == Counter(part["new"])

    assert balanced(kept)
    best = max((sum(mask) for mask in product((0, 1), repeat=len(pairs)) if balanced(np.array(mask, bool))), default=0)
    assert kept.sum() == best


def test_a_cycle_of_three_is_found_where_no_pair_of_moves_undoes_another() -> None:
    assert equalised(moves(["ab", "bc", "ca", "ab"])).sum() == 3


def test_tasks_are_equalised_on_their_own(answered) -> None:
    rows = pd.concat([moves(["ab"]), moves(["ba"]).assign(task="u")], ignore_index=True)
    assert not equalised(rows).any()


def test_who_follows_the_new_behaviour_and_a_constant_answer_is_exposed_by_equal_counts(answered) -> None:
    old, new = answered(list("aaaaaaaabb")), answered(list("bbbbbbbbaa"))
    said = {"knows": new, "stuck": old, "constant": answered(["b"] * 10)}
    levels, differences = shift_tables(old, new, said, seed=0)

    def follows(subset: str, predictor: str) -> list[float]:
        part = levels[(levels["subset"] == subset) & (levels["predictor"] == predictor) & (levels["split"] == "")]
        return [float(part.loc[part["follows"] == name, "estimate"].iloc[0]) for name in ("old", "new")]

    assert follows("changed", "knows") == [0, 1] and follows("changed", "stuck") == [1, 0]
    assert follows("changed", "constant") == pytest.approx([0.2, 0.8])
    assert follows("equalised", "constant") == [0.5, 0.5]
    row = differences[(differences["predictor"] == "constant") & (differences["split"] == "")].set_index("subset")
    assert row.loc["changed", "estimate"] == pytest.approx(0.6) and row.loc["equalised", "estimate"] == 0
    assert row.loc["equalised", "n"] == 4


def test_nothing_changed_gives_empty_tables(answered) -> None:
    same = answered(["a", "b"])
    levels, differences = shift_tables(same, same, {"after": same}, seed=0)
    assert levels.empty and differences.empty and "follows" in levels
