"""One cell: a probe with its parameters, evaluated on one target at one site and position beside its controls."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from probes import make_probe, probe_class
from workbench.errors import DataError, did_you_mean
from workbench.families.probe_sweep.captures import CONTROL, Rows, load_rows
from workbench.families.probe_sweep.plan import capture_key
from workbench.families.probe_sweep.spec import SweepSpec
from workbench.families.probe_sweep.structured import evaluate_structured, structured
from workbench.families.probe_sweep.words import BAG_OF_WORDS, load_words
from workbench.files import read_object
from workbench.labels import used_rows
from workbench.runs import Cell

_OTHER = "other_groups"
_OF_EVALUATE = ("majority", "shuffled", "random_features", "control_task")
_SEED = "random_state"


def evaluate_cell(cell: Cell, context: Path) -> pd.DataFrame:
    """The rows of a cell: one for each control and metric (and class), from the run folder ``context``.

    Columns ``control`` ("none" is the probe itself), ``metric``, ``label`` (the class, for scores of one class),
    ``estimate, low, high``, the probe minus the control in ``difference, difference_low, difference_high``, and the
    numbers of ``rows`` and ``groups``.  What a probe fitted to all of these rows scores on another source is in rows of
    its own, labelled ``on NAME``.  Rows without the label, and those read at attention sinks, are left out.
    """
    spec, values = _spec(str(context)), cell.values
    found = load_rows(context, values["model"], values["position"], values["site"])
    kept = used_rows(found.labels, values["target"])
    y, groups = _labels(found, values, kept), found.groups[kept]
    features = {name: each[kept] for name, each in _control_features(spec, found, cell, context).items()}
    if values["task"] in structured():
        table = evaluate_structured(
            spec, values["task"], values["params"], found.activations[kept], y.tolist(), groups, values["seed"],
            features.get(CONTROL),
        )  # fmt: skip
    else:
        table = _evaluate(spec, values, found, kept, y, groups, features)
    table = table.assign(rows=len(y), groups=len(np.unique(groups)))
    tests = [_tested(spec, values, name, context, found.activations[kept], y, groups, features) for name in spec.tests]
    return pd.concat([table, *tests], ignore_index=True)


def _evaluate(
    spec: SweepSpec, values: Any, found: Rows, kept: np.ndarray, y: np.ndarray, groups: np.ndarray,
    features: Mapping[str, np.ndarray],
) -> pd.DataFrame:  # fmt: skip
    """The rows of a plain target."""
    from probes.evaluation import evaluate

    probe = _probe(values)
    evaluation = evaluate(
        probe, found.activations[kept], y, groups, folds=None if spec.holdout else spec.folds,
        holdout=spec.holdout or 0.2, seed=values["seed"], controls=[c for c in spec.controls if c in _OF_EVALUATE],
        control_features=features, types=_types(spec, found, kept), shuffles=spec.shuffles, metrics=spec.metrics,
        resamples=spec.resamples,
    )  # fmt: skip
    tables = [evaluation.table.assign(label="")]
    if spec.per_class and values["task"] == "classification":
        tables.append(_per_class(evaluation.per_class))
    if spec.mdl and values["task"] == "classification":
        tables.append(_code_lengths(spec, probe, found.activations[kept], y, groups, values["seed"]))
    return pd.concat(tables, ignore_index=True)


def _tested(
    spec: SweepSpec, values: Any, name: str, context: Path, x: np.ndarray, y: np.ndarray, groups: np.ndarray,
    features: Mapping[str, np.ndarray],
) -> pd.DataFrame:  # fmt: skip
    """The probe fitted to all rows of the source and tested on those of a test, beside the controls that carry over:
    majority, shuffled, random_features, and the same probe on the words or an untrained model's activations of both."""
    from probes.evaluation import evaluate

    where = (context, values["model"], values["position"], values["site"])
    far = load_rows(*where, test=name)
    kept = used_rows(far.labels, values["target"])
    others = {}
    if BAG_OF_WORDS in features:
        others[BAG_OF_WORDS] = load_words(context, far.labels["input"].to_numpy(), name)[kept]
    if CONTROL in features:
        others[CONTROL] = load_rows(*where, CONTROL, name).activations[kept]
    far_y = _labels(far, values, kept)
    evaluation = evaluate(
        _probe(values), x, y, groups, test=(far.activations[kept], far_y, far.groups[kept]), seed=values["seed"],
        controls=[c for c in spec.controls if c in ("majority", "shuffled", "random_features")],
        control_features={each: np.concatenate([features[each], rows]) for each, rows in others.items()},
        shuffles=spec.shuffles, metrics=spec.metrics, resamples=spec.resamples,
    )  # fmt: skip
    groups_there = len(np.unique(far.groups[kept]))
    return evaluation.table.assign(label=f"on {name}", rows=len(far_y), groups=groups_there)


