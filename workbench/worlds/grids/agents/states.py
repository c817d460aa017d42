"""The policy that an agent showed in grids: how often it made each move in each state that it visited.

Moves are pooled over the rollouts of a layout (pi_hat in arXiv 2602.08964) and set against pi*, uniform on the optimal
moves A*(s).  A state is the agent's cell and whether it holds the key.  Steps at which no move could be read are left
out, and with them states that saw no other.

Calibration asks whether confidence is accuracy: confidence is the largest probability of pi_hat in a state, and a state
is correct when that move is optimal.  States are sorted into equal bins of confidence (1 belongs to the last); the
error is the mean gap between confidence and accuracy in a bin, weighted by its states (arXiv 2602.08964; ten bins).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from workbench.errors import DataError
from workbench.statistics import Interval, cluster_bootstrap, plugin_entropy
from workbench.worlds.episode_table import need_columns
from workbench.worlds.grids.agents.play import PROBABILITIES
from workbench.worlds.grids.layouts import Layout, State
from workbench.worlds.moves import Move

_STATE = ["row", "column", "has_key"]
BINS = 10


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


def calibration_error(
    confidence: ArrayLike,
    correct: ArrayLike,
    clusters: ArrayLike,
    bins: int = BINS,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Expected calibration error with a 95% cluster-bootstrap interval.  confidence, correct, clusters: [states].

    >>> print(calibration_error([0.75, 0.75, 1.0, 1.0], [1, 0, 1, 1], [0, 0, 1, 1]).estimate)
    0.125
    """
    sure, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    if not len(sure) or not (len(sure) == len(right) == len(np.asarray(clusters))):
        raise DataError("confidence, correct and clusters must be as long as one another, and not empty")
    labels, index = np.unique(np.asarray(clusters), return_inverse=True)
    # All that the error depends on: of each cluster the sum of confidence - correct in each bin, and its states.
    gaps = np.zeros((len(labels), bins))
    np.add.at(gaps, (index, _bin(sure, bins)), sure - right)
    table = np.column_stack([gaps, np.bincount(index)])  # [clusters, bins + 1]
    return cluster_bootstrap(
        table, labels, lambda rows: np.abs(rows[:, :-1].sum(0)).sum() / rows[:, -1].sum(), resamples, seed
    )


def _bin(confidence: np.ndarray, bins: int) -> Int[np.ndarray, " states"]:
    # Frequencies such as 0.3 come out of a mean a hair below or above an edge; they belong to the bin above it.
    return np.clip(np.floor(confidence * bins + 1e-9).astype(np.int64), 0, bins - 1)


def calibration_bins(states: pd.DataFrame, by: Sequence[str] = (), bins: int = BINS) -> pd.DataFrame:
    """The bins of a calibration plot: columns ``by``, ``bin``, ``low``, ``high``, mean ``confidence``, ``accuracy``
    (share correct), ``n`` states.  ``states`` as ``visited_states`` gives them."""
    need_columns(states, [*by, "confidence", "correct"], "calibration_bins")
    number = _bin(states["confidence"].to_numpy(dtype=np.float64), bins)
    groups = states.assign(bin=number, correct=states["correct"].astype(float)).groupby([*by, "bin"], sort=True)
    table = groups.agg(confidence=("confidence", "mean"), accuracy=("correct", "mean"), n=("correct", "size"))
    table = table.reset_index()
    table = table.assign(low=table["bin"] / bins, high=(table["bin"] + 1) / bins)
    return table[[*by, "bin", "low", "high", "confidence", "accuracy", "n"]]
