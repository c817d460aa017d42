"""A whole run on tiny models: tables, controls, resuming after a kill, and what may not change with it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.killing import kill_when, python
from workbench.errors import ModelError, SpecError
from workbench.families import get_family, plan, run
from workbench.families.introspection.self_prediction.scoring import judged
from workbench.models import load_model
from workbench.runs import load_run
from workbench.training.lora import load_adapter

pytestmark = pytest.mark.slow

ESTIMATE = ("estimate", "low", "high")
LEVEL = ("split", "task", "property", "metric", *ESTIMATE, "n")
TABLES = {
    "predictions": ("target", "learner", "predictor", "task", "split", "id", "property", "truth", "said", "correct"),
    "accuracy": ("target", "learner", "predictor", *LEVEL),
    "comparisons": ("target", "learner", "comparison", "split", "metric", *ESTIMATE, "p", "n"),
    "similarity": ("candidate", "split", *ESTIMATE, "n", "model", "rank", "chosen"),
    "compliance": ("asked", "model", "split", "task", "property", *ESTIMATE, "n"),
    "drift": ("model", "before", "split", *ESTIMATE, "n"),
    "finetuning": ("learner", "target", "learner_model", "target_model", "pairs", "fingerprint"),
    "calibration": ("predictor", "learner", "split", "bin", "hypothetical", *ESTIMATE, "n"),
    "calibration_error": ("predictor", "learner", "split", "metric", *ESTIMATE, "n"),
    "calibration_differences": ("comparison", "learner", "split", "metric", *ESTIMATE, "n"),
    "shift": ("subset", "split", "predictor", "follows", *ESTIMATE, "n"),
    "shift_differences": ("subset", "split", "predictor", *ESTIMATE, "p", "n"),
    "probes": ("fit", "reader", "layer", *LEVEL),
    "probe_comparisons": ("fit", "comparison", "layer", "split", "metric", *ESTIMATE, "p", "n"),
    "probe_layers": ("layer", "fit", "role", "split", "metric", *ESTIMATE, "n"),
    "claims": ("claim", "on", "held", "evidence", *ESTIMATE),
}

FAMILY = get_family("self-prediction")


@pytest.fixture(scope="module")
def record(self_prediction_run: Path):
    return load_run(self_prediction_run)


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_there_with_its_columns(record, name: str) -> None:
    table = record.load_table(name)
    assert len(table) and set(table.columns) == set(TABLES[name])


def test_the_plan_names_the_steps_that_a_run_does(record, tiny_self_prediction: Any) -> None:
    assert [step.name for step in plan(FAMILY, tiny_self_prediction)] == record.steps()
    assert record.status.state == "finished"


def answers(record, name: str) -> pd.DataFrame:
    """A set of answers: one step a task."""
    return pd.concat([record.read(f"{name}@{task}") for task in ("beasts", "words")], ignore_index=True)


def test_every_predictor_and_control_is_there(record) -> None:
    accuracy = record.load_table("accuracy")
    who = {(row.target, row.learner, row.predictor) for row in accuracy.itertuples()}
    for target, learners in (("first", ("second-1", "second-2")), ("second-1", ("first",)), ("second-2", ("first",))):
        assert {(target, "", kind) for kind in ("mode", "self_before", "self", "self_after")} <= who
        kinds = ("cross_before", "cross", "cross_itself")
        assert {(target, learner, kind) for learner in learners for kind in kinds} <= who
    readers = set(record.load_table("probes")["reader"])
    assert readers == {"probe", "shuffled", "untrained", "second", "self_before", "self", "cross", "mode"}
    assert set(record.load_table("calibration_error")["predictor"]) == {"self_before", "self", "cross_before", "cross"}


def test_accuracy_is_that_of_the_answers_that_were_given(record) -> None:
    said, did = answers(record, "foreseen-first-on-first"), answers(record, "behaviour-first")
    expected = judged(did[did["role"] == "test"], said)
    table = record.load_table("accuracy")
    row = table[(table["predictor"] == "self") & (table["target"] == "first") & (table["task"] == "beasts")]
    row = row[(row["property"] == "first_character") & (row["metric"] == "accuracy")].iloc[0]
    part = expected[(expected["task"] == "beasts") & (expected["property"] == "first_character")]
    assert row["estimate"] == pytest.approx((part["truth"] == part["said"]).mean()) and row["n"] == len(part)


def test_readers_are_compared_on_the_same_items(record) -> None:
    probes = record.load_table("probes")
    sizes = probes[probes["task"] == ""].groupby(["fit", "split", "metric"])["n"].nunique()
    assert (sizes == 1).all()


def test_the_candidates_most_like_m1_are_the_second_models(record) -> None:
    table = record.load_table("similarity")
    table = table[table["split"] == ""].sort_values("rank")
    assert table["estimate"].is_monotonic_decreasing and table["chosen"].all()
    assert list(table["model"]) == [record.read_json("chosen")[f"second-{k}"] for k in (1, 2)]
    did, other = (answers(record, f"behaviour-{name}") for name in ("first", table["candidate"].iloc[0]))
    both = judged(did[did["role"] == "test"], other.dropna(subset=["value"]))
    assert table["estimate"].iloc[0] == pytest.approx(both["correct"].mean())


def test_training_changed_what_the_model_says_and_the_adapter_is_the_model(record, tiny_self_prediction: Any) -> None:
    before, after = answers(record, "foreseen-first"), answers(record, "foreseen-first-on-first")
    assert (before["answer"] != after["answer"]).any()
    rows = record.load_table("finetuning").set_index(["learner", "target"])
    tuned = load_adapter(
        load_model(tiny_self_prediction.model, device="cpu"), record.path / "adapters" / "first-on-first"
    )
    assert rows.loc[("first", "first"), "fingerprint"] == tuned.fingerprint


def test_killed_in_a_finetuning_it_goes_on_to_the_same_tables(
    record, tiny_self_prediction: Any, tmp_path: Path, self_prediction_run: Path
) -> None:
    """A real SIGKILL, while the first finetuning runs; the steps before it are copied from the finished run."""
    target = tmp_path / "self-prediction" / "again"
    shutil.copytree(self_prediction_run, target)
    steps = record.steps()
    for step in steps[steps.index("train-first-on-first") :]:
        (target / "rows" / f"{step}.parquet").unlink()
    shutil.rmtree(target / "adapters" / "first-on-first")
    for file in (target / "artifacts").iterdir():
        file.unlink()
    code = (
        "import sys; from workbench.training import lora; from workbench.families import get_family, run\n"
        "family = get_family('self-prediction'); spec = family.spec.model_validate_json(sys.argv[1])\n"
        "train, real = lora.train, lora.LoRA\n"
        "def slow(*a, **k):\n"
        "    open(sys.argv[3], 'w').close(); import time\n"
        "    a = list(a); report = a[5]; a[5] = lambda s: (report(s), time.sleep(0.2)); return train(*a, **k)\n"
        "lora.train = slow\n"
        "run(family, spec, sys.argv[2], 'again')\n"
    )
    training = tmp_path / "training"
    kill_when(training.exists, python(code, tiny_self_prediction.model_dump_json(), tmp_path, training), later=0.5)
    assert load_run(target).status.state == "interrupted"
    run(FAMILY, tiny_self_prediction, tmp_path, "again")
    again = load_run(target)
    for name in TABLES:
        pd.testing.assert_frame_equal(again.load_table(name), record.load_table(name))


def test_a_layer_that_the_model_lacks_is_refused_before_a_folder_is_made(
    tiny_self_prediction: Any, tmp_path: Path
) -> None:
    spec = tiny_self_prediction.model_copy(update={"layers": (0, 7)})
    with pytest.raises(SpecError, match="layer 7 does not exist"):
        run(FAMILY, spec, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_candidate_that_is_not_there_is_refused_before_anything_is_run(
    tiny_self_prediction: Any, tmp_path: Path
) -> None:
    spec = tiny_self_prediction.model_copy(update={"candidates": (str(tmp_path / "gone"), "copy")})
    for ask in (plan, lambda *given: run(*given, tmp_path / "runs")):
        with pytest.raises(ModelError, match="no such folder"):
            ask(FAMILY, spec)
    assert not (tmp_path / "runs").exists()
