"""The probe beside self-prediction, cross-prediction, the mode and its own controls, all on the same items."""

from __future__ import annotations

from typing import Any

import pandas as pd

from workbench.families.introspection.self_prediction.companion import CONTROLS, FITS, chosen_layer
from workbench.families.introspection.self_prediction.context import FIRST, PredictionContext
from workbench.families.introspection.self_prediction.predictions import comparison_rows
from workbench.families.introspection.self_prediction.scoring import METRICS, accuracy_rows, level, with_mode

_ITEM = ["split", "task", "id", "property"]


def probe_layers(context: PredictionContext) -> pd.DataFrame:
    """Accuracy by layer: ``layer, fit, role, split, metric, estimate, low, high, n``."""
    rows = []
    for layer in context.layers:
        table = _judged(context.folder.read(f"probe-{layer}"))
        for key, part in table.groupby(["fit", "role", "split"], sort=True):
            names = dict(zip(("fit", "role", "split"), key, strict=True))
            rows.append({"layer": layer} | names | {"metric": METRICS[0]} | level(part))
    return pd.DataFrame(rows)


def _judged(rows: pd.DataFrame) -> pd.DataFrame:
    right = (rows["truth"].astype("string") == rows["said"].astype("string")).fillna(False).astype(float)
    return rows.assign(correct=right)


def probe_tables(context: PredictionContext, predictions: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Levels ``fit, reader, layer, split, task, property, metric, estimate, low, high, n`` and differences ``fit,
    comparison, layer, split, metric, estimate, low, high, p, n``.

    Readers: ``probe``, its controls (``shuffled`` is the mean over draws), and the predictors of M1's behaviour.  All
    of a fit are on the items that the probe of that fit could be tested on.
    """
    layer = chosen_layer(context.folder, context.layers)
    own = _judged(context.folder.read(f"probe-{layer}"))
    controls = _judged(context.folder.read("probe-controls"))
    levels: list[dict[str, Any]] = []
    differences: list[dict[str, Any]] = []
    for fit in FITS:
        probe = own[(own["fit"] == fit) & (own["role"] == "test")]
        if probe.empty:
            continue
        readers = {"probe": probe} | _controls(controls[controls["fit"] == fit])
        readers |= _others(predictions, probe) | {"mode": with_mode(probe)}
        for reader, rows in readers.items():
            key = {"fit": fit, "reader": reader, "layer": layer}
            levels += [key | row for row in accuracy_rows(rows)]
            if reader != "probe":
                key = {"fit": fit, "comparison": f"probe less {reader}", "layer": layer}
                differences += [key | row for row in comparison_rows(probe, rows, context.spec.seed)]
    return pd.DataFrame(levels), pd.DataFrame(differences)


def _controls(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Rows of each control, the draws of one taken together."""
    found = {}
    for name in CONTROLS:
        part = rows[rows["control"] == name]
        found[name] = part.groupby([*_ITEM, "truth"], as_index=False, sort=False)["correct"].mean()
    return found


def _others(predictions: pd.DataFrame, probe: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The predictors of M1's behaviour on the probe's items; cross-prediction is the most similar model's."""
    found = {}
    for name, learner in (("self_before", ""), ("self", ""), ("cross", "second-1")):
        rows = predictions[
            (predictions["target"] == FIRST) & (predictions["predictor"] == name) & (predictions["learner"] == learner)
        ]
        if len(rows):
            found[name] = rows.merge(probe[_ITEM], on=_ITEM, validate="1:1")
    return found
