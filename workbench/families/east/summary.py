"""From rows to the results table and the acceptance orderings.

Every condition's entropy and validity is a mean over prompts with a 95% interval that resamples whole episodes;
beside it stands the paired difference from the unsteered agent on the same prompts with the same seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import spearmanr

from workbench.families.east.spec import EastSpec
from workbench.statistics import Interval, cluster_bootstrap

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["KEYS", "choose", "orderings", "results_table"]

KEYS = ["set", "rendering", "source", "method", "layer", "multiplier", "temperature", "top_p"]
TEMPERATURES_OF_THE_PAPER = (1.1, 1.5)


def results_table(rows: pd.DataFrame, norms: pd.DataFrame) -> pd.DataFrame:
    """One row a condition and metric: ``estimate, low, high`` and the paired ``difference*`` from unsteered.

    Metrics: ``entropy`` (nats; over prompts with a valid completion) and ``valid`` (share of completions that parse).
    ``dose`` is multiplier * ||u|| / ||z||, the added vector's length as a share of the residual stream's.
    """
    import pandas as pd

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


def orderings(results: pd.DataFrame, rows: pd.DataFrame, spec: EastSpec, n_layers: int) -> pd.DataFrame:
    """The paper's acceptance orderings, one row each and rendering: ``ordering, held, evidence``."""
    import pandas as pd

    found = []
    for rendering in spec.renderings:
        view = _View(results, rows, spec, rendering, n_layers)
        for name, check in _ORDERINGS.items():
            held, evidence = check(view)
            found.append({"rendering": rendering, "ordering": name, "held": held, "evidence": evidence})
    return pd.DataFrame(found)


class _View:
    """The results of one rendering, with the conditions that the orderings compare."""

    def __init__(
        self, results: pd.DataFrame, rows: pd.DataFrame, spec: EastSpec, rendering: str, n_layers: int
    ) -> None:
        self.results = results[results["rendering"] == rendering]
        self.rows, self.spec, self.rendering, self.n_layers = (
            rows[rows["rendering"] == rendering],
            spec,
            rendering,
            n_layers,
        )
        self.layer, self.multiplier = choose(results, spec, rendering)

    def table(self, kind: str, method: str, metric: str = "entropy", source: str | None = None) -> pd.DataFrame:
        part = self.results
        part = part[(part["set"] == kind) & (part["method"] == method) & (part["metric"] == metric)]
        return part if source is None else part[part["source"] == source]

    def chosen(self) -> pd.Series[float]:
        part = self.table("test", "east", source=self.rendering)
        return part[(part["layer"] == self.layer) & (part["multiplier"] == self.multiplier)].iloc[0]

    def paired(self, a: pd.DataFrame, b: pd.DataFrame) -> Interval:
        """Mean entropy of ``a`` minus that of ``b`` over the prompts that both have."""
        left, right = (x.groupby(["episode", "prompt"])["entropy"].mean() for x in (a, b))
        change = (left - right).dropna()
        return cluster_bootstrap(change.to_numpy(), change.index.get_level_values("episode").to_numpy())

    def at(self, kind: str, method: str, layer: int, multiplier: float, source: str | None = None) -> pd.DataFrame:
        part = self.rows
        part = part[(part["set"] == kind) & (part["method"] == method) & (part["layer"] == layer)]
        part = part[part["multiplier"] == multiplier]
        return part if source is None else part[part["source"] == source]


def _rises(view: _View) -> tuple[bool, str]:
    curve = view.table("test", "east", source=view.rendering).sort_values("multiplier")
    curve = curve[(curve["multiplier"] >= 0) & (curve["multiplier"] <= view.multiplier)]
    zero = view.table("test", "unsteered").iloc[0]["estimate"]
    levels = [zero, *curve["estimate"]]
    rho = spearmanr(range(len(levels)), levels).statistic if len(levels) > 2 else np.sign(levels[-1] - levels[0])
    best = view.chosen()
    text = f"unsteered {zero:.2f}, at multiplier {view.multiplier:g} {_signed(best)}; rank correlation {rho:.2f}"
    return bool(best["difference_low"] > 0 and rho > 0.5), text


