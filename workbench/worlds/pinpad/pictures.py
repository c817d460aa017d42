"""Pictures of pinpads: a state, the way of an episode, an animation of it.

Colours are tiles with their number, walls are dark, the agent is a black disc with a white rim.  The way takes its hue
from time, or from what is given for each step, for example the controller that was active.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import DataError, SpecError
from workbench.worlds.moves import Cell
from workbench.worlds.trails import RGB, SMOOTH, draw_trail, write_gif

if TYPE_CHECKING:
    from jaxtyping import UInt8
    from PIL import Image
    from PIL.ImageDraw import ImageDraw

    from workbench.worlds.pinpad.pinpad import Pinpad

TILE_HUES: tuple[RGB, ...] = (
    (240, 140, 140), (255, 190, 95), (246, 244, 120), (160, 222, 150),
    (135, 220, 225), (150, 180, 245), (200, 150, 240), (255, 170, 225),
)  # fmt: skip
"""Light hues of colours 0 to 7; further colours take them again, and are told apart by their numbers."""

SEGMENT_HUES: tuple[RGB, ...] = (
    (200, 20, 30), (20, 90, 200), (0, 125, 50), (235, 110, 0),
    (125, 40, 170), (0, 140, 150), (135, 80, 30), (215, 0, 140),
)  # fmt: skip
"""Strong hues of the pieces of a way, by number modulo 8."""

_FLOOR, _LINE, _WALL, _INK = (250, 250, 250), (215, 215, 215), (70, 70, 75), (20, 20, 20)


def pinpad_picture(
    world: Pinpad, objects: Sequence[int], agent: int, target: int | None = None, tile_size: int = 32
) -> UInt8[np.ndarray, "height width 3"]:
    """The state as RGB values 0 to 255, ``tile_size`` pixels a cell.

    ``objects``: the cells of the colours and the walls.  ``target``: a colour to frame in black.

    >>> from workbench.worlds.pinpad.pinpad import Pinpad
    >>> world = Pinpad(size=4, colours=2, walls=1)
    >>> pinpad_picture(world, [3, 7, 9], agent=0, tile_size=8).shape
    (32, 32, 3)
    """
    image, draw = _board(world, objects, [agent], tile_size)
    if target is not None:
        if not 0 <= target < world.colours:
            raise DataError(f"colour {target} does not exist: the colours are 0 to {world.colours - 1}")
        left, top, right, bottom = _box(divmod(int(objects[target]), world.size), tile_size * SMOOTH)
        draw.rectangle((left, top, right, bottom), outline=_INK, width=max(1, tile_size * SMOOTH // 14))
    _draw_agent(draw, divmod(int(agent), world.size), tile_size * SMOOTH)
    return _shrunk(image)


def pinpad_trajectory_picture(
    world: Pinpad,
    objects: Sequence[int],
    agents: Sequence[int],
    segments: Sequence[int] | None = None,
    tile_size: int = 32,
) -> UInt8[np.ndarray, "height width 3"]:
    """The way of an episode, with a ring where it starts and the agent where it ends.

    ``agents``: the cells before each move and after the last (``Episodes.agents[i, : length + 1]``).  ``segments``: a
    number a move, for example of the controller that was active; steps of one number share a hue of
    :data:`SEGMENT_HUES`, and a dot marks where the number changes.  Without it the way turns from violet to cyan.

    Raises :class:`DataError` for an empty way, a way that jumps, and segments that are not one a move.

    >>> from workbench.worlds.pinpad.pinpad import Pinpad
    >>> world = Pinpad(size=4, colours=2, walls=1)
    >>> pinpad_trajectory_picture(world, [3, 7, 9], agents=[0, 1, 2, 3], segments=[5, 5, 6]).shape
    (128, 128, 3)
    """
    image, draw = _board(world, objects, agents, tile_size)
    _check_way(world, agents, segments)
    places, tile = [divmod(int(cell), world.size) for cell in agents], tile_size * SMOOTH
    draw.ellipse(_circle(places[0], 0.34, tile), outline=_INK, width=max(1, tile // 20))
    numbers = None if segments is None else [int(each) for each in segments]
    draw_trail(draw, places, tile, None if numbers is None else [_hue(each) for each in numbers])
    for i, (before, after) in enumerate(pairwise(numbers or []), 1):
        if before != after:
            draw.ellipse(_circle(places[i], 0.13, tile), fill=_hue(after), outline=(255, 255, 255))
    _draw_agent(draw, places[-1], tile)
    return _shrunk(image)


def save_pinpad_animation(
    path: Path | str,
    world: Pinpad,
    objects: Sequence[int],
    agents: Sequence[int],
    segments: Sequence[int] | None = None,
    tile_size: int = 32,
    seconds: float = 0.2,
) -> None:
    """Write an episode as an animated GIF: the way so far after each move, the last picture 1 s longer.

    Options as in :func:`pinpad_trajectory_picture`.  Raises :class:`RunError` where the file cannot be written.
    """
    _check_way(world, agents, segments)
    frames = [
        pinpad_trajectory_picture(
            world, objects, agents[: i + 1], None if segments is None else segments[:i], tile_size
        )
        for i in range(len(agents))
    ]  # fmt: skip
    write_gif(path, frames, seconds)


def _board(
    world: Pinpad, objects: Sequence[int], agents: Sequence[int], tile_size: int
) -> tuple[Image.Image, ImageDraw]:
    """The world without the agent, ``SMOOTH`` times too large."""
    from PIL import Image, ImageDraw

    _check(world, objects, agents, tile_size)
    tile = tile_size * SMOOTH
    image = Image.new("RGB", (world.size * tile,) * 2, _FLOOR)
    draw = ImageDraw.Draw(image)
    for i, cell in enumerate(objects):
        place = divmod(int(cell), world.size)
        is_colour = i < world.colours
        draw.rectangle(_box(place, tile), fill=TILE_HUES[i % len(TILE_HUES)] if is_colour else _WALL)
        if is_colour:
            draw.text(((place[1] + 0.8) * tile, (place[0] + 0.22) * tile), str(i), _INK, _font(tile), anchor="mm")
    for i in range(world.size + 1):
        at = min(i * tile, world.size * tile - 1)
        draw.line((at, 0, at, world.size * tile), fill=_LINE, width=max(1, tile // 48))
        draw.line((0, at, world.size * tile, at), fill=_LINE, width=max(1, tile // 48))
    return image, draw


def _font(tile: int):  # type: ignore[no-untyped-def]  # Pillow gives one of two classes, with and without FreeType
    from PIL import ImageFont

    return ImageFont.load_default(max(6, round(0.3 * tile)))


def _check(world: Pinpad, objects: Sequence[int], agents: Sequence[int], tile_size: int) -> None:
    if tile_size < 1:
        raise SpecError(f"tile_size {tile_size} is too small: give at least 1 pixel")
    if len(objects) != world.colours + world.walls:
        raise DataError(f"{len(objects)} objects for {world.colours} colours and {world.walls} walls")
    for cell in (*objects, *agents):
        if not 0 <= cell < world.cells:
            raise DataError(f"cell {int(cell)} is outside of a pinpad of size {world.size}: 0 to {world.cells - 1}")


def _check_way(world: Pinpad, agents: Sequence[int], segments: Sequence[int] | None) -> None:
    if not len(agents):
        raise DataError("a way has at least one cell")
    if segments is not None and len(segments) != len(agents) - 1:
        raise DataError(f"{len(segments)} segments for {len(agents) - 1} moves: give one for each")
    for a, b in pairwise(agents):
        (row, column), (to_row, to_column) = divmod(int(a), world.size), divmod(int(b), world.size)
        if abs(row - to_row) + abs(column - to_column) > 1:
            raise DataError(f"the way jumps from cell {int(a)} to cell {int(b)}: a move leads to a neighbour")


def _hue(segment: int) -> RGB:
    return SEGMENT_HUES[segment % len(SEGMENT_HUES)]


def _box(place: Cell, tile: int) -> tuple[int, int, int, int]:
    return place[1] * tile, place[0] * tile, (place[1] + 1) * tile - 1, (place[0] + 1) * tile - 1


def _circle(place: Cell, radius: float, tile: int) -> tuple[float, float, float, float]:
    """The box around a circle in the middle of a cell; ``radius`` in tiles."""
    x, y, r = (place[1] + 0.5) * tile, (place[0] + 0.5) * tile, radius * tile
    return x - r, y - r, x + r, y + r


def _draw_agent(draw: ImageDraw, place: Cell, tile: int) -> None:
    draw.ellipse(_circle(place, 0.24, tile), fill=_INK, outline=(255, 255, 255), width=max(1, tile // 20))


def _shrunk(image: Image.Image) -> np.ndarray:
    from PIL import Image

    return np.asarray(image.resize((image.width // SMOOTH, image.height // SMOOTH), Image.Resampling.BOX))
