"""Recorded episodes of the ant: what they hold, that they repeat, and that files come back whole or not at all."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("mujoco", reason="the extra mujoco is not installed")
pytest.importorskip("imageio", reason="the extra mujoco is not installed")

from workbench.errors import ArtifactError, DataError
from workbench.seeding import derive_seed
from workbench.worlds.pinpad.ant_pinpad import AntPinpad
from workbench.worlds.pinpad.ant_world import AntWorld
from workbench.worlds.pinpad.pinpad import Pinpad
from workbench.worlds.pinpad.training.ant_episodes import AntEpisodes, AntExpert, random_torques, record_episodes

WORLD = AntWorld(Pinpad(size=4, colours=4, walls=1, horizon=30, subgoal=1))


@pytest.fixture(scope="module")
def episodes() -> AntEpisodes:
    return record_episodes(WORLD, random_torques, 6, seed=2)


def same(a: AntEpisodes, b: AntEpisodes) -> bool:
    names = [each.name for each in fields(a) if each.name != "world"]
    return a.world == b.world and all(torch.equal(getattr(a, n), getattr(b, n)) for n in names)


def test_replaying_the_torques_gives_what_was_observed(episodes: AntEpisodes) -> None:
    env = AntPinpad(WORLD)
    for row in range(len(episodes)):
        seen, info = env.reset(seed=derive_seed(2, "ant episode", row))
        for t in range(int(episodes.lengths[row])):
            assert np.array_equal(seen, episodes.observations[row, t].numpy())
            assert info["target"] == episodes.targets[row, t]
            seen, _, _, _, info = env.step(episodes.actions[row, t].numpy())
        assert np.array_equal(seen, episodes.observations[row, t + 1].numpy())
        assert info["ended"] and info["task"] == tuple(episodes.tasks[row].tolist())
        assert info["success"] == bool(episodes.success[row])


def carried(env: AntPinpad) -> np.ndarray:
    """Walks by being carried along the way, 0.15 m before each step."""
    qpos = env.body.data.qpos.copy()
    qpos[:2] += 0.15 * env.direction
    qpos[2] = 0.55
    env.body.set_state(qpos, np.zeros(14))
    return np.zeros(8)


def test_targets_change_right_after_the_observation_of_a_colour() -> None:
    world = AntWorld()
    episodes = record_episodes(world, carried, 8, solvable=True)
    assert episodes.success.sum() >= 4
    for row in range(8):
        task, seen = episodes.tasks[row].tolist(), episodes.observations[row].numpy().astype(float)
        xy = seen[:, 27:29] * world.half
        colours = [world.cell_at(xy[0] + seen[0, 29 + 2 * c : 31 + 2 * c] * world.half) for c in range(4)]
        done = 0
        for t in range(int(episodes.lengths[row])):
            done += world.cell_at(xy[t]) == colours[task[done]]
            assert episodes.targets[row, t] == task[done]


def test_an_episode_does_not_depend_on_how_many_are_recorded(episodes: AntEpisodes) -> None:
    assert same(record_episodes(WORLD, random_torques, 3, seed=2), episodes[torch.arange(3)])


def test_padding_is_zero_and_masked(episodes: AntEpisodes) -> None:
    assert episodes.mask.sum() == episodes.lengths.sum() and int(episodes.lengths.max()) == episodes.actions.shape[1]
    assert not episodes.actions[~episodes.mask].any()
    assert (episodes.lengths < episodes.lengths.max()).any(), "or nothing is padded here"


def test_a_file_gives_back_the_same_episodes_and_parts_join_to_the_whole(episodes: AntEpisodes, tmp_path: Path) -> None:
    for name, rows in (("a", slice(0, 2)), ("b", slice(2, 6))):
        episodes[rows].save(tmp_path / name)
    parts = [AntEpisodes.load(tmp_path / name) for name in "ab"]
    assert same(AntEpisodes.join(parts), episodes)


def test_a_broken_file_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"nothing")
    with pytest.raises(ArtifactError, match="no ant episodes"):
        AntEpisodes.load(tmp_path / "a")
    with pytest.raises(ArtifactError, match="missing"):
        AntExpert.load(tmp_path)


def test_episodes_of_different_worlds_do_not_join(episodes: AntEpisodes) -> None:
    other = record_episodes(AntWorld(WORLD.rules, cell=3.0), random_torques, 1)
    with pytest.raises(DataError, match="one world"):
        AntEpisodes.join([episodes, other])
    with pytest.raises(DataError, match="at least 1"):
        record_episodes(WORLD, random_torques, 0)
