"""The recipe of ``pinpad-base``: batches of seed and step alone, exact resuming, and a loss that is the paper's."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

from workbench.errors import RunError
from workbench.models import load_model
from workbench.training.loop import Schedule, train
from workbench.worlds.pinpad.expert import Episodes, expert_episodes
from workbench.worlds.pinpad.pinpad import Pinpad
from workbench.worlds.pinpad.tasks import pretraining_tasks, task_weights
from workbench.worlds.pinpad.training import base as pinpad_base
from workbench.worlds.pinpad.training.base import ExpertBatches, Recipe, new_base, sequence_loss

pytestmark = pytest.mark.slow

WORLD = Pinpad(size=5, colours=4, walls=0, horizon=24, distance=2, subgoal=1, observation="relative")
RECIPE = Recipe(
    WORLD, Schedule(tokens=6_000, lr=2e-3, weight_decay=0.03, muon=0.01, checkpoint_seconds=0.0),
    layers=2, width=16, heads=2, mlp=16, batch=16,
)  # fmt: skip
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pinpad_base.PRESETS, "tiny", RECIPE)


def batches(seed: int = 0) -> ExpertBatches:
    return ExpertBatches(RECIPE, seed, CPU)


def same(a: Episodes, b: Episodes) -> bool:
    parts = ("agents", "objects", "moves", "tasks", "lengths")
    return all(torch.equal(getattr(a, part), getattr(b, part)) for part in parts)


# ---- batches


def test_a_batch_is_the_same_whichever_step_asked_first() -> None:
    ordered, later = batches(), batches()
    found = {step: ordered(step) for step in range(20)}
    for step in (13, 19, 3, 12):  # in the midst of their pools
        assert same(later(step), found[step])
    assert not same(found[12], found[13]) and not same(batches(1)(12), found[12])


def test_the_skew_falls_from_the_recipes_to_none_at_half_of_the_budget() -> None:
    data = batches()
    skews = [data.kappa(pool) for pool in range(8)]
    assert skews[0] == RECIPE.skew and skews == sorted(skews, reverse=True) and skews[-1] == 0.0
    spent = sum(int(data(step).lengths.sum()) for step in range(8)) / RECIPE.schedule.tokens
    assert skews[1] == pytest.approx(RECIPE.skew * (1 - spent / 0.5), rel=0.15)  # reckoned against read
    assert ExpertBatches(replace(RECIPE, skew=0.0), 0, CPU).kappa(0) == 0.0


def test_tasks_are_drawn_with_the_weights_of_their_pool() -> None:
    recipe = replace(RECIPE, batch=400, schedule=replace(RECIPE.schedule, tokens=10**9))
    data = ExpertBatches(recipe, 0, CPU)
    drawn = torch.cat([data(step).tasks for step in range(8)])
    tasks = pretraining_tasks(WORLD)
    shares = torch.stack([(drawn == task).all(1).double().mean() for task in tasks])
    # Worlds that a task cannot be done in are drawn again, which without walls moves the shares by little.
    torch.testing.assert_close(shares, task_weights(WORLD, 2.0), atol=0.02, rtol=0)


def test_a_pool_is_sorted_by_length_and_all_of_it_is_used() -> None:
    data = batches()
    spans = sorted((int(data(step).lengths.min()), int(data(step).lengths.max())) for step in range(8))
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    assert {len(data(step)) for step in range(8)} == {RECIPE.batch}
    assert data(0).moves.shape[1] == int(data(0).lengths.max())


# ---- resuming


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Fingerprint of a training of seed 5 that nobody killed."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(pinpad_base.PRESETS, "tiny", RECIPE)
        pinpad_base.train(folder, "tiny", seed=5, device="cpu")
    return load_model(folder, device="cpu").fingerprint


@pytest.mark.parametrize("dies", [3, 12])  # in the first pool and in the second, both before half of the budget
def test_a_training_killed_in_mid_pool_goes_on_to_the_same_weights_bit_for_bit(
    undisturbed: str, tmp_path: Path, dies: int
) -> None:
    def die(state: dict[str, float]) -> None:
        assert state["done"] < 0.5  # while tasks are skewed
        if state["step"] == dies:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pinpad_base.train(tmp_path, "tiny", seed=5, device="cpu", report=die)
    went_on: list[float] = []
    pinpad_base.train(tmp_path, "tiny", seed=5, device="cpu", report=lambda s: went_on.append(s["step"]))
    assert went_on[0] == dies  # the step whose checkpoint was not written
    again = load_model(tmp_path, device="cpu")
    assert again.fingerprint == undisturbed and Pinpad.of(again.world) == WORLD


def test_a_checkpoint_of_the_older_drawing_is_refused(tmp_path: Path) -> None:
    model, batch = new_base(RECIPE, 0), batches()(0)
    identity = {"model": pinpad_base.NAME, "preset": "tiny", "seed": 0}
    short = replace(RECIPE.schedule, tokens=300)

    def step_loss(step: int, done: float) -> tuple[Tensor, int]:
        return sequence_loss(model, batch, 0.0)[0], 300

    train(model, step_loss, short, tmp_path / "checkpoints" / "base", identity)
    with pytest.raises(RunError, match="another recipe"):
        pinpad_base.train(tmp_path, "tiny", device="cpu", tokens=300)


# ---- the loss


def test_the_loss_is_that_of_the_paper_step_by_step() -> None:
    model = new_base(RECIPE, 1)
    episodes = expert_episodes(WORLD, pretraining_tasks(WORLD), 5, torch.Generator().manual_seed(0))
    with torch.no_grad():
        loss, moves = sequence_loss(model, episodes, 0.3)
        total = nats = count = 0.0
        for row in range(5):
            seen = episodes.observations[row : row + 1]
            for t in range(int(episodes.lengths[row])):
                out = model(seen[:, : t + 1])
                nats -= float(out.logits[0, -1].log_softmax(-1)[episodes.moves[row, t]])
                fields = model.next_observation(out.last_hidden_state[0, -1])
                total -= sum(float(f.log_softmax(-1)[seen[0, t + 1, i]]) for i, f in enumerate(fields))
                count += 1
    assert float(moves) == pytest.approx(nats / count, rel=1e-4)
    assert float(loss) == pytest.approx((nats + 0.3 * total) / count, rel=1e-4)
    assert torch.equal(*sequence_loss(model, episodes, 0.0))


def test_a_base_is_made_from_its_seed() -> None:
    a, b, c = (new_base(RECIPE, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(a[name], b[name]) for name in a) and not torch.equal(
        a["model.embed.weight"], c["model.embed.weight"]
    )
    assert new_base(RECIPE, 0).config.world["size"] == WORLD.size
