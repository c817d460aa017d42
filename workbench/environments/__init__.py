"""Gymnasium environments and their oracles.

Importing this package registers the bandits ``workbench/GaussianBandit-v0`` and ``workbench/BernoulliBandit-v0``, and
the grids ``workbench/Grid-v0``, ``workbench/KeyDoor-v0``, ``workbench/KeyNoDoor-v0`` and ``workbench/2PathKey-v0``,
and the pinpad ``workbench/Pinpad-v0``; without the import,
``gymnasium.make("workbench.environments:workbench/Grid-v0", size=9, density=0.4)`` does both at once.
MiniGrid is loaded when a grid environment or a picture is made, not before: layouts, texts and oracles do without.
Torch is loaded when a name of the pinpad is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gymnasium.envs.registration import register, registry

from workbench.environments.arms import BernoulliArms, GaussianArms, reward_table
from workbench.environments.bandits import BernoulliBandit, GaussianBandit
from workbench.environments.episodes import play
from workbench.environments.grid_oracles import POLICIES, Policy, astar
from workbench.environments.grid_pictures import picture, save_animation, trajectory_picture
from workbench.environments.grid_text import GridText, read_grid
from workbench.environments.layouts import Layout, State
from workbench.environments.mazes import GOAL_STRUCTURES, make_layout
from workbench.environments.moves import Cell, Move
from workbench.environments.oracles import ORACLES, Oracle, make_oracle
from workbench.environments.transforms import TRANSFORMS, Transform
from workbench.lazy import lazy_exports

if TYPE_CHECKING:
    from workbench.environments.pinpad import PINPADS, Pinpad, PinpadState
    from workbench.environments.pinpad_beliefs import Beliefs, bayes_filter
    from workbench.environments.pinpad_env import PinpadEnv, PinpadVectorEnv
    from workbench.environments.pinpad_expert import Episodes, expert_episodes
    from workbench.environments.pinpad_pictures import pinpad_picture, pinpad_trajectory_picture, save_pinpad_animation
    from workbench.environments.pinpad_tasks import held_out_task, pretraining_tasks

__all__ = [
    "GOAL_STRUCTURES",
    "ORACLES",
    "PINPADS",
    "POLICIES",
    "TRANSFORMS",
    "Beliefs",
    "BernoulliArms",
    "BernoulliBandit",
    "Cell",
    "Episodes",
    "GaussianArms",
    "GaussianBandit",
    "GridText",
    "Layout",
    "Move",
    "Oracle",
    "Pinpad",
    "PinpadEnv",
    "PinpadState",
    "PinpadVectorEnv",
    "Policy",
    "State",
    "Transform",
    "astar",
    "bayes_filter",
    "expert_episodes",
    "held_out_task",
    "make_layout",
    "make_oracle",
    "picture",
    "pinpad_picture",
    "pinpad_trajectory_picture",
    "play",
    "pretraining_tasks",
    "read_grid",
    "reward_table",
    "save_animation",
    "save_pinpad_animation",
    "trajectory_picture",
]

_MODULES = {
    "pinpad": ("PINPADS", "Pinpad", "PinpadState"),
    "pinpad_beliefs": ("Beliefs", "bayes_filter"),
    "pinpad_env": ("PinpadEnv", "PinpadVectorEnv"),
    "pinpad_expert": ("Episodes", "expert_episodes"),
    "pinpad_pictures": ("pinpad_picture", "pinpad_trajectory_picture", "save_pinpad_animation"),
    "pinpad_tasks": ("held_out_task", "pretraining_tasks"),
}
__getattr__, __dir__ = lazy_exports(__name__, _MODULES)


for _name in ("GaussianBandit", "BernoulliBandit"):
    if f"workbench/{_name}-v0" not in registry:  # a reload must not warn of overriding
        register(
            id=f"workbench/{_name}-v0",
            entry_point=f"workbench.environments.bandits:{_name}",
            vector_entry_point=f"workbench.environments.bandits:{_name}Vector",
        )

for _name, _structure in (("Grid", "maze"), *((each, each) for each in GOAL_STRUCTURES)):
    if f"workbench/{_name}-v0" not in registry:
        register(
            id=f"workbench/{_name}-v0",
            entry_point="workbench.environments.grid:GridEnv",
            kwargs={"structure": _structure},
        )

if "workbench/AntPinpad-v0" not in registry:
    register(id="workbench/AntPinpad-v0", entry_point="workbench.environments.ant_pinpad:AntPinpad")
if "workbench/Pinpad-v0" not in registry:
    register(
        id="workbench/Pinpad-v0",
        entry_point="workbench.environments.pinpad_env:PinpadEnv",
        vector_entry_point="workbench.environments.pinpad_env:PinpadVectorEnv",
    )
