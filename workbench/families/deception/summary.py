"""The tables of a deception run, from its rows.  Intervals resample scenarios (or facts, or groups of answers)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from probes.metrics import Predictions, resampled, score
from workbench.families import Context
from workbench.families.deception.detection import OWN_WORDS, PROBE, UNTRAINED, WORDS
from workbench.families.deception.scenarios import FRAMES, PLAIN
from workbench.families.deception.spec import DeceptionSpec
from workbench.statistics import Interval, cluster_bootstrap, cluster_bootstrap_difference

METRICS = ("auroc", "recall@0.01", "recall@0.05")
DAMAGE = ("kl", "nll")


def all_rows(run: Context[DeceptionSpec]) -> pd.DataFrame:
    """The rows of every condition."""
    return pd.concat([run.gather("choices"), run.gather("steered")], ignore_index=True)


def over(values: pd.Series[float]) -> Interval:
    """The mean of values by scenario."""
    return cluster_bootstrap(values.to_numpy(), np.asarray(values.index))


def by_scenario(rows: pd.DataFrame, method: str, frame: str = PLAIN, side: str = "") -> pd.Series[float]:
    """The log-odds of the lie in each scenario (its dimensions apart), draws averaged."""
    part = rows[(rows["method"] == method) & (rows["frame"] == frame) & (rows["side"] == side)]
    keys = part["scenario"] + "/" + part["dimension"]
    return part.assign(key=keys).groupby("key")["value"].mean()


def instrument(rows: pd.DataFrame) -> dict[str, Any]:
    """Whether unsteered choices in the plain frame follow what is said.

    ``agreement``: correlation over scenarios of the two orders; ``same``: share with the same preferred reply in both
    (by chance .5); both with bounds, and ``measurable`` where both lie above chance.  ``prior``: the mean size of the
    replies' own log-odds, ``effect``: that of the situation's."""
    plain = rows[(rows["method"] == "unsteered") & (rows["frame"] == PLAIN)]
    clusters = plain["scenario"].to_numpy()
    agreement = cluster_bootstrap(plain[["first", "second"]].to_numpy(), clusters, _correlation, resamples=1000)
    same = cluster_bootstrap(((plain["first"] > 0) == (plain["second"] > 0)).to_numpy(float), clusters)
    sizes = {"prior": float(plain["prior"].abs().mean()), "effect": float(plain["value"].abs().mean())}
    measurable = bool(agreement.low > 0 and same.low > 0.5)
    return {"scenarios": len(plain), **_named("agreement", agreement), **_named("same", same),
            "measurable": measurable} | sizes  # fmt: skip


def _correlation(pairs: np.ndarray) -> float:
    return float(np.corrcoef(pairs.T)[0, 1]) if (pairs.std(0) > 0).all() else 0.0


def _named(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}


def frames(rows: pd.DataFrame) -> pd.DataFrame:
    """The unsteered log-odds of the lie in each frame and dimension, and less the plain frame's on the same scenarios
    (``change``): with bounds."""
    table = []
    plain = rows[rows["method"] == "unsteered"]
    for dimension in ["all", *dict.fromkeys(plain["dimension"].dropna())]:
        part = plain if dimension == "all" else plain[plain["dimension"] == dimension]
        base = by_scenario(part, "unsteered")
        for frame in FRAMES:
            own = by_scenario(part, "unsteered", frame)
            change = over(own - base) if frame != PLAIN else Interval(np.nan, np.nan, np.nan)
            named = {"dimension": dimension, "frame": frame, "scenarios": len(own)}
            table.append(named | vars(over(own)) | _named("change", change))
    return pd.DataFrame(table)


def steering(rows: pd.DataFrame) -> pd.DataFrame:
    """Change of the log-odds of the lie in the plain frame by method and side, and damage; draws together, with
    ``spread, least, most`` over draws of each draw's mean."""
    base = by_scenario(rows, "unsteered")
    table = []
    for (method, side), part in rows[rows["method"] != "unsteered"].groupby(["method", "side"], sort=False):
        named = {"method": method, "side": side, "draws": part["draw"].nunique(), "dose": part["dose"].mean()}
        drawn = [
            (by_scenario(one, str(method), PLAIN, str(side)) - base).mean() for _, one in part.groupby("draw")
        ]  # fmt: skip
        ends = {
            "least": min(drawn),
            "most": max(drawn),
            "spread": float(np.std(drawn, ddof=1)) if drawn[1:] else np.nan,
        }
        change = over(by_scenario(rows, str(method), PLAIN, str(side)) - base)
        cost = {name: part.loc[part["frame"] == name, "value"].mean() for name in DAMAGE}
        table.append(named | vars(change) | ends | cost)
    return pd.DataFrame(table)


