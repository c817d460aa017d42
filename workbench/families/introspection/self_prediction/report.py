"""What a self-prediction run says: self against cross, calibration, the shift, and what probes read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from workbench.families.family import Table
from workbench.families.introspection.self_prediction.figures import FITS, PREDICTORS, SPLITS, role, short
from workbench.figures.record import Record, Tables
from workbench.figures.style import words
from workbench.statistics import Interval

_CAPTION = "tasks never finetuned on: by no model; brackets: 95% intervals over items"
_OTHERS = {"self_after": "self-trained, judged by its new behaviour", "cross_itself": "cross-trained, judged by itself"}


def report(record: Record) -> Iterator[Table]:
    """The tables that say most, of those that the run has."""
    tables = Tables(record)
    if (alike := tables.table("similarity")) is not None:
        yield Table("who behaves like M1", _similarity(alike), f"M1 is {short(record.spec.get('model', 'unknown'))}")
    if (accuracy := tables.table("accuracy")) is not None:
        shown = accuracy[accuracy["predictor"].isin(list(PREDICTORS))]
        yield Table("accuracy of predictions", levels(overall(shown)), _CAPTION)
    if (error := tables.table("calibration_error")) is not None:
        yield Table("calibration error (mean absolute deviation)", levels(error))
    if (shift := tables.table("shift")) is not None and len(shift):
        yield Table("after the behaviour has shifted: what do predictions name?", _shift(shift))
    if (probes := tables.table("probes")) is not None:
        yield Table(f"probes at layer {probes['layer'].iloc[0]}, on the same items", levels(overall(probes)))


def overall(rows: pd.DataFrame, metric: str = "accuracy") -> pd.DataFrame:
    """Rows over all tasks of a split, in one metric."""
    return rows[(rows["task"] == "") & (rows["metric"] == metric)]


def levels(rows: pd.DataFrame) -> pd.DataFrame:
    """Estimates with their intervals as text: a row a predictor (of a target, by a model), a column a split."""
    return _text_table(rows, ("target", "fit", "reader", "predictor", "learner"))


def differences(rows: pd.DataFrame) -> pd.DataFrame:
    """Differences with their intervals and p-values as text: a row a comparison, a column a split."""
    return _text_table(rows, ("target", "comparison", "learner"), "+")


def predictor_name(name: str) -> str:
    """A predictor in words."""
    return PREDICTORS[name].name if name in PREDICTORS else _OTHERS.get(name, words(name))


def _less(comparison: str) -> str:
    a, _, b = comparison.partition(" less ")
    return f"{predictor_name(a)} less {predictor_name(b)}"


# column of the tables -> title and words
_COLUMNS = {
    "target": ("predicting", role),
    "fit": ("fitted", lambda fit: FITS[fit].removeprefix("fitted ")),
    "reader": ("by", predictor_name),
    "predictor": ("by", predictor_name),
    "comparison": ("difference", _less),
    "learner": ("model", role),
}


def _text_table(rows: pd.DataFrame, columns: tuple[str, ...], sign: str = "") -> pd.DataFrame:
    names = [name for name in columns if name in rows]
    found = []
    for key, part in rows.groupby(names, sort=False):
        row = {_COLUMNS[name][0]: _COLUMNS[name][1](value) for name, value in zip(names, key, strict=True)}
        texts = {each["split"]: _text(each, sign) for each in part.to_dict("records")}
        row |= {title: texts.get(split, "") for split, title in SPLITS.items()}
        found.append(row | {"items": int(part["n"].max())})
    return pd.DataFrame(found)


def _text(row: dict[str, Any], sign: str) -> str:
    return Interval.of(row).text(3, sign) + (f", p {row['p']:.4f}" if "p" in row else "")


def _similarity(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows[rows["split"] == ""].sort_values("rank")
    second = [
        role(f"second-{rank}") if chosen else "" for rank, chosen in zip(rows["rank"], rows["chosen"], strict=True)
    ]
    agreement = [Interval.of(row).text(3) for row in rows.to_dict("records")]
    return pd.DataFrame({"model": rows["model"].map(short), "agreement": agreement, "cross-trained as": second})


def _shift(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows[(rows["split"] == "") & (rows["predictor"] == "after")]
    found = []
    for subset, part in rows.groupby("subset"):
        follows = {row["follows"]: Interval.of(row).text(3) for row in part.to_dict("records")}
        found.append({"items": subset, "n": part["n"].iloc[0]} | follows)
    return pd.DataFrame(found)
