"""The tables of a steering run, from its rows: each condition beside the unsteered model on the same texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from workbench.families import Context
from workbench.families.steer.measures import CHOOSE, NEUTRAL, TEST
from workbench.families.steer.spec import SteerSpec
from workbench.statistics import Interval, cluster_bootstrap

KEY = ["method", "layer", "dose", "side"]
EFFECT, DAMAGE = "effect", "damage"
_SETS = {EFFECT: TEST, DAMAGE: NEUTRAL}


def changes(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows but the unsteered ones, with ``change``: the value less that of the unsteered model on the same text."""
    base = rows[rows["method"] == "unsteered"].set_index(["set", "item"])["value"]
    others = rows[rows["method"] != "unsteered"].reset_index(drop=True)
    places = pd.MultiIndex.from_frame(others[["set", "item"]])
    return others.assign(change=others["value"] - base.reindex(places).to_numpy())


def choose(rows: pd.DataFrame, max_damage: float) -> tuple[int, float]:
    """The layer and positive dose at which adding the vector raises the log-odds most, on the prompts for choosing.

    Only where it costs at most ``max_damage``; the cheapest of all where every one costs more.
    """
    found = changes(rows[rows["method"].isin(["unsteered", "vector"])])
    found = found[found["dose"] > 0]
    means = found.pivot_table(index=["layer", "dose"], columns="set", values="change")
    cheap = means[means[NEUTRAL] <= max_damage]
    layer, dose = cheap[CHOOSE].idxmax() if len(cheap) else means[NEUTRAL].idxmin()
    return int(layer), float(dose)


def results_table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a condition and measure, the draws of a control together.

    ``estimate, low, high``: the mean change from the unsteered model and its 95% interval over texts; ``spread``: the
    standard deviation over draws of each draw's mean, ``least`` and ``most`` its ends; ``draws``: how many.
    """
    found = changes(rows)
    table = []
    for key, part in found.groupby(KEY, sort=False):
        for measure, name in _SETS.items():
            table.append(dict(zip(KEY, key, strict=True)) | {"measure": measure} | _row(part[part["set"] == name]))
    return pd.DataFrame(table)


def _row(part: pd.DataFrame) -> dict[str, float]:
    items, draws = part.groupby("item")["change"].mean(), part.groupby("draw")["change"].mean()
    interval = cluster_bootstrap(items.to_numpy(), items.index.to_numpy())
    spread = float(draws.std(ddof=1)) if len(draws) > 1 else float("nan")
    ends = {"least": float(draws.min()), "most": float(draws.max())}
    return vars(interval) | {"spread": spread, "draws": len(draws), "texts": len(items), "mass": _mass(part)} | ends


def _mass(part: pd.DataFrame) -> float:
    return float(part["mass"].mean()) if part["mass"].notna().any() else float("nan")


def paired(rows: pd.DataFrame, one: dict[str, Any], other: dict[str, Any], measure: str) -> Interval:
    """Mean of condition ``one`` less that of ``other`` over the same texts, draws averaged."""

    def means(which: dict[str, Any]) -> pd.Series[float]:
        part = rows[rows["set"] == _SETS[measure]]
        for column, value in which.items():
            part = part[part[column] == value]
        return part.groupby("item")["value"].mean()

    change = means(one) - means(other)
    return cluster_bootstrap(change.to_numpy(), np.asarray(change.index))


def all_rows(run: Context[SteerSpec]) -> pd.DataFrame:
    """The rows of every condition."""
    return pd.concat([run.gather(kind) for kind in ("baselines", "grid", "control")], ignore_index=True)


def finish(run: Context[SteerSpec]) -> None:
    """The tables ``results`` and ``unsteered``, and which layer and dose were chosen."""
    rows = all_rows(run)
    run.folder.save_table("results", results_table(rows))
    base = rows[rows["method"] == "unsteered"].groupby("set", as_index=False)[["value", "mass"]].mean()
    run.folder.save_table("unsteered", base)
    layer, dose = choose(rows, run.spec.max_damage)
    run.folder.write_json("chosen", {"layer": layer, "dose": dose})
