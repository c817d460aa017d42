"""A whole run, small: its tables, its report and figure, and that a control is of the vector's length."""

import json

import pandas as pd
import pytest
import torch

from steering import NEUTRAL_TEXTS, Add, Condition, SteeringVector, calibrate_all, damage
from workbench.families import Context, families, figures_of, run
from workbench.families.steer import STEER, SteerSpec
from workbench.families.steer.concept import read_concept
from workbench.families.steer.instruments import Words
from workbench.families.steer.measures import condition
from workbench.families.steer.steps import _drawn, vector
from workbench.models import load_model
from workbench.models.tiny import tiny_model
from workbench.runs import load_run


def test_a_run_has_every_condition_once(steer_run):
    record = load_run(steer_run)
    results = record.load_table("results")
    counts = results[results["measure"] == "effect"].groupby("method").size().to_dict()
    assert counts == {"prompt": 2, "vector": 4, "equal": 2, "matched": 2, "random": 1, "shuffled": 1}
    assert record.read_json("chosen")["dose"] == 0.3 and record.status.state == "finished"
    assert {"transfer", "panel-tense", "panel-certainty"} <= set(results["measure"])
    assert record.load_table("layers")["candidate"].sum() == 2


def test_controls_do_the_damage_of_the_chosen_cell(steer_run):
    record = load_run(steer_run)
    results, chosen = record.load_table("results"), record.read_json("chosen")
    rows = pd.concat([record.read(name) for name in record.steps() if name.startswith(("equal", "control"))])
    kl = rows[(rows["measure"] == "kl") & (rows["set"] == "choose") & (rows["method"] != "matched")]
    assert kl.groupby(["method", "side", "draw"])["value"].mean().to_numpy() == pytest.approx(chosen["kl"], rel=0.15)
    assert results.loc[results["method"] == "random", "dose"].iloc[0] != chosen["dose"]


def test_the_report_and_the_figures_show_the_chosen_cell(steer_run):
    record = load_run(steer_run)
    grid, _, beside, elsewhere = STEER.report(record)
    assert list(grid.frame.columns) == ["layer", "-0.3", "+0.3"] and len(grid.frame) == 2
    assert beside.frame["condition"].iloc[0] == "vector, up" and len(beside.frame) == 8
    assert list(elsewhere.frame["what"]) == ["transfer", "certainty", "tense"]
    drawn = figures_of(record)
    assert set(drawn) == {"doses", "tradeoff", "layers"}
    assert {trace.name for trace in drawn["doses"].data if trace.name} >= {"random directions"}
    assert {trace.name for trace in drawn["tradeoff"].data if trace.name} >= {"sentence in front"}


def test_the_saved_vector_is_the_mean_difference_of_the_last_tokens_with_its_dose(steer_run):
    model, record = load_model("bandit-agent", device="cpu"), load_run(steer_run)
    chosen = record.read_json("chosen")
    made = SteeringVector.load(steer_run / "artifacts" / "vector.safetensors", model)
    assert made.fingerprint == model.fingerprint and made.metadata["dose"] == chosen["dose"]
    assert made.residual_norm == pytest.approx(model.residual_norm(made.site))
    differences = []
    layer = chosen["layer"]
    for pair in read_concept("valence").pairs:
        up, down = (model.forward([text], sites=[layer]).activations[layer][0, -1] for text in pair)
        differences.append(up - down)
    assert torch.allclose(made.vector, torch.stack(differences).mean(0), atol=1e-4)


@pytest.mark.parametrize("name", ["random", "shuffled"])
def test_controls_are_of_the_vectors_length_and_differ_by_draw(name, steer_run):
    model, record = load_model("bandit-agent", device="cpu"), load_run(steer_run)
    own = vector(Context(STEER.presets["smoke"], record, model), 1)
    one, other = _drawn(name, own, 1), _drawn(name, own, 2)
    assert one.norm == pytest.approx(own.norm, rel=1e-4) and not torch.allclose(one.vector, other.vector)


def test_the_family_is_found():
    assert families()["steer"] is STEER


