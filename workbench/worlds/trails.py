"""The way of an agent through a grid, drawn step by step to the right of the cells' middles, and animations of it.

So a way back is seen beside the way there.  Bumps into walls leave no mark.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from workbench.files import write_bytes
from workbench.worlds.moves import Cell

if TYPE_CHECKING:
    from jaxtyping import UInt8
    from PIL.ImageDraw import ImageDraw

RGB = tuple[int, int, int]

SMOOTH = 3
"""Lines are drawn this many times larger, then shrunk."""

_MARGIN = 0.13  # of a tile, to the right of the way
_FIRST, _LAST = np.array([150, 80, 255]), np.array([0, 255, 255])  # colours of the first and last step


def draw_trail(draw: ImageDraw, cells: Sequence[Cell], tile: int, colours: Sequence[RGB] | None = None) -> None:
    """Draw the way through ``cells``.  ``colours`` is one a step (None: from violet to cyan with time)."""
    steps = [(i, np.array(a), np.subtract(b, a)) for i, (a, b) in enumerate(pairwise(cells)) if a != b]
    # Facing (down, right), the right hand points to (right, -down).
    hands = [_MARGIN * np.array([right, -down]) for _, _, (down, right) in steps]
    for i, (at, cell, delta) in enumerate(steps):
        colour = _by_time(i / max(1, len(steps) - 1)) if colours is None else colours[at]
        points = [
            *_corner(cell, hands[i - 1 : i + 1] if i else hands[:1])[-2:],
            *_corner(cell + delta, hands[i : i + 2])[:1],
        ]
        draw.line([((c + 0.5) * tile, (r + 0.5) * tile) for r, c in points], fill=colour, width=max(1, tile // 12))


def _by_time(share: float) -> RGB:
    red, green, blue = np.round((1 - share) * _FIRST + share * _LAST)
    return int(red), int(green), int(blue)


def _corner(cell: np.ndarray, hands: list[np.ndarray]) -> list[np.ndarray]:
    """Where a way passes a cell, given the hands of the steps to and from it: two points when it turns back."""
    first, last = hands[0], hands[-1]
    if (first == -last).all():
        return [cell + first, cell + last]
    return [cell + first if (first == last).all() else cell + first + last]


def write_gif(path: Path | str, pictures: Sequence[UInt8[np.ndarray, "height width 3"]], seconds: float) -> None:
    """Write pictures as an animated GIF, each shown for ``seconds``, the last 1 s longer."""
    from PIL import Image

    frames = [Image.fromarray(each) for each in pictures]
    times = [round(1000 * seconds)] * (len(frames) - 1) + [round(1000 * seconds) + 1000]
    data = io.BytesIO()
    frames[0].save(data, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0)
    write_bytes(Path(path), data.getvalue())
