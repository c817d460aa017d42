"""The tables of a steering run, from its rows: each condition beside the unsteered model on the same items."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from workbench.families import Context
from workbench.families.steer.measures import CHOOSE, COHERENCE, EFFECT, KL, NLL, REPETITION, TEST
from workbench.families.steer.spec import SteerSpec
from workbench.statistics import Interval, cluster_bootstrap

KEY = ["method", "layer", "side", "dose"]
GRID, UNSTEERED = "vector", "unsteered"
_MOST_REPEATED = 0.2


class Cell(NamedTuple):
    """A layer and dose; ``kl`` on the texts for choosing; ``passes``: whether it lies in a ship range."""

    layer: int
    dose: float
    kl: float
    passes: bool


def changes(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows but the unsteered ones, with ``change``: the value less that of the unsteered model on the same item."""
    keys = ["measure", "set", "item"]
    base = rows[rows["method"] == UNSTEERED].set_index(keys)["value"]
    base = base[~base.index.duplicated()]
    others = rows[rows["method"] != UNSTEERED].reset_index(drop=True)
    places = pd.MultiIndex.from_frame(others[keys])
    return others.assign(change=others["value"] - base.reindex(places).to_numpy())


def cells(rows: pd.DataFrame, spec: SteerSpec) -> pd.DataFrame:
    """The grid on the items for choosing: each cell's effect (signed so that above 0 is as intended) with its interval,
    its cost, and whether it ``passes``: it pushes, costs at most ``max_damage``, and its replies stay readable."""
    found = changes(rows[rows["method"].isin([UNSTEERED, GRID]) & (rows["set"] == CHOOSE)])
    table = []
    for (layer, dose), part in found.groupby(["layer", "dose"]):
        by = {name: own for name, own in part.groupby("measure")}
        effect = by[EFFECT]
        interval = cluster_bootstrap(np.sign(dose) * effect["change"].to_numpy(), effect["item"].to_numpy())
        coherence, repeated = (_mean(by, name) for name in (COHERENCE, REPETITION))
        cost, kl = float(by[NLL]["change"].mean()), float(by[KL]["value"].mean())
        readable = not (coherence < -spec.max_incoherence or repeated > _MOST_REPEATED)
        table.append({
            "layer": int(layer), "dose": float(dose), **vars(interval), "nll": cost, "kl": kl, "coherence": coherence,
            "repetition": repeated, "passes": interval.low > 0 and cost <= spec.max_damage and readable,
        })  # fmt: skip
    return pd.DataFrame(table)


def _mean(by: dict[Any, pd.DataFrame], name: str) -> float:
    return float(by[name]["change"].mean()) if name in by else 0.0


def ship_ranges(grid: pd.DataFrame) -> pd.DataFrame:
    """For each layer and direction, the doses in a row that pass, from the smallest that does: ``low`` to ``high``.

    A vector may be shipped at any of them; the range says how far one may be off.  ``effect``: at both ends, on the
    items for choosing.
    """
    found = []
    for (layer, up), part in grid.assign(up=grid["dose"] > 0).groupby(["layer", "up"]):
        ordered = part.assign(size=part["dose"].abs()).sort_values("size")
        passing = ordered["passes"].to_numpy()
        first = int(passing.argmax()) if passing.any() else len(passing)
        last = first
        while last < len(passing) and passing[last]:
            last += 1
        run = ordered.iloc[first:last]
        if len(run):
            ends = run.iloc[[0, -1]]
            low, high = ends["dose"]
            found.append({"layer": layer, "side": "up" if up else "down", "low": low, "high": high, "doses": len(run),
                          "effect_low": ends["estimate"].iloc[0], "effect_high": ends["estimate"].iloc[1],
                          "nll_high": ends["nll"].iloc[1], "kl_high": ends["kl"].iloc[1]})  # fmt: skip
    columns = ["layer", "side", "low", "high", "doses", "effect_low", "effect_high", "nll_high", "kl_high"]
    return pd.DataFrame(found, columns=columns)


def choose(rows: pd.DataFrame, spec: SteerSpec) -> Cell:
    """The cell of a ship range at which adding the vector pushes furthest; the cheapest where there is no range."""
    grid = cells(rows, spec)
    added = grid[grid["dose"] > 0]
    ranges = ship_ranges(grid)
    inside = [
        added[(added["layer"] == r.layer) & (added["dose"] >= r.low) & (added["dose"] <= r.high)]
        for r in ranges[ranges["side"] == "up"].itertuples()
    ]
    best = pd.concat(inside).sort_values("estimate").iloc[-1] if inside else added.sort_values("nll").iloc[0]
    return Cell(int(best["layer"]), float(best["dose"]), float(best["kl"]), bool(inside))


