"""From rows to tables.

Every condition's entropy and validity is a mean over prompts with a 95% interval that resamples whole episodes;
beside it stands the paired difference from the unsteered agent on the same prompts with the same seeds.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from workbench.families.east.spec import EastSpec
from workbench.statistics import Interval, cluster_bootstrap

KEYS = ["set", "rendering", "source", "method", "layer", "multiplier", "temperature", "top_p"]


def results_table(rows: pd.DataFrame, norms: pd.DataFrame) -> pd.DataFrame:
    """One row a condition and metric: ``estimate, low, high`` and the paired ``difference*`` from unsteered.

    Metrics: ``entropy`` (nats; over prompts with a valid completion) and ``valid`` (share of completions that parse).
    ``dose`` is multiplier * ||u|| / ||z||, the added vector's length as a share of the residual stream's.
    """
    base = rows[rows["method"] == "unsteered"].set_index(["set", "rendering", "prompt"])[["entropy", "valid"]]
    rows = rows.join(base, on=["set", "rendering", "prompt"], suffixes=("", "_base"))
    out = []
    for key, part in rows.groupby(KEYS, sort=True):
        for metric in ("entropy", "valid"):
            values = part[part[metric].notna() & part[f"{metric}_base"].notna()]
            level, change = _interval(values, metric), _interval(values, metric, f"{metric}_base")
            row = dict(zip(KEYS, key, strict=True)) | {"metric": metric, "prompts": len(part)}
            row |= {"estimate": level.estimate, "low": level.low, "high": level.high}
            row |= {"difference": change.estimate, "difference_low": change.low, "difference_high": change.high}
            out.append(row)
    table = pd.DataFrame(out)
    return table.assign(dose=_doses(table, norms))


def _interval(part: pd.DataFrame, metric: str, base: str | None = None) -> Interval:
    if part.empty:
        return Interval(float("nan"), float("nan"), float("nan"))
    values = part[metric] - part[base] if base else part[metric]
    return cluster_bootstrap(values.to_numpy(), part["episode"].to_numpy())


def _doses(table: pd.DataFrame, norms: pd.DataFrame) -> np.ndarray:
    norm = norms.set_index(["rendering", "estimate", "layer"])
    doses = []
    for row in table.itertuples():
        # Every added vector has the length of EAST's at that layer (see _test_conditions).
        key = (row.source or row.rendering, "east", row.layer)
        found = norm.loc[key] if key in norm.index else None
        doses.append(
            0.0 if found is None or not row.source else row.multiplier * found["norm"] / found["residual_norm"]
        )
    return np.array(doses)


def choose(results: pd.DataFrame, spec: EastSpec, rendering: str) -> tuple[int, float]:
    """The layer and multiplier with the most entropy on the selection prompts among those that stay valid."""
    part = results[(results["set"] == "select") & (results["rendering"] == rendering)]
    wide = part.pivot_table(index=["method", "layer", "multiplier"], columns="metric", values="estimate")
    floor = spec.min_valid * wide.loc[("unsteered", -1, 0.0), "valid"]
    steered = wide.loc["east"]
    allowed = steered[(steered["valid"] >= floor) & (steered.index.get_level_values("multiplier") > 0)]
    pool = allowed if len(allowed) else steered[steered.index.get_level_values("multiplier") > 0]
    layer, multiplier = pool["entropy"].idxmax()
    return int(layer), float(multiplier)
