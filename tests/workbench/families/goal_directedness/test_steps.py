"""A whole run at smoke size: its tables, what it does when it is killed or cannot go on."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workbench.errors import DataError, SpecError
from workbench.families import plan, run
from workbench.families.goal_directedness import GOAL_DIRECTEDNESS, GoalSpec, probing
from workbench.families.goal_directedness.context import GoalRun
from workbench.runs import RunFolder, load_run
from workbench.worlds.grids.agents.probed_states import POSITIONS, play_states
from workbench.worlds.grids.layouts import Layout, State

pytestmark = pytest.mark.slow

ESTIMATE = ("estimate", "low", "high")
DIFFERENCE = ("difference", "difference_low", "difference_high")
BEHAVIOUR = {
    "behaviour": ("player", "size", "density", "metric", "n", *ESTIMATE),
    "behaviour_margins": ("player", "size", "density", "metric", "n", *ESTIMATE),
    "by_distance": ("player", "distance", "metric", "n", *ESTIMATE),
    "calibration": ("player", "bin", "low", "high", "confidence", "accuracy", "n"),
    "transforms": ("player", "transform", "metric", "difference", "low", "high", "n", "differing", "w", "p", "r"),
    "structures": ("player", "structure", "metric", "n", *ESTIMATE),
    "claims": ("claim", "on", "held", "evidence", *ESTIMATE),
}
PROBES = {
    "maps": ("metric", "cell", "position", "layer", "probe", "train", "control", *ESTIMATE),
    "maps_by_size": ("metric", "cell", "position", "layer", "control", "size", "probe", "train", *ESTIMATE),
    "plans": ("metric", "prefix", "padding", "control", "position", "layer", "decoder", *ESTIMATE, *DIFFERENCE),
    "distance": ("control", "metric", "probe", "position", "layer", *ESTIMATE, *DIFFERENCE),
    "directions": ("control", "metric", "probe", "target", "position", "layer", *ESTIMATE, *DIFFERENCE),
    "decoded_actions": ("map", "metric", "n", "position", "layer", *ESTIMATE),
    "decoded_differences": ("map", "metric", "n", "position", "layer", *ESTIMATE),
    "causal": ("layer", "kind", "direction", "dose", "multiplier", "metric", *ESTIMATE),
    "causal_differences": ("layer", "kind", "direction", "dose", "multiplier", "metric", *ESTIMATE),
}
TABLES = BEHAVIOUR | PROBES


@pytest.fixture(scope="module")
def record(goal_run: Path):
    return load_run(goal_run)


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_there_with_its_columns(record, name: str) -> None:
    table = record.load_table(name)
    assert len(table) and set(table.columns) == set(TABLES[name])


def test_the_plan_names_the_steps_that_a_run_does(record, small_spec: GoalSpec) -> None:
    assert [step.name for step in plan(GOAL_DIRECTEDNESS, small_spec)] == record.steps()
    assert record.status.state == "finished"


def test_every_control_stands_beside_every_probe(record, small_spec: GoalSpec) -> None:
    maps, layer = record.load_table("maps"), record.read_json("chosen")["layer"]
    at = maps[(maps["layer"] == layer) & (maps["metric"] == "accuracy")]
    for position in POSITIONS:
        found = {(row.probe, row.control) for row in at[at["position"] == position].itertuples()}
        both = {(kind, control) for kind in ("linear", "mlp") for control in ("none", "shuffled", "untrained")}
        assert found == both | {("mlp", "majority"), ("mlp", "other grids")}
    plans = record.load_table("plans")
    assert set(plans["control"]) == {"none", "uniform", "majority", "shuffled", "untrained"}
    assert set(plans["decoder"]) == {0, *small_spec.plan_decoders}
    for name in ("distance", "directions"):
        table = record.load_table(name)
        assert {"none", "majority", "shuffled", "untrained"} <= set(table["control"])
        assert set(table["layer"]) == {0, 1} and set(table["position"]) == set(POSITIONS)
    assert set(record.load_table("causal")["direction"]) == {"none", "probe", "random"}
    assert set(record.load_table("causal_differences")["direction"]) == {"probe less random"}


def test_oracles_bound_the_agents(record) -> None:
    table = record.load_table("behaviour")
    success = table[table["metric"] == "success"].groupby("player")["estimate"].max()
    assert set(success.index) == {"direct", "reasoning", "random", "optimal"} and success["optimal"] == 1
    accuracy = table[(table["metric"] == "accuracy") & table["size"].isna()].set_index("player")["estimate"]
    assert accuracy["optimal"] == 1 and 0.6 < accuracy["reasoning"] < 1  # the teacher errs in a fifth of its moves


def test_a_killed_run_with_lost_steps_goes_on_to_the_same_tables(
    record, small_spec: GoalSpec, few_properties: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "runs"
    copy = root / "goal-directedness" / record.path.name
    shutil.copytree(record.path, copy)
    read = [step for step in record.steps() if step.startswith("activations-")]
    lost = ("transform-swap-9", "states-7-1", *read, "map-pre-0", "plan-pre", "decoded-actions", "causal-1")
    for step in lost:
        (copy / "rows" / f"{step}.parquet").unlink()
    shutil.rmtree(copy / "artifacts")

    def kill(*_args: object, **_options: object) -> None:
        raise KeyboardInterrupt

    for layer in (0, 1):  # what finished steps left is still there
        for position in POSITIONS:
            name = f"decoded-{position}-{layer}.safetensors"
            if (position, layer) != ("pre", 0):
                (copy / "artifacts").mkdir(exist_ok=True)
                shutil.copy(record.path / "artifacts" / name, copy / "artifacts" / name)
    for name in ("map-controls-pre", "map-controls-post", "plans-post"):
        shutil.copy(record.path / "artifacts" / f"{name}.safetensors", copy / "artifacts")
    with monkeypatch.context() as patch:
        patch.setattr(probing, "decode_plans", kill)
        with pytest.raises(KeyboardInterrupt):
            run(GOAL_DIRECTEDNESS, small_spec, root)
    halfway = load_run(copy)
    assert halfway.status.state == "interrupted" and not halfway.artifacts.count("claims.parquet")
    assert {"states-7-1", *read, "map-pre-0"} <= set(halfway.steps()) and "plan-pre" not in halfway.steps()
    again = load_run(run(GOAL_DIRECTEDNESS, small_spec, root))
    for name in TABLES:
        pd.testing.assert_frame_equal(again.load_table(name), record.load_table(name))
    for step in record.steps():
        pd.testing.assert_frame_equal(again.read(step), record.read(step))
    assert again.artifacts == record.artifacts


def test_an_agent_that_only_answers_directly_has_behaviour_and_no_probes(small_spec: GoalSpec, tmp_path: Path) -> None:
    spec = small_spec.model_copy(update={"modes": ("direct",), "sizes": (7,), "densities": (1.0,), "rollouts": 1})
    found = load_run(run(GOAL_DIRECTEDNESS, spec, tmp_path))
    assert {name for name in TABLES if f"{name}.parquet" in found.artifacts} == set(BEHAVIOUR)
    claims = found.load_table("claims")  # with distance only: there is one size and one density
    assert claims["on"].tolist() == ["direct"] * 3 + [""]
    assert (
        claims["claim"].tolist()[-1] == "transforms have no effect"
        and claims["claim"].str.contains("distance").sum() == 3
    )


def test_a_layer_that_the_model_lacks_is_refused_before_anything_is_written(
    small_spec: GoalSpec, tmp_path: Path
) -> None:
    spec = small_spec.model_copy(update={"layers": (0, 2)})
    with pytest.raises(SpecError, match=r"layer 2 does not exist: .* has layers 0 to 1"):
        plan(GOAL_DIRECTEDNESS, spec)
    with pytest.raises(SpecError, match="layer 2"):
        run(GOAL_DIRECTEDNESS, spec, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_agent_whose_answers_cannot_be_read_is_one_clear_error(tiny_grid, small_spec: GoalSpec) -> None:
    other = type(tiny_grid)(tiny_grid.backend, tiny_grid.tokenizer, "mute")  # not the teacher: it says what it samples
    spec = small_spec.model_copy(update={"max_new_tokens": 8, "attempts": 1, "sizes": (7,), "probe_layouts": 5})
    with pytest.raises(DataError, match="mute: no answer had 3 tokens of reasoning"):
        play_states(other, spec)


def test_the_layer_is_chosen_without_a_look_at_the_test_layouts(tmp_path: Path) -> None:
    losses = {("pre", 0): 0.5, ("post", 0): 0.9, ("pre", 1): 0.6, ("post", 1): 0.7}
    spec = GoalSpec(layers=(0, 1))
    with RunFolder.open(tmp_path, "goal-directedness", spec) as folder:
        for (position, layer), loss in losses.items():
            accuracy = {"mlp": np.full(3, 1.0 if layer == 0 else 0.0)}  # on the test layouts layer 0 is the best
            folder.save_tensors(f"decoded-{position}-{layer}", accuracy, {"validation_loss": loss})
        assert GoalRun(spec, folder).layer == 1


def test_examples_are_held_out_trajectories_with_their_decoded_maps(record, goal_data) -> None:
    described, tensors = record.read_json("examples"), record.load_tensors("examples")[0]
    tested = goal_data.steps[goal_data.test]
    assert {example["size"] for example in described} == {7, 9}
    for k, example in enumerate(described):
        layout = Layout(tuple(example["rows"]), tuple(example["start"]), tuple(example["goal"]))
        n, steps = len(example["steps"]), example["steps"]
        assert tensors[f"true-{k}"].shape == (n, layout.size, layout.size)
        for step, cells in zip(steps, tensors[f"true-{k}"].numpy(), strict=True):
            state = State((step["row"], step["column"]))
            assert np.argwhere(cells == 2).tolist() == [list(state.cell)]  # CELLS: A is 2, G is 3
            assert np.argwhere(cells == 3).tolist() == [list(layout.goal)]
            assert step["optimal"] == list(map(int, layout.optimal_moves(state)))
        same = tested[(tested["row"] == steps[0]["row"]) & (tested["completion"] == steps[0]["completion"])]
        assert len(same)
        for position in POSITIONS:
            assert tensors[f"map_{position}-{k}"].shape[:3] == (n, layout.size, layout.size)
            assert tensors[f"plan_{position}-{k}"].shape == (n, 6, 5)
