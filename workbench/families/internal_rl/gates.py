"""The gates between the stages of internal RL, in their order: what must hold before the next stage can mean anything.

Base: within .02 nats of the exact Bayes filter, and failing the held-out task on its own.  Controllers: oracle
switching succeeds on the held-out task.  Discovery, of the best seed: switches far above a random gate of the same
rate, the subgoal decodable in every segment, and codes of first segments, scaled, that compose on the
held-out task.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from workbench.families.internal_rl.context import InternalRLRun

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
