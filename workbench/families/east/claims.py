"""What the paper found, judged on a run: one verdict a claim and rendering, differences in nats."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from workbench.families import Claim, Verdict
from workbench.families.east.steps import EastRun, choose
from workbench.statistics import Interval, cluster_bootstrap

TEMPERATURES_OF_THE_PAPER = (1.1, 1.5)


def claims() -> tuple[Claim, ...]:
    """The claims in the paper's order."""
    return tuple(Claim(name, partial(_everywhere, check)) for name, check in _CHECKS.items())


def _everywhere(check: Callable[[_View], tuple[bool, str]], run: EastRun) -> Iterator[Verdict]:
    for rendering in run.spec.renderings:
        held, evidence = check(_View(run, rendering))
        yield Verdict(bool(held), evidence, on=rendering)


class _View:
    """The results of one rendering, with the conditions that the claims compare."""

    def __init__(self, run: EastRun, rendering: str) -> None:
        results = run.folder.load_table("results")
        self.results = results[results["rendering"] == rendering]
        self.rows = run.rows[run.rows["rendering"] == rendering]
        self.spec, self.rendering, self.last_layer = run.spec, rendering, run.spec.n_layers() - 1
        self.layer, self.dose, _ = choose(results, run.spec, rendering)

    def table(self, kind: str, method: str, metric: str = "entropy", source: str | None = None) -> pd.DataFrame:
        part = self.results
        part = part[(part["set"] == kind) & (part["method"] == method) & (part["metric"] == metric)]
        return part if source is None else part[part["source"] == source]

    def chosen(self) -> pd.Series[float]:
        part = self.table("test", "east", source=self.rendering)
        return part[(part["layer"] == self.layer) & (part["dose"] == self.dose)].iloc[0]

    def paired(self, a: pd.DataFrame, b: pd.DataFrame) -> Interval:
        """Mean entropy of ``a`` minus that of ``b`` over the prompts that both have."""
        left, right = (x.groupby(["episode", "prompt"])["entropy"].mean() for x in (a, b))
        change = (left - right).dropna()
        if change.empty:
            return Interval(float("nan"), float("nan"), float("nan"))
        return cluster_bootstrap(change.to_numpy(), change.index.get_level_values("episode").to_numpy())

    def at(self, kind: str, method: str, layer: int, dose: float, source: str | None = None) -> pd.DataFrame:
        part = self.rows
        part = part[(part["set"] == kind) & (part["method"] == method) & (part["layer"] == layer)]
        part = part[part["dose"] == dose]
        return part if source is None else part[part["source"] == source]


def _rises(view: _View) -> tuple[bool, str]:
    curve = view.table("test", "east", source=view.rendering).sort_values("dose").dropna(subset="estimate")
    curve = curve[(curve["dose"] >= 0) & (curve["dose"] <= view.dose)]
    zero = view.table("test", "unsteered").iloc[0]["estimate"]
    levels = [zero, *curve["estimate"]]
    if len(levels) < 2 or np.isnan(view.chosen()["estimate"]):
        return False, f"no verdict: at dose {view.dose:.2f} fewer than half of the answers are valid"
    rho = spearmanr(range(len(levels)), levels).statistic if len(levels) > 2 else np.sign(levels[-1] - levels[0])
    best = view.chosen()
    text = f"unsteered {zero:.2f}, at dose {view.dose:.2f} {_signed(best)}; rank correlation {rho:.2f}"
    return best["difference_low"] > 0 and rho > 0.5, text


def _falls(view: _View) -> tuple[bool, str]:
    curve = view.table("test", "east", "valid", view.rendering).sort_values("dose")
    last = curve.iloc[-1]
    return last["difference_high"] < 0, f"valid at dose {last['dose']:.2f}: {_signed(last)}"


def _shuffled(view: _View) -> tuple[bool, str]:
    east = view.at("test", "east", view.layer, view.dose, view.rendering)
    gap = view.paired(east, view.at("test", "shuffled", view.layer, view.dose))
    control = view.table("test", "shuffled")
    control = control[control["dose"] == view.dose].iloc[0]
    flat = abs(control["difference"]) < view.chosen()["difference"] / 3
    return gap.low > 0 and flat, f"shuffled {_signed(control)}; EAST over shuffled {gap.text(2, '+')}"


def _interior(view: _View) -> tuple[bool, str]:
    grid = view.table("select", "east").dropna(subset="estimate")
    valid = view.table("select", "east", "valid").set_index(["layer", "dose"])["estimate"]
    floor = view.spec.min_valid * view.table("select", "unsteered", "valid").iloc[0]["estimate"]
    grid = grid[[valid[(r.layer, r.dose)] >= floor and r.dose > 0 for r in grid.itertuples()]]
    if grid.empty:
        return False, "no dose of the grid kept answers valid"
    best = grid.loc[grid.groupby("layer")["estimate"].idxmax()].set_index("layer")
    last = best.index.max()
    gap = view.paired(
        view.at("select", "east", view.layer, view.dose), view.at("select", "east", last, best.loc[last, "dose"])
    )
    held = 0 < view.layer < view.last_layer and gap.low > 0
    return held, f"best layer {view.layer} of 0-{view.last_layer}; over layer {last}: {gap.text(2, '+')}"


def _transfers(view: _View) -> tuple[bool, str]:
    texts, held = [], True
    for source in view.spec.renderings:
        part = view.table("test", "east", source=source)
        best = part[part["dose"] == view.dose].iloc[0]
        held = held and best["difference_low"] > 0
        texts.append(f"from {source} {_signed(best)}")
    return held, "; ".join(texts)


def _temperature(view: _View) -> tuple[bool, str]:
    low, high = TEMPERATURES_OF_THE_PAPER
    part = view.table("test", "temperature")
    part = part[(part["temperature"] >= low) & (part["temperature"] <= high)]
    part = part.dropna(subset="estimate")
    if part.empty:
        return False, f"no temperature between {low} and {high} was run, or none left half of the answers valid"
    hottest = part.loc[part["estimate"].idxmax()]
    rows = view.rows
    hot = rows[(rows["set"] == "test") & (rows["method"] == "temperature")]
    hot = hot[hot["temperature"] == hottest["temperature"]]
    gap = view.paired(view.at("test", "east", view.layer, view.dose, view.rendering), hot)
    return gap.low > 0, f"temperature {hottest['temperature']:g} {_signed(hottest)}; EAST over it {gap.text(2, '+')}"


_CHECKS: dict[str, Callable[[_View], tuple[bool, str]]] = {
    "entropy rises with the dose": _rises,
    "then validity falls": _falls,
    "the shuffled vector is flat": _shuffled,
    "an interior layer is best": _interior,
    "vectors transfer between renderings": _transfers,
    "temperature is flat by comparison": _temperature,
}


def _signed(row: pd.Series[float]) -> str:
    return Interval.of(row, "difference").text(2, "+")
