"""A whole run, small: its tables, report, figure, and that the probe reads what was said."""

import json

import numpy as np
import pytest

from workbench.errors import DataError
from workbench.families import families, figures_of, plan
from workbench.families.deception import DECEPTION, PRESETS
from workbench.families.deception.detection import INSTRUCTED, out_of_fold, read_said, score_sets
from workbench.families.deception.facts import instructed, read_facts, replies
from workbench.families.deception.scenarios import read_scenarios
from workbench.runs import load_run


def test_the_family_is_found():
    assert families()["deception"] is DECEPTION


def test_a_run_has_every_condition_and_reader(deception_run):
    record = load_run(deception_run)
    assert record.status.state == "finished"
    steered = record.load_table("steering")
    assert set(zip(steered["method"], steered["side"], strict=True)) == {
        ("prompt", "up"), ("prompt", "down"), ("vector", "up"), ("vector", "down"), ("random", "up"),
    }  # fmt: skip
    vectors = steered[steered["method"] != "prompt"]
    assert (vectors["kl"] / 0.1).between(0.6, 1.6).all()
    found = record.load_table("detection")
    assert set(found["reader"]) >= {"probe", "untrained model", "bag of words"}
    assert set(found["metric"]) == {"auroc", "recall@0.01", "recall@0.05"}
    assert len(record.load_table("claims")) > 10


def test_the_report_and_the_figure_are_of_its_tables(deception_run):
    record = load_run(deception_run)
    tables = {table.title: table.frame for table in DECEPTION.report(record)}
    assert list(tables) == [
        "can it be measured?",
        "the choice of the unsteered model",
        "what the probe finds",
        "steering",
    ]
    assert any("(null)" in cell for cell in tables["steering"]["change"])
    assert len(figures_of(record)["deception"].data) >= 7


def test_what_was_said_is_read_where_it_was_said(bandit_model):
    said = replies(read_scenarios("everyday", 1))[:1]
    read = read_said(bandit_model, said, [2])
    tokens = bandit_model.encode(said[0].messages)
    states = bandit_model.forward([tokens], [2]).activations[2][0]
    answer = len(bandit_model.encode_continuation(said[0].words, after=said[0].messages[:-1]))
    np.testing.assert_allclose(read.numpy(2)[0], states[-answer:].float().mean(0), atol=1e-3)


def test_a_probe_of_instructed_lies_finds_planted_ones_and_no_fold_splits_a_fact():
    told, others = instructed(read_facts("facts")), replies(read_scenarios("everyday"))
    rng = np.random.default_rng(0)
    features = {name: rng.normal(size=(len(said), 4)) + 3 * np.array([[each.deceptive] for each in said])
                for name, said in ((INSTRUCTED, told), ("scenarios", others))}  # fmt: skip
    rows = score_sets(features, {INSTRUCTED: told, "scenarios": others}, seed=0)
    far = rows[rows["set"] == "scenarios"]
    assert far.loc[far["deceptive"], "score"].min() > far.loc[~far["deceptive"], "score"].median()
    folds = out_of_fold(features[INSTRUCTED], told, 0).groupby("group")["fold"].nunique()
    assert (folds == 1).all()


@pytest.mark.parametrize("preset", ["smoke", "laptop", "cpu"])
def test_every_preset_can_be_planned(preset):
    assert len(plan(DECEPTION, PRESETS[preset].model_copy(update={"model": "bandit-agent"}))) == 4


def test_answers_of_ones_own_are_checked_before_anything_is_loaded(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": [], "deceptive": True}))
    with pytest.raises(DataError, match="line 1: needs messages"):
        PRESETS["smoke"].model_copy(update={"answers": str(tmp_path / "a.jsonl")}).check()
