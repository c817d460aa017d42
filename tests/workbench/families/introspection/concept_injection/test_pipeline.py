"""A whole run on a tiny model: its tables, what happens when it is killed, and what a model that noticed would give."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.killing import kill_run, python
from workbench.errors import DataError, ModelError, SpecError
from workbench.families import get_family, plan, run
from workbench.families.introspection.concept_injection import judge, protocols, steps, summary
from workbench.families.introspection.concept_injection.spec import InjectionSpec
from workbench.families.introspection.concept_injection.trials import Outcome
from workbench.runs import load_run
from workbench.statistics import wilson

pytestmark = pytest.mark.slow

INTERVALS = ("", "_low", "_high")
TABLES = ("results", "held_out", "claims", "vectors", "coherence")
FAMILY = get_family("concept-injection")


@pytest.fixture(scope="module")
def record(injection_run: Path):
    return load_run(injection_run)


@pytest.fixture(scope="module")
def results(record) -> pd.DataFrame:
    return record.load_table("results")


def test_the_plan_names_the_steps_and_completions_of_a_run(record, small_spec) -> None:
    planned = plan(FAMILY, small_spec)
    assert [step.name for step in planned] == record.steps() and record.status.state == "finished"
    for step in planned:
        rows = record.read(step.name)
        drawn = (
            0 if "text" not in rows else int((rows["text"].notna() & rows.get("coherent", rows["text"]).notna()).sum())
        )
        if step.name.split("-")[0] in ("detection", "naming", "prefill", "own"):
            assert drawn == step.completions, step.name


def test_false_positives_and_control_vectors_stand_beside_every_number_of_an_injected_concept(results) -> None:
    injected = results[results["vector"] == "concept"]
    for control in ("none", "random", "shuffled"):
        for end in INTERVALS:
            assert injected[f"{control}{end}"].notna().all(), control
            if control != "none" or end == "":
                assert injected[f"over_{control}{end}"].notna().all(), control
    detection = injected[(injected["protocol"] == "detection") & (injected["arm"] == "standard")]
    assert detection["perturbed"].notna().all() and detection["over_perturbed"].notna().all()


def test_every_protocol_arm_layer_and_multiplier_is_there(results, small_spec) -> None:
    found = {(p, a) for p, a in zip(results["protocol"], results["arm"], strict=True)}
    assert found == set(summary.PRIMARY)
    for (protocol, arm), part in results[results["vector"] == "concept"].groupby(["protocol", "arm"]):
        assert set(part["layer"]) == set(small_spec.layers)
        assert set(part["multiplier"]) == ({0.0} if protocol == "control" else set(small_spec.multipliers))
        assert summary.PRIMARY[protocol, arm] in set(part["metric"])


def test_rates_are_wilson_intervals_of_the_rows(record, results) -> None:
    rows = summary.gather(record)
    part = rows[(rows["protocol"] == "detection") & (rows["arm"] == "standard") & (rows["vector"] == "random")]
    part = part[(part["layer"] == 1) & (part["multiplier"] == 4.0)]
    row = results.query("protocol == 'detection' and arm == 'standard' and vector == 'random' and layer == 1")
    row = row[(row["multiplier"] == 4.0) & (row["metric"] == "says_yes")].iloc[0]
    expected = wilson(int(part["says_yes"].sum()), 6)
    assert (row["n"], row["estimate"], row["low"], row["high"]) == (6, *vars(expected).values())


def test_conditions_share_their_prompts_and_random_numbers(small_spec, tmp_path, monkeypatch) -> None:
    """A concept is asked with one prompt and seed, whatever is injected."""
    asked: dict[bool, set[tuple[tuple[int, ...], int]]] = {True: set(), False: set()}

    def recording(model, trials, **options):
        for trial in trials:
            asked[trial.injected].add((tuple(trial.tokens), trial.seed))
        return [Outcome([""] * trial.draws, [-1.0] * len(trial.answers)) for trial in trials]

    monkeypatch.setattr(protocols, "run_trials", recording)
    monkeypatch.setattr(protocols, "reply_logprobs", lambda model, trials, found: [[0.0] * len(o.texts) for o in found])
    spec = small_spec.model_copy(update={"controls": ("random", "shuffled", "neutral", "unrelated", "choice")})
    run(FAMILY, spec, tmp_path)
    assert asked[True] == asked[False]
    arms = sum(len(protocols.arms_of(spec, protocol)) for protocol in spec.protocols if protocol != "control")
    assert len(asked[True]) == spec.concepts * arms and len({seed for _, seed in asked[True]}) == spec.concepts * arms


def test_the_untrained_model_detects_nothing_and_its_false_positives_are_reported(record) -> None:
    table = record.load_table("claims").set_index("claim")
    assert not table.loc["detection above no injection", "held"]
    assert table.loc["no false detections without injection", "held"]
    scopes = {(each["protocol"], each["arm"]): each for each in record.read_json("scopes")}
    assert set(scopes) == {pair for pair in summary.PRIMARY if pair[0] != "control"}
    assert scopes["kv_cache", "standard"]["stop"] < scopes["kv_cache", "standard"]["prompt_tokens"]
    assert scopes["detection", "standard"]["stop"] is None


def test_a_model_that_notices_is_found_and_one_that_says_yes_to_anything_is_not(
    small_spec, tmp_path, monkeypatch
) -> None:
    """Planted replies: the concept's vector is noticed and named at layer 1, multiplier 4; nothing else is."""

    def noticing(model, trials, **options):
        found = []
        for trial in trials:
            vector = trial.vector
            seen = vector is not None and "control" not in vector.metadata
            seen = seen and vector.site.layer == 1 and trial.multiplier == 4.0
            text = f"Yes, it is about a {vector.name}." if seen else "No."
            logprobs = [-0.1 if seen else -3.0] * (len(trial.answers) // 2) + [-1.0] * (len(trial.answers) // 2)
            found.append(Outcome([text] * trial.draws, logprobs))
        return found

    def all_coherent(model, trials, outcomes):
        return [[0.0] * len(outcome.texts) for outcome in outcomes]

    spec = small_spec.model_copy(update={"concepts": 8, "protocols": ("detection", "naming")})
    monkeypatch.setattr(protocols, "run_trials", noticing)
    monkeypatch.setattr(protocols, "reply_logprobs", all_coherent)
    made = load_run(run(FAMILY, spec, tmp_path))
    assert made.read_json("chosen")["detection/standard"] == {"layer": 1, "multiplier": 4.0}
    held = made.load_table("claims").set_index("claim")["held"]
    for claim in (
        "detection above no injection",
        "detection above a random vector",
        "claims of a thought above odd input",
    ):
        assert held[claim], claim
    assert held["no false claims of a thought without injection"]
    assert not held["more than a leaning to yes"]  # unrelated questions get the same yes
    assert not held["forced naming above detection"]


def test_cells_are_chosen_on_other_concepts_than_they_are_judged_on(record) -> None:
    rows = summary.gather(record)
    selecting, tested = summary.split(rows)
    assert not set(selecting["concept"]) & set(tested["concept"])
    assert summary.choose(selecting) == record.read_json("chosen")
    assert record.load_table("held_out")["n"].max() == tested["concept"].nunique()


def test_cells_with_the_same_rate_are_parted_by_their_logits(record) -> None:
    """A model that detects nothing anywhere is judged where yes gained most on no, and not in the weakest cell."""
    rows = summary.split(summary.gather(record))[0].assign(success=0.0)
    part = rows[(rows["protocol"] == "detection") & (rows["arm"] == "standard") & (rows["vector"] == "concept")]
    means = part.groupby(["layer", "multiplier"])["yes_no"].mean()
    layer, multiplier = means.idxmax()
    assert summary.choose(rows)["detection/standard"] == {"layer": layer, "multiplier": multiplier}
    best = rows.assign(success=((rows["layer"] == 0) & (rows["multiplier"] == 4.0)).astype(float))
    assert summary.choose(best)["detection/standard"] == {"layer": 0, "multiplier": 4.0}
    flat = rows.assign(names=0.0)  # no logits: the first by layer and multiplier
    assert summary.choose(flat)["naming/standard"] == {"layer": 0, "multiplier": 1.0}


def test_differences_are_paired_by_concept() -> None:
    a = pd.DataFrame({"concept": ["x", "y", "z"], "m": [1.0, 5.0, 9.0]})
    b = pd.DataFrame({"concept": ["z", "x", "y"], "m": [8.0, 0.0, 4.0]})
    found = summary.difference(a, b, "m")
    assert (found.estimate, found.low, found.high) == (1.0, 1.0, 1.0)
    assert np.isnan(summary.difference(a, b.assign(concept="w"), "m").estimate)


def test_a_run_that_lost_steps_and_is_killed_goes_on_to_the_same_tables(record, small_spec, tmp_path) -> None:
    copy = tmp_path / "concept-injection" / record.path.name
    shutil.copytree(record.path, copy)
    for step in ("detection-none", "detection-1", "naming-none", "control", "kv_cache-0"):
        (copy / "rows" / f"{step}.parquet").unlink()
    for artifact in ("results.parquet", "claims.parquet", "chosen.json"):
        (copy / "artifacts" / artifact).unlink()
    code = (
        "import sys; from workbench.families import get_family, run\n"
        "family = get_family('concept-injection')\n"
        "run(family, family.spec.model_validate_json(sys.argv[1]), sys.argv[2])\n"
    )
    kill_run(copy, 1, python(code, small_spec.model_dump_json(), tmp_path), kind="detection-none")
    again = load_run(run(FAMILY, small_spec, tmp_path))
    for name in TABLES:
        pd.testing.assert_frame_equal(again.load_table(name), record.load_table(name))
    assert again.artifacts == record.artifacts


def test_a_judge_grades_in_place_of_the_rules_and_theirs_stand_beside(
    record, small_spec, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(judge, "_says_yes", lambda model, asked, progress: [float(k % 2) for k in range(len(asked))])
    spec = small_spec.model_copy(update={"judge": small_spec.model, "protocols": ("naming",), "layers": (1,)})
    made = load_run(run(FAMILY, spec, tmp_path))
    assert {"judge-naming-none", "judge-naming-1"} <= set(made.steps())
    rows = summary.gather(made)
    before = summary.gather(record).query("protocol == 'naming' and layer in [-1, 1]").reset_index(drop=True)
    assert rows["text"].tolist() == before["text"].tolist() and rows["coherent"].tolist() == before["coherent"].tolist()
    assert rows["rule_names"].tolist() == before["names"].tolist()
    assert set(rows["names"]) == {0.0, 1.0} and rows["success"].isna().all()  # naming is no detection
    assert {"rule_names", "names", "judge_coherent"} <= set(made.load_table("results")["metric"])


def test_a_success_by_the_judge_is_coherent_too() -> None:
    grades = {"coherent": [1.0, 0.0, 1.0], "success": 0.0, "affirms": 0.0, "names": 1.0}
    judged = {"judge_affirms": [1.0, 1.0, None], "judge_names": [1.0, 1.0, None], "judge_coherent": [1.0, 1.0, None]}
    rows = summary._by_judge(pd.DataFrame(grades | judged))
    assert rows["success"].tolist() == [1.0, 0.0, 0.0] and rows["affirms"].tolist() == [1.0, 1.0, 0.0]
    assert rows["rule_success"].tolist()[:2] == [0.0, 0.0] and np.isnan(rows["rule_success"][2])


def test_doses_are_shares_of_the_residual_stream_whatever_the_vectors_length(small_spec, tmp_path, monkeypatch) -> None:
    lengths: dict[tuple[int, float], set[float]] = {}
    multiplier = steps.InjectionContext.multiplier

    def recording(context, vector, strength):
        found = multiplier(context, vector, strength)
        share = found * vector.norm / context.model.residual_norm(vector.site)
        lengths.setdefault((vector.site.layer, strength), set()).add(round(share, 4))
        return found

    monkeypatch.setattr(steps.InjectionContext, "multiplier", recording)
    changes = {"multipliers": None, "doses": (0.5, 1.5), "protocols": ("kv_cache",), "controls": ("random",)}
    made = load_run(run(FAMILY, small_spec.model_copy(update=changes), tmp_path))
    assert lengths == {(layer, dose): {dose} for layer in small_spec.layers for dose in (0.5, 1.5)}
    table = made.load_table("results")
    assert set(table["dose"]) == {0.0, 0.5, 1.5} and "multiplier" not in table
    assert set(made.read_json("chosen")["kv_cache/standard"]) == {"layer", "dose"}


def test_an_exact_run_samples_nothing_and_agrees_with_the_sampled_one(record, small_spec, tmp_path) -> None:
    spec = small_spec.model_copy(update={"exact": True})
    assert sum(step.completions for step in plan(FAMILY, spec)) == 0
    made = load_run(run(FAMILY, spec, tmp_path))
    assert not [step for step in made.steps() if step.startswith(("own", "naming", "thought"))]
    exact, sampled = summary.gather(made), summary.gather(record)
    keys = ["protocol", "arm", "vector", "layer", "multiplier", "concept"]
    both = exact.merge(sampled, on=keys, suffixes=("", "_sampled"), validate="1:1")
    assert len(both) == len(exact) and (exact["text"] == "").all()
    for name in ("yes_no", "outside_mass", "option_logit", "cosine"):
        np.testing.assert_allclose(both[name], both[f"{name}_sampled"], atol=1e-5)
    assert both["outside_mass"].dropna().between(0, 1).all() and made.read_json("chosen")


def test_controls_and_protocols_can_be_left_out(small_spec, tmp_path) -> None:
    spec = small_spec.model_copy(update={"protocols": ("detection",), "controls": (), "layers": (1,)})
    table = load_run(run(FAMILY, spec, tmp_path)).load_table("results")
    assert set(table["arm"]) == {"standard"} and set(table["vector"]) == {"concept", "none"}
    assert table["random"].isna().all() and table.loc[table["vector"] == "concept", "none"].notna().all()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("protocols", ("detction",), "did you mean 'detection'"),
        ("controls", ("radnom",), "did you mean 'random'"),
        ("multipliers", (0.0, 1.0), "a multiplier of 0 is no injection"),
        ("doses", (0.0, 1.0), "a dose of 0 is no injection"),
        ("multipliers", (1.0, 1.0), "1.0 is named twice"),
        ("layers", (), "name at least one"),
        ("multipliers", (1.0, float("nan")), "finite number"),
        ("scope", "replies", "did you mean 'reply'"),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(field, value, message) -> None:
    with pytest.raises(ValueError, match=message):
        InjectionSpec(**{field: value})


def test_what_cannot_be_run_is_refused_before_a_folder_is_made(small_spec, tmp_path, chat_folder) -> None:
    plain = tmp_path / "plain"
    shutil.copytree(chat_folder, plain)
    (plain / "chat_template.jinja").unlink()
    root = tmp_path / "runs"
    for changes, error, message in (
        ({"model": str(plain)}, ModelError, "has no chat template"),
        ({"layers": (7,)}, SpecError, "layer 7 does not exist"),
        ({"concepts": 51}, DataError, "51 concepts are asked for"),
        ({"judge": str(plain)}, ModelError, "no chat template: a judge is asked questions"),
        ({"judge": str(tmp_path / "gone")}, ModelError, "no such folder"),
    ):
        with pytest.raises(error, match=message):
            run(FAMILY, small_spec.model_copy(update=changes), root)
    assert not root.exists()


def test_every_preset_can_be_planned() -> None:
    for spec in FAMILY.presets.values():
        assert sum(step.completions for step in plan(FAMILY, spec)) > 0
