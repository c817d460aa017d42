"""Grid layouts: walls, start, goal, and perhaps a key and its door; how moves act on them, and how far the goal is.

A layout is inert and hashable.  What changes during an episode is the :class:`State`: where the agent is and whether it
holds the key.  A key is picked up by stepping on it; a door lets an agent with the key pass; bumping into a wall or a
closed door leaves the agent where it is.
"""

from __future__ import annotations

import hashlib
import heapq
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from workbench.errors import DataError
from workbench.worlds.moves import Cell, Move

UNREACHABLE = -1
_HELD_OUT_SHARE = 0.2
_SALT = b"\2"  # with it open grids of every size lie on both sides of the split


class State(NamedTuple):
    """Where the agent is, and whether it holds the key."""

    cell: Cell
    has_key: bool = False


@dataclass(frozen=True)
class Layout:
    """A grid world: ``rows`` of ``#`` (wall) and ``_`` (open), border included, and the cells of what lies in it.

    Raises :class:`DataError` when something lies in a wall or outside, or two things share a cell.

    >>> layout = Layout(("#####", "#___#", "#_#_#", "#___#", "#####"), start=(1, 1), goal=(3, 3))
    >>> layout.distance(layout.initial), layout.optimal_moves(layout.initial)
    (4, (<Move.RIGHT: 1>, <Move.DOWN: 3>))
    >>> layout.after(layout.initial, Move.UP) == layout.initial
    True
    """

    rows: tuple[str, ...]
    start: Cell
    goal: Cell
    key: Cell | None = None
    door: Cell | None = None

    def __post_init__(self) -> None:
        if len({len(row) for row in self.rows}) != 1 or len(self.rows) != len(self.rows[0]):
            raise DataError("a layout must be square: as many rows as columns")
        if set("".join(self.rows)) - {"#", "_"}:
            raise DataError("a layout's rows hold only # (wall) and _ (open); start, goal, key, door are given apart")
        if "_" in self.rows[0] + self.rows[-1] + "".join(row[0] + row[-1] for row in self.rows):
            raise DataError("a layout's border must be wall (#) all around")
        things = {"start": self.start, "goal": self.goal, "key": self.key, "door": self.door}
        placed = {name: cell for name, cell in things.items() if cell is not None}
        for name, (row, column) in placed.items():
            inside = 0 <= row < self.size and 0 <= column < self.size
            if not inside or self.rows[row][column] == "#":
                raise DataError(f"the {name} at {(row, column)} is in a wall or outside of the {self.size}-sized grid")
        if len(set(placed.values())) < len(placed):
            raise DataError(f"two things share a cell: {placed}")
        if self.door is not None and self.key is None:
            raise DataError("a door needs a key")

    @property
    def size(self) -> int:
        """Rows, border included."""
        return len(self.rows)

    @property
    def initial(self) -> State:
        """The state in which an episode begins."""
        return State(self.start)

    @cached_property
    def walls(self) -> np.ndarray:
        """[size, size] bool."""
        return np.array([[c == "#" for c in row] for row in self.rows])

    def open_cells(self) -> list[Cell]:
        """Cells that are not walls, row by row."""
        return [(int(row), int(column)) for row, column in np.argwhere(~self.walls)]

    def after(self, state: State, move: Move) -> State:
        """The state after ``move``."""
        cell = move.of(state.cell)
        if self.rows[cell[0]][cell[1]] == "#" or (cell == self.door and not state.has_key):
            return state
        return State(cell, state.has_key or cell == self.key)

    @cached_property
    def distances(self) -> np.ndarray:
        """[2, size, size] steps to the goal without and with the key; :data:`UNREACHABLE` in walls and where no way
        leads to the goal."""
        with_key = self._flood({self.goal: 0}, door_open=True)
        if self.key is None:
            return np.stack([with_key, with_key])
        sources = {self.goal: 0}
        if with_key[self.key] != UNREACHABLE:
            sources[self.key] = int(with_key[self.key])
        return np.stack([self._flood(sources, door_open=self.door is None), with_key])

    def _flood(self, sources: dict[Cell, int], door_open: bool) -> np.ndarray:
        """Dijkstra from cells whose distances are known (and stay: who enters one is in another state from there)."""
        found = np.full((self.size, self.size), UNREACHABLE)
        heap = [(distance, cell) for cell, distance in sources.items()]
        heapq.heapify(heap)
        while heap:
            distance, cell = heapq.heappop(heap)
            if found[cell] != UNREACHABLE:
                continue
            found[cell] = distance
            for move in Move:
                near = row, column = move.of(cell)
                blocked = self.rows[row][column] == "#" or (near == self.door and not door_open)
                if not blocked and found[near] == UNREACHABLE and near not in sources:
                    heapq.heappush(heap, (distance + 1, near))
        return found

    def distance(self, state: State) -> int:
        """Steps from ``state`` to the goal; :data:`UNREACHABLE` when there is no way."""
        return int(self.distances[int(state.has_key)][state.cell])

    def optimal_moves(self, state: State) -> tuple[Move, ...]:
        """The moves to a state from which the goal is one step nearer (A*(s) in arXiv 2602.08964)."""
        here = self.distance(state)
        if here <= 0:
            return ()
        return tuple(move for move in Move if self.distance(self.after(state, move)) == here - 1)

    @cached_property
    def held_out(self) -> bool:
        """Whether this layout is one that the shipped agent is never trained on.

        It depends on walls, goal, key and door alone, and is the same for all rotations and reflections, so that
        neither another start nor a transform leads from one side of the split to the other.
        """
        digest = hashlib.blake2b(min(self._images()).encode(), digest_size=8, salt=_SALT).digest()
        return int.from_bytes(digest, "little") < _HELD_OUT_SHARE * 2**64

    def _images(self) -> list[str]:
        marks = np.array([list(row) for row in self.rows])
        for cell, mark in ((self.goal, "G"), (self.key, "K"), (self.door, "D")):
            if cell is not None:
                marks[cell] = mark
        turned = [np.rot90(each, k) for each in (marks, marks.T) for k in range(4)]
        return ["".join(each.ravel()) for each in turned]
