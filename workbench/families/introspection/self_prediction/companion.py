"""The representational companion: what a linear probe reads of M1's future answer at the hypothetical prompt.

The probe gets the residual stream of M1, as it was before any finetuning, at the last token of the hypothetical prompt,
and names the property of the answer that M1 will give.  It is fitted in two ways: on the *training* pairs that the
finetuned models learn from (all training tasks of a property together), and in *folds* of the tested prompts of each
task and property, whole prompts at a time.  Controls: labels shuffled over the rows it is fitted on, the activations
of M1 with untrained weights, and those of the second model, which are to self-prediction's probe what cross-prediction
is to self-prediction.  The layer is the one that reads best in folds of the training pairs; test rows have no part in
the choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from probes import make_probe
from probes.controls import shuffled_labels
from probes.folds import group_folds
from workbench.activations import capture
from workbench.families.introspection.self_prediction.context import FIRST, PredictionContext
from workbench.families.introspection.self_prediction.protocol import KEYS
from workbench.models.fingerprint import stamp_of
from workbench.models.language_model import LanguageModel, Prompt
from workbench.models.untrained import untrained
from workbench.runs.contents import RunContents
from workbench.seeding import derive_seed
from workbench.sites import Site
from workbench.worlds.questions.properties import PROPERTIES

FITS = ("training", "folds")
CONTROLS = ("shuffled", "untrained", "second")
_FEW = 5  # shuffles of the labels


def read_rows(context: PredictionContext, layers: Sequence[int]) -> pd.DataFrame:
    """The probed pairs, ``task, split, role, id, property, value``; their activations become artifacts."""
    rows = _probed(context)
    sources = {
        "own": context.model,
        "untrained": untrained(context.model, context.spec.seed),
        "second": context.model_of("second-1"),
    }
    for source, model in sources.items():
        sites = {layer: Site(_same_depth(layer, context.model, model)) for layer in layers}
        wanted, prompts = sorted(set(sites.values()), key=str), _prompts(context, model, rows)
        found = capture(model, prompts, wanted, "last", dtype="float32", progress=context.progress).activations
        for layer, site in sites.items():
            about = {"model": model.name, "site": str(site), **stamp_of(model)}
            context.folder.save_tensors(_artifact(source, layer), {"activations": found[site]}, about)
    return rows


def _probed(context: PredictionContext) -> pd.DataFrame:
    """M1's test rows, and those of at most ``probe_prompts`` training prompts a task, that have a value."""
    kept = {question.item.id for question in context.questions.role("train", context.spec.probe_prompts)}
    train = context.behaviour(FIRST, "train")
    rows = pd.concat([train[train["id"].isin(kept)], context.behaviour(FIRST, "test")])
    return rows.dropna(subset=["value"])[[*KEYS, "value"]].reset_index(drop=True)


def _prompts(context: PredictionContext, model: LanguageModel, rows: pd.DataFrame) -> list[Prompt]:
    questions = context.questions.by_id
    return [questions[i].prompt(model, PROPERTIES[prop]) for i, prop in zip(rows["id"], rows["property"], strict=True)]


def _same_depth(layer: int, model: LanguageModel, other: LanguageModel) -> int:
    """The layer of ``other`` that is as far up as ``layer`` is in ``model``."""
    return round(layer * (other.n_layers - 1) / max(1, model.n_layers - 1))


def _artifact(source: str, layer: int) -> str:
    return f"activations-{source}-{layer}"


def controls_rows(context: PredictionContext) -> pd.DataFrame:
    """The same of every control, at the chosen layer; the shuffled labels' rows have the number of their ``draw``."""
    layer = chosen_layer(context.folder, context.layers)
    return pd.concat([probe_rows(context, layer, control) for control in CONTROLS], ignore_index=True)


def chosen_layer(folder: RunContents, layers: Sequence[int]) -> int:
    """The layer whose probes are right most often in folds of the training pairs; the lowest of equal ones."""
    right = {}
    for layer in layers:
        rows = folder.read(f"probe-{layer}")
        train = rows[rows["role"] == "train"]
        right[layer] = float((train["truth"] == train["said"]).mean())
    return max(right, key=lambda layer: (right[layer], -layer))


