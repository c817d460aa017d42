"""The calibration of M1's predictors: before finetuning, self-trained, and cross-trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from workbench.families.introspection.self_prediction.calibration import (
    calibration_bins,
    deviation,
    deviation_interval,
    points,
)
from workbench.families.introspection.self_prediction.context import FIRST, PredictionContext
from workbench.families.introspection.self_prediction.steps import pairings
from workbench.statistics import cluster_bootstrap_difference

_RESAMPLES = 1000


def calibration_tables(context: PredictionContext) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Bins ``predictor, learner, split, bin, hypothetical, estimate, low, high, n``; errors ``predictor, learner,
    split, metric, estimate, low, high, n`` (metric ``mad``); differences of errors ``comparison, learner, split,
    estimate, low, high, n``, on the same items."""
    spread, bins = context.folder.read(f"samples-{FIRST}"), context.spec.bins
    shares = {key: points(spread, context.folder.read(step)) for key, step in _predictors(context).items()}
    curves, errors, differences = [], [], []
    for (predictor, learner), table in shares.items():
        for split, part in table.groupby("split"):
            key = {"predictor": predictor, "learner": learner, "split": split}
            curves.append(calibration_bins(part, bins).assign(**key))
            errors.append(key | {"metric": "mad"} | vars(deviation_interval(part, bins)) | {"n": len(part)})
    for (predictor, learner), table in shares.items():
        if predictor != "self":
            differences += _differences(shares["self", ""], table, f"{predictor} less self", learner, bins)
    return pd.concat(curves, ignore_index=True), pd.DataFrame(errors), pd.DataFrame(differences)


def _predictors(context: PredictionContext) -> dict[tuple[str, str], str]:
    """(predictor, learner) -> the step with its sampled predictions."""
    found = {("self_before", ""): f"foresight-{FIRST}", ("self", ""): f"foresight-{FIRST}-on-{FIRST}"}
    for learner, target in pairings(context.spec):
        if target == FIRST != learner:
            found["cross_before", learner] = f"foresight-{learner}"
            found["cross", learner] = f"foresight-{learner}-on-{target}"
    return found


def _differences(
    own: pd.DataFrame, other: pd.DataFrame, comparison: str, learner: str, bins: int
) -> list[dict[str, Any]]:
    """How much larger the other's error is, by split."""
    rows = []
    for split in sorted(own["split"].unique()):
        ours, theirs = (table[table["split"] == split] for table in (own, other))
        a, b = (part[["object", "hypothetical"]].to_numpy(dtype=float) for part in (theirs, ours))
        ids, own_ids = (part["id"].to_numpy(dtype=str) for part in (theirs, ours))

        def error(pairs: np.ndarray) -> float:
            return deviation(pairs, bins)

        change = cluster_bootstrap_difference(a, b, ids, own_ids, error, _RESAMPLES)
        row = {"comparison": comparison, "learner": learner, "split": split, "metric": "mad"}
        rows.append(row | vars(change) | {"n": len(ours)})
    return rows
