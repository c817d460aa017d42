"""Trajectories that a goal-directedness run kept for the grid viewer: states, what was decoded from the agent at each,
and what it did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.errors import DataError
from workbench.families.goal_directedness.figures.looks import POSITIONS
from workbench.figures.style import ordered

CELLS = ("_", "#", "A", "G", "K", "D", " ")
"""Cell classes by number: open, wall, agent, goal, key, door, padding (the order of the tables)."""
PLAN = ("LEFT", "RIGHT", "UP", "DOWN", "ended")
"""What a forecast step can be, by number: a move, or the episode has ended."""
_TENSORS = ("true", "map_pre", "map_post", "plan_pre", "plan_post")


@dataclass(frozen=True)
class GridExample:
    """A trajectory with what was decoded at each of its steps.

    ``true`` [steps, size, size] numbers of :data:`CELLS`; ``decoded[position]`` [steps, size, size, classes]
    probabilities; ``plans[position]`` [steps, ahead, 5] probabilities of the moves and of the episode having ended;
    ``steps``: for each a dict with ``row, column, move`` (None: no readable answer), ``optimal``, ``completion``.
    """

    true: NDArray[np.int_]
    steps: Sequence[Mapping[str, Any]]
    decoded: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    plans: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count, size = len(self.steps), self.true.shape[-1]
        if not count or self.true.shape != (count, size, size):
            raise DataError(f"an example of {count} steps needs a true map a step, not an array of {self.true.shape}")
        if self.true.min() < 0 or self.true.max() >= len(CELLS):
            raise DataError(f"an example's true map holds numbers outside 0..{len(CELLS) - 1}")
        for name, maps in self.decoded.items():
            if maps.shape != (count, size, size, len(CELLS)):
                wanted = f"({count}, {size}, {size}, {len(CELLS)})"
                raise DataError(f"decoded maps {name!r} of an example have shape {maps.shape}, not {wanted}")
        for name, plan in self.plans.items():
            if plan.ndim != 3 or (plan.shape[0], plan.shape[2]) != (count, len(PLAN)):
                wanted = f"({count}, moves, {len(PLAN)})"
                raise DataError(f"plans {name!r} of an example have shape {plan.shape}, not {wanted}")

    @property
    def size(self) -> int:
        """Rows of the grid."""
        return int(self.true.shape[-1])

    @property
    def positions(self) -> list[str]:
        """Positions at which something was decoded."""
        return ordered([*self.decoded, *self.plans], POSITIONS)


def grid_examples(tensors: Mapping[str, Any], described: Sequence[Mapping[str, Any]]) -> list[GridExample]:
    """The examples of a run: ``described`` is its JSON ``examples``, ``tensors`` the artifact of the same name.

    Example ``k`` is ``true-k``, ``map_pre-k``, ``map_post-k``, ``plan_pre-k``, ``plan_post-k``; all but the first may
    be missing.  Maps that were padded are cut to the layout's size.  Raises :class:`DataError` for other shapes.
    """
    found = []
    for k, example in enumerate(described):
        if f"true-{k}" not in tensors:
            raise DataError(f"example {k} has no true map: the tensors lack 'true-{k}'")
        try:
            size, steps = int(example["size"]), list(example["steps"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"example {k} lacks a size or steps") from error
        arrays = {name: np.asarray(tensors[f"{name}-{k}"]) for name in _TENSORS if f"{name}-{k}" in tensors}
        cut = {name: a[:, :size, :size] for name, a in arrays.items() if not name.startswith("plan")}
        decoded = {name.removeprefix("map_"): a for name, a in cut.items() if name != "true"}
        plans = {name.removeprefix("plan_"): a for name, a in arrays.items() if name.startswith("plan")}
        found.append(GridExample(cut["true"].astype(int), steps, decoded, plans))
    return found
