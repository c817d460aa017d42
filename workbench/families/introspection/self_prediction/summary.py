"""From steps to tables: everything that follows from the rows, computed again at the end of every session."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from workbench.families.introspection.self_prediction.calibration import calibration_tables
from workbench.families.introspection.self_prediction.companion import chosen_layer
from workbench.families.introspection.self_prediction.context import FIRST, PredictionContext
from workbench.families.introspection.self_prediction.predictions import (
    accuracy_table,
    comparisons_table,
    gather_predictions,
    probe_layers,
    probe_tables,
)
from workbench.families.introspection.self_prediction.scoring import judged, level, ranked
from workbench.families.introspection.self_prediction.shift import shift_tables
from workbench.statistics import wilson


def finish(context: PredictionContext) -> None:
    """Write the tables, and ``chosen`` (second models, probed layer), as artifacts."""
    folder, done = context.folder, {*context.folder.steps(), *context.answered()}
    predictions = gather_predictions(context)
    tables = {
        "predictions": predictions,
        "accuracy": accuracy_table(predictions),
        "comparisons": comparisons_table(predictions, context.spec.seed),
        "similarity": _similarity(context),
        "compliance": pd.DataFrame(_compliance(context)),
        "drift": pd.DataFrame(_drift(context)),
        "finetuning": pd.concat([folder.read(name) for name in folder.steps() if name.startswith("train-")]),
    }
    if f"foresight-{FIRST}" in done:
        names = "calibration", "calibration_error", "calibration_differences"
        tables |= dict(zip(names, calibration_tables(context), strict=True))
    if "foreseen-shifted" in done:
        tables |= dict(zip(("shift", "shift_differences"), _shift(context), strict=True))
    chosen: dict[str, Any] = {f"second-{k}": context.name(f"second-{k}") for k in range(1, context.spec.seconds + 1)}
    if "probe-controls" in done:
        chosen["layer"] = chosen_layer(folder, context.layers)
        levels, differences = probe_tables(context, predictions)
        tables |= {"probe_layers": probe_layers(context), "probes": levels, "probe_comparisons": differences}
    for name, table in tables.items():
        folder.save_table(name, table)
    folder.write_json("chosen", chosen)


def _similarity(context: PredictionContext) -> pd.DataFrame:
    """Agreement of each candidate with M1, its name, its rank, and whether it was cross-trained."""
    table = context.agreement
    rank = {role: k for k, role in enumerate(ranked(table), 1)}
    models, ranks = (table["candidate"].map(each) for each in (context.candidates, rank))
    return table.assign(model=models, rank=ranks, chosen=ranks <= context.spec.seconds)


def _compliance(context: PredictionContext) -> Iterator[dict[str, Any]]:
    """Share of answers that comply, by set of answers, task and property."""
    for answers in context.answered():
        if answers.startswith(("behaviour-", "foreseen-")):
            kind, _, model = answers.partition("-")
            for (split, task, name), part in context.answers(answers).groupby(["split", "task", "property"]):
                share = wilson(int(part["value"].notna().sum()), len(part))
                row = {"asked": kind, "model": model, "split": split, "task": task, "property": name}
                yield row | vars(share) | {"n": len(part)}


def _drift(context: PredictionContext) -> Iterator[dict[str, Any]]:
    """How often a finetuned model's behaviour is that of the model it was made from (test items, by split)."""
    for answers in context.answered():
        kind, _, name = answers.partition("-")
        if kind == "behaviour" and (name == "shifted" or "-on-" in name):
            before = FIRST if name == "shifted" else name.partition("-on-")[0]
            both = judged(context.behaviour(before, "test"), context.answers(answers).dropna(subset=["value"]))
            for split, part in both.groupby("split"):
                yield {"model": name, "before": before, "split": split} | level(part)


def _shift(context: PredictionContext) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Old is what the self-trained M1 does, new what it does after it learned another model's answers."""
    name = f"{FIRST}-on-{FIRST}"
    old, new = context.answers(f"behaviour-{name}"), context.answers("behaviour-shifted")
    said = {"before": context.answers(f"foreseen-{name}"), "after": context.answers("foreseen-shifted")}
    return shift_tables(old, new, said, context.spec.seed)