def detection(scores: pd.DataFrame, resamples: int = 2000) -> pd.DataFrame:
    """AUROC and recalls of each reader, layer and set: ``estimate, low, high``; of the probe also its difference from
    the words alone (``over_words``) and from the untrained model (``over_untrained``), paired, with bounds."""
    table = []
    for (name, layer), part in scores[scores["layer"] >= 0].groupby(["set", "layer"], sort=False):
        texts = scores[(scores["layer"] < 0) & (scores["set"] == name)]
        readers = {reader: part[part["reader"] == reader] for reader in (PROBE, UNTRAINED)}
        readers |= {reader: texts[texts["reader"] == reader] for reader in (WORDS, OWN_WORDS)}
        readers = {reader: rows for reader, rows in readers.items() if len(rows)}
        words = readers[WORDS]
        said = {reader: _predictions(rows) for reader, rows in readers.items()}
        for metric in METRICS:
            points = {reader: score(metric, one) for reader, one in said.items()}
            drawn = {reader: resampled(metric, one, words["group"], resamples) for reader, one in said.items()}
            for reader in readers:
                named = {"set": name, "layer": layer, "reader": reader, "metric": metric, "rows": len(words)}
                row = named | vars(_interval(points[reader], drawn[reader]))
                for other, column in ((WORDS, "over_words"), (UNTRAINED, "over_untrained")):
                    gap = _interval(points[reader] - points[other], drawn[reader] - drawn[other])
                    row |= _named(column, gap if reader == PROBE else Interval(np.nan, np.nan, np.nan))
                table.append(row)
    return pd.DataFrame(table)


def _predictions(rows: pd.DataFrame) -> Predictions:
    """Scores as probabilities in the same order; ranks are compared within a fold."""
    scores = rows["score"].to_numpy()
    p = expit((scores - np.median(scores)) / (scores.std() or 1.0))
    return Predictions(rows["deceptive"].to_numpy(), p > 0.5, np.stack([1 - p, p], axis=1), rows["fold"].to_numpy())


def _interval(estimate: float, drawn: np.ndarray) -> Interval:
    defined = drawn[np.isfinite(drawn)]
    if len(defined) < 0.95 * len(drawn):
        return Interval(estimate, np.nan, np.nan)
    low, high = np.quantile(defined, [0.025, 0.975])
    return Interval(estimate, float(low), float(high))


def self_less_other(rows: pd.DataFrame, frame: str) -> Interval | None:
    """The log-odds of lies that serve oneself less those that please the asker; None where only one kind is there."""
    plain = rows[(rows["method"] == "unsteered") & (rows["frame"] == frame)]
    sides = [plain[plain["dimension"] == dimension] for dimension in ("self", "other")]
    if any(part["scenario"].nunique() < 2 for part in sides):
        return None
    one, other = sides
    return cluster_bootstrap_difference(
        one["value"], other["value"], one["scenario"], other["scenario"], paired=False
    )  # fmt: skip


def finish(run: Context[DeceptionSpec]) -> None:
    """The tables ``instrument, frames, steering, detection``."""
    rows = all_rows(run)
    tables = {
        "instrument": pd.DataFrame([instrument(rows)]), "frames": frames(rows), "steering": steering(rows),
        "detection": detection(run.gather("probe")),
    }  # fmt: skip
    for name, table in tables.items():
        run.folder.save_table(name, table)
