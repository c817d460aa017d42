"""Walking the way: what the ant's expert is trained on.

The ant is told the way to the next colour (see :class:`workbench.worlds.pinpad.ant_pinpad.Routes`) and paid its
velocity along it, as in arXiv 2512.20605.  What it senses is turned by its yaw, so that walking is learned once and not
for every compass direction.  Reaching the last colour ends an episode without ending the walk: it counts as a
truncation, so that finishing costs nothing that was still to be earned.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from jaxtyping import Float

from workbench.worlds.pinpad.ant_pinpad import AntPinpad
from workbench.worlds.pinpad.ant_world import symlog

WALK_SIZE = 28


def walk_observation(
    qpos: Float[np.ndarray, "15"], qvel: Float[np.ndarray, "14"], direction: Float[np.ndarray, "2"]
) -> Float[np.ndarray, "28"]:
    """What the expert senses, symlog, float32: height, the vertical as the torso feels it, joint angles, velocity,
    angular velocity, joint velocities, and the way; velocity and way in axes that turn with the ant's yaw.

    >>> qpos, qvel = np.zeros(15), np.zeros(14)
    >>> qpos[3] = qpos[6] = 0.5**0.5  # turned by 90 degrees: the way to the north lies ahead
    >>> ahead, left = walk_observation(qpos, qvel, np.array([0.0, 1.0]))[-2:]
    >>> round(float(ahead), 3), bool(abs(left) < 1e-6)
    (0.693, True)
    """
    w, x, y, z = qpos[3:7]
    up = (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y))
    yaw = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    turn = np.array([[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]])  # world to yaw
    parts = (qpos[2:3], up, qpos[7:], turn @ qvel[:2], qvel[2:], turn @ direction)
    return np.nan_to_num(symlog(np.concatenate(parts))).clip(-10, 10).astype(np.float32)


class AntWalk(gymnasium.Wrapper[np.ndarray, np.ndarray, np.ndarray, np.ndarray]):
    """The ant pinpad with the way told: observation float32 [28], reward metres a second along the way."""

    def __init__(self, env: AntPinpad) -> None:
        super().__init__(env)
        self.ant = env
        self.observation_space = spaces.Box(-10.0, 10.0, (WALK_SIZE,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """As the environment below, with the walker's observation."""
        _, info = self.ant.reset(seed=seed, options=options)
        return self.sense(), info

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Apply 8 torques; success is a truncation."""
        before, direction = self.ant.xy, self.ant.direction
        _, _, terminated, truncated, info = self.ant.step(action)
        moved = np.nan_to_num(self.ant.xy - before) / self.ant.body.dt
        if info["success"]:
            terminated, truncated = False, True
        return self.sense(), float(moved @ direction), terminated, truncated, info

    def sense(self) -> np.ndarray:
        """The walker's observation now."""
        data = self.ant.body.data
        return walk_observation(data.qpos, data.qvel, self.ant.direction)
