"""EAST end to end on the shipped model at smoke size: the machinery, the controls, resuming.

Whether the paper's claims appear is measured by real runs (README); here the question is whether the numbers are
right.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from steering import SteeringVector
from steering.estimators import entropy_weighted
from tests.killing import kill_run, python
from workbench.errors import ArtifactError, ModelError, SpecError
from workbench.families import get_family, plan, run
from workbench.families.east import EAST, PRESETS
from workbench.families.east.collect import (
    Condition,
    agent_for,
    choose_prompts,
    play_extraction,
    play_settings,
    run_conditions,
)
from workbench.families.east.equal_draws import comparable
from workbench.families.east.results import choose, results_table
from workbench.families.east.thoughts import over_represented
from workbench.models.tiny import tiny_model
from workbench.runs import load_run
from workbench.sites import Site

pytestmark = pytest.mark.slow

SMOKE = PRESETS["smoke"]
TABLES = ("results", "claims", "behaviour", "entropy_by_step", "words")


@pytest.fixture(scope="module")
def record(east_run: Path):
    return load_run(east_run)


def test_every_control_and_baseline_stands_in_the_table(record) -> None:
    results = record.load_table("results")
    tested = results[results["set"] == "test"]
    wanted = {
        "unsteered",
        "east",
        "shuffled",
        "random",
        "temperature",
        "top_p",
        "request",
        "uncentred",
        "unweighted",
        "mean_difference",
    }
    for rendering in SMOKE.renderings:
        part = tested[tested["rendering"] == rendering]
        assert set(part["method"]) == wanted
        assert set(part[part["method"] == "east"]["source"]) == set(SMOKE.renderings)
        steered = part[part["method"] == "east"]
        assert set(steered["dose"]) == set(SMOKE.doses) - {0}
        assert np.allclose(np.sign(steered["multiplier"]), np.sign(steered["dose"]))


def test_unsteered_differs_from_itself_by_nothing(record) -> None:
    results = record.load_table("results")
    base = results[(results["method"] == "unsteered") & results["estimate"].notna()]
    assert (base["difference"] == 0).all() and (base["dose"] == 0).all()


def test_estimates_are_means_of_the_rows(record) -> None:
    results = record.load_table("results")
    rows = comparable(record.read("test-buttons"), SMOKE.eval_completions, exact=False)
    for row in results[(results["set"] == "test") & (results["rendering"] == "buttons")].itertuples():
        part = rows[(rows["method"] == row.method) & (rows["layer"] == row.layer) & (rows["dose"] == row.dose)]
        part = part[
            (part["temperature"] == row.temperature) & (part["top_p"] == row.top_p) & (part["source"] == row.source)
        ]
        values = part[row.metric].dropna()
        assert np.isclose(values.mean(), row.estimate) or (values.empty and np.isnan(row.estimate))


def test_a_dose_is_the_length_of_what_is_added_as_a_share_of_the_norm_at_the_last_prompt_token(
    record, bandit_model
) -> None:
    from workbench.worlds.bandits.agents.rollout import prompts_of

    steps, results = record.read("extraction-buttons-0"), record.load_table("results")
    prompts = prompts_of(agent_for(bandit_model, SMOKE, "buttons"), steps)
    chosen = record.read_json("chosen")["buttons"]
    layer, vector = chosen["layer"], record.load_tensors("estimates-buttons")[0]["east"][chosen["layer"]]
    norms = [bandit_model.forward([p], [layer]).activations[layer][0, -1].norm().item() for p in prompts]
    own = results[(results["layer"] == layer) & (results["rendering"] == "buttons") & (results["set"] == "test")]
    added = own["multiplier"] * vector.norm().item() / torch.tensor(norms).median().item()
    assert len(own) > 5 and np.allclose(added, own["dose"], rtol=1e-4)


def test_the_saved_vector_is_the_formula_on_the_recorded_episodes(record, bandit_model) -> None:
    """The explicit double sum of the paper over the prompts of the run, with activations from plain Hugging Face."""
    steps = record.read("extraction-buttons-0")
    chosen = record.read_json("chosen")["buttons"]
    saved = SteeringVector.load(record.path / "artifacts" / "vector-buttons.safetensors", model=bandit_model)
    from workbench.worlds.bandits.agents.rollout import prompts_of

    prompts = prompts_of(agent_for(bandit_model, SMOKE, "buttons"), steps)
    hf = bandit_model.backend.hf_model
    with torch.no_grad():
        z = torch.stack(
            [
                hf(torch.tensor([p]), output_hidden_states=True).hidden_states[chosen["layer"] + 1][0, -1]
                for p in prompts
            ]
        )
    u, total = torch.zeros(bandit_model.d_model, dtype=torch.float64), 0.0
    for _, part in steps.reset_index(drop=True).groupby("episode"):
        rows = z[part.index.tolist()].double()
        for h, row in zip(part["entropy"], rows, strict=True):
            u, total = u + h * (row - rows.mean(0)), total + h
    assert torch.allclose(saved.vector.double(), u / total, atol=1e-4)
    assert torch.allclose(
        entropy_weighted(z, steps["entropy"].to_numpy(), steps["episode"].to_numpy()).double(), u / total, atol=1e-5
    )


def test_the_vector_refuses_another_model(record) -> None:

    with pytest.raises(ArtifactError):
        SteeringVector.load(record.path / "artifacts" / "vector-buttons.safetensors", model=tiny_model())


def test_selection_and_test_prompts_come_from_disjoint_episodes(record, bandit_model) -> None:
    steps = record.read("behaviour-buttons-0")
    select, test = (choose_prompts(bandit_model, SMOKE, "buttons", steps, kind) for kind in ("select", "test"))
    assert not {p.episode for p in select} & {p.episode for p in test}


def test_conditions_in_one_batch_equal_conditions_alone(record, bandit_model) -> None:
    steps = record.read("behaviour-buttons-0")
    prompts = choose_prompts(bandit_model, SMOKE, "buttons", steps, "test")[:3]
    vector = torch.randn(bandit_model.d_model, generator=torch.Generator().manual_seed(0))
    conditions = [Condition("east", 2, multiplier=beta, vector=vector) for beta in (-1.0, 0.5, 2.0)]
    together = run_conditions(bandit_model, SMOKE, "buttons", prompts, conditions, texts=True)
    alone = pd.concat(
        [run_conditions(bandit_model, SMOKE, "buttons", prompts, [c], texts=True) for c in conditions],
        ignore_index=True,
    )
    pd.testing.assert_frame_equal(together, alone)


def test_dose_zero_gives_the_unsteered_completions(record, bandit_model) -> None:
    prompts = choose_prompts(bandit_model, SMOKE, "buttons", record.read("behaviour-buttons-0"), "test")[:4]
    zero = Condition("east", 2, vector=torch.randn(bandit_model.d_model))
    rows = run_conditions(bandit_model, SMOKE, "buttons", prompts, [zero, Condition("unsteered")], texts=True)
    assert (
        rows[rows["method"] == "east"]["texts"].to_numpy() == rows[rows["method"] == "unsteered"]["texts"].to_numpy()
    ).all()


def test_methods_played_together_are_those_played_alone(bandit_model) -> None:
    spec = SMOKE.model_copy(update={"horizon": 3})
    torch.manual_seed(0)
    vector = SteeringVector(Site(2), torch.randn(bandit_model.d_model))
    methods = {"unsteered": None, "east": vector, "deeper": SteeringVector(Site(4), vector.vector)}
    together = play_settings(bandit_model, spec, "buttons", methods, 0.3)
    for method, own in methods.items():
        alone = play_settings(bandit_model, spec, "buttons", {method: own}, 0.3)
        part = together[together["method"] == method].reset_index(drop=True)
        pd.testing.assert_frame_equal(part, alone, check_exact=False)
    texts = together.groupby("method")["completion"].agg("|".join)
    assert texts.nunique() == 3


def test_the_grid_has_the_unsteered_agent_once(record) -> None:
    for rendering in SMOKE.renderings:
        grid = pd.concat([record.read(f"grid-{rendering}-{layer}") for layer in (1, 3)])
        assert not grid.duplicated(["prompt", "method", "layer", "dose"]).any()
        assert (grid["method"] == "unsteered").sum() == SMOKE.prompts


@pytest.mark.parametrize(("step", "layers"), [(1, "012345"), (2, "135"), (5, "05"), (9, "5")])
def test_every_so_manyth_layer_is_counted_from_the_last(step: int, layers: str) -> None:
    spec = SMOKE.model_copy(update={"layers": None, "layer_step": step, "renderings": ("buttons",)})
    names = [step.name for step in plan(EAST, spec)]
    assert [name for name in names if name.startswith("grid-")] == [f"grid-buttons-{layer}" for layer in layers]


def test_the_specs_are_there_without_torch() -> None:
    code = "import sys; from workbench.families.east import EAST, PRESETS;"
    code += "assert not {'torch', 'sklearn', 'pandas', 'plotly'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[4], check=True)


def test_a_thoughts_trace_ends_where_the_action_is_scored(record) -> None:
    trace = record.read("thoughts-buttons")
    assert trace["share"].min() == 0 and trace["share"].max() == 1
    assert trace["p_first"].between(0, 1).all() and trace["certainty"].between(0.5, 1).all()


def test_a_finished_run_is_not_done_again_and_its_tables_stay(east_run: Path) -> None:
    before = {t: load_run(east_run).load_table(t) for t in TABLES}
    started = time.monotonic()
    assert run(EAST, SMOKE, east_run.parent.parent) == east_run
    assert time.monotonic() - started < 30
    for name, table in before.items():
        pd.testing.assert_frame_equal(load_run(east_run).load_table(name), table)


def test_a_killed_run_goes_on_to_the_same_tables_bit_for_bit(east_run: Path, tmp_path: Path) -> None:
    code = "import sys; from workbench.families import run; from workbench.families.east import EAST, PRESETS;"
    code += "run(EAST, PRESETS['smoke'], sys.argv[1])"
    copy, steps = tmp_path / "east" / east_run.name, load_run(east_run).steps()
    shutil.copytree(east_run, copy)
    kept = len(steps) // 2  # the first half of it need not be waited for
    for step in steps[kept:]:
        (copy / "rows" / f"{step}.parquet").unlink()
    for name in TABLES:
        (copy / "artifacts" / f"{name}.parquet").unlink()
    kill_run(copy, kept + 1, python(code, tmp_path))
    again = load_run(run(EAST, SMOKE, tmp_path))
    for name in TABLES:
        pd.testing.assert_frame_equal(again.load_table(name), load_run(east_run).load_table(name))


def test_the_plan_names_every_step_that_is_run(record) -> None:
    assert [step.name for step in plan(EAST, SMOKE)] == record.steps()


def test_a_layer_that_does_not_exist_is_one_clear_error() -> None:
    with pytest.raises(SpecError, match="layer 99"):
        plan(EAST, SMOKE.model_copy(update={"layers": (99,)}))


def test_a_missing_model_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such folder"):
        run(EAST, SMOKE.model_copy(update={"model": str(tmp_path / "nowhere")}), tmp_path)


def test_families_are_found_by_name_and_a_wrong_name_gets_the_nearest() -> None:
    assert get_family("east") is EAST
    with pytest.raises(SpecError, match="did you mean 'east'"):
        get_family("eats")


def synthetic(entropies: dict[tuple[int, float], float], valid: dict[tuple[int, float], float]) -> pd.DataFrame:
    rows = []
    for prompt in range(12):
        for (layer, dose), h in ({(-1, 0.0): 0.1} | entropies).items():
            method, source = ("unsteered", "") if layer < 0 else ("east", "buttons")
            row = {"set": "select", "rendering": "buttons", "source": source, "method": method, "layer": layer}
            row |= {"dose": dose, "multiplier": 5 * dose, "temperature": 1.0, "top_p": 1.0}
            row |= {"prompt": prompt, "episode": prompt // 2, "outside_mass": float("nan")}
            rows.append(row | {"entropy": h + prompt / 1000, "valid": valid.get((layer, dose), 1.0)})
    return pd.DataFrame(rows)


def test_the_chosen_condition_is_the_most_entropic_that_stays_valid() -> None:
    rows = synthetic({(1, 0.4): 0.3, (2, 0.4): 0.5, (2, 0.8): 0.6, (3, -0.4): 0.65}, {(2, 0.8): 0.6})
    assert choose(results_table(rows), SMOKE, "buttons") == (2, 0.4, 2.0)


@pytest.mark.parametrize("unit", [1, 2, 3, 100])
def test_episodes_in_units_are_those_of_one_unit(unit: int, bandit_model) -> None:
    spec = SMOKE.model_copy(update={"horizon": 2, "unit_episodes": unit, "renderings": ("buttons",)})
    parts = [step.name for step in plan(EAST, spec) if step.name.startswith("extraction-")]
    assert len(parts) == -(-SMOKE.extraction_runs // unit)
    if unit == 3:
        whole = play_extraction(bandit_model, spec, "buttons", False)
        played = [play_extraction(bandit_model, spec, "buttons", False, runs) for runs in ([0, 1], [2, 3])]
        pd.testing.assert_frame_equal(pd.concat(played, ignore_index=True), whole)
        whole = play_settings(bandit_model, spec, "buttons", {"unsteered": None})
        played = [
            play_settings(bandit_model, spec, "buttons", {"unsteered": None}, episodes=e) for e in ([0], [1, 2, 3])
        ]
        pd.testing.assert_frame_equal(pd.concat(played, ignore_index=True), whole)


def test_a_word_only_steering_brings_ranks_first_and_stop_words_do_not_count() -> None:
    table = over_represented([" the variance is high."] * 5, [" the arm is superior."] * 5)
    assert table["word"].iloc[0] in {"variance", "high"} and table["word"].iloc[-1] in {"arm", "superior"}
    assert not set(table["word"]) & {"the", "is"}
    assert (table["ratio"].iloc[0] > 1) and (table["ratio"].iloc[-1] < 1)


def test_texts_are_kept_with_the_rows_of_the_test_prompts(record) -> None:
    rows = record.read("test-buttons")
    assert all(len(json.loads(t)) == SMOKE.eval_completions for t in rows["texts"])
