"""From units to tables: everything that follows from the rows, computed again at the end of every session."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.families.internal_rl.final import EXPERT, Final, final_rows
from workbench.families.internal_rl.resampling import over_seeds
from workbench.families.internal_rl.rows import row
from workbench.families.internal_rl.tables import gathered
from workbench.runs import RunFolder
from workbench.runs.contents import RunContents
from workbench.statistics import Interval, cluster_bootstrap, wilson

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["save_tables", "summary"]


def save_tables(folder: RunFolder) -> None:
    """The tables of all stages that have rows."""
    for name, table in _tables(folder):
        if len(table):
            folder.save_table(name, table.reset_index(drop=True))


def _tables(folder: RunContents) -> Iterator[tuple[str, pd.DataFrame]]:
    import pandas as pd

    yield "base", gathered(folder, "base")
    beliefs, history = gathered(folder, "beliefs"), gathered(folder, "history")
    yield "beliefs", pd.concat([beliefs.assign(model="base"), history.assign(model="second base")])
    yield "controllers", gathered(folder, "controllers")
    discovery = gathered(folder, "discovery")
    yield "discovery", discovery
    yield "discovery_over_seeds", _over_seeds(discovery)
    yield "rate_distortion", _rate_distortion(gathered(folder, "alpha"))
    learning = gathered(folder, "rl")
    if len(learning):
        curves = learning[learning["phase"] == "learning"]
        yield "curves", curves.drop(columns=["phase", "episode"]).astype({"update": int, "episodes": int})
    final = final_rows(folder)
    if final is not None:
        yield "final", pd.DataFrame(list(_final(final)))
        yield "final_by_seed", pd.DataFrame(list(_final_by_seed(final)))
    yield "episodes", gathered(folder, "shown")


def _over_seeds(discovery: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds of every measure, with intervals that resample seeds (none where there is one)."""
    import pandas as pd

    rows = []
    for (condition, measure), part in discovery.groupby(["condition", "measure"], sort=False) if len(discovery) else ():
        known = part[np.isfinite(part["estimate"])]
        interval: Interval | float = float("nan")
        if len(known):
            interval = cluster_bootstrap(known["estimate"], known["seed"])
        rows.append(row(str(measure), interval, condition=condition, seeds=len(known)))
    return pd.DataFrame(rows)


def _rate_distortion(points: pd.DataFrame) -> pd.DataFrame:
    """One row a point: ``condition, alpha, seed, kl, nll`` (soft gate), ``hard_nll, switches``."""
    if not len(points):
        return points
    wide = points.pivot_table(index=["condition", "alpha", "seed"], columns="measure", values="estimate")
    wide = wide.rename(columns={"soft_nll": "nll"}).reset_index().rename_axis(columns=None)
    return wide[["condition", "alpha", "seed", "kl", "nll", "hard_nll", "switches"]]


def _final(final: Final) -> Iterator[dict[str, Any]]:
    """Success raw, success relative to the expert's in the same worlds, and colours reached, over seeds and worlds."""
    for method, task in final.cells:
        labels = {"method": method, "task": task, "seeds": len(final.seeds(method, task))}
        success, ceiling = final.array(method, task), final.array(EXPERT, task)
        yield row("success", _share(success), **labels)
        both = np.concatenate([success, np.broadcast_to(ceiling, success.shape)], 2)
        share = over_seeds(both, lambda total: total[..., 0] / np.maximum(total[..., 1], 1e-12))
        yield row("relative", share, **labels)
        yield row("progress", over_seeds(final.array(method, task, "progress")), **labels)


def _share(success: np.ndarray) -> Interval:
    """Over seeds and worlds; where all agree there is nothing to resample, and Wilson's interval over worlds stands."""
    if 0 < success.sum() < success.size:
        return over_seeds(success)
    worlds = success.shape[1]
    return wilson(round(float(success.mean())) * worlds, worlds)


def _final_by_seed(final: Final) -> Iterator[dict[str, Any]]:
    for method, task in final.cells:
        for seed, values in zip(final.seeds(method, task), final.array(method, task), strict=True):
            yield row("success", _share(values[None]), method=method, task=task, seed=seed)


def summary(folder: RunContents) -> dict[str, Any]:
    """What the run says in a few lines: gates in order with those that failed, orderings held or not, final success."""
    gates, orderings = folder.load_table("gates"), folder.load_table("orderings")
    failed = gates[~gates["passed"].astype(bool)]
    lines = [f"{g.stage}: {g.measure} {g.value:.4g} (bar {g.bar:g}, {g.where})" for g in failed.itertuples()]
    success: dict[str, str] = {}
    if "final.parquet" in folder.artifacts:
        table = folder.load_table("final")
        for each in table[table["measure"] == "success"].itertuples():
            success[f"{each.method}, {each.task}"] = str(Interval(each.estimate, each.low, each.high))
    return {
        "failed_gates": lines,
        "first_failed_gate": lines[0] if lines else None,
        "orderings_held": int(orderings["held"].sum()),
        "orderings": len(orderings),
        "success": success,
    }
