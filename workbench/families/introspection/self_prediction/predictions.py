"""Every prediction of a run beside what it is judged by, and the predictors compared on the same items.

Predictors of a target model's behaviour: ``self`` (the target, finetuned on itself) and ``cross`` (another model,
finetuned on the target), ``self_before`` and ``cross_before`` (the same models before finetuning), ``mode`` (the most
common value).  Two more say what finetuning did: ``self_after`` is ``self`` judged by the behaviour it has after
finetuning, and ``cross_itself`` is ``cross`` judged by its own behaviour instead of the target's.  The probe stands
beside them and its own controls, all on the same items.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from workbench.families.introspection.self_prediction.companion import CONTROLS, FITS, chosen_layer
from workbench.families.introspection.self_prediction.context import FIRST, PredictionContext
from workbench.families.introspection.self_prediction.scoring import (
    METRICS,
    accuracy_rows,
    balance_weights,
    contrast,
    judged,
    level,
    with_mode,
)
from workbench.families.introspection.self_prediction.steps import pairings

_SAME = ["split", "task", "id", "property"]
_PAIRS = (
    ("self", "mode"), ("self", "self_before"), ("self", "cross"), ("cross", "mode"), ("cross", "cross_before"),
    ("cross_itself", "cross"), ("self_after", "self"),
)  # fmt: skip


def gather_predictions(context: PredictionContext) -> pd.DataFrame:
    """Rows ``target, learner, predictor, task, split, id, property, truth, said, correct``, roles being names of
    :class:`PredictionContext`; ``learner`` is the second model of the comparison (empty where there is none)."""
    parts = []
    for learner, target in pairings(context.spec):
        truth = context.behaviour(target, "test")
        name = f"{learner}-on-{target}"
        if learner == target:
            before = judged(truth, context.answers(f"foreseen-{learner}"))
            after = judged(truth, context.answers(f"foreseen-{name}"))
            now = judged(context.answers(f"behaviour-{name}"), context.answers(f"foreseen-{name}"))
            found = {"mode": with_mode(before), "self_before": before, "self": after, "self_after": now}
        else:
            said = context.answers(f"foreseen-{name}")
            before = judged(truth, context.answers(f"foreseen-{learner}"))
            found = {"cross_before": before, "cross": judged(truth, said)}
            found["cross_itself"] = judged(context.behaviour(learner, "test"), said)
        other = "" if learner == target else learner
        parts += [rows.assign(target=target, learner=other, predictor=kind) for kind, rows in found.items()]
    table = pd.concat(parts, ignore_index=True)
    return table[["target", "learner", "predictor", *(c for c in table if c not in ("target", "learner", "predictor"))]]


def accuracy_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """Rows ``target, learner, predictor, split, task, property, metric, estimate, low, high, n``."""
    keys = ["target", "learner", "predictor"]
    return pd.DataFrame(
        dict(zip(keys, key, strict=True)) | row
        for key, part in predictions.groupby(keys, sort=False)
        for row in accuracy_rows(part)
    )


def comparisons_table(predictions: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Differences on the same items: ``target, learner, comparison, split, metric, estimate, low, high, p, n``.

    ``comparison`` reads "self less cross".  Intervals are 95%, p two-sided, both by whole items.
    """
    rows = []
    for target, of_target in predictions.groupby("target", sort=False):
        parts = dict(list(of_target.groupby(["learner", "predictor"], sort=False)))
        learners = [learner for learner, predictor in parts if predictor == "cross"]
        for a, b in _PAIRS:
            for learner in learners if "cross" in a + b else [""]:
                first, second = (parts.get((learner if p.startswith("cross") else "", p)) for p in (a, b))
                if first is not None and second is not None:
                    key = {"target": target, "learner": learner, "comparison": f"{a} less {b}"}
                    rows += [key | row for row in comparison_rows(first, second, seed)]
    names = ["target", "learner", "comparison", "split", "metric", "estimate", "low", "high", "p", "n"]
    return pd.DataFrame(rows, columns=names)


def comparison_rows(first: pd.DataFrame, second: pd.DataFrame, seed: int) -> Iterator[dict[str, Any]]:
    """``first`` less ``second`` in each split, over the items that both have: ``split, metric, estimate, low, high, p,
    n``.  Balanced accuracy is left out where the two are judged by different truths."""
    both = first.merge(second[[*_SAME, "truth", "correct"]], on=_SAME, suffixes=("", "_other"), validate="1:1")
    for split, part in both.groupby("split"):
        ids = part["id"].to_numpy(dtype=str)
        for metric in METRICS:
            weights = 1.0
            if metric == "balanced_accuracy":
                if not (part["truth"] == part["truth_other"]).all():
                    continue
                weights = balance_weights(part)  # type: ignore[assignment]
            found = contrast(part["correct"] * weights, part["correct_other"] * weights, ids, seed)
            yield {"split": split, "metric": metric} | vars(found)


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
