"""Pictures of grids, drawn by MiniGrid's renderer: a state, the trajectory of an episode, an animation of it.

Walls are grey, the goal is green, key and door are yellow; a door is locked until the key is held.  MiniGrid draws its
agent as an arrowhead; this agent has no direction, so it is a red disc, with a yellow dot while it holds the key.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import DataError, SpecError
from workbench.worlds.grids.layouts import Layout, State
from workbench.worlds.moves import Cell
from workbench.worlds.trails import SMOOTH, draw_trail, write_gif

if TYPE_CHECKING:
    from jaxtyping import UInt8
    from minigrid.core.grid import Grid
    from PIL.ImageDraw import ImageDraw


def minigrid_of(layout: Layout, state: State) -> Grid:
    """MiniGrid's grid of the world without the agent; MiniGrid's (i, j) is (column, row).

    A held key is gone, and its door open.
    """
    from minigrid.core.grid import Grid
    from minigrid.core.world_object import Door, Goal, Key, Wall

    grid = Grid(layout.size, layout.size)
    for row, column in np.argwhere(layout.walls):
        grid.set(int(column), int(row), Wall())
    grid.set(layout.goal[1], layout.goal[0], Goal())
    if layout.key and not state.has_key:
        grid.set(layout.key[1], layout.key[0], Key("yellow"))
    if layout.door:
        door = Door("yellow", is_open=state.has_key, is_locked=not state.has_key)
        grid.set(layout.door[1], layout.door[0], door)
    return grid


def picture(layout: Layout, state: State, tile_size: int = 32) -> UInt8[np.ndarray, "height width 3"]:
    """The state as RGB values 0 to 255, ``tile_size`` pixels a cell.

    >>> from workbench.worlds.grids.mazes import make_layout
    >>> layout = make_layout(5, 1.0, seed=2)
    >>> picture(layout, layout.initial, tile_size=8).shape
    (40, 40, 3)
    """
    _check(layout, [state], tile_size)
    grid = minigrid_of(layout, state)
    row, column = state.cell
    grid.set(column, row, _agent_on()(grid.get(column, row), state.has_key))
    return grid.render(tile_size, agent_pos=(-1, -1))


def trajectory_picture(
    layout: Layout, states: Sequence[State], tile_size: int = 32
) -> UInt8[np.ndarray, "height width 3"]:
    """The whole way of an episode over its first state, with a ring where it starts and the agent where it ends.

    The way turns from violet to cyan with time and keeps to its right, so that a way back is seen beside the way there.
    A key that was picked up on the way is shown where it lay.  Raises :class:`DataError` for an empty trajectory.

    >>> from workbench.worlds.moves import Move
    >>> layout = Layout(("#####", "#___#", "#_#_#", "#___#", "#####"), start=(1, 1), goal=(3, 3))
    >>> trajectory_picture(layout, [layout.initial, layout.after(layout.initial, Move.DOWN)]).shape
    (160, 160, 3)
    """
    if not states:
        raise DataError("a trajectory has at least one state")
    _check(layout, states, tile_size)
    from PIL import Image, ImageDraw

    world = minigrid_of(layout, states[0]).render(tile_size, agent_pos=(-1, -1))
    side = layout.size * tile_size * SMOOTH
    image = Image.fromarray(world).resize((side, side), Image.Resampling.NEAREST)
    draw, tile = ImageDraw.Draw(image), tile_size * SMOOTH
    _draw_ring(draw, states[0].cell, tile)
    draw_trail(draw, [state.cell for state in states], tile)
    _draw_disc(draw, states[-1], tile)
    return np.asarray(image.resize(world.shape[1::-1], Image.Resampling.BOX))


def save_animation(
    path: Path | str, layout: Layout, states: Sequence[State], tile_size: int = 32, seconds: float = 0.3
) -> None:
    """Write an episode as an animated GIF: one picture a state, each shown for ``seconds``, the last 1 s longer.

    Raises :class:`DataError` for an empty trajectory, :class:`RunError` where the file cannot be written.
    """
    if not states:
        raise DataError("a trajectory has at least one state")
    write_gif(path, [picture(layout, state, tile_size) for state in states], seconds)


def _check(layout: Layout, states: Sequence[State], tile_size: int) -> None:
    if tile_size < 1:
        raise SpecError(f"tile_size {tile_size} is too small: give at least 1 pixel")
    inside = range(layout.size)
    for row, column in {state.cell for state in states}:
        if row not in inside or column not in inside or layout.walls[row, column]:
            raise DataError(f"the state at {(row, column)} is in a wall or outside of the {layout.size}-sized grid")


@cache
def _agent_on() -> type:
    """The class of a MiniGrid object that draws the agent on what lies in its cell; made here: MiniGrid loads late."""
    from minigrid.core.constants import COLORS
    from minigrid.core.world_object import WorldObj
    from minigrid.utils.rendering import fill_coords, point_in_circle

    class AgentOn(WorldObj):
        def __init__(self, below: WorldObj | None, has_key: bool) -> None:
            super().__init__("agent", "red")
            self.below, self.has_key = below, has_key

        def encode(self) -> tuple[int, ...]:  # type: ignore[override]  # MiniGrid caches tiles under this
            return (*super().encode(), self.has_key, *(self.below.encode() if self.below else ()))

        def render(self, r: np.ndarray) -> np.ndarray:
            if self.below:
                self.below.render(r)
            fill_coords(r, point_in_circle(0.5, 0.5, 0.31), COLORS["red"])
            if self.has_key:
                fill_coords(r, point_in_circle(0.5, 0.5, 0.12), COLORS["yellow"])
            return r

    return AgentOn


def _draw_ring(draw: ImageDraw, cell: Cell, tile: int) -> None:
    x, y = (cell[1] + 0.5) * tile, (cell[0] + 0.5) * tile
    r = 0.36 * tile
    draw.ellipse((x - r, y - r, x + r, y + r), outline=(255, 0, 0), width=max(1, tile // 16))


def _draw_disc(draw: ImageDraw, state: State, tile: int) -> None:
    x, y = (state.cell[1] + 0.5) * tile, (state.cell[0] + 0.5) * tile
    for radius, colour in ((0.22, (255, 0, 0)), (0.09, (255, 255, 0)))[: 1 + state.has_key]:
        r = radius * tile
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)
