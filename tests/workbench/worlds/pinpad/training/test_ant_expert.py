"""The ant's expert: a smoke-size PPO run, its files, its resumption; the NumPy walker equals stable-baselines3's."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from workbench.errors import MissingExtraError, RunError
from workbench.worlds.pinpad.ant_world import AntWorld
from workbench.worlds.pinpad.pinpad import Pinpad
from workbench.worlds.pinpad.training import ant_expert
from workbench.worlds.pinpad.training.ant_episodes import AntExpert, record_episodes

pytestmark = pytest.mark.slow

EXTRA = ("mujoco", "imageio", "stable_baselines3")
needs_extra = pytest.mark.skipif(not all(map(find_spec, EXTRA)), reason="the extra mujoco is not installed")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], list[dict[str, float]]]:
    out, seen = tmp_path_factory.mktemp("expert"), []
    return out, ant_expert.train(out, "smoke", report=seen.append), seen


@needs_extra
def test_a_smoke_run_trains_and_says_how_it_does(trained: tuple[Path, dict[str, Any], list[dict[str, float]]]) -> None:
    _, facts, seen = trained
    assert facts["steps"] == 512 and {"success_pretraining", "success_held_out"} <= set(facts)
    assert [state["step"] for state in seen] == [128, 256, 384, 512] and seen[-1]["done"] == 1


@needs_extra
def test_the_walker_is_the_mean_of_the_trained_policy(
    trained: tuple[Path, dict[str, Any], list[dict[str, float]]],
) -> None:
    recipe = ant_expert.PRESETS["smoke"]
    model = ant_expert._new_ppo(recipe, 0, "cpu")
    untrained = {name: value.clone() for name, value in model.policy.state_dict().items()}
    identity = {"model": "ant-expert", "preset": "smoke", "seed": 0}
    assert ant_expert._Keeper(model, trained[0], identity).resume() and model.num_timesteps == 512
    assert any(not torch.equal(value, untrained[name]) for name, value in model.policy.state_dict().items())
    walker, sensed = AntExpert.load(trained[0]), np.random.default_rng(0).normal(size=(20, 28)).astype(np.float32)
    expected, _ = model.predict(sensed, deterministic=True)
    np.testing.assert_allclose([walker.torques(each) for each in sensed], expected, atol=1e-5)


@needs_extra
def test_the_expert_plays(trained: tuple[Path, dict[str, Any], list[dict[str, float]]]) -> None:
    world = AntWorld(Pinpad(size=4, colours=4, walls=1, horizon=20, subgoal=1))
    played = record_episodes(world, AntExpert.load(trained[0]), 2)
    assert len(played) == 2 and played.actions.abs().max() <= 1


@needs_extra
def test_a_stopped_training_goes_on_and_another_seeds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ant_expert.PRESETS, "smoke", replace(ant_expert.PRESETS["smoke"], checkpoint_seconds=0.0))

    def die(state: dict[str, float]) -> None:
        if state["step"] == 256:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ant_expert.train(tmp_path, "smoke", report=die)
    seen: list[dict[str, float]] = []
    assert ant_expert.train(tmp_path, "smoke", report=seen.append)["steps"] == 512
    assert [state["step"] for state in seen] == [384, 512]
    with pytest.raises(RunError, match="another preset or seed"):
        ant_expert.train(tmp_path, "smoke", seed=1)


def test_without_stable_baselines_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.worlds.pinpad.training.ant_expert.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"stable-baselines3.*activation-workbench\[mujoco\]"):
        ant_expert.train(tmp_path, "smoke")
