"""What the agent does against what its activations say: actions scored on the decoded map (arXiv 2602.08964).

The decoded map is turned into a layout (walls where ``#`` is likeliest, agent and goal at their likeliest cells) and
solved again.  A move that is wrong in the true grid but right in the decoded one is *recovered*.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from workbench.statistics import cluster_bootstrap
from workbench.worlds.grids.layouts import Layout, State
from workbench.worlds.grids.probes.cognitive_map import cell_class, locate
from workbench.worlds.moves import Move


def decoded_layouts(proba: np.ndarray, sizes: Sequence[int]) -> list[Layout | None]:
    """Layouts that decoded maps [states, size, size, classes] show; None where agent and goal fall on one cell.

    The border is known to be wall.  Agent and goal are looked for inside of it, and stand on open floor.
    """
    found: list[Layout | None] = []
    for cells, size in zip(proba, sizes, strict=True):
        inner = cells[None, 1 : size - 1, 1 : size - 1]
        (agent,), (goal,) = (locate(inner, mark) + 1 for mark in ("A", "G"))
        walls = np.ones((size, size), dtype=bool)
        walls[1:-1, 1:-1] = inner[0].argmax(-1) == cell_class("#")
        walls[tuple(agent)] = walls[tuple(goal)] = False
        rows = tuple("".join("#" if wall else "_" for wall in row) for row in walls)
        start, end = (int(agent[0]), int(agent[1])), (int(goal[0]), int(goal[1]))
        found.append(None if start == end else Layout(rows, start, end))
    return found


def score_decoded(steps: pd.DataFrame, maps: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Accuracy and recovery of the actual moves on each kind of map: rows ``map, metric, estimate, low, high, n``.

    ``steps``: one row a state with ``size, move, optimal, group``; ``maps``: name -> decoded probabilities.
    A map on which no way leads to the goal has no optimal move.  ``solvable`` is the share of maps that have one.
    Rows "first less other" are the paired differences of the first kind of map from each other kind.
    """
    group = steps["group"].to_numpy()
    true = steps["optimal"].to_numpy(bool)
    rows = [_row("true", "accuracy", true, group)]
    found: dict[str, np.ndarray] = {}
    for name, proba in maps.items():
        best = [_best(layout) for layout in decoded_layouts(proba, steps["size"].tolist())]
        found[name] = np.array([Move(int(move)) in moves for move, moves in zip(steps["move"], best, strict=True)])
        rows.append(_row(name, "solvable", np.array([bool(moves) for moves in best]), group))
    first, *others = found
    pairs = [(name, right.astype(float)) for name, right in found.items()]
    pairs += [(f"{first} less {name}", found[first].astype(float) - found[name]) for name in others]
    for name, right in pairs:
        rows.append(_row(name, "accuracy", right, group))
        if (~true).any():
            rows.append(_row(name, "recovery", right[~true], group[~true]))
    return rows


def _best(layout: Layout | None) -> tuple[Move, ...]:
    return () if layout is None else layout.optimal_moves(State(layout.start))


def _row(name: str, metric: str, values: np.ndarray, group: np.ndarray) -> dict[str, Any]:
    found = vars(cluster_bootstrap(values.astype(float), group))
    return {"map": name, "metric": metric, **found, "n": len(values)}
