"""The four absolute moves of the grid worlds: the one enum that environments, texts, probes and figures share."""

from __future__ import annotations

from enum import IntEnum

Cell = tuple[int, int]
"""(row, column), counted from the top left corner, border included."""


class Move(IntEnum):
    """What the agent may do.  The numbers are those of the JSON answer (arXiv 2602.08964).

    >>> Move.DOWN.of((1, 1)), Move["LEFT"] == 0
    ((2, 1), True)
    """

    LEFT = 0
    RIGHT = 1
    UP = 2
    DOWN = 3

    @property
    def delta(self) -> Cell:
        """Change of (row, column)."""
        return _DELTAS[self]

    def of(self, cell: Cell) -> Cell:
        """The cell that this move leads to from ``cell``, walls not considered."""
        row, column = _DELTAS[self]
        return cell[0] + row, cell[1] + column


_DELTAS = ((0, -1), (0, 1), (-1, 0), (1, 0))
