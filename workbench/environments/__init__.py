"""Gymnasium environments and their oracles.

Importing this package registers the bandits ``workbench/GaussianBandit-v0`` and ``workbench/BernoulliBandit-v0``, and
the grids ``workbench/Grid-v0``, ``workbench/KeyDoor-v0``, ``workbench/KeyNoDoor-v0`` and ``workbench/2PathKey-v0``;
without the import, ``gymnasium.make("workbench.environments:workbench/Grid-v0", size=9, density=0.4)`` does
both at once.
MiniGrid is loaded when a grid environment or a picture is made, not before: layouts, texts and oracles do without.
"""

from __future__ import annotations

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

__all__ = [
    "GOAL_STRUCTURES",
    "ORACLES",
    "POLICIES",
    "TRANSFORMS",
    "BernoulliArms",
    "BernoulliBandit",
    "Cell",
    "GaussianArms",
    "GaussianBandit",
    "GridText",
    "Layout",
    "Move",
    "Oracle",
    "Policy",
    "State",
    "Transform",
    "astar",
    "make_layout",
    "make_oracle",
    "picture",
    "play",
    "read_grid",
    "reward_table",
    "save_animation",
    "trajectory_picture",
]

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
