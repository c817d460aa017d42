"""The grid worlds as Gymnasium environments on MiniGrid, with four absolute moves and everything in view.

``workbench/Grid-v0`` (open grids and mazes), ``workbench/KeyDoor-v0``, ``workbench/KeyNoDoor-v0`` and
``workbench/2PathKey-v0``.  MiniGrid holds and draws the world; what a move does is :meth:`Layout.after`, so an
environment, a text and an oracle never disagree.
"""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from minigrid.core.mission import MissionSpace
from minigrid.core.world_object import Key
from minigrid.minigrid_env import MiniGridEnv

from workbench.arguments import integer
from workbench.errors import DataError, SpecError, check_known
from workbench.seeding import derive_seed
from workbench.worlds.grids.layouts import UNREACHABLE, Layout, State
from workbench.worlds.grids.mazes import make_layout
from workbench.worlds.grids.pictures import minigrid_of, picture
from workbench.worlds.moves import Move

MARKS = "_#GAKD"
"""What the numbers of an observed grid stand for: 0 open, 1 wall, 2 goal, 3 agent, 4 key, 5 door, as in the text."""

_CAP = 1.5  # of the optimal length, as in arXiv 2602.08964
_MOVES = ", ".join(f"{move.value} {move.name}" for move in Move)


def marks(layout: Layout, state: State) -> np.ndarray:
    """The grid as numbers, uint8 [size, size] (see :data:`MARKS`); the agent hides what it stands on.

    >>> layout = Layout(("#####", "#___#", "#_#_#", "#___#", "#####"), start=(1, 1), goal=(3, 3))
    >>> marks(layout, layout.initial).tolist()
    [[1, 1, 1, 1, 1], [1, 3, 0, 0, 1], [1, 0, 1, 0, 1], [1, 0, 0, 2, 1], [1, 1, 1, 1, 1]]
    """
    grid = layout.walls.astype(np.uint8)
    key = None if state.has_key else layout.key
    for cell, mark in ((layout.goal, "G"), (key, "K"), (layout.door, "D"), (state.cell, "A")):
        if cell is not None:
            grid[cell] = MARKS.index(mark)
    return grid


