"""The world of the ant pinpad: the grid of the pinpad laid out on a plane, and what the ant sees of it.

Cells are squares of ``cell`` metres, numbered as in :mod:`workbench.worlds.pinpad.pinpad`; the arena is centred on the
origin, x to the right and y up (so row 0 is the one with the largest y, as drawn).

The ant's observation is one vector (arXiv 2512.20605; the order and the scales are ours):

- proprioception, symlog: what Gymnasium's Ant-v5 observes without contact forces (height, orientation, joint angles,
  velocities), 27 numbers;
- x and y in [-1, 1] over the arena;
- x and y of each colour's and wall's centre relative to the ant, in units of half the arena, hence in [-2, 2];
- x and y within the ant's cell, in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from workbench.errors import SpecError
from workbench.worlds.pinpad.pinpad import Pinpad

PROPRIOCEPTION = 27
_LIMIT = 10.0  # symlog of 22,025: nothing that an ant does comes near


def _rules() -> Pinpad:
    return Pinpad(size=4, colours=4, walls=1, horizon=500, subgoal=1)


@dataclass(frozen=True)
class AntWorld:
    """Rules of the grid (``horizon`` in steps of the ant; their ``observation`` is not used), metres a ``cell``, and
    ``frame_skip`` physics steps of 0.01 s an action.

    >>> world = AntWorld()
    >>> world.observation_size, world.half
    (41, 4.0)
    """

    rules: Pinpad = field(default_factory=_rules)
    cell: float = 2.0
    frame_skip: int = 5

    def __post_init__(self) -> None:
        if not self.cell > 0 or self.frame_skip < 1:
            raise SpecError(f"ant pinpad: cell {self.cell} m and frame_skip {self.frame_skip} must be positive")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> AntWorld:
        """The world that ``dataclasses.asdict`` made ``given`` of, such as ``model.world``; :class:`SpecError` for that
        of another kind."""
        if "rules" not in given:
            raise SpecError("this is not the world of an ant pinpad but that of a grid: read it with Pinpad.of")
        return cls(**{**given, "rules": Pinpad(**given["rules"])})

    @property
    def half(self) -> float:
        """Half of the arena's side, in metres."""
        return self.rules.size * self.cell / 2

    @property
    def observation_size(self) -> int:
        """Numbers in an observation."""
        return PROPRIOCEPTION + 2 + 2 * (self.rules.colours + self.rules.walls) + 2

    def cell_at(self, xy: Float[np.ndarray, "2"]) -> int | None:
        """The cell of a point; None outside the arena.

        >>> AntWorld().cell_at((-3.0, 3.0)), AntWorld().cell_at((3.9, -3.9)), AntWorld().cell_at((4.1, 0.0))
        (0, 15, None)
        """
        if not (abs(xy[0]) < self.half and abs(xy[1]) < self.half):
            return None
        column, row = int((xy[0] + self.half) // self.cell), int((self.half - xy[1]) // self.cell)
        return min(row, self.rules.size - 1) * self.rules.size + min(column, self.rules.size - 1)

    def centre(self, cells: Int[np.ndarray, "*batch"]) -> Float[np.ndarray, "*batch 2"]:
        """Centres of cells, in metres.

        >>> AntWorld().centre(np.array([0, 15])).tolist()
        [[-3.0, 3.0], [3.0, -3.0]]
        """
        row, column = np.divmod(np.asarray(cells), self.rules.size)
        return np.stack([(column + 0.5) * self.cell - self.half, self.half - (row + 0.5) * self.cell], -1)

    def observe(
        self, proprioception: np.ndarray, xy: np.ndarray, objects: Float[np.ndarray, "objects 2"]
    ) -> Float[np.ndarray, " size"]:
        """The observation, float32, of an ant at ``xy`` among objects whose centres are given (both in metres)."""
        local = (xy + self.half) % self.cell / self.cell * 2 - 1
        parts = (symlog(proprioception), xy / self.half, ((objects - xy) / self.half).ravel(), local)
        return np.nan_to_num(np.concatenate(parts)).clip(-_LIMIT, _LIMIT).astype(np.float32)


def symlog(x: np.ndarray) -> np.ndarray:
    """``sign(x) log(1 + |x|)``: near x for small numbers, and large ones stay small.

    >>> symlog(np.array([0.0, np.e - 1, 1 - np.e])).tolist()
    [0.0, 1.0, -1.0]
    """
    return np.sign(x) * np.log1p(np.abs(x))
