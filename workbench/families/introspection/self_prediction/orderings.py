"""Which of the paper's orderings held, and what the probes add.

An ordering is held when the 95% interval of its difference lies on the expected side of zero, on the same items; where
there is no interval it is not held.  Accuracy is judged on tasks that finetuning never saw, as in the paper, and on new
prompts of tasks that it saw.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["orderings"]

_SPLITS = {"held_out": "held-out tasks", "train": "training tasks", "": "all tasks"}
_CLAIMS = {
    "self less mode": "self-prediction above the commonest answer",
    "self less self_before": "self-training helps",
    "self less cross": "self-prediction above cross-prediction",
    "cross less cross_before": "cross-training helps",
    "cross_itself less cross": "a cross-trained model matches itself better than its target",
}
_ERRORS = {
    "cross less self": "calibration: self-trained better than cross-trained",
    "self_before less self": "calibration: self-trained better than before training",
}
_PROBES = {
    "probe less mode": "probe: above the commonest answer",
    "probe less shuffled": "probe: above shuffled labels",
    "probe less untrained": "probe: M1's activations above the untrained model's",
    "probe less second": "probe: M1's activations above the second model's",
    "probe less self": "probe: above self-prediction",
}


def orderings(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One row an ordering: ``ordering, held`` (bool), ``evidence`` (the numbers), ``estimate, low, high``.

    ``tables``: those of the summary.
    """
    import pandas as pd

    rows = [*_accuracy(tables["comparisons"]), *_calibration(tables), *_shift(tables), *_probe(tables)]
    return pd.DataFrame(rows, columns=["ordering", "held", "evidence", "estimate", "low", "high"])


def _judged(name: str, row: Any, what: str) -> dict[str, Any]:
    """An ordering whose difference should be positive."""
    p = f", p = {row.p:.3g}" if hasattr(row, "p") else ""
    text = f"{what}: {row.estimate:+.3f} [{row.low:+.3f}, {row.high:+.3f}]{p}, n = {row.n}"
    numbers = {"estimate": float(row.estimate), "low": float(row.low), "high": float(row.high)}
    return {"ordering": name, "held": bool(row.low > 0), "evidence": text} | numbers


def _accuracy(comparisons: pd.DataFrame) -> Iterator[dict[str, Any]]:
    part = comparisons[comparisons["metric"] == "accuracy"]
    for comparison, claim in _CLAIMS.items():
        for row in part[part["comparison"] == comparison].itertuples():
            who = f"predicting {row.target}" + (f", {row.learner}" if row.learner else "")
            yield _judged(f"{claim} ({_SPLITS[row.split]}, {who})", row, comparison)


def _calibration(tables: Mapping[str, pd.DataFrame]) -> Iterator[dict[str, Any]]:
    table = tables.get("calibration_differences")
    if table is None:
        return
    for comparison, claim in _ERRORS.items():
        for row in table[table["comparison"] == comparison].itertuples():
            who = f", {row.learner}" if row.learner else ""
            yield _judged(f"{claim} ({_SPLITS[row.split]}{who})", row, f"MAD, {comparison}")


def _shift(tables: Mapping[str, pd.DataFrame]) -> Iterator[dict[str, Any]]:
    table = tables.get("shift_differences")
    if table is None:
        return
    for row in table[(table["predictor"] == "after") & (table["split"] == "")].itertuples():
        control = "; answers equally often old and new" if row.subset == "equalised" else ""
        yield _judged(f"shift: predictions follow the new behaviour (all tasks{control})", row, "new less old")


def _probe(tables: Mapping[str, pd.DataFrame]) -> Iterator[dict[str, Any]]:
    table = tables.get("probe_comparisons")
    if table is None:
        return
    table = table[table["metric"] == "accuracy"]
    for comparison, claim in _PROBES.items():
        for row in table[table["comparison"] == comparison].itertuples():
            fit = "fitted on the training pairs" if row.fit == "training" else "fitted in folds"
            yield _judged(f"{claim} ({_SPLITS[row.split]}, {fit})", row, comparison)
