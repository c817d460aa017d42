"""Grids: layouts, mazes, the MiniGrid environment, oracles, texts, pictures, and the agent that walks in them.

Importing this package is light: MiniGrid is loaded when an environment or a picture is made (layouts, texts and oracles
do without), torch when the agent is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.discovery import attribute
from workbench.lazy import lazy_exports
from workbench.training import Recipe
from workbench.worlds.world import World

if TYPE_CHECKING:
    from workbench.worlds.grids.agents.agent import GridAgent
    from workbench.worlds.grids.agents.play import episodes_of, play_grids
    from workbench.worlds.grids.layouts import Layout, State
    from workbench.worlds.grids.mazes import GOAL_STRUCTURES, make_layout
    from workbench.worlds.grids.oracles import POLICIES, Policy, astar
    from workbench.worlds.grids.pictures import picture, save_animation, trajectory_picture
    from workbench.worlds.grids.text import GridText, read_grid
    from workbench.worlds.grids.transforms import TRANSFORMS, Transform
    from workbench.worlds.moves import Cell, Move

__getattr__, __dir__, __all__ = lazy_exports(__name__, "WORLD")

_TRAINING = f"{__name__}.training"
WORLD = World(
    "grids",
    "Grids: mazes, keys and doors in words",
    recipes=(Recipe("grid-agent", "train the shipped grid walker from scratch", f"{_TRAINING}.agent"),),
    sources={"grid-states": attribute(__name__, "probe_source:GRID_STATES")},
    targets={
        "map": attribute(__name__, "probes.map_target:MAPS"),
        "plan": attribute(__name__, "probes.plan_target:PLANS"),
    },
    games={"Grid": attribute(__name__, "playground:GAME")},
)