def probe_rows(context: PredictionContext, layer: int, control: str = "none") -> pd.DataFrame:
    """What the probe of a layer says: rows ``role, task, split, id, property, truth, said, layer, fit, control``."""
    rows = context.folder.read("activations")
    source = control if control in ("untrained", "second") else "own"
    x = context.folder.load_tensors(_artifact(source, layer))[0]["activations"].numpy()
    draws = range(_FEW) if control == "shuffled" else range(1)
    parts = [
        part.assign(fit=fit, layer=layer, control=control, draw=draw)
        for draw in draws
        for fit, part in _fits(context, rows, x, control, draw)
    ]
    return pd.concat(parts, ignore_index=True).rename(columns={"value": "truth"})


def _fits(
    context: PredictionContext, rows: pd.DataFrame, x: np.ndarray, control: str, draw: int
) -> Iterator[tuple[str, pd.DataFrame]]:  # fmt: skip
    """Predicted rows by the way the probe was fitted; training rows (control none) are predicted in folds."""
    spec, seed = context.spec, context.seed("probe", control, draw)
    train, test = (np.flatnonzero(rows["role"] == role) for role in ("train", "test"))
    if control == "none":
        for _, index in _cells(rows, train, ["property"]):
            part = rows.iloc[index]
            yield "training", part.assign(said=fold_predictions(spec.probe, x[index], part, spec.folds, seed))
    learned = dict(_cells(rows, train, ["property"]))
    for key, index in _cells(rows, test, ["property"]):
        if key in learned:
            own = rows.iloc[learned[key]]
            y, ids = own["value"].to_numpy(dtype=str), own["id"].to_numpy(dtype=str)
            y = shuffled_labels(y, ids, seed) if control == "shuffled" else y
            yield "training", rows.iloc[index].assign(said=_predicted(spec.probe, x[learned[key]], y, ids, x[index]))
    for _, index in _cells(rows, test, ["task", "property"]):
        part = rows.iloc[index]
        said = fold_predictions(spec.probe, x[index], part, spec.folds, seed, control == "shuffled")
        yield "folds", part.assign(said=said)


def _cells(rows: pd.DataFrame, index: np.ndarray, by: list[str]) -> list[tuple[tuple[str, ...], np.ndarray]]:
    """The row numbers in ``index`` by the values of some columns."""
    groups = rows.iloc[index].groupby(by, sort=True).indices
    return [(key if isinstance(key, tuple) else (key,), index[places]) for key, places in groups.items()]


def fold_predictions(
    probe: str, x: np.ndarray, rows: pd.DataFrame, folds: int, seed: int, shuffle: bool = False
) -> np.ndarray:
    """The value [rows] that a probe fitted on the other folds names; rows of one item share a fold.

    ``rows``: ``id, value``.  A value that the other folds lack cannot be named, and counts as wrong.  ``shuffle``: the
    labels of the rows that are fitted are permuted.  With fewer items than folds there are as many folds as items; a
    single item cannot be predicted (empty text).
    """
    y, ids = rows["value"].to_numpy(dtype=str), rows["id"].to_numpy(dtype=str)
    said = np.full(len(y), "", dtype=object)
    n_items = len(np.unique(ids))
    if n_items < 2:
        return said
    fold_of = group_folds(ids, min(folds, n_items), seed)
    for fold in np.unique(fold_of):
        train, test = fold_of != fold, fold_of == fold
        labels = shuffled_labels(y[train], ids[train], derive_seed(seed, "fold", int(fold))) if shuffle else y[train]
        said[test] = _predicted(probe, x[train], labels, ids[train], x[test])
    return said


def _predicted(probe: str, x: np.ndarray, y: np.ndarray, ids: np.ndarray, new: np.ndarray) -> np.ndarray:
    """What a probe fitted on ``x``, ``y`` says of ``new``; with one class there is nothing to fit."""
    if len(np.unique(y)) == 1:
        return np.full(len(new), y[0], dtype=object)
    return np.asarray(make_probe(probe).fit(x, y, ids).predict(new), dtype=object)
