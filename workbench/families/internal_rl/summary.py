"""From rows to tables: everything that follows from the rows, computed again at the end of every session.

The gates between the stages, in their order, say what must hold before the next stage can mean anything.  Base: within
.02 nats of the exact Bayes filter, and failing the held-out task on its own.  Controllers: oracle switching succeeds on
the held-out task.  Discovery, of the best seed: switches far above a random gate of the same rate, the subgoal
decodable in every segment, and codes of first segments, scaled, that compose on the held-out task.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from workbench.families.internal_rl.context import InternalRLRun
from workbench.families.internal_rl.intervals import over_seeds, row
from workbench.statistics import Interval, cluster_bootstrap, wilson

# (stage, measure) -> (bar, sign): passed when sign * (value - bar) >= 0.
BARS: dict[tuple[str, str], tuple[float, int]] = {
    ("base", "gap"): (0.02, -1),
    ("base", "uncontrolled_held_out"): (1e-3, -1),
    ("controllers", "held-out success"): (0.5, 1),
    ("discovery", "f1_lead"): (0.4, 1),
    ("discovery", "decode_segment"): (0.6, 1),
    ("discovery", "compose_held_out_scaled"): (0.1, 1),
}
# (stage, measure) -> what the gate asks, and on which side of the bar it is passed.
ASKS = {
    ("base", "gap"): ("loss over the exact Bayes filter's (nats)", "at most"),
    ("base", "uncontrolled_held_out"): ("success on the held-out task without control", "at most"),
    ("controllers", "held-out success"): ("held-out success under supervised controllers", "at least"),
    ("discovery", "f1_lead"): ("F1 of switches over a random gate's", "at least"),
    ("discovery", "decode_segment"): ("subgoal read off the code, worst segment", "at least"),
    ("discovery", "compose_held_out"): ("held-out success with composed codes", "at least"),  # of older runs
    ("discovery", "compose_held_out_scaled"): ("held-out success with composed codes, scaled", "at least"),
}


def gates(run: InternalRLRun) -> pd.DataFrame:
    """One row a gate of the stages that are done: ``stage, measure, value, low, high, bar, passed, where``.

    A gate is judged on the estimate; its interval stands beside.
    """
    rows = [*_base(run.gather("base")), *_controllers(run.gather("controllers")), *_discovery(run.gather("discovery"))]
    return pd.DataFrame(rows, columns=["stage", "measure", "value", "low", "high", "bar", "passed", "where"])


def _judged(stage: str, measure: str, row: Any, where: str) -> dict[str, Any]:
    bar, sign = BARS[stage, measure]
    value = float(row["estimate"])
    passed = bool(np.isfinite(value) and sign * (value - bar) >= 0)
    numbers = {"value": value, "low": row["low"], "high": row["high"], "bar": bar}
    return {"stage": stage, "measure": measure, **numbers, "passed": passed, "where": where}


def _base(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for measure in ("gap", "uncontrolled_held_out") if len(table) else ():
        row = table[table["measure"] == measure].iloc[0]
        yield _judged("base", measure, row, str(row["model"]))


def _controllers(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    if len(table):
        rows = table[(table["control"] == "supervised") & (table["task"] == "held-out")]
        rows = rows[rows["measure"] == "success"]
        best = rows.loc[rows["estimate"].idxmax()]
        yield _judged("controllers", "held-out success", best, str(best["site"]))


def _discovery(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """The seed that comes nearest: the most gates passed, then the best composition on the held-out task."""
    if not len(table):
        return
    found = []
    for seed, rows in table[table["condition"] == "frozen"].groupby("seed"):
        by = rows.set_index("measure")
        segments = by[by.index.str.fullmatch(r"decode_segment_\d+")]
        picked = {
            "f1_lead": by.loc["f1_lead"],
            "decode_segment": segments.loc[segments["estimate"].idxmin()],  # the worst segment
            "compose_held_out_scaled": by.loc["compose_held_out_scaled"],
        }
        judged = [_judged("discovery", measure, row, f"seed {seed}") for measure, row in picked.items()]
        found.append((sum(each["passed"] for each in judged), judged[-1]["value"], judged))
    yield from max(found, key=lambda each: each[:2])[2]


EXPERT = "expert"


def finish(run: InternalRLRun) -> None:
    """The tables of all stages that have rows; ``summary`` says which gates failed, and final success."""
    for name, table in _tables(run):
        if len(table):
            run.folder.save_table(name, table.reset_index(drop=True))
    judged, final = gates(run), Final.of(run)
    run.folder.save_table("gates", judged)
    failed = judged[~judged["passed"].astype(bool)]
    lines = [f"{g.stage}: {g.measure} {g.value:.4g} (bar {g.bar:g}, {g.where})" for g in failed.itertuples()]
    success = {f"{method}, {task}": str(_share(final.array(method, task))) for method, task in final.cells}
    first = lines[0] if lines else None
    run.folder.write_json("summary", {"failed_gates": lines, "first_failed_gate": first, "success": success})


def _tables(run: InternalRLRun) -> Iterator[tuple[str, pd.DataFrame]]:
    yield "base", run.gather("base")
    models = (("base", run.gather("beliefs")), ("second base", run.gather("history")))
    yield "beliefs", pd.concat([rows.assign(model=model) for model, rows in models])
    yield "controllers", run.gather("controllers")
    discovery = run.gather("discovery")
    yield "discovery", discovery
    yield "discovery_over_seeds", pd.DataFrame(list(_over_seeds(discovery)))
    yield "rate_distortion", _rate_distortion(run.gather("alpha"))
    learning = run.gather("rl")
    if len(learning):
        curves = learning[learning["phase"] == "learning"]
        yield "curves", curves.drop(columns=["phase", "episode"]).astype({"update": int, "episodes": int})
    final = Final.of(run)
    yield "final", pd.DataFrame(list(_final(final)))
    yield "final_by_seed", pd.DataFrame(list(_final_by_seed(final)))
    yield "episodes", run.gather("shown")


def _over_seeds(discovery: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Means over seeds of every measure, with intervals that resample seeds (none where there is one)."""
    for (condition, measure), part in discovery.groupby(["condition", "measure"], sort=False) if len(discovery) else ():
        known = part[np.isfinite(part["estimate"])]
        interval = cluster_bootstrap(known["estimate"], known["seed"]) if len(known) else float("nan")
        yield row(str(measure), interval, condition=condition, seeds=len(known))


