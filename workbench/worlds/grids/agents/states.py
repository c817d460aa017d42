"""The policy that an agent showed in grids: how often it made each move in each state that it visited.

Moves are pooled over the rollouts of a layout (pi_hat in arXiv 2602.08964) and set against pi*, uniform on the optimal
moves A*(s).  A state is the agent's cell and whether it holds the key.  Steps at which no move could be read are left
out, and with them states that saw no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from workbench.errors import DataError
from workbench.statistics import plugin_entropy
from workbench.worlds.grids.agents.play import PROBABILITIES
from workbench.worlds.grids.layouts import Layout, State
from workbench.worlds.moves import Move

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy.typing import ArrayLike

_STATE = ["row", "column", "has_key"]


def jensen_shannon(p: ArrayLike, q: ArrayLike) -> Float[np.ndarray, "..."]:
    """Jensen-Shannon divergence in bits of distributions [..., k]: 0 where they are equal, 1 where they are disjoint.

    >>> jensen_shannon([[1, 0], [0.5, 0.5]], [[0, 1], [0.5, 0.5]]).tolist()
    [1.0, 0.0]
    """
    p, q = np.asarray(p, dtype=np.float64), np.asarray(q, dtype=np.float64)
    nats = plugin_entropy((p + q) / 2) - (plugin_entropy(p) + plugin_entropy(q)) / 2
    return np.clip(nats / np.log(2), 0.0, 1.0)


def visited_states(steps: pd.DataFrame, layouts: Sequence[Layout], exact: bool = False) -> pd.DataFrame:
    """One row for each state that was visited in each layout (and for each ``player``, where there is that column).

    Columns: ``player`` (if there), ``layout``, ``row``, ``column``, ``has_key``, ``distance``, ``visits``, pi_hat as
    ``p_0``..``p_3``, its ``entropy`` in nats, its ``jsd`` to pi* in bits, its ``confidence`` (largest probability), and
    ``correct`` (whether the likeliest move, the first of equals, is in A*).  ``exact`` takes the recorded probabilities
    of the moves in place of their frequencies; it raises :class:`DataError` where a step has none.
    """
    keys = [*(["player"] if "player" in steps else []), "layout", *_STATE]
    made = steps[steps["move"] >= 0]
    if exact and made[PROBABILITIES].isna().to_numpy().any():
        raise DataError("some steps have no move probabilities: play with GridAgent(exact=True), or use exact=False")
    moves = np.eye(len(Move))[made["move"].to_numpy()]
    columns = made[PROBABILITIES].to_numpy() if exact else moves
    groups = made.assign(**dict(zip(PROBABILITIES, columns.T, strict=True))).groupby(keys, sort=True)
    table = groups[PROBABILITIES].mean().join(groups.agg(distance=("distance", "first"), visits=("move", "size")))
    table = table.reset_index()
    policy = table[PROBABILITIES].to_numpy()  # [states 4]
    places = table[["layout", *_STATE]].itertuples(index=False)
    best = np.array([_optimal(layouts[i], row, column, key) for i, row, column, key in places]).reshape(-1, len(Move))
    return table.assign(
        entropy=plugin_entropy(policy),
        jsd=jensen_shannon(policy, best / best.sum(1, keepdims=True)),
        confidence=policy.max(1),
        correct=best[np.arange(len(best)), policy.argmax(1)] > 0,
    )


def _optimal(layout: Layout, row: int, column: int, has_key: bool) -> np.ndarray:
    """[4], 1 for the moves in A*."""
    found = np.zeros(len(Move))
    found[list(layout.optimal_moves(State((int(row), int(column)), bool(has_key))))] = 1
    return found
