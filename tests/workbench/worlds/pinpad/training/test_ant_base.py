"""The recurrent base on the ant's episodes: the loss against a formula, a smoke run, its folder, its refusals."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from workbench.errors import RunError
from workbench.models.sequence_model import SequenceModel
from workbench.worlds.pinpad.ant_world import AntWorld
from workbench.worlds.pinpad.pinpad import Pinpad
from workbench.worlds.pinpad.training import ant_base
from workbench.worlds.pinpad.training.ant_episodes import AntEpisodes, record_episodes

pytestmark = pytest.mark.slow

SHORT = AntWorld(Pinpad(size=4, colours=4, walls=1, horizon=25, subgoal=1))


def drawn(n: int = 4, time: int = 9) -> AntEpisodes:
    """Episodes in which the torques follow from what is observed."""
    generator = torch.Generator().manual_seed(0)
    observations = torch.randn(n, time + 1, 41, generator=generator)
    actions = observations[:, :-1, :8].tanh()
    lengths, numbers = torch.arange(time - n + 1, time + 1), torch.zeros(n, time, dtype=torch.long)
    return AntEpisodes(
        observations, actions, numbers, lengths, lengths > 5, torch.zeros(n, 3, dtype=torch.long), AntWorld()
    )


def test_the_loss_is_the_gaussians_and_leaves_padding_out() -> None:
    recipe, episodes = ant_base.PRESETS["smoke"], drawn()
    model = ant_base.new_base(recipe, 0)
    loss, actions = ant_base.sequence_loss(model, episodes, 10.0)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model(episodes.observations[:, :-1]).last_hidden_state
    nats, squares = [], []
    for row, length in enumerate(episodes.lengths.tolist()):
        for t in range(length):
            out = model.action_head(hidden[row, t].float()).tolist()
            for mean, log_sigma, action in zip(out[:8], out[8:], episodes.actions[row, t].tolist(), strict=True):
                z = (action - mean) / math.exp(log_sigma)
                nats.append(z * z / 2 + log_sigma + math.log(2 * math.pi) / 2)
            following = model.observation_head(hidden[row, t].float())
            squares.append((following - episodes.observations[row, t + 1]).square().sum().item() / 2)
    expected = 8 * sum(nats) / len(nats)
    assert actions.item() == pytest.approx(expected, rel=1e-4)
    assert loss.item() == pytest.approx(expected + 10 * sum(squares) / len(squares), rel=1e-4)
    episodes.observations[0, int(episodes.lengths[0]) + 1 :] = 99.0
    assert ant_base.sequence_loss(model, episodes, 10.0)[0].item() == pytest.approx(loss.item(), rel=1e-5)


def test_training_learns_torques_that_follow_from_what_is_seen() -> None:
    episodes = drawn(32)
    model = ant_base.new_base(ant_base.PRESETS["smoke"], 0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    found = []
    for _ in range(50):
        loss, actions = ant_base.sequence_loss(model, episodes, 0.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(actions.item())
    assert found[-1] < found[0] - 3


def test_the_full_size_is_the_papers() -> None:
    recipe = ant_base.PRESETS["gpu"]
    assert (recipe.layers, recipe.width, recipe.observation_weight) == (8, 256, 10.0)


def test_a_smoke_run_records_trains_and_leaves_a_model_that_loads(tmp_path: Path) -> None:
    pytest.importorskip("mujoco", reason="the extra mujoco is not installed")
    pytest.importorskip("imageio", reason="the extra mujoco is not installed")
    from workbench.models import load_model

    seen: list[float] = []
    facts = ant_base.train(tmp_path, "smoke", tokens=1_500, report=lambda state: seen.append(state["loss"]))
    shards = {path: path.stat().st_mtime_ns for path in (tmp_path / "episodes").iterdir()}
    assert math.isfinite(facts["nats_an_action"]) and {"success_pretraining", "success_held_out"} <= set(facts)
    assert facts["episodes"] == 16 and len(shards) == 2 and seen[-1] < seen[0]
    model = load_model(tmp_path, device="cpu")
    assert AntWorld.of(model.world) == AntWorld() and Pinpad.of(model.world) == AntWorld().rules
    assert model.config.block == "recurrent"
    again = ant_base.train(tmp_path, "smoke", tokens=1_500)
    assert again["tokens"] == 1_500 and shards == {path: path.stat().st_mtime_ns for path in shards}


def test_a_base_walks_as_it_reads() -> None:
    """Replaying what it saw in one pass gives the torques that it gave step by step, episode after episode."""
    pytest.importorskip("mujoco", reason="the extra mujoco is not installed")
    pytest.importorskip("imageio", reason="the extra mujoco is not installed")
    model = SequenceModel(ant_base.new_base(ant_base.PRESETS["smoke"], 0).eval(), "base")
    played = record_episodes(SHORT, ant_base.BaseWalker(model, sample=False), 3)
    logits = model.forward(list(played.observations[:, :-1]), logits=True).logits
    assert logits is not None
    expected = logits[..., :8].clamp(-1, 1)
    torch.testing.assert_close(played.actions[played.mask], expected[played.mask], atol=1e-5, rtol=1e-5)
    noisy = record_episodes(SHORT, ant_base.BaseWalker(model), 2)
    again = record_episodes(SHORT, ant_base.BaseWalker(model), 2)
    assert torch.equal(noisy.actions, again.actions) and not torch.equal(noisy.actions[0, 0], played.actions[0, 0])


def test_without_the_expert_the_command_that_trains_it_is_named(tmp_path: Path) -> None:
    recipe = replace(ant_base.PRESETS["smoke"], expert="cpu")
    with pytest.raises(RunError, match="workbench train ant-expert --preset cpu --out"):
        ant_base.recorded(recipe, tmp_path / "ant-base-cpu", 0)
