"""Pinpads: grids whose colours are visited in an order, the ant that walks in them, oracles, beliefs and pictures.

Importing this package is light: torch is loaded when one of its names is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.lazy import lazy_exports
from workbench.training import Recipe
from workbench.worlds.world import World

if TYPE_CHECKING:
    from workbench.worlds.pinpad.beliefs import Beliefs, bayes_filter
    from workbench.worlds.pinpad.env import PinpadEnv, PinpadVectorEnv
    from workbench.worlds.pinpad.expert import Episodes, expert_episodes
    from workbench.worlds.pinpad.pictures import pinpad_picture, pinpad_trajectory_picture, save_pinpad_animation
    from workbench.worlds.pinpad.pinpad import PINPADS, Pinpad, PinpadState
    from workbench.worlds.pinpad.play import Played, play_pinpad
    from workbench.worlds.pinpad.tasks import held_out_task, pretraining_tasks

__getattr__, __dir__, __all__ = lazy_exports(__name__, "WORLD")

_TRAINING = f"{__name__}.training"
WORLD = World(
    "pinpad",
    "Pinpads: colours to be visited in an order",
    recipes=(
        Recipe("pinpad-base", "train the shipped pinpad sequence model from scratch", f"{_TRAINING}.base"),
        Recipe("ant-expert", "train the ant's walker with PPO (extra: mujoco)", f"{_TRAINING}.ant_expert", ships=False),
        Recipe("ant-base", "train the recurrent base on the ant expert's play", f"{_TRAINING}.ant_base", ships=False),
    ),
)
