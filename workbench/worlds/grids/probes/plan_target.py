"""The target ``plan``: the moves that an agent will make next (the plan decoder of arXiv 2602.08964).

As a label a plan is the first letters of all moves to the end of the episode, ``RRD``; the probe's ``horizon`` says how
many of them are decoded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from probes.structured import Ratio, Scoring, Structured, check_params, lead
from workbench.errors import DataError
from workbench.worlds.grids.probes.plan_scores import PAD, plan_scores
from workbench.worlds.moves import Move

_NAME, _HORIZON = "plan", 10
_LETTERS = "".join(move.name[0] for move in Move)
_COLUMNS = ["control", "metric", "label", "estimate", "low", "high", "difference", "difference_low", "difference_high"]


def write_plans(plans: np.ndarray) -> list[str]:
    """The labels of plans [rows, moves], numbers of ``Move`` with PAD after the last.

    >>> write_plans(np.array([[1, 3, 4], [0, 4, 4]]))
    ['RD', 'L']
    """
    return ["".join(_LETTERS[move] for move in plan if move != PAD) for plan in plans.tolist()]


def read_plans(labels: Sequence[str], horizon: int = _HORIZON) -> np.ndarray:
    """The first ``horizon`` moves of each label, numbers of ``Move``, and PAD after the last: [rows, horizon].

    >>> read_plans(["RD", "L"], horizon=3).tolist()
    [[1, 3, 4], [0, 4, 4]]
    """
    plans = np.full((len(labels), horizon), PAD, dtype=np.int64)
    for row, label in enumerate(labels):
        moves = [_LETTERS.find(letter) for letter in str(label)[:horizon]]
        if -1 in moves or not moves:
            raise DataError(f"row {row}: {str(label)[:40]!r} is no plan; write moves by their letters, {_LETTERS}")
        plans[row, : len(moves)] = moves
    return plans


def _make(params: Mapping[str, Any], labels: Sequence[str]) -> Any:
    """A decoder of ``layers`` (1) layers, or with 0 the linear baseline, to which its other parameters mean nothing."""
    from workbench.worlds.grids.probes.plan import LinearPlanProbe, PlanDecoder

    check_params(_NAME, params, [*PlanDecoder._get_param_names(), "preset"])
    given = dict(params)
    decoder = PlanDecoder.preset(given.pop("preset", "cpu"), **given)
    return LinearPlanProbe() if decoder.layers == 0 else decoder


def _read(labels: Sequence[str], params: Mapping[str, Any]) -> np.ndarray:
    return read_plans(labels, params.get("horizon", _HORIZON))


def _decode(fitted: Any, x: np.ndarray) -> np.ndarray:
    return np.asarray(fitted.predict(x)).astype(np.int64)


def _score(
    true: np.ndarray,
    runs: Mapping[str, np.ndarray],
    groups: np.ndarray,
    training: np.ndarray,
    spec: Scoring,
    seed: int,
) -> pd.DataFrame:
    """prefix@N of all controls; ``majority`` is the commonest prefix, and beside it stands ``uniform``, 4^-N."""
    tables = []
    for control, said in runs.items():
        known = training if control == "none" and "majority" in spec.controls else None
        table = plan_scores(true, said, groups, known, spec.resamples, seed)
        if control != "none":
            table = table[table["control"] == "none"].assign(control=control)
            leads = [_lead(true, runs["none"], said, row, groups, spec, seed) for row in table.itertuples()]
            table = table.assign(**pd.DataFrame(leads, index=table.index))
        elif known is None:
            table = table[table["control"] == "none"]
        tables.append(table)
    whole = pd.concat(tables, ignore_index=True)
    padded = np.where(whole["padding"] == "with", "_padded", "")
    return whole.assign(metric=whole["metric"] + padded, label="")[_COLUMNS]


def _lead(
    true: np.ndarray, ours: np.ndarray, theirs: np.ndarray, row: Any, groups: np.ndarray, spec: Scoring, seed: int
) -> dict[str, float]:
    counted = np.ones(len(true), bool) if row.padding == "with" else true[:, row.steps - 1] != PAD
    if not counted.any():
        return dict.fromkeys(("difference", "difference_low", "difference_high"), float("nan"))

    def ratio(said: np.ndarray) -> Ratio:
        right = (said[counted, : row.steps] == true[counted, : row.steps]).all(1)
        return right[:, None].astype(float), np.ones((len(right), 1))

    return lead(ratio(ours), ratio(theirs), groups[counted], spec.resamples, seed)


PLANS = Structured(
    _NAME, _make, _read, _decode, _score, lambda plans: np.zeros(len(plans), dtype=np.int64), ("prefix@*",)
)
