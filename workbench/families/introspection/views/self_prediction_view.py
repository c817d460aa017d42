"""A self-prediction run: what held, self against cross, the second model, calibration, shift, probes, predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
import streamlit as st

from workbench.families.introspection.self_prediction.figures.style import FITS, PREDICTORS, SPLITS, role, short
from workbench.figures.style import words
from workbench.runs import RunRecord
from workbench.views.choices import pick, tabs
from workbench.views.family import figures, orderings, safely

__all__ = ["differences", "levels", "self_prediction_view"]

_ORDERINGS = (
    "Orderings of the paper (arXiv 2410.13787) and of the probes, on this model. Held: the 95% interval of the "
)
_ORDERINGS += "difference lies above 0; p is two-sided, by whole items, and not corrected for how many there are."
_MOST = 2000  # rows of a browser's table
_OTHERS = {"self_after": "self-trained, judged by its new behaviour", "cross_itself": "cross-trained, judged by itself"}


def self_prediction_view(run: RunRecord) -> None:
    """All tabs of a finished run."""
    chosen = run.read_json("chosen") if "chosen.json" in run.artifacts else {}
    seconds = [f"{role(key)} is {short(name)}" for key, name in chosen.items() if key.startswith("second-")]
    st.caption("; ".join([f"M1 is {short(run.spec.get('model', 'unknown'))}", *seconds]))
    tabs(
        safely({
            "What held": lambda: orderings(run, _ORDERINGS),
            "Self against cross": lambda: _accuracy(run),
            "Second model": lambda: _second(run),
            "Calibration": lambda: _calibration(run),
            "Behaviour shift": lambda: _shift(run),
            "Probes": lambda: _probes(run),
            "Predictions": lambda: _predictions(run),
        }),
        "view",
    )  # fmt: skip


def _accuracy(run: RunRecord) -> None:
    """A figure; below it the numbers over a split, and every difference with its interval and p."""
    figures(run, "accuracy_figure", ("self_against_cross", "by_task"))
    if "accuracy.parquet" in run.artifacts:
        metric = pick("Measure", ["accuracy", "balanced_accuracy"], key="metric", show=words)
        table = run.load_table("accuracy")
        _table("Accuracy over all tasks of a split", levels(table[(table["task"] == "") & (table["metric"] == metric)]))
        if "comparisons.parquet" in run.artifacts:
            table = run.load_table("comparisons")
            _table("Differences, on the same items", differences(table[table["metric"] == metric]))


def _second(run: RunRecord) -> None:
    figures(run, "similarity_figure", ("similarity",))
    st.caption(
        "A model that was trained on another's behaviour still predicts its own, so the second model is the candidate "
        "that behaves most like M1. Below: how far finetuning itself moved behaviour, and which answers comply."
    )
    if "drift.parquet" in run.artifacts:
        table = run.load_table("drift")
        found = table.assign(unchanged=_text(table), items=table["n"])
        _table("Behaviour that finetuning left as it was", found[["model", "before", "split", "unchanged", "items"]])
    if "compliance.parquet" in run.artifacts:
        with st.expander("Answers and predictions that comply"):
            st.dataframe(run.load_table("compliance"), hide_index=True, key="compliance")


def _calibration(run: RunRecord) -> None:
    figures(run, "calibration_figure", ("calibration",))
    if "calibration_error.parquet" in run.artifacts:
        _table(
            "Mean absolute deviation between stated and true probability", levels(run.load_table("calibration_error"))
        )
        _table("Differences of the error: above 0, self-training is better calibrated",
               differences(run.load_table("calibration_differences")))  # fmt: skip


def _shift(run: RunRecord) -> None:
    if "shift_differences.parquet" not in run.artifacts:
        st.info("This run has no behaviour shift.")
        return
    table = run.load_table("shift_differences")
    if table.empty:
        st.info("The finetuning on another model's answers changed no property, so there is nothing to follow.")
        return
    figures(run, "shift_figure", ("shift",))
    found = table.assign(difference=_text(table, "+"), p=table["p"].map("{:.4f}".format), items=table["n"])
    found["split"] = found["split"].map(lambda split: SPLITS.get(split, "all tasks"))
    st.caption(
        "equalised: the largest subset in which each value is old as often as it is new, so that a model which says "
        "one thing whatever it is asked follows both equally often."
    )
    _table("Predictions that name the new value less those that name the old one",
           found[["subset", "split", "predictor", "difference", "p", "items"]])  # fmt: skip


def _probes(run: RunRecord) -> None:
    figures(run, "probes_figure", ("probes", "probe_layers"))
    if "probes.parquet" not in run.artifacts:
        return
    fit = pick("Probe", list(FITS), key="fit", show=lambda name: FITS[name])
    rows = run.load_table("probes")
    rows = rows[(rows["fit"] == fit) & (rows["task"] == "") & (rows["metric"] == "accuracy")]
    _table("Accuracy on the same items", levels(rows.rename(columns={"reader": "predictor"})))
    if "probe_comparisons.parquet" in run.artifacts:
        rows = run.load_table("probe_comparisons")
        _table("The probe less the others", differences(rows[(rows["fit"] == fit) & (rows["metric"] == "accuracy")]))


def _predictions(run: RunRecord) -> None:
    """Single predictions beside the truth."""
    if "predictions.parquet" not in run.artifacts:
        st.info("This run kept no predictions.")
        return
    rows = run.load_table("predictions")
    one, two, three, four = st.columns(4)
    with one:
        rows = _picked(rows, "target", "Predicting", "target", role)
    with two:
        rows = _picked(rows, "predictor", "By", "predictor", _predictor)
    with three:
        rows = _picked(rows, "task", "Task", "task")
    with four:
        verdict = pick("Show", ["all", "right", "wrong"], key="verdict")
    if verdict != "all":
        rows = rows[rows["correct"] == (1.0 if verdict == "right" else 0.0)]
    said = rows["said"].fillna("(does not comply)")
    rows = rows.assign(
        right=rows["correct"].map({1.0: "yes", 0.0: "no"}), said=said, property=rows["property"].map(words)
    )
    st.caption(f"{len(rows)} predictions" + (f", the first {_MOST} of them are shown" if len(rows) > _MOST else ""))
    shown = [*(["learner"] if (rows["learner"] != "").any() else []), "id", "property", "truth", "said", "right"]
    st.dataframe(rows[shown].head(_MOST), hide_index=True, key="predictions")


def _picked(rows: pd.DataFrame, column: str, label: str, key: str, show: Callable[[str], str] = words) -> pd.DataFrame:
    """The rows with the picked value of a column."""
    value = pick(label, list(dict.fromkeys(rows[column].astype(str))), key=key, show=show)
    return rows[rows[column] == value]


def _predictor(name: str) -> str:
    return PREDICTORS[name].name if name in PREDICTORS else _OTHERS.get(name, words(name))


def levels(rows: pd.DataFrame) -> pd.DataFrame:
    """Estimates with their intervals as text: a row a predictor (of a target, by a model), a column a split."""
    names = [name for name in ("target", "predictor", "learner") if name in rows]
    found = []
    for key, part in rows.groupby(names, sort=False):
        given = dict(zip(names, key, strict=True))
        row = {"predicting": role(given["target"])} if "target" in given else {}
        row |= {"by": _predictor(given["predictor"]), "model": role(given.get("learner", ""))}
        found.append(row | _by_split(part) | {"items": int(part["n"].max())})
    return pd.DataFrame(found)


def differences(rows: pd.DataFrame) -> pd.DataFrame:
    """Differences with their intervals and p-values as text: a row a comparison, a column a split."""
    names = [name for name in ("target", "comparison", "learner") if name in rows]
    found = []
    for key, part in rows.groupby(names, sort=False):
        given = dict(zip(names, key, strict=True))
        row = {"predicting": role(given["target"])} if "target" in given else {}
        a, _, b = given["comparison"].partition(" less ")
        row |= {"difference": f"{_predictor(a)} less {_predictor(b)}", "model": role(given.get("learner", ""))}
        found.append(row | _by_split(part, "+"))
    return pd.DataFrame(found)


def _by_split(part: pd.DataFrame, sign: str = "") -> dict[str, str]:
    texts = dict(zip(part["split"], _text(part, sign), strict=True))
    if "p" in part:
        texts = {split: f"{texts[split]}, p {p:.4f}" for split, p in zip(part["split"], part["p"], strict=True)}
    return {title: texts.get(split, "") for split, title in SPLITS.items()}


def _text(rows: pd.DataFrame, sign: str = "") -> Sequence[str]:
    return [f"{r.estimate:{sign}.3f} [{r.low:{sign}.3f}, {r.high:{sign}.3f}]" for r in rows.itertuples()]


def _table(title: str, table: pd.DataFrame) -> None:
    st.markdown(f"**{title}**")
    if table.empty:
        st.info("There is nothing to show here.")
    else:
        st.dataframe(table, hide_index=True, key=f"table-{title}")
