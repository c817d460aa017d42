"""A self-prediction run in the explorer: self against cross, the second model, calibration, shift and probes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import streamlit as st

from workbench.families.family import Table, View
from workbench.families.introspection.self_prediction.figures import FITS, SPLITS, role
from workbench.families.introspection.self_prediction.report import differences, levels, overall, predictor_name
from workbench.families.page import show_table
from workbench.figures.record import Record, Tables
from workbench.figures.style import words
from workbench.runs import RunRecord
from workbench.statistics import Interval
from workbench.views.choices import pick

_SECOND = (
    "A model that was trained on another's behaviour still predicts its own, so the second model is the candidate that "
    "behaves most like M1. Below: how far finetuning itself moved behaviour, and which answers comply."
)
_SHIFT = (
    "equalised: the largest subset in which each value is old as often as it is new, so that a model which says one "
    "thing whatever it is asked follows both equally often."
)
_MOST = 2000  # rows of a browser's table


def views() -> list[View]:
    """All tabs but the first."""
    return [
        View("Self against cross", ("self_against_cross", "by_task"), draw=_accuracy),
        View("Second model", ("similarity",), _SECOND, _second),
        View("Calibration", ("calibration",), tables=_calibration),
        View("Behaviour shift", ("shift",), _SHIFT, _shift),
        View("Probes", ("probes", "probe_layers"), draw=_probes),
        View("Predictions", draw=_predictions),
    ]


def _accuracy(run: RunRecord) -> None:
    """The numbers over a split, and every difference with its interval and p."""
    tables = Tables(run)
    metric = pick("Measure", ["accuracy", "balanced_accuracy"], key="metric", show=words)
    if (rows := tables.table("accuracy")) is not None:
        show_table(Table("Accuracy over all tasks of a split", levels(overall(rows, metric))))
    if (rows := tables.table("comparisons")) is not None:
        show_table(Table("Differences, on the same items", differences(rows[rows["metric"] == metric])))


def _second(record: Record) -> Iterator[Table]:
    tables = Tables(record)
    if (rows := tables.table("drift")) is not None:
        unchanged = [Interval.of(row).text(3) for row in rows.to_dict("records")]
        rows = rows.assign(unchanged=unchanged, items=rows["n"])[["model", "before", "split", "unchanged", "items"]]
        yield Table("Behaviour that finetuning left as it was", rows)
    if (rows := tables.table("compliance")) is not None:
        yield Table("Answers and predictions that comply", rows)


def _calibration(record: Record) -> Iterator[Table]:
    tables = Tables(record)
    if (rows := tables.table("calibration_error")) is not None:
        yield Table("Mean absolute deviation between stated and true probability", levels(rows))
    if (rows := tables.table("calibration_differences")) is not None:
        yield Table("Differences of the error: above 0, self-training is better calibrated", differences(rows))


def _shift(record: Record) -> Iterator[Table]:
    rows = Tables(record).table("shift_differences")
    if rows is not None:
        found = rows.assign(
            difference=[Interval.of(row).text(3, "+") for row in rows.to_dict("records")],
            p=rows["p"].map("{:.4f}".format),
            split=rows["split"].map(lambda split: SPLITS.get(split, "all tasks")),
            items=rows["n"],
        )
        found = found[["subset", "split", "predictor", "difference", "p", "items"]]
        yield Table("Predictions that name the new value less those that name the old one", found)


def _probes(run: RunRecord) -> None:
    tables = Tables(run)
    fit = pick("Probe", list(FITS), key="fit", show=lambda name: FITS[name])
    if (rows := tables.table("probes")) is not None:
        show_table(Table("Accuracy on the same items", levels(overall(rows[rows["fit"] == fit]).drop(columns="fit"))))
    if (rows := tables.table("probe_comparisons")) is not None:
        rows = rows[(rows["fit"] == fit) & (rows["metric"] == "accuracy")]
        show_table(Table("The probe less the others", differences(rows)))


def _predictions(run: RunRecord) -> None:
    """Single predictions beside the truth."""
    if "predictions.parquet" not in run.artifacts:
        st.info("This run kept no predictions.")
        return
    rows = run.load_table("predictions")
    one, two, three, four = st.columns(4)
    rows = _picked(rows, one, "target", "Predicting", role)
    rows = _picked(rows, two, "predictor", "By", predictor_name)
    rows = _picked(rows, three, "task", "Task")
    verdict = pick("Show", ["all", "right", "wrong"], key="verdict", at=four)
    if verdict != "all":
        rows = rows[rows["correct"] == (1.0 if verdict == "right" else 0.0)]
    said = rows["said"].fillna("(does not comply)")
    right = rows["correct"].map({1.0: "yes", 0.0: "no"})
    rows = rows.assign(right=right, said=said, property=rows["property"].map(words))
    st.caption(f"{len(rows)} predictions" + (f", the first {_MOST} of them are shown" if len(rows) > _MOST else ""))
    shown = [*(["learner"] if (rows["learner"] != "").any() else []), "id", "property", "truth", "said", "right"]
    st.dataframe(rows[shown].head(_MOST), hide_index=True, key="predictions")


def _picked(rows: pd.DataFrame, at: Any, column: str, label: str, show: Callable[[str], str] = words) -> pd.DataFrame:
    """The rows with the picked value of a column."""
    value = pick(label, list(dict.fromkeys(rows[column].astype(str))), key=column, show=show, at=at)
    return rows[rows[column] == value]
