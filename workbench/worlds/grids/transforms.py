"""The four iso-difficulty transforms of a layout (arXiv 2602.08964), exact and invertible.

Reflect, rotate and transpose are symmetries of the square: each is a 2 x 2 matrix that acts on cells about the grid's
centre, and on moves.  Swap exchanges start and goal: cells stay, and what was a way from start to goal is walked
backward.  All of them map the optimal paths of a layout onto those of its image, so an agent that plans should do as
well on either.  The paper leaves the sense of the rotation open; here it is counterclockwise, as in ``numpy.rot90``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.errors import DataError
from workbench.worlds.grids.layouts import Layout, State
from workbench.worlds.moves import Cell, Move

Matrix = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class Transform:
    """One map of layouts, cells, states and moves.

    ``matrix`` acts on (row, column) about the centre of the grid; ``swaps`` exchanges start and goal, which is refused
    for layouts with a key or a door (:class:`DataError`), since the way back through them is another task.

    >>> layout = Layout(("#####", "#___#", "#_#_#", "#___#", "#####"), start=(1, 1), goal=(3, 2))
    >>> image = TRANSFORMS["rotate"].apply(layout)
    >>> image.start, image.goal, TRANSFORMS["rotate"].move(Move.RIGHT)
    ((3, 1), (2, 3), <Move.UP: 2>)
    >>> TRANSFORMS["rotate"].inverse.apply(image) == layout
    True
    """

    name: str
    matrix: Matrix = ((1, 0), (0, 1))
    swaps: bool = False

    def apply(self, layout: Layout) -> Layout:
        """The image of a layout."""
        if self.swaps and (layout.key or layout.door):
            raise DataError(
                f"{self.name} takes layouts without a key or door: the way back through them is another task"
            )
        n = layout.size
        marks = np.empty((n, n), dtype="<U1")
        for cell in np.ndindex(n, n):
            marks[self.cell(cell, n)] = layout.rows[cell[0]][cell[1]]
        start, goal = self.cell(layout.start, n), self.cell(layout.goal, n)
        if self.swaps:
            start, goal = goal, start
        key, door = (None if cell is None else self.cell(cell, n) for cell in (layout.key, layout.door))
        return Layout(tuple(map("".join, marks)), start, goal, key, door)

    @property
    def inverse(self) -> Transform:
        """The transform that undoes this one; all but a rotation undo themselves."""
        (a, b), (c, d) = self.matrix
        if b == c:
            return self
        name = self.name.removesuffix("_back") if self.name.endswith("_back") else f"{self.name}_back"
        return Transform(name, ((a, c), (b, d)), self.swaps)

    def cell(self, cell: Cell, size: int) -> Cell:
        """Where ``cell`` of a grid of this ``size`` comes to lie."""
        row, column = self._turn((2 * cell[0] - size + 1, 2 * cell[1] - size + 1))  # twice the distance to the centre
        return (row + size - 1) // 2, (column + size - 1) // 2

    def state(self, state: State, size: int) -> State:
        """The image of a state."""
        return State(self.cell(state.cell, size), state.has_key)

    def move(self, move: Move) -> Move:
        """The image of a move: a step from s to s' becomes this move from the image of s to that of s'.

        Under a swap the step is walked backward, so it is the opposite move, from s' to s.
        """
        row, column = self._turn(move.delta)
        if self.swaps:
            row, column = -row, -column
        return next(each for each in Move if each.delta == (row, column))

    def path(self, moves: Sequence[Move]) -> list[Move]:
        """The image of a way from start to goal: its moves mapped, and in reverse order under a swap.

        >>> TRANSFORMS["swap"].path([Move.LEFT, Move.DOWN])
        [<Move.UP: 2>, <Move.RIGHT: 1>]
        """
        images = [self.move(move) for move in moves]
        return images[::-1] if self.swaps else images

    def _turn(self, vector: Cell) -> Cell:
        (a, b), (c, d) = self.matrix
        return a * vector[0] + b * vector[1], c * vector[0] + d * vector[1]


TRANSFORMS: dict[str, Transform] = {
    each.name: each
    for each in (
        Transform("reflect", ((1, 0), (0, -1))),
        Transform("rotate", ((0, -1), (1, 0))),
        Transform("transpose", ((0, 1), (1, 0))),
        Transform("swap", swaps=True),
    )
}
