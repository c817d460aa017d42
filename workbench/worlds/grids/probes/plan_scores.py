"""How well plans are decoded: prefix@N, the share of rows whose first N moves are all right.

Beside it stand what guessing scores (4^-N) and what the commonest prefix of the training rows scores: agents walk
straight, so at small N the second is far above the first, and a decoder that learned the habit alone would look good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from probes.cluster_sums import ClusterSums
from workbench.arguments import to_numpy
from workbench.errors import DataError
from workbench.worlds.moves import Move

PAD = len(Move)
"""The symbol after the last move of an episode."""
N_SYMBOLS = len(Move) + 1


def next_moves(moves: Sequence[int], horizon: int = 10) -> Int[np.ndarray, "steps horizon"]:
    """The targets of one episode: at each step the next ``horizon`` executed moves (its own first), PAD after the last.

    >>> next_moves([0, 3, 3], horizon=2).tolist()
    [[0, 3], [3, 3], [3, 4]]
    """
    padded = np.concatenate([np.asarray(moves, dtype=np.int64), np.full(horizon - 1, PAD)])
    return np.lib.stride_tricks.sliding_window_view(padded, horizon).copy()


def plan_scores(
    true: Any, predicted: Any, groups: Any, training: Any = None, resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """prefix@N for N = 1..horizon: the share of rows whose first N moves are all right, beside controls.

    A table [metric, steps, padding, control, estimate, low, high, difference, difference_low, difference_high].
    true, predicted: [rows, horizon] moves and PAD; groups: [rows], resampled whole for 95% intervals;
    training: the plans [rows, horizon] of the training rows, needed for the control "majority".

    ``padding`` "with": a plan that ends before N must be decoded as ended (PAD counts as a symbol); "without": rows
    with fewer than N moves are left out (``estimate`` is NaN where no row is left).  ``control`` "none" is the decoder;
    "uniform" is 4^-N; "majority" is the commonest prefix of N symbols in ``training`` (among its rows with N moves for
    "without"), the lowest of equals.  ``difference`` is the decoder minus the control on the same rows and resamples.

    >>> true = np.array([[0, 0, 4], [1, 4, 4]])
    >>> table = plan_scores(true, [[0, 1, 4], [1, 4, 4]], groups=[0, 1])
    >>> table[table.control == "none"].estimate.tolist()
    [1.0, 0.5, 0.5, 1.0, 0.0, nan]
    """
    plans = checked_plans(true, "true")
    decoded = checked_plans(predicted, "predicted", plans.shape)
    known = None if training is None else checked_plans(training, "training", (None, plans.shape[1]))
    labels = np.asarray(to_numpy(groups))
    rows: list[dict[str, object]] = []
    for padding in ("with", "without"):
        for steps in range(1, plans.shape[1] + 1):
            counted = _counted(plans, steps, padding)
            right = {
                "none": (decoded[:, :steps] == plans[:, :steps]).all(1),
                "uniform": np.full(len(plans), 4.0**-steps),
            }
            if known is not None:
                common = _majority(known[_counted(known, steps, padding), :steps])
                right["majority"] = (plans[:, :steps] == common).all(1)
            name = {"metric": f"prefix@{steps}", "steps": steps, "padding": padding}
            rows += [name | row for row in _compared(right, counted, labels, resamples, seed)]
    return pd.DataFrame(rows)


def checked_plans(
    plans: Any, what: str, shape: tuple[int | None, int] | None = None
) -> Int[np.ndarray, "rows horizon"]:
    """``plans`` as an integer array; :class:`DataError` for another shape, unknown symbols, or a move after a PAD.

    A decoder may well say PAD before a move, so that is not refused in "predicted".
    """
    found = np.asarray(to_numpy(plans))
    fits = (
        found.ndim == 2
        and len(found)
        and (shape is None or all(b in (None, a) for a, b in zip(found.shape, shape, strict=True)))
    )
    if not fits or found.dtype.kind not in "iu":
        wanted = "[rows, horizon]" if shape is None else str(list(shape)).replace("None", "rows")
        raise DataError(f"{what}: {found.dtype} of shape {list(found.shape)}; {wanted} integers are needed")
    if found.min() < 0 or found.max() > PAD:
        raise DataError(
            f"{what}: symbols from {found.min()} to {found.max()}; moves are 0 to {PAD - 1} and PAD is {PAD}"
        )
    if what != "predicted" and ((found[:, :-1] == PAD) & (found[:, 1:] != PAD)).any():
        raise DataError(f"{what}: a move follows a PAD; PAD stands only after the last move")
    return found.astype(np.int64)


def _counted(plans: Int[np.ndarray, "rows horizon"], steps: int, padding: str) -> Bool[np.ndarray, " rows"]:
    return np.ones(len(plans), dtype=bool) if padding == "with" else plans[:, steps - 1] != PAD


def _majority(prefixes: Int[np.ndarray, "rows steps"]) -> Int[np.ndarray, " steps"]:
    if not len(prefixes):
        return np.full(prefixes.shape[1], -1)  # nothing was seen, so nothing is right
    found, counts = np.unique(prefixes, axis=0, return_counts=True)
    return found[counts.argmax()]


def _compared(
    right: dict[str, np.ndarray], counted: np.ndarray, groups: np.ndarray, resamples: int, seed: int
) -> list[dict[str, object]]:
    """One row a control: its share of right rows and the decoder's lead over it."""
    nan = float("nan")
    if not counted.any():
        return [{"control": control} | dict.fromkeys(_NUMBERS, nan) for control in right]
    columns = np.stack([*right.values(), np.ones(len(counted))], 1).astype(np.float64)[counted]
    sums = ClusterSums(columns, groups[counted], resamples, seed)
    rows: list[dict[str, object]] = []
    for index, control in enumerate(right):
        share = sums.interval(_Share(index))
        lead = sums.interval(_Share(0, minus=index))
        numbers = (share.estimate, share.low, share.high, lead.estimate, lead.low, lead.high)
        rows.append(
            {"control": control} | dict(zip(_NUMBERS, numbers if index else (*numbers[:3], nan, nan, nan), strict=True))
        )
    return rows


@dataclass(frozen=True)
class _Share:
    """Column ``index`` (less column ``minus``) of sums [..., columns] over the last, the number of rows."""

    index: int
    minus: int | None = None

    def __call__(self, sums: Float[np.ndarray, "... columns"]) -> Float[np.ndarray, "..."]:
        right = sums[..., self.index] - (0 if self.minus is None else sums[..., self.minus])
        return right / sums[..., -1]


_NUMBERS = ("estimate", "low", "high", "difference", "difference_low", "difference_high")
