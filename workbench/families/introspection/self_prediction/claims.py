"""What the paper says, and what the probes add, judged on the tables of a run.

A claim is held when the 95% interval of its difference lies on the expected side of zero, on the same items; where
there is no interval it is not held.  Accuracy is judged on tasks that finetuning never saw, as in the paper, and on new
prompts of tasks that it saw.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from workbench.families.claims import Claim, Verdict, verdict
from workbench.figures.record import Tables
from workbench.statistics import Interval

_SPLITS = {"held_out": "held-out tasks", "train": "training tasks", "": "all tasks"}
_FITS = {"training": "fitted on the training pairs", "folds": "fitted in folds"}
# table -> the comparison in it -> the claim that its difference is positive
_DIFFERENCES = {
    "comparisons": {
        "self less mode": "self-prediction above the commonest answer",
        "self less self_before": "self-training helps",
        "self less cross": "self-prediction above cross-prediction",
        "cross less cross_before": "cross-training helps",
        "cross_itself less cross": "a cross-trained model matches itself better than its target",
    },
    "calibration_differences": {
        "cross less self": "calibration: self-trained better than cross-trained",
        "self_before less self": "calibration: self-trained better than before training",
    },
    "shift_differences": {"new less old": "shift: predictions follow the new behaviour"},
    "probe_comparisons": {
        "probe less mode": "probe: above the commonest answer",
        "probe less shuffled": "probe: above shuffled labels",
        "probe less untrained": "probe: M1's activations above the untrained model's",
        "probe less second": "probe: M1's activations above the second model's",
        "probe less self": "probe: above self-prediction",
    },
}


def claims() -> Sequence[Claim]:
    """Those of the paper, and those of the probes."""
    return [
        Claim(name, partial(_judged, table=table, comparison=comparison))
        for table, those in _DIFFERENCES.items()
        for comparison, name in those.items()
    ]


def _judged(context: Any, table: str, comparison: str) -> Iterator[Verdict]:
    """A verdict for every place in which the difference was taken; none where the run has no such table."""
    rows = Tables(context.folder).table(table)
    if rows is None:
        return
    if table == "shift_differences":  # of all tasks, after the shift
        rows = rows[(rows["predictor"] == "after") & (rows["split"] == "")]
    else:
        rows = rows[(rows["comparison"] == comparison) & rows["metric"].isin(["accuracy", "mad"])]
    for row in rows.to_dict("records"):
        p = f", p = {row['p']:.3g}" if "p" in row else ""
        yield verdict(f"{comparison} (n = {row['n']}{p})", Interval.of(row), _place(row))


def _place(row: dict[str, Any]) -> str:
    """Where a difference was taken, in words."""
    words = [_SPLITS[row["split"]]]
    if "target" in row:
        words.append(f"predicting {row['target']}")
    if row.get("subset") == "equalised":
        words.append("answers equally often old and new")
    return ", ".join([*words, *filter(None, [row.get("learner"), _FITS.get(row.get("fit", ""))])])
