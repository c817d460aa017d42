"""Predictions against behaviour: compliance, the mode baseline, balanced accuracy, similarity."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import DataError
from workbench.families.introspection.self_prediction.scoring import (
    accuracy_rows,
    agreement_table,
    balance_weights,
    judged,
    ranked,
    with_mode,
)


def test_no_truth_drops_the_item_and_a_prediction_that_does_not_comply_is_wrong(answered) -> None:
    rows = judged(answered(["a", None, "b", "c"]), answered(["a", "a", None, "d"]))
    assert rows["id"].tolist() == ["t-0", "t-2", "t-3"]
    assert rows["correct"].tolist() == [1.0, 0.0, 0.0]


def test_the_mode_is_taken_within_task_and_property(answered) -> None:
    truth = pd.concat([answered(["a", "a", "b"]), answered(["b", "b", "b", "a"], task="u")])
    assert with_mode(judged(truth, truth))["correct"].tolist() == [1, 1, 0, 1, 1, 1, 0]


def test_always_naming_one_value_has_a_balanced_accuracy_of_one_over_values(answered) -> None:
    rows = with_mode(judged(answered(list("aaaaab")), answered(list("aaaaab"))))
    levels = {row["metric"]: row["estimate"] for row in accuracy_rows(rows) if row["task"] == ""}
    assert levels == pytest.approx({"accuracy": 5 / 6, "balanced_accuracy": 1 / 2})


def test_balanced_accuracy_agrees_with_scikit_learn(answered) -> None:
    from sklearn.metrics import balanced_accuracy_score

    rng = np.random.default_rng(0)
    truth, said = (rng.choice(list("aabcc"), 80).tolist() for _ in range(2))
    rows = judged(answered(truth), answered(said))
    (level,) = [row for row in accuracy_rows(rows) if row["metric"] == "balanced_accuracy" and not row["task"]]
    assert level["estimate"] == pytest.approx(balanced_accuracy_score(truth, said))


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=30))
def test_weights_have_mean_one_and_give_every_value_the_same_sum(values: list[str]) -> None:
    rows = pd.DataFrame({"task": "t", "property": "p", "truth": values})
    weights = balance_weights(rows)
    assert weights.mean() == pytest.approx(1)
    sums = [weights[[v == value for v in values]].sum() for value in set(values)]
    assert sums == pytest.approx([sums[0]] * len(sums))


def test_every_level_of_the_table_has_its_own_rows(answered) -> None:
    both = pd.concat([answered(["a", "b"]), answered(["a", "a"], task="u", split="held_out")])
    rows = [row for row in accuracy_rows(judged(both, both)) if row["metric"] == "accuracy"]
    assert [(row["split"], row["task"], row["property"], row["n"]) for row in rows] == [
        ("held_out", "", "", 2), ("train", "", "", 2), ("held_out", "u", "", 2), ("train", "t", "", 2),
        ("held_out", "u", "p", 2), ("train", "t", "p", 2),
    ]  # fmt: skip


def test_the_most_similar_candidate_comes_first_and_agreement_leaves_out_what_does_not_comply(answered) -> None:
    first = answered(["a", "b", None, "d"])
    table = agreement_table(first, {"one": answered(["a", None, "c", "x"]), "two": answered(["a", "b", "c", "x"])})
    overall = table[table["split"] == ""].set_index("candidate")
    assert overall.loc["one", "estimate"] == 1 / 2 and overall.loc["two", "estimate"] == pytest.approx(2 / 3)
    assert ranked(table) == ["two", "one"]
    with pytest.raises(DataError, match="no item on which"):
        agreement_table(answered([None]), {"one": answered(["a"])})
