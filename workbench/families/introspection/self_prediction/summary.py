"""From units to tables: everything that follows from the rows, computed again at the end of every session."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from workbench.families.introspection.self_prediction.calibration_tables import calibration_tables
from workbench.families.introspection.self_prediction.companion import chosen_layer
from workbench.families.introspection.self_prediction.job import FIRST, Job
from workbench.families.introspection.self_prediction.orderings import orderings
from workbench.families.introspection.self_prediction.predictions import (
    accuracy_table,
    comparisons_table,
    gather_predictions,
)
from workbench.families.introspection.self_prediction.probe_tables import probe_layers, probe_tables
from workbench.families.introspection.self_prediction.scoring import judged
from workbench.families.introspection.self_prediction.shift import shift_tables
from workbench.families.introspection.self_prediction.similarity import ranked
from workbench.statistics import cluster_bootstrap, wilson

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["save_tables"]


def save_tables(job: Job) -> None:
    """Write the tables, ``orderings`` among them, and ``chosen`` (second models, probed layer) as artifacts."""
    import pandas as pd

    folder, units = job.folder, set(job.folder.steps())
    predictions = gather_predictions(job)
    tables = {
        "predictions": predictions,
        "accuracy": accuracy_table(predictions),
        "comparisons": comparisons_table(predictions, job.spec.seed),
        "similarity": _similarity(job),
        "compliance": pd.DataFrame(_compliance(job)),
        "drift": pd.DataFrame(_drift(job)),
        "finetuning": pd.concat([folder.read(name) for name in folder.steps() if name.startswith("train-")]),
    }
    if f"foresight-{FIRST}" in units:
        names = "calibration", "calibration_error", "calibration_differences"
        tables |= dict(zip(names, calibration_tables(job), strict=True))
    if "foreseen-shifted" in units:
        tables |= dict(zip(("shift", "shift_differences"), _shift(job), strict=True))
    chosen: dict[str, Any] = {f"second-{k}": job.name(f"second-{k}") for k in range(1, job.spec.seconds + 1)}
    if "probe-controls" in units:
        chosen["layer"] = chosen_layer(folder, job.layers)
        levels, differences = probe_tables(job, predictions)
        tables |= {"probe_layers": probe_layers(job), "probes": levels, "probe_comparisons": differences}
    for name, table in tables.items():
        folder.save_table(name, table)
    folder.save_table("orderings", orderings(tables))
    folder.write_json("chosen", chosen)


def _similarity(job: Job) -> pd.DataFrame:
    """Agreement of each candidate with M1, its name, its rank, and whether it was cross-trained."""
    table = job.agreement
    rank = {role: k for k, role in enumerate(ranked(table), 1)}
    ranks = table["candidate"].map(rank)
    return table.assign(model=table["candidate"].map(job.candidates), rank=ranks, chosen=ranks <= job.spec.seconds)


def _compliance(job: Job) -> Iterator[dict[str, Any]]:
    """Share of answers that comply, by unit, task and property."""
    for unit in job.folder.steps():
        if unit.startswith(("behaviour-", "foreseen-")):
            rows = job.folder.read(unit)
            kind, _, model = unit.partition("-")
            for (split, task, name), part in rows.groupby(["split", "task", "property"]):
                level = wilson(int(part["value"].notna().sum()), len(part))
                row = {"asked": kind, "model": model, "split": split, "task": task, "property": name}
                yield row | vars(level) | {"n": len(part)}


def _drift(job: Job) -> Iterator[dict[str, Any]]:
    """How often a finetuned model's behaviour is that of the model it was made from (test items, by split)."""
    for unit in job.folder.steps():
        kind, _, name = unit.partition("-")
        if kind == "behaviour" and (name == "shifted" or "-on-" in name):
            before = FIRST if name == "shifted" else name.partition("-on-")[0]
            both = judged(job.behaviour(before, "test"), job.folder.read(unit).dropna(subset=["value"]))
            for split, part in both.groupby("split"):
                level = cluster_bootstrap(part["correct"], part["id"].to_numpy(dtype=str))
                yield {"model": name, "before": before, "split": split} | vars(level) | {"n": len(part)}


def _shift(job: Job) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Old is what the self-trained M1 does, new what it does after it learned another model's answers."""
    name = f"{FIRST}-on-{FIRST}"
    old, new = job.folder.read(f"behaviour-{name}"), job.folder.read("behaviour-shifted")
    said = {"before": job.folder.read(f"foreseen-{name}"), "after": job.folder.read("foreseen-shifted")}
    return shift_tables(old, new, said, job.spec.seed)
