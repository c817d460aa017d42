"""The grid agent's recipe: what its batches hold, and that a training goes on where it was killed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from workbench.errors import RunError, SpecError
from workbench.models import load_model
from workbench.worlds.grids.layouts import Layout, State
from workbench.worlds.grids.training import agent as grid_agent
from workbench.worlds.grids.training.agent import PRESETS, Later, make_batch
from workbench.worlds.grids.training.transcripts import GridWriter, grid_tokenizer

pytestmark = pytest.mark.slow

STAGES = (None, *PRESETS["cpu"].later)  # None: the first


class Noting(GridWriter):
    """A writer that notes the places it writes."""

    def __init__(self) -> None:
        super().__init__(grid_tokenizer())
        self.places: list[tuple[Layout, State]] = []

    def write(self, places, reasoning, rng):
        self.places += places
        return super().write(places, reasoning, rng)


@pytest.fixture(scope="module")
def writer() -> Noting:
    return Noting()


@pytest.mark.parametrize("stage", STAGES)
def test_no_held_out_layout_is_ever_in_a_batch(writer: Noting, stage: Later | None) -> None:
    writer.places.clear()
    for step in range(12):
        make_batch(PRESETS["cpu"], writer, 0, step, step / 12, stage)
    layouts = {layout for layout, _ in writer.places}
    assert len(layouts) > 100 and not any(layout.held_out for layout in layouts)
    mazes = [layout for layout in layouts if layout.key is None]
    assert not any(Layout(each.rows, each.goal, each.start).held_out for each in mazes)  # nor by the swap transform
    assert all(layout.door for layout in layouts if layout.key)  # of goal structures only KeyDoor
    assert all(layout.distance(state) > 0 for layout, state in writer.places)


def same(a, b) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in vars(a))


def test_a_batch_is_a_function_of_seed_step_and_stage(writer: Noting) -> None:
    recipe = PRESETS["smoke"]
    one = make_batch(recipe, writer, 1, 5, 0.6)
    make_batch(recipe, writer, 1, 6, 0.7)
    assert same(one, make_batch(recipe, Noting(), 1, 5, 0.6))
    for seed, step, stage in ((2, 5, None), (1, 6, None), (1, 5, recipe.later[0])):
        assert not same(one, make_batch(recipe, writer, seed, step, 0.6, stage))


def test_sizes_grow_with_the_budget_and_the_last_stages_have_their_own(writer: Noting) -> None:
    def sizes(done: float, stage: Later | None = None) -> set[int]:
        writer.places.clear()
        for step in range(15):
            make_batch(PRESETS["smoke"], writer, 0, step, done, stage)
        return {layout.size for layout, _ in writer.places}

    assert sizes(0.0) == {5} and sizes(0.2) == {5, 7} and sizes(0.6) == {5, 7, 9}
    assert sizes(0.0, PRESETS["smoke"].later[0]) == set(PRESETS["smoke"].later_sizes)


def test_a_batch_holds_about_the_tokens_that_were_asked_for(writer: Noting) -> None:
    for step in range(8):
        batch = make_batch(PRESETS["cpu"], writer, 0, step, 1.0)
        assert 0.6 < batch.tokens.size / PRESETS["cpu"].batch_tokens < 1.3


@pytest.fixture(scope="module")
def tiny_recipe():
    """The smoke preset with a short budget, with a checkpoint after every step."""
    smoke = PRESETS["smoke"]
    first = replace(smoke.schedule, tokens=30_000, lr=5e-3, checkpoint_seconds=0.0)
    (later,) = smoke.later
    later = replace(later, schedule=replace(later.schedule, tokens=10_000, checkpoint_seconds=0.0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(grid_agent.PRESETS, "smoke", replace(smoke, schedule=first, later=(later,)))
        yield


@pytest.fixture(scope="module")
def trained(tiny_recipe, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict, list]:
    out, seen = tmp_path_factory.mktemp("whole"), []
    facts = grid_agent.train(out, "smoke", seed=3, device="cpu", report=seen.append)
    return out, facts, seen


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_model(folder, device="cpu").backend.hf_model.state_dict())


@pytest.mark.parametrize("die_at", [3, 17])  # in the first stage, and in a later one
def test_a_killed_training_ends_with_the_same_weights(trained, tmp_path: Path, die_at: int) -> None:
    steps = 0

    def kill(_state: dict[str, float]) -> None:
        nonlocal steps
        steps += 1
        if steps == die_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grid_agent.train(tmp_path, "smoke", seed=3, device="cpu", report=kill)
    assert not (tmp_path / "config.json").exists()
    grid_agent.train(tmp_path, "smoke", seed=3, device="cpu")
    whole, resumed = weights(trained[0]), weights(tmp_path)
    assert whole.keys() == resumed.keys() and all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_training_lowers_the_loss_and_says_what_it_did(trained) -> None:
    out, facts, seen = trained
    assert seen[-1]["loss"] < 0.9 * seen[0]["loss"] and seen[-1]["done"] == 1
    done = [state["done"] for state in seen]
    assert done == sorted(done)
    model = load_model(out, device="cpu")
    assert facts["parameters"] == sum(p.numel() for p in model.backend.hf_model.parameters())
    assert facts["preset"] == "smoke" and facts["seed"] == 3 and facts["tokens"] == 40_000
    assert {path.parent.name for path in out.glob("checkpoints/*/checkpoint.safetensors")} == {"first", "finish"}


def test_another_seed_does_not_go_on_from_this_checkpoint(trained) -> None:
    with pytest.raises(RunError, match="another recipe, preset or seed"):
        grid_agent.train(trained[0], "smoke", seed=4, device="cpu")


def test_an_unknown_preset_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="did you mean 'smoke'"):
        grid_agent.train(tmp_path, "smok")