class GridEnv(MiniGridEnv):
    """One agent, one goal, perhaps a key and its door.

    Action: a :class:`Move`, 0 LEFT 1 RIGHT 2 UP 3 DOWN; a bump into a wall or a closed door leaves the agent in place.
    Observation: ``{"grid": uint8 [size, size], "has_key": 0 or 1}`` with the numbers of :data:`MARKS`.
    Reward: MiniGrid's, ``1 - 0.9 * steps / cap`` on reaching the goal, else 0.  The goal terminates the episode;
    it is truncated after ``cap = ceil(1.5 * optimal length)`` steps.  ``info``: ``layout``, ``state``, ``distance``
    (steps to the goal) and ``optimal`` (bool [4], which moves lead one step nearer).

    ``reset(seed=s)`` draws ``make_layout(size, density, structure, s, held_out)``; a later ``reset()`` goes on to a
    seed derived from the last one.  ``reset(options={"layout": layout})`` plays that layout; a ``layout`` given here is
    played in every episode.  Raises :class:`SpecError` for an unusable size, density or structure.

    >>> env = GridEnv(size=5, density=1.0)
    >>> observation, info = env.reset(seed=2)
    >>> info["state"].cell, info["distance"], info["optimal"].tolist()
    ((1, 2), 2, [False, True, False, False])
    >>> [env.step(move)[1:4] for move in (Move.RIGHT, Move.DOWN)]
    [(0.0, False, False), (0.4, True, False)]
    """

    def __init__(
        self,
        size: int = 7,
        density: float = 0.0,
        structure: str = "maze",
        held_out: bool | None = None,
        layout: Layout | None = None,
        render_mode: str | None = None,
        tile_size: int = 32,
    ) -> None:
        if layout is not None:
            size = layout.size
        elif structure != "maze" and density:
            raise SpecError(f"a {structure} grid has no wall density: leave density out")
        self._fixed, self._draw = layout, (size, density, structure)
        self.held_out = held_out
        # A layout of this size, so that a bad option is refused here and not at the first reset.
        self.layout = self._checked(layout or make_layout(size, density, structure, 0, held_out))
        self.state = self.layout.initial
        self.episode_seed: int | None = None
        self.step_count = -1  # no episode has begun
        mission = MissionSpace(mission_func=lambda: "reach the goal")
        super().__init__(mission, grid_size=size, render_mode=render_mode, highlight=False, tile_size=tile_size)
        self.actions = Move  # type: ignore[assignment]
        self.action_space = spaces.Discrete(len(Move))
        grid = spaces.Box(0, len(MARKS) - 1, shape=(size, size), dtype=np.uint8)
        self.observation_space = spaces.Dict(grid=grid, has_key=spaces.Discrete(2))

    def reset(  # type: ignore[override]
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start the episode of ``seed``, or of ``options["layout"]``, or the one that follows the last."""
        seed = None if seed is None else integer(seed, "seed", least=0)
        self.layout = self._next_layout(seed, options or {})
        self.state = self.layout.initial
        self.max_steps = math.ceil(_CAP * self.layout.distance(self.state))
        observation, _ = super().reset(seed=seed)
        return observation, self._info()

    def step(self, action: int) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:  # type: ignore[override]
        """Make a move.  Raises ``gymnasium.error.ResetNeeded`` when the episode is over."""
        if self._over():
            raise gymnasium.error.ResetNeeded("the episode is over (or has not begun): call reset()")
        if not self.action_space.contains(action):
            raise DataError(f"move {action!r} does not exist: the moves are {_MOVES}")
        had_key = self.state.has_key
        self.state = self.layout.after(self.state, Move(int(action)))
        self.step_count += 1
        self._place(rebuild=self.state.has_key != had_key)
        arrived = self.state.cell == self.layout.goal
        if self.render_mode == "human":
            self.render()
        return self.gen_obs(), self._reward() if arrived else 0.0, arrived, not arrived and self._over(), self._info()

    def gen_obs(self) -> dict[str, Any]:
        """What the agent sees: everything."""
        return {"grid": marks(self.layout, self.state), "has_key": np.int64(self.state.has_key)}

    def get_frame(self, highlight: bool = False, tile_size: int = 32, agent_pov: bool = False) -> np.ndarray:
        """A picture of the state; the agent sees everything, so there is no view to highlight or to draw apart."""
        return picture(self.layout, self.state, tile_size)

    def _gen_grid(self, width: int, height: int) -> None:
        self._place(rebuild=True)

    def _place(self, rebuild: bool) -> None:
        """Bring MiniGrid's own record of the world up to ``self.state``."""
        if rebuild:
            self.grid = minigrid_of(self.layout, self.state)
            self.carrying = Key("yellow") if self.state.has_key else None  # type: ignore[assignment]
        self.agent_pos, self.agent_dir = self.state.cell[::-1], 0

    def _over(self) -> bool:
        return self.step_count < 0 or self.step_count >= self.max_steps or self.state.cell == self.layout.goal

    def _info(self) -> dict[str, Any]:
        best = np.isin(np.arange(len(Move)), self.layout.optimal_moves(self.state))
        return {
            "layout": self.layout,
            "state": self.state,
            "distance": self.layout.distance(self.state),
            "optimal": best,
        }

    def _next_layout(self, seed: int | None, options: dict[str, Any]) -> Layout:
        for name in options:
            check_known(name, ["layout"], "reset option")
        if "layout" in options:
            return self._checked(options["layout"])
        if seed is None:
            last = self.episode_seed
            seed = int(self.np_random.integers(2**62)) if last is None else derive_seed(last, "next episode")
        self.episode_seed = int(seed)
        size, density, structure = self._draw
        return self._fixed or make_layout(size, density, structure, self.episode_seed, self.held_out)

    def _checked(self, layout: Layout) -> Layout:
        if not isinstance(layout, Layout):
            raise DataError(f"a layout must be a Layout, not a {type(layout).__name__}; read_grid reads one from text")
        if layout.size != self._draw[0]:
            raise DataError(f"a layout of size {layout.size} does not fit this environment of size {self._draw[0]}")
        if layout.distance(layout.initial) == UNREACHABLE:
            raise DataError(f"no way leads from the start {layout.start} to the goal {layout.goal}")
        return layout
