"""Walking the way: the reward is the velocity along it, and nothing that is sensed knows a compass."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("mujoco", reason="the extra mujoco is not installed")
pytest.importorskip("imageio", reason="the extra mujoco is not installed")

from gymnasium.utils.env_checker import check_env

from workbench.worlds.pinpad.ant_pinpad import AntPinpad
from workbench.worlds.pinpad.ant_walk import WALK_SIZE, AntWalk, walk_observation

LAYOUT = [0, 2, 7, 13, 15, 5]


@pytest.fixture(scope="module")
def walk() -> AntWalk:
    return AntWalk(AntPinpad())


def test_check_env_passes(walk: AntWalk) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*is different from the unwrapped version")
        warnings.filterwarnings("ignore", ".*Not able to test alternative render modes")
        check_env(walk, skip_render_check=True)


def test_the_reward_is_the_velocity_along_the_way(walk: AntWalk) -> None:
    walk.reset(seed=5)
    for number in range(20):
        before, way = walk.ant.xy, walk.ant.direction
        _, reward, terminated, truncated, _ = walk.step(np.random.default_rng(number).uniform(-1, 1, 8))
        assert reward == pytest.approx(float((walk.ant.xy - before) / 0.05 @ way))
        if terminated or truncated:
            break


def test_success_truncates_and_a_wall_terminates(walk: AntWalk) -> None:
    for task, cell, expected in (((0,), 2, (False, True)), ((1,), 2, (True, False)), ((0,), 5, (True, False))):
        walk.reset(seed=0, options={"layout": LAYOUT, "task": task})
        qpos = walk.ant.body.data.qpos.copy()
        qpos[:3] = *walk.ant.world.centre(np.array(cell)), 0.55
        walk.ant.body.set_state(qpos, np.zeros(14))
        assert walk.step(np.zeros(8))[2:4] == expected


@given(st.integers(0, 10**6), st.floats(-3.1, 3.1))
@settings(max_examples=20)
def test_turning_the_ant_and_the_way_together_changes_nothing(seed: int, angle: float) -> None:
    rng = np.random.default_rng(seed)
    qpos, qvel, way = rng.normal(size=15), rng.normal(size=14), rng.normal(size=2)
    w, x, y, z = qpos[3:7] / np.linalg.norm(qpos[3:7])
    qpos[3:7] = w, x, y, z
    a, b = np.cos(angle / 2), np.sin(angle / 2)
    turned, spun = qpos.copy(), qvel.copy()
    turned[3:7] = a * w - b * z, a * x - b * y, a * y + b * x, a * z + b * w  # the turn about z, then the pose
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    spun[:2] = turn @ qvel[:2]  # MuJoCo gives the angular velocity in the torso's axes
    seen, again = walk_observation(qpos, qvel, way), walk_observation(turned, spun, turn @ way)
    assert seen.shape == (WALK_SIZE,)
    np.testing.assert_allclose(seen, again, atol=1e-5)
