"""The training loop resumes exactly, refuses foreign checkpoints, and lowers the loss."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from workbench.errors import DataError, RunError, SpecError
from workbench.training import recipes
from workbench.training.loop import Schedule, train
from workbench.worlds.bandits.training import agent as bandit_agent

pytestmark = pytest.mark.slow

SCHEDULE = Schedule(tokens=400, lr=0.05, checkpoint_seconds=0.0)


def new_model() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Linear(3, 1)


def step_loss(model: torch.nn.Module, die_at: int | None = None):
    def loss(step: int, _done: float) -> tuple[torch.Tensor, int]:
        if step == die_at:
            raise KeyboardInterrupt
        x = torch.randn(10, 3, generator=torch.Generator().manual_seed(step))
        return (model(x)[:, 0] - x.sum(1)).square().mean(), 10

    return loss


def test_a_killed_training_goes_on_to_the_same_weights_bit_for_bit(tmp_path: Path) -> None:
    whole, halved = new_model(), new_model()
    train(whole, step_loss(whole), SCHEDULE, tmp_path / "whole", {"seed": 0})
    with pytest.raises(KeyboardInterrupt):
        train(halved, step_loss(halved, die_at=17), SCHEDULE, tmp_path / "halved", {"seed": 0})
    again = new_model()
    train(again, step_loss(again), SCHEDULE, tmp_path / "halved", {"seed": 0})
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    model, seen = new_model(), []
    train(model, step_loss(model), SCHEDULE, tmp_path, {}, lambda state: seen.append(state["loss"]))
    assert seen[-1] < seen[0] / 2


def test_a_checkpoint_of_another_seed_is_refused(tmp_path: Path) -> None:
    model = new_model()
    train(model, step_loss(model), SCHEDULE, tmp_path, {"seed": 0})
    with pytest.raises(RunError, match="another recipe"):
        train(new_model(), step_loss(model), SCHEDULE, tmp_path, {"seed": 1})


def test_a_loss_that_is_not_finite_is_one_clear_error(tmp_path: Path) -> None:
    model = new_model()
    with pytest.raises(DataError, match="diverged"):
        train(model, lambda *_: (model(torch.full((1, 3), torch.nan)).sum(), 1), SCHEDULE, tmp_path, {})


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write"):
        train(new_model(), step_loss(new_model()), SCHEDULE, tmp_path / "file" / "below", {})


def test_batches_depend_on_seed_and_step_alone() -> None:
    recipe = bandit_agent.PRESETS["smoke"]
    writer = bandit_agent.Writer(bandit_agent.bandit_tokenizer())
    one, same, other = (bandit_agent.make_batch(recipe, writer, 0, step, 0.5) for step in (3, 3, 4))
    assert (one.tokens == same.tokens).all() and (
        one.tokens.shape != other.tokens.shape or (one.tokens != other.tokens).any()
    )


def test_the_smoke_preset_trains_a_folder_that_loads_and_resumes(tmp_path: Path) -> None:
    from workbench.models import load_model

    seen: list[dict[str, float]] = []
    facts = bandit_agent.train(tmp_path, "smoke", tokens=20_000, report=seen.append)
    model = load_model(tmp_path)
    assert facts["parameters"] == sum(p.numel() for p in model.backend.hf_model.parameters())
    assert seen[-1]["loss"] < seen[0]["loss"] and model.tokenizer.chat_template
    before = model.fingerprint
    again = bandit_agent.train(tmp_path, "smoke", tokens=20_000)  # finished: nothing is left to do
    assert load_model(tmp_path).fingerprint == before and again["tokens"] == 20_000


def test_an_unknown_preset_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="did you mean 'smoke'"):
        bandit_agent.train(tmp_path, "smok")


def test_soft_cross_entropy_is_zero_for_a_perfect_model_and_positive_otherwise() -> None:
    target = torch.tensor([[0.2, 0.8]])
    ids, weights = torch.tensor([[0, 1]]), torch.ones(1)
    perfect = recipes.soft_cross_entropy(torch.log(torch.tensor([[0.2, 0.8, 1e-30]])), ids, target, weights)
    wrong = recipes.soft_cross_entropy(torch.zeros(1, 3), ids, target, weights)
    assert perfect.item() == pytest.approx(0, abs=1e-6) and wrong.item() > 0.1


def test_the_rate_warms_up_then_falls_to_a_tenth() -> None:
    schedule = replace(Schedule(tokens=1), lr=1.0, warmup=0.1)
    rates = [schedule.rate(x / 100) for x in range(101)]
    assert rates[0] < 0.05 and max(rates) == pytest.approx(1, abs=0.01) and rates[-1] == pytest.approx(0.1)
    assert all(a >= b for a, b in pairwise(rates[10:]))
