"""From rows to tables: every rate with a Wilson interval, and beside it what the controls give.

Beside each number of an injected concept stand, for the same arm, layer and dose: no injection (false positives),
the random and the shuffled vector of the same norm, and odd input where it was run; and the differences from them, each
paired by concept, with intervals that resample whole concepts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from workbench.families.introspection.concept_injection.coherence import OWN, floor_table
from workbench.families.introspection.concept_injection.judge import KEYS
from workbench.families.introspection.concept_injection.protocols import arms_of
from workbench.families.introspection.concept_injection.scale import scale_of
from workbench.families.introspection.concept_injection.vectors import CONTROL_VECTORS
from workbench.runs.contents import RunContents
from workbench.statistics import Interval, cluster_bootstrap, wilson

if TYPE_CHECKING:
    from workbench.families.introspection.concept_injection.steps import InjectionContext

_GRADES = ("success", "affirms", "names")  # which the judge gives where there is one
_RATES = (
    *_GRADES, "coherent", "says_yes", "correct", *(f"rule_{grade}" for grade in _GRADES), "judge_coherent",
)  # fmt: skip
_MEANS = ("yes_no", "option_logit", "outside_mass", "logprob", "transcription", "cosine")
_BESIDE = ("none", "random", "shuffled", "perturbed")
# By which metric the cell of an arm is chosen.
PRIMARY = {
    ("detection", "standard"): "success",
    ("detection", "neutral"): "success",
    ("detection", "unrelated"): "affirms",
    ("detection", "choice"): "correct",
    ("naming", "standard"): "names",
    ("thought", "thought"): "names",
    ("thought", "text"): "transcription",
    ("prefill", "standard"): "yes_no",
    ("control", "think"): "cosine",
    ("control", "avoid"): "cosine",
    ("kv_cache", "standard"): "yes_no",
    ("kv_cache", "unrelated"): "yes_no",
}
# What parts cells whose primary metric is the same, as when a model detects nothing anywhere.
_TIES = ("yes_no", "option_logit")
_NOWHERE = Interval(float("nan"), float("nan"), float("nan"))


def finish(context: InjectionContext) -> None:
    """Write the tables, the chosen cells, the injected positions, and the vectors that steering loads, as artifacts."""
    folder, rows = context.folder, context.rows
    selecting, tested = split(rows)
    chosen = choose(selecting)
    folder.save_table("results", results_table(rows))
    folder.save_table("held_out", held_out(tested, chosen))
    folder.save_table("vectors", folder.read("vectors"))
    if OWN in folder.steps():
        folder.save_table("coherence", floor_table(folder.read(OWN)))
    folder.write_json("chosen", chosen)
    folder.write_json("scopes", _scopes(context))
    _save_vectors(context, chosen)


def _save_vectors(context: InjectionContext, chosen: dict[str, dict[str, float]]) -> None:
    """The concepts' vectors at the layer chosen for detection (else two thirds up), as files that steering loads."""
    at = chosen.get("detection/standard", {"layer": context.layers[2 * (len(context.layers) - 1) // 3]})
    for word, vector in context.vectors[int(at["layer"])].items():
        vector.save(context.folder.path / "artifacts" / f"vector-{word.replace(' ', '-')}.safetensors")


def _scopes(context: InjectionContext) -> list[dict[str, object]]:
    """The exact injected positions of every arm, for the first concept."""
    word = next(iter(context.words.concepts))
    found: list[dict[str, object]] = []
    for protocol in context.spec.protocols:
        for arm in arms_of(context.spec, protocol) if protocol != "control" else ():
            placed = context.place(arm.ask(context, 0, word))
            where = {"start": placed.start, "stop": placed.stop, "prompt_tokens": len(placed.tokens)}
            text = context.model.decode(placed.tokens[placed.start : placed.stop])
            found.append({"protocol": protocol, "arm": arm.name, **where, "text": text})
    return found


def gather(folder: RunContents) -> pd.DataFrame:
    """The rows of all protocols; where a judge graded, with its grades, and those of the rules as ``rule_...``."""
    steps = [step for step in folder.steps() if step not in ("vectors", OWN)]
    rows = pd.concat([folder.read(step) for step in steps if not step.startswith("judge-")], ignore_index=True)
    judged = [folder.read(step) for step in steps if step.startswith("judge-")]
    if judged:
        graded = pd.concat(judged, ignore_index=True)
        rows = _by_judge(rows.merge(graded, on=[*KEYS, scale_of(rows)], how="left", validate="one_to_one"))
    return rows.reindex(columns=[*KEYS, scale_of(rows), "text", *_RATES, *_MEANS])


def _by_judge(rows: pd.DataFrame) -> pd.DataFrame:
    """The judge's grades in place of the rules' wherever both are there, and the rules' beside them."""
    rows = rows.reindex(columns=list(dict.fromkeys([*rows.columns, *_GRADES])))
    rows = rows.assign(judge_success=rows[["judge_affirms", "judge_names", "coherent"]].min(axis=1, skipna=False))
    for grade in _GRADES:
        judged = rows[grade].notna() & rows[f"judge_{grade}"].notna()
        rows[f"rule_{grade}"] = rows[grade].where(judged)
        rows[grade] = rows[grade].where(~judged, rows[f"judge_{grade}"])
    return rows


def split(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of every second concept, by which cells are chosen, and of the others, on which they are judged."""
    order = {word: place for place, word in enumerate(dict.fromkeys(rows["concept"]))}
    even = rows["concept"].map(order) % 2 == 0
    return rows[even], rows[~even]


def choose(rows: pd.DataFrame) -> dict[str, dict[str, float]]:
    """``{"protocol/arm": {"layer", "dose"}}`` (or ``"multiplier"``): where the arm's primary metric is largest for the
    concept.

    Of equal cells the one with the largest logit (yes minus no, or of the right option) where the arm has one, then the
    first by layer and by dose.
    """
    found, scale = {}, scale_of(rows)
    for (protocol, arm), part in rows[rows["vector"] == "concept"].groupby(["protocol", "arm"], sort=False):
        metrics = [name for name in dict.fromkeys((PRIMARY[protocol, arm], *_TIES)) if part[name].notna().any()]
        cells = part.groupby(["layer", scale])[metrics].mean()
        layer, strength = cells.sort_values(metrics, ascending=False, kind="stable").index[0]
        found[f"{protocol}/{arm}"] = {"layer": int(layer), scale: float(strength)}
    return found


def held_out(rows: pd.DataFrame, chosen: dict[str, dict[str, float]]) -> pd.DataFrame:
    """The results of every arm at its chosen cell; ``rows`` are of the concepts that it was not chosen on."""
    parts, scale = [], scale_of(rows)
    for name, cell in chosen.items():
        protocol, _, arm = name.partition("/")
        part = rows[(rows["protocol"] == protocol) & (rows["arm"] == arm)]
        at = (part["layer"] == cell["layer"]) & (part[scale] == cell[scale])
        parts.append(part[at | part["vector"].isin(["none", "perturbed"])])
    table = results_table(pd.concat(parts))
    return table[table["vector"] == "concept"].reset_index(drop=True)


def results_table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row an arm, vector, layer, dose and metric.

    Columns: ``protocol, arm, vector, layer, dose`` (or ``multiplier``)``, metric, kind`` (``rate``: Wilson interval;
    ``mean``: cluster bootstrap over concepts), ``n``, ``estimate, low, high``; for every control in :data:`_BESIDE` its
    own ``none, none_low, none_high``...; and the paired difference ``over_none, over_none_low, over_none_high``... of
    the concept's vector (of the other vectors: from no injection alone).  A control that was not run is NaN.
    """
    return pd.DataFrame([row for _, part in rows.groupby(["protocol", "arm"], sort=False) for row in _of_arm(part)])


def _of_arm(part: pd.DataFrame) -> Iterator[dict[str, Any]]:
    metrics = [metric for metric in (*_RATES, *_MEANS) if part[metric].notna().any()]
    scale = scale_of(part)
    cells = {key: cell for key, cell in part.groupby(["vector", "layer", scale], sort=True)}
    means = {key: cell.groupby("concept")[metrics].mean() for key, cell in cells.items()}  # [concept, metric]
    levels = {
        (key, metric): _level(cell, metric)
        for key, cell in cells.items()
        for metric in metrics
        if cell[metric].notna().any()
    }
    for (key, metric), level in levels.items():
        vector, layer, strength = key
        row = {"protocol": part["protocol"].iloc[0], "arm": part["arm"].iloc[0], "vector": vector, "layer": layer}
        row |= {scale: strength, "metric": metric, "kind": "rate" if metric in _RATES else "mean"}
        row |= {"n": int(cells[key][metric].notna().sum()), **vars(level)}
        for control in _BESIDE:
            beside = _beside(cells, control, layer, strength)
            row |= _three(control, levels.get((beside, metric), _NOWHERE))
            compared = vector == "concept" or (control == "none" and vector in CONTROL_VECTORS)
            known = compared and beside is not None and (beside, metric) in levels
            row |= _three(f"over_{control}", _paired(means[key], means[beside], metric) if known else _NOWHERE)
        yield row


def _beside(cells: Any, control: str, layer: int, strength: float) -> tuple[str, int, float] | None:
    """Where a control stands beside a cell: at its layer and strength, or without any."""
    places = ((control, layer, strength), (control, -1, 0.0))
    return next((key for key in places if key in cells), None)


def _three(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}


def _level(cell: pd.DataFrame, metric: str) -> Interval:
    part = cell[cell[metric].notna()]
    if metric in _RATES:
        return wilson(int(part[metric].sum()), len(part))
    return cluster_bootstrap(part[metric].to_numpy(), part["concept"].to_numpy())


def difference(a: pd.DataFrame, b: pd.DataFrame, metric: str) -> Interval:
    """Mean of ``metric`` in ``a`` less that in ``b``, paired by concept; NaN where they share no concept."""
    left, right = (rows.groupby("concept")[[metric]].mean() for rows in (a, b))
    return _paired(left, right, metric)


def _paired(a: pd.DataFrame, b: pd.DataFrame, metric: str) -> Interval:
    """``a`` and ``b``: one row a concept."""
    change = (a[metric] - b[metric]).dropna()
    return cluster_bootstrap(change.to_numpy(), change.index.to_numpy()) if len(change) else _NOWHERE
