"""Claims of self-prediction on tables in which each of them is planted, and on tables in which it is not."""

from __future__ import annotations

import pandas as pd
import pytest

from workbench.families.claims import judge
from workbench.families.introspection.self_prediction.claims import claims
from workbench.families.introspection.self_prediction.context import PredictionContext
from workbench.families.introspection.self_prediction.predictions import comparisons_table
from workbench.families.introspection.self_prediction.spec import PRESETS
from workbench.runs import RunFolder

ACCURACY, ERRORS, PROBES = "comparisons", "calibration_differences", "probe_comparisons"
# claim -> the table by which it is judged, and the difference in it
PLANTED = {
    "self-prediction above the commonest answer": (ACCURACY, "self less mode"),
    "self-training helps": (ACCURACY, "self less self_before"),
    "self-prediction above cross-prediction": (ACCURACY, "self less cross"),
    "cross-training helps": (ACCURACY, "cross less cross_before"),
    "a cross-trained model matches itself better than its target": (ACCURACY, "cross_itself less cross"),
    "calibration: self-trained better than cross-trained": (ERRORS, "cross less self"),
    "calibration: self-trained better than before training": (ERRORS, "self_before less self"),
    "shift: predictions follow the new behaviour": ("shift_differences", ""),
    "probe: above the commonest answer": (PROBES, "probe less mode"),
    "probe: above shuffled labels": (PROBES, "probe less shuffled"),
    "probe: M1's activations above the untrained model's": (PROBES, "probe less untrained"),
    "probe: M1's activations above the second model's": (PROBES, "probe less second"),
    "probe: above self-prediction": (PROBES, "probe less self"),
}
METRICS = {ACCURACY: "accuracy", ERRORS: "mad", PROBES: "accuracy"}


def _table(table, comparison, low, **more):
    """One difference; the others of the table are held, so that they cannot be taken for it."""
    row = {"metric": METRICS.get(table), "learner": "", "target": "first", "subset": "changed"}
    row |= {"split": "" if table == "shift_differences" else "held_out", "predictor": "after", "p": 0.02, "n": 40}
    others = [name for of, name in PLANTED.values() if of == table and name != comparison]
    level = {"comparison": comparison, "estimate": low + 0.1, "low": low, "high": low + 0.2}
    held = [{"comparison": name, "estimate": 0.3, "low": 0.2, "high": 0.4} for name in others]
    return pd.DataFrame([row | each for each in (level | more, *held)])


def _verdicts(root, claim, **tables):
    with RunFolder.open(root, "self-prediction", PRESETS["smoke"], provenance={}) as folder:
        for name, table in tables.items():
            folder.save_table(name, table)
        (asked,) = [each for each in claims() if each.name == claim]
        return judge([asked], PredictionContext(PRESETS["smoke"], folder))


def test_every_claim_has_a_planted_pair():
    assert [claim.name for claim in claims()] == list(PLANTED)


@pytest.mark.parametrize("claim", PLANTED)
def test_a_claim_is_held_above_zero_and_not_where_the_interval_reaches_it(claim, tmp_path):
    table, comparison = PLANTED[claim]
    for low, held in ((0.05, True), (0.0, False), (-0.05, False), (float("nan"), False)):
        found = _verdicts(tmp_path / str(low), claim, **{table: _table(table, comparison, low)})
        assert found["held"].tolist() == [held]
    assert _verdicts(tmp_path / "none", claim).empty


def test_splits_learners_and_fits_are_judged_on_their_own(tmp_path):
    rows = [
        _table(ACCURACY, "self less cross", 0.1, split="held_out", learner="second-1").head(1),
        _table(ACCURACY, "self less cross", -0.3, split="train", learner="second-1").head(1),
    ]
    found = _verdicts(tmp_path, "self-prediction above cross-prediction", comparisons=pd.concat(rows))
    assert dict(zip(found["on"], found["held"], strict=True)) == {
        "held-out tasks, predicting first, second-1": True,
        "training tasks, predicting first, second-1": False,
    }
    assert found["evidence"].iloc[0] == "self less cross (n = 40, p = 0.02): +0.200 [+0.100, +0.300]"


def test_only_accuracy_and_only_what_is_predicted_after_the_shift_is_judged(tmp_path):
    balanced = _table(ACCURACY, "self less mode", 0.1, metric="balanced_accuracy").head(1)
    claim = "self-prediction above the commonest answer"
    assert _verdicts(tmp_path / "a", claim, comparisons=balanced).empty
    before = pd.concat([_table("shift_differences", "", 0.1, predictor="before"),
                        _table("shift_differences", "", 0.1, split="train")])  # fmt: skip
    assert _verdicts(tmp_path / "b", "shift: predictions follow the new behaviour", shift_differences=before).empty


@pytest.mark.parametrize(("right", "held"), [(0.9, True), (0.5, False)])
def test_predictions_that_are_right_more_often_than_the_others_hold_the_claim(right, held, tmp_path):
    """From single predictions: the self-trained model is right on ``right`` of 40 items, the other on half of them."""
    parts = []
    for predictor, learner, share in (("self", "", right), ("cross", "second-1", 0.5)):
        about = {"target": "first", "learner": learner, "predictor": predictor, "split": "held_out", "task": "t"}
        correct = [float(k % 10 < 10 * share) for k in range(40)]
        items = {"id": [f"t-{k}" for k in range(40)], "property": "p", "truth": ["a", "b"] * 20, "correct": correct}
        parts.append(pd.DataFrame(about | items))
    table = comparisons_table(pd.concat(parts, ignore_index=True), 0)
    found = _verdicts(tmp_path, "self-prediction above cross-prediction", comparisons=table)
    assert found["held"].tolist() == [held]