def _labels(found: Rows, values: Any, kept: np.ndarray) -> np.ndarray:
    """Numbers for regression; for classification the labels as they are, whole numbers as such."""
    column = found.labels[values["target"]][kept]
    if not len(column):
        raise DataError(f"target {values['target']!r} has no labels at position {values['position']!r}")
    if values["task"] == "regression":
        try:
            return column.to_numpy(dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(f"target {values['target']!r} holds no numbers to regress on: {error}") from None
    if column.dtype.kind == "f":
        whole = column.to_numpy()
        return whole.astype(np.int64) if (whole % 1 == 0).all() else whole.astype(str)
    return column.to_numpy() if column.dtype.kind in "iub" else column.astype(str).to_numpy(dtype=np.str_)


def _probe(values: Any) -> Any:
    """The probe of a cell; one that draws random numbers draws them from the cell's seed."""
    params = dict(values["params"])
    if _SEED in probe_class(values["probe"])._get_param_names():
        params.setdefault(_SEED, values["seed"])
    return make_probe(values["probe"], **params)


def _control_features(spec: SweepSpec, found: Rows, cell: Cell, context: Path) -> dict[str, np.ndarray]:
    """Other features from which the same probe is to predict the same labels."""
    from probes.controls import other_rows

    values, features = cell.values, {}
    if _OTHER in spec.controls and values["task"] not in structured():
        features[_OTHER] = found.activations[other_rows(found.groups, values["seed"])]
    if CONTROL in spec.controls and _has_untrained(context, values["model"]):
        untrained = load_rows(context, values["model"], values["position"], values["site"], CONTROL)
        if not found.labels[values["target"]].equals(untrained.labels[values["target"]]):
            raise DataError("the untrained model's rows are not those of the model: the source must replay the same")
        features[CONTROL] = untrained.activations
    if BAG_OF_WORDS in spec.controls and values["task"] not in structured():
        features[BAG_OF_WORDS] = load_words(context, found.labels["input"].to_numpy())
    return features


def _types(spec: SweepSpec, found: Rows, kept: np.ndarray) -> np.ndarray | None:
    if spec.types is None:
        return None
    if spec.types not in found.labels:
        raise DataError(f"types: there is no label {spec.types!r}{did_you_mean(spec.types, map(str, found.labels))}")
    return found.labels[spec.types][kept].astype(str).to_numpy(dtype=np.str_)


def _has_untrained(context: Path, model: str) -> bool:
    record = read_object(context / "artifacts" / f"capture-{capture_key(model)}.json")
    return CONTROL in record["folders"]


def _per_class(table: pd.DataFrame) -> pd.DataFrame:
    """A row a class and score, in the form of the other rows (without intervals)."""
    long = table.melt(id_vars="class", var_name="metric", value_name="estimate")
    return long.rename(columns={"class": "label"}).assign(control="none", label=long["class"].astype(str))


def _code_lengths(
    spec: SweepSpec, probe: Any, x: np.ndarray, y: np.ndarray, groups: np.ndarray, seed: int
) -> pd.DataFrame:
    """Online code lengths (bits) and compression, in the form of the other rows (without differences)."""
    from probes.mdl import online_code

    shuffles = 1 if "shuffled" in spec.controls else 0
    found = online_code(probe, x, y, groups, seed=seed, shuffles=shuffles, resamples=spec.resamples).table
    bits = found.rename(columns={"codelength": "estimate"})[["control", "estimate", "low", "high"]]
    uniform = found["uniform"]
    ratio = {"estimate": found["compression"], "low": uniform / found["high"], "high": uniform / found["low"]}
    compression = pd.DataFrame({"control": found["control"], **ratio})
    tables = [bits.assign(metric="codelength"), compression.assign(metric="compression")]
    return pd.concat(tables, ignore_index=True).assign(label="")


@lru_cache(maxsize=4)
def _spec(context: str) -> SweepSpec:
    return SweepSpec.model_validate(read_object(Path(context, "spec.json")))