def _rate_distortion(points: pd.DataFrame) -> pd.DataFrame:
    """One row a point: ``condition, alpha, seed, kl, nll`` (soft gate), ``hard_nll, switches``."""
    if not len(points):
        return points
    wide = points.pivot_table(index=["condition", "alpha", "seed"], columns="measure", values="estimate")
    wide = wide.rename(columns={"soft_nll": "nll"}).reset_index().rename_axis(columns=None)
    return wide[["condition", "alpha", "seed", "kl", "nll", "hard_nll", "switches"]]


class Final:
    """Final success of every method as arrays: seeds by episodes, the same worlds for all.

    ``table`` holds one row an episode, ``cells`` are the (method, task) that are there, in the order of its rows.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table
        at = zip(table["method"], table["task"], strict=True) if len(table) else ()
        self.cells: list[tuple[str, str]] = list(dict.fromkeys(at))

    @classmethod
    def of(cls, run: InternalRLRun) -> Final:
        """What was evaluated; nothing when nothing was reinforced."""
        learned = run.gather("rl")
        if not len(learned):
            return cls(learned)
        return cls(pd.concat([run.gather("ceiling"), learned[learned["phase"] == "final"]], ignore_index=True))

    def array(self, method: str, task: str, column: str = "success") -> np.ndarray:
        """[seeds, episodes, 1]."""
        return self._wide(method, task, column).to_numpy(float)[..., None]

    def seeds(self, method: str, task: str) -> list[int]:
        """Its seeds, in the order of :meth:`array`."""
        return [int(seed) for seed in self._wide(method, task, "success").index]

    def _wide(self, method: str, task: str, column: str) -> pd.DataFrame:
        rows = self.table[(self.table["method"] == method) & (self.table["task"] == task)]
        return rows.pivot(index="seed", columns="episode", values=column)


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
