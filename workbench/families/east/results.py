"""From the rows of all conditions to the table of results, and to the layer and dose that are chosen by it.

Every condition's entropy and validity is a mean over prompts with a 95% interval that resamples whole episodes; beside
it stands the paired difference from the unsteered agent on the same prompts with the same seeds.
"""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from workbench.errors import DataError
from workbench.families.east.equal_draws import HALF
from workbench.families.east.spec import EastSpec
from workbench.statistics import Interval, cluster_bootstrap

KEYS = ["set", "rendering", "source", "method", "layer", "dose", "multiplier", "temperature", "top_p"]


def results_table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a condition and metric: ``estimate, low, high`` and the paired ``difference*`` from unsteered.

    Metrics: ``entropy`` (nats; over ``prompts`` with at least half of the answers valid, and none where a condition as
    a whole has fewer), ``valid`` (share of answers that parse; exact: probability on the arms), and in exact mode
    ``outside_mass`` (the rest).  ``dose`` is the added vector's length as a share of the residual stream's,
    ``multiplier`` how many times EAST's vector that is.
    """
    metrics = ["entropy", "valid", *(["outside_mass"] if rows["outside_mass"].notna().any() else [])]
    base = rows[rows["method"] == "unsteered"].set_index(["set", "rendering", "prompt"])[metrics]
    rows = rows.join(base, on=["set", "rendering", "prompt"], suffixes=("", "_base"))
    out = []
    for key, part in rows.groupby(KEYS, sort=True):
        for metric in metrics:
            values = part[part[metric].notna() & part[f"{metric}_base"].notna()]
            if metric == "entropy" and part["valid"].mean() < HALF:
                values = values.iloc[:0]
            level, change = _interval(values, metric), _interval(values, metric, f"{metric}_base")
            row = dict(zip(KEYS, key, strict=True)) | {"metric": metric, "prompts": values["prompt"].nunique()}
            row |= {"estimate": level.estimate, "low": level.low, "high": level.high}
            row |= {"difference": change.estimate, "difference_low": change.low, "difference_high": change.high}
            out.append(row)
    return pd.DataFrame(out)


def _interval(part: pd.DataFrame, metric: str, base: str | None = None) -> Interval:
    if part.empty:
        return Interval(float("nan"), float("nan"), float("nan"))
    values = part[metric] - part[base] if base else part[metric]
    return cluster_bootstrap(values.to_numpy(), part["episode"].to_numpy())


class Chosen(NamedTuple):
    """A layer and how strongly EAST's vector is added there."""

    layer: int
    dose: float
    multiplier: float


def choose(results: pd.DataFrame, spec: EastSpec, rendering: str) -> Chosen:
    """The layer and dose with the most entropy on the selection prompts among those that stay valid."""
    part = results[(results["set"] == "select") & (results["rendering"] == rendering)]
    keys = ["method", "layer", "dose", "multiplier"]
    wide = part[part["metric"].isin(["entropy", "valid"])].pivot(index=keys, columns="metric", values="estimate")
    floor = spec.min_valid * wide.loc[("unsteered", -1, 0.0, 0.0), "valid"]
    steered = wide.loc["east"].query("dose > 0").dropna()
    if steered.empty:
        raise DataError(f"on {rendering} no dose leaves half of the answers valid: take smaller doses")
    allowed = steered[steered["valid"] >= floor]
    layer, dose, multiplier = (allowed if len(allowed) else steered)["entropy"].idxmax()
    return Chosen(int(layer), float(dose), float(multiplier))