def kl_of(rows: pd.DataFrame, method: str, side: str) -> float:
    """The divergence of a condition on the texts for choosing."""
    part = rows[(rows["method"] == method) & (rows["side"] == side) & (rows["measure"] == KL)]
    return float(part.loc[part["set"] == CHOOSE, "value"].mean())


def results_table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a condition and measure, on the items for testing; the draws of a control together.

    ``estimate, low, high``: the mean change from the unsteered model and its 95% interval over items; ``items``: how
    many; ``wrong_way``: the share of items that moved against ``side``; ``draws``, and over draws the standard
    deviation ``spread`` of each one's mean and its ends ``least`` and ``most``; ``dose``: of the draws, the mean.
    """
    found = changes(rows[rows["set"] == TEST])
    is_control = found.groupby("method")["draw"].transform("max") > 0
    found["at"] = found["dose"].where(~is_control, np.nan)
    table = []
    for (method, layer, side, _, measure), part in found.groupby(
        ["method", "layer", "side", "at", "measure"], sort=False, dropna=False
    ):
        key = {
            "method": method,
            "layer": layer,
            "side": side,
            "dose": float(part["dose"].drop_duplicates().mean()),
            "measure": measure,
        }
        table.append(key | _row(part, -1 if side == "down" else 1))
    return pd.DataFrame(table)


def _row(part: pd.DataFrame, sign: int) -> dict[str, float]:
    part = part.dropna(subset=["change"])
    items, draws = part.groupby("item")["change"].mean(), part.groupby("draw")["change"].mean()
    nan = float("nan")
    interval = cluster_bootstrap(items.to_numpy(), items.index.to_numpy()) if len(items) else Interval(nan, nan, nan)
    mass = float(part["mass"].mean()) if part["mass"].notna().any() else nan
    return vars(interval) | {
        "items": len(items), "wrong_way": float((sign * items < 0).mean()) if len(items) else nan, "mass": mass,
        "draws": len(draws), "spread": float(draws.std(ddof=1)) if len(draws) > 1 else nan,
        "least": float(draws.min()) if len(draws) else nan, "most": float(draws.max()) if len(draws) else nan,
    }  # fmt: skip


def paired(rows: pd.DataFrame, one: dict[str, Any], other: dict[str, Any], measure: str) -> Interval:
    """Mean of condition ``one`` less that of ``other`` over the same test items, draws averaged."""

    def means(which: dict[str, Any]) -> pd.Series[float]:
        part = rows[(rows["set"] == TEST) & (rows["measure"] == measure)]
        for column, value in which.items():
            part = part[part[column] == value]
        return part.groupby("item")["value"].mean()

    change = (means(one) - means(other)).dropna()
    return cluster_bootstrap(change.to_numpy(), np.asarray(change.index))


def all_rows(run: Context[SteerSpec]) -> pd.DataFrame:
    """The rows of every condition."""
    kinds = ("baselines", "grid", "equal", "control", "elsewhere")
    return pd.concat([part for kind in kinds if len(part := run.gather(kind))], ignore_index=True)


def finish(run: Context[SteerSpec]) -> None:
    """The tables ``results``, ``cells``, ``ship``, ``unsteered`` and ``layers``, the chosen cell, and its vector."""
    from workbench.families.steer.material import material
    from workbench.families.steer.steps import VECTORS, vector

    rows = all_rows(run)
    grid = cells(rows, run.spec)
    ranges, cell = ship_ranges(grid), choose(rows, run.spec)
    run.folder.save_table("results", results_table(rows))
    run.folder.save_table("cells", grid)
    run.folder.save_table("ship", ranges)
    run.folder.save_table("layers", run.gather(VECTORS))
    base = rows[rows["method"] == UNSTEERED]
    run.folder.save_table("unsteered", base.groupby(["measure", "set"], as_index=False)[["value", "mass"]].mean())
    own = ranges[(ranges["layer"] == cell.layer) & (ranges["side"] == "up")]
    low, high = (float(own[name].iloc[0]) for name in ("low", "high")) if len(own) else (None, None)
    found = material(run.spec)
    run.folder.write_json("chosen", {**cell._asdict(), "low": low, "high": high, "unit": found.instrument.unit})
    run.folder.write_json("prompts", found.shown[0])  # a page must not need the user's file
    saved = vector(run, cell.layer)
    saved.metadata.update({"dose": cell.dose, "ship_range": [low, high], "kl": cell.kl})
    saved.save(run.folder.path / "artifacts" / "vector.safetensors")