def _falls(view: _View) -> tuple[bool, str]:
    curve = view.table("test", "east", "valid", view.rendering).sort_values("multiplier")
    last = curve.iloc[-1]
    return bool(last["difference_high"] < 0), f"valid at multiplier {last['multiplier']:g}: {_signed(last)}"


def _shuffled(view: _View) -> tuple[bool, str]:
    east = view.at("test", "east", view.layer, view.multiplier, view.rendering)
    gap = view.paired(east, view.at("test", "shuffled", view.layer, view.multiplier))
    control = view.table("test", "shuffled")
    control = control[control["multiplier"] == view.multiplier].iloc[0]
    flat = abs(control["difference"]) < view.chosen()["difference"] / 3
    return bool(gap.low > 0 and flat), f"shuffled {_signed(control)}; EAST over shuffled {_text(gap)}"


def _interior(view: _View) -> tuple[bool, str]:
    grid = view.table("select", "east")
    valid = view.table("select", "east", "valid").set_index(["layer", "multiplier"])["estimate"]
    floor = view.spec.min_valid * view.table("select", "unsteered", "valid").iloc[0]["estimate"]
    grid = grid[[valid[(r.layer, r.multiplier)] >= floor and r.multiplier > 0 for r in grid.itertuples()]]
    if grid.empty:
        return False, "no multiplier of the grid kept completions valid"
    best = grid.loc[grid.groupby("layer")["estimate"].idxmax()].set_index("layer")
    last = best.index.max()
    gap = view.paired(
        view.at("select", "east", view.layer, view.multiplier),
        view.at("select", "east", last, best.loc[last, "multiplier"]),
    )
    held = 0 < view.layer < view.n_layers - 1 and gap.low > 0
    return bool(held), f"best layer {view.layer} of 0-{view.n_layers - 1}; over layer {last}: {_text(gap)}"


def _transfers(view: _View) -> tuple[bool, str]:
    texts, held = [], True
    for source in view.spec.renderings:
        part = view.table("test", "east", source=source)
        part = part[part["multiplier"] > 0]
        chosen = part[part["multiplier"] == view.multiplier]
        best = (chosen if len(chosen) else part).iloc[0]
        held = held and bool(best["difference_low"] > 0)
        texts.append(f"from {source} {_signed(best)}")
    return held, "; ".join(texts)


def _temperature(view: _View) -> tuple[bool, str]:
    low, high = TEMPERATURES_OF_THE_PAPER
    part = view.table("test", "temperature")
    part = part[(part["temperature"] >= low) & (part["temperature"] <= high)]
    if part.empty:
        return False, f"no temperature between {low} and {high} was run"
    hottest = part.loc[part["estimate"].idxmax()]
    rows = view.rows
    hot = rows[(rows["set"] == "test") & (rows["method"] == "temperature")]
    hot = hot[hot["temperature"] == hottest["temperature"]]
    gap = view.paired(view.at("test", "east", view.layer, view.multiplier, view.rendering), hot)
    return bool(gap.low > 0), f"temperature {hottest['temperature']:g} {_signed(hottest)}; EAST over it {_text(gap)}"


_ORDERINGS: dict[str, Callable[[_View], tuple[bool, str]]] = {
    "entropy rises with the multiplier": _rises,
    "then validity falls": _falls,
    "the shuffled vector is flat": _shuffled,
    "an interior layer is best": _interior,
    "vectors transfer between renderings": _transfers,
    "temperature is flat by comparison": _temperature,
}


def _signed(row: pd.Series[float]) -> str:
    return f"{row['difference']:+.2f} [{row['difference_low']:+.2f}, {row['difference_high']:+.2f}]"


def _text(interval: Interval) -> str:
    return f"{interval.estimate:+.2f} [{interval.low:+.2f}, {interval.high:+.2f}]"
