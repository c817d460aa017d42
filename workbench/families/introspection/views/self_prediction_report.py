"""What a self-prediction run says: self against cross, calibration, the shift, what probes read, and what held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.views.tables import new_table

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from workbench.runs import RunRecord

__all__ = ["print_self_prediction"]

_SPLITS = ("held_out", "train")
_NAMES = {
    "mode": "commonest answer",
    "self_before": "itself, before finetuning",
    "self": "self-trained",
    "cross_before": "other model, before finetuning",
    "cross": "cross-trained",
    "probe": "probe on M1",
    "shuffled": "probe, shuffled labels",
    "untrained": "probe on untrained M1",
    "second": "probe on M2",
}


def print_self_prediction(record: RunRecord, out: Console) -> None:
    """Print the tables of a finished run that say most; all of them are in its artifacts."""
    out.print(_similarity(record))
    out.print(_accuracy(record))
    for name, table in (("calibration_error", _calibration), ("shift", _shift), ("probes", _probes)):
        if f"{name}.parquet" in record.artifacts:
            out.print(table(record.load_table(name)))
    out.print("held out: tasks that no finetuning saw; brackets: 95% intervals over items")


def _similarity(record: RunRecord) -> Any:
    table = new_table("who behaves like M1", "model", "agreement", "cross-trained as")
    rows = record.load_table("similarity")
    for row in rows[rows["split"] == ""].sort_values("rank").itertuples():
        table.add_row(str(row.model), _level(row), f"second-{row.rank}" if row.chosen else "")
    return table


def _accuracy(record: RunRecord) -> Any:
    """A row a predictor of each model's behaviour, over all properties."""
    table = new_table("accuracy of predictions", "predicted", "by", "model", "held-out tasks", "training tasks")
    rows = record.load_table("accuracy")
    rows = rows[(rows["task"] == "") & (rows["metric"] == "accuracy") & rows["predictor"].isin(list(_NAMES))]
    for (target, learner, predictor), part in rows.groupby(["target", "learner", "predictor"], sort=False):
        who = "" if predictor == "mode" else learner or target
        table.add_row(str(target), _NAMES[str(predictor)], str(who), *_splits(part))
    return table


def _calibration(errors: pd.DataFrame) -> Any:
    table = new_table(
        "calibration error (mean absolute deviation)", "predictor", "model", "held-out tasks", "training tasks"
    )
    for (predictor, learner), part in errors.groupby(["predictor", "learner"], sort=False):
        table.add_row(_NAMES.get(str(predictor), str(predictor)), str(learner), *_splits(part))
    return table


def _shift(rows: pd.DataFrame) -> Any:
    table = new_table("after the behaviour has shifted: what do predictions name?", "items", "n", "old", "new")
    rows = rows[(rows["split"] == "") & (rows["predictor"] == "after")]
    for subset, part in rows.groupby("subset"):
        by = {row.follows: row for row in part.itertuples()}
        table.add_row(str(subset), f"{by['old'].n}", _level(by["old"]), _level(by["new"]))
    if rows.empty:
        table.add_row("no property changed", "0", "", "")
    return table


def _probes(rows: pd.DataFrame) -> Any:
    """The probe and what it stands beside, on the same items."""
    layer = int(rows["layer"].iloc[0])
    table = new_table(f"probes at layer {layer}, same items", "fitted", "reader", "held-out tasks", "training tasks")
    rows = rows[(rows["task"] == "") & (rows["metric"] == "accuracy")]
    for (fit, reader), part in rows.groupby(["fit", "reader"], sort=False):
        where = "on the training pairs" if fit == "training" else "in folds of the tested prompts"
        table.add_row(where, _NAMES.get(str(reader), str(reader)), *_splits(part))
    return table


def _splits(part: pd.DataFrame) -> list[str]:
    by = {row.split: row for row in part.itertuples()}
    return [_level(by[split]) if split in by else "" for split in _SPLITS]


def _level(row: Any) -> str:
    return f"{row.estimate:.2f} [{row.low:.2f}, {row.high:.2f}]"
