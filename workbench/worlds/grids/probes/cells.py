"""The classes of a grid cell, and grids as arrays of them.

Everything that speaks of cells (the cognitive map, its scores, replanning on a decoded map) uses the numbers of
:data:`CELLS`; the characters are those of the picture that the agent is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int

from workbench.errors import DataError, did_you_mean

CELLS = ("_", "#", "A", "G", "K", "D", " ")
"""Open floor, wall, agent, goal, key, door, padding beyond the border of a small grid."""
PADDING = CELLS.index(" ")
CellMaps: TypeAlias = Int[np.ndarray, "states size size"]
"""Grids as numbers of :data:`CELLS`; what a cognitive map decodes is one too."""


def cell_class(name: str) -> int:
    """The number of a cell class; :class:`DataError` for a character that is none.

    >>> cell_class("A")
    2
    """
    if name not in CELLS:
        raise DataError(f"unknown cell class {name!r}{did_you_mean(name, map(repr, CELLS))}")
    return CELLS.index(name)


def encode_maps(grids: Sequence[Sequence[Sequence[str]]], size: int | None = None) -> CellMaps:
    """Grids of one or several sizes as one array [states, size, size], padded at the right and the bottom.

    A grid is rows of characters (strings or lists); ``size`` is that of the largest grid unless given.  Raises
    :class:`DataError` for a grid that is not square, larger than ``size``, or has an unknown character.

    >>> encode_maps([["#A", "G_"]], size=3)[0].tolist()
    [[1, 2, 6], [3, 0, 6], [6, 6, 6]]
    """
    size = size or max((len(grid) for grid in grids), default=0)
    maps = np.full((len(grids), size, size), PADDING, dtype=np.int64)
    for index, grid in enumerate(grids):
        n = len(grid)
        if n > size or any(len(row) != n for row in grid):
            raise DataError(f"grid {index} must be square and at most {size} x {size}; it has {n} rows")
        maps[index, :n, :n] = [[cell_class(cell) for cell in row] for row in grid]
    return maps


def decode_map(cells: Int[np.ndarray, "size size"]) -> tuple[str, ...]:
    """Rows of characters of one grid, without its padded rows; padded cells of other rows stay blanks.

    >>> decode_map(np.array([[1, 2, 6], [3, 0, 6], [6, 6, 6]]))
    ('#A ', 'G_ ')
    """
    rows = ("".join(CELLS[cell] for cell in row) for row in np.asarray(cells))
    return tuple(row for row in rows if row.strip(" "))


def locate(proba: Float[np.ndarray, "states size size classes"], cell: str) -> Int[np.ndarray, "states 2"]:
    """Where a class is: (row, column) of the cell with its highest probability, one a state (the first of equals).

    >>> proba = np.zeros((1, 2, 2, len(CELLS)))
    >>> proba[0, 1, 0, cell_class("G")] = 0.4
    >>> locate(proba, "G").tolist()
    [[1, 0]]
    """
    scores = np.asarray(proba)[..., cell_class(cell)]  # [states, size, size]
    best = scores.reshape(len(scores), -1).argmax(1)
    return np.stack(np.divmod(best, scores.shape[2]), axis=1)