PAIRS = "\n".join(json.dumps({"positive": f"a b {k} up", "negative": f"a b {k} so"}) for k in "cdefghijklmn")


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"rule": "max_words:3", "n": 1},
        {"target_kl": 0.1},
        {"maker": "pca_difference", "transfer": "pairs"},
        {"maker": "preference"},
    ],
)
def test_a_user_with_pairs_in_a_file_gets_a_recommended_cell_and_a_vector(more, tmp_path):
    file = tmp_path / "mine.jsonl"
    file.write_text(PAIRS)
    more = {key: str(file) if value == "pairs" else value for key, value in more.items()}
    small = {"layers": (1, 3), "doses": (-0.3, 0.3), "candidates": 2, "random": 2, "shuffled": 1, "replies": 1}
    spec = SteerSpec(model="bandit-agent", pairs=str(file), max_new_tokens=4, panel=(), **(small | more))
    folder = run(STEER, spec, tmp_path / "runs")
    record = load_run(folder)
    chosen = record.read_json("chosen")
    assert chosen["layer"] in (1, 3) and (folder / "artifacts" / "vector.safetensors").exists()
    results = record.load_table("results")
    if "target_kl" in more:
        kl = record.load_table("cells")["kl"]
        assert kl.to_numpy() == pytest.approx(0.1, rel=0.5), "of half of the texts that it was calibrated on"
    if "maker" in more:
        assert "mean_difference" in set(results["method"])
        assert ("transfer" in set(results["measure"])) == ("transfer" in more)
    if more.get("maker") == "preference":
        loss = record.read("learn-1")["loss"]
        assert loss.iloc[-1] < loss.iloc[0]
    assert results.loc[results["measure"] == "effect", "items"].eq(3).all()


def test_a_vector_of_a_file_is_measured_at_its_own_layer(tmp_path, steer_run):
    own = steer_run / "artifacts" / "vector.safetensors"
    layer = load_run(steer_run).read_json("chosen")["layer"]
    spec = STEER.presets["smoke"].model_copy(update={"vector": str(own), "panel": ()})
    record = load_run(run(STEER, spec, tmp_path))
    assert set(record.load_table("cells")["layer"]) == {layer}
    assert "mean_difference" in set(record.load_table("results")["method"])
    before, again = (load_run(f).load_table("cells").set_index(["layer", "dose"]) for f in (steer_run, record.path))
    assert again["estimate"].to_numpy() == pytest.approx(before.loc[layer, "estimate"].to_numpy(), abs=1e-4)


@pytest.mark.parametrize("shape", ["gpt2", "mistral"])
def test_a_model_of_another_architecture_goes_through_the_same_command(shape, tmp_path):
    model = tiny_model(shape)
    model.backend.hf_model.save_pretrained(tmp_path / "model")
    model.tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "mine.jsonl").write_text(PAIRS)
    spec = SteerSpec(
        model=str(tmp_path / "model"), pairs=str(tmp_path / "mine.jsonl"), doses=(-0.3, 0.3), candidates=2, random=2,
        shuffled=1, replies=1, max_new_tokens=4, panel=(),
    )  # fmt: skip
    record = load_run(run(STEER, spec, tmp_path / "runs"))
    kl = record.load_table("results").query("measure == 'kl' and method in ('equal', 'random')")["estimate"]
    assert record.status.state == "finished" and (kl > 0).all()


@pytest.mark.real
def test_valence_pushes_smollm2_further_than_random_directions_of_equal_damage(smollm2):
    concept = read_concept("valence")
    found = Words(concept.prompts.test[:8], ["test"] * 8, [" good", " great", " nice"], [" bad", " poor", " boring"])
    texts = [text for side in (0, 1) for text in (pair[side] for pair in concept.pairs)]
    read = smollm2.forward(texts, sites=[21])
    ends = torch.stack([read.activations[21][i, n - 1] for i, n in enumerate(read.lengths)]).float()
    direction = ends[: len(concept.pairs)].mean(0) - ends[len(concept.pairs) :].mean(0)
    own = SteeringVector(21, direction)
    neutral = NEUTRAL_TEXTS[:4]
    drawn = [own.random_like(seed) for seed in range(3)]
    kl = damage(smollm2, [Condition("v", (Add(own, dose=0.3),))], neutral)["kl"].mean()
    doses = [each.dose for each in calibrate_all(drawn, smollm2, kl, texts=neutral, rounds=1, near=0.3)]
    ways = [condition("unsteered"), *(condition("vector", Add(own, dose=d)) for d in (-0.3, 0.3))]
    ways += [condition("random", Add(each, dose=dose)) for each, dose in zip(drawn, doses, strict=True)]
    values = found.read(smollm2, ways)[0].mean(1)
    effect = values - values[0]
    assert effect[2] > 2 and effect[1] < -2  # about +4.3 and -3.5
    assert abs(effect[3:]).max() < 2  # about -.1 +- .6
