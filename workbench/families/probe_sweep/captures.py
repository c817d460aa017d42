"""The activations of a sweep: read once a model, kept in the run folder, loaded by the workers.

``artifacts/capture-<model>.json`` says whose they are and where the activation set of each position lies; it is written
last, so what it names is whole.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from workbench.activations import ActivationStore
from workbench.activations.sources import Stored
from workbench.errors import ArtifactError, DataError, RunError
from workbench.families.context import Log
from workbench.families.probe_sweep.plan import CapturePlan, Plan, capture_key
from workbench.families.probe_sweep.words import BAG_OF_WORDS, save_words
from workbench.files import read_object
from workbench.models.language_model import LanguageModel
from workbench.models.loading import load_model
from workbench.models.untrained import untrained
from workbench.runs import RunFolder

CONTROL = "untrained"
_FOLDER = "activations"


def ensure_captures(folder: RunFolder, plan: Plan, progress: bool, log: Log) -> None:
    """Capture what is not there yet, or is not any more what was captured.

    Raises :class:`RunError` when the source's file, or a model that is needed once more, is not what it was when its
    activations were captured; :class:`ArtifactError` when activations of one's own are damaged.
    """
    for capture in plan.captures:
        left = any(not folder.done(cell.name) for cell in plan.cells_of(capture))
        record = _record(folder, capture)
        lost = _lost(folder, record) if record and not capture.stored else ""
        if record and (lost or left):
            _check_unchanged(folder, plan, capture, record)
        if capture.stored and left:
            _check_whole(capture.stored)
        if lost or not record:
            folder.forget(capture.step)
            log(f"{lost and f'{lost}; '}capturing {capture.model.name} at {len(capture.sites)} sites")
            folder.write(capture.step, capture_rows(folder, plan, capture, progress))


def _record(folder: RunFolder, capture: CapturePlan) -> dict[str, Any]:
    """What was written when the capture was finished; empty when it was not, or when that is lost."""
    if not folder.done(capture.step):
        return {}
    try:
        return read_object(folder.path / "artifacts" / f"{capture.step}.json")
    except RunError:
        return {}


def _lost(folder: RunFolder, record: Mapping[str, Any]) -> str:
    """What is wrong with the activations that were captured; empty when nothing is."""
    places = [place for of_reader in record["folders"].values() for place in of_reader.values()]
    return next(filter(None, (_wrong(folder.path / place) for place in places)), "")


def _check_whole(stored: Stored) -> None:
    for wrong in map(_wrong, stored.folders.values()):
        if wrong:
            raise ArtifactError(wrong)


def _wrong(place: Path) -> str:
    try:
        store = ActivationStore(place)
        return next(iter(store.broken().values()), "") if store.exists else f"{place} is missing"
    except ArtifactError as error:
        return str(error)


def capture_rows(folder: RunFolder, plan: Plan, capture: CapturePlan, progress: bool) -> pd.DataFrame:
    """Run the source and keep what it read, in the run folder; the step has no rows of its own."""
    if capture.stored:
        stamp = {"model": capture.stored.model, "fingerprint": capture.stored.fingerprint}
        folders = {"": {name: str(path) for name, path in capture.stored.folders.items()}}
    else:
        model = _load(folder, plan, capture)
        stamp = {"model": model.name, "fingerprint": model.fingerprint}
        if BAG_OF_WORDS in plan.spec.controls and plan.source.texts:
            save_words(folder, plan.source.texts(plan.options))
        folders = {name: _save(folder, plan, capture, model, name, progress) for name in _readers(plan, capture)}
    folder.write_json(capture.step, stamp | {"source": _digest(plan.options), "folders": folders})
    return pd.DataFrame()


def _readers(plan: Plan, capture: CapturePlan) -> list[str]:
    """The model itself, and the untrained one where that is a control."""
    return ["", CONTROL] if CONTROL in plan.spec.controls and capture.model.untrained is None else [""]


def _save(
    folder: RunFolder, plan: Plan, capture: CapturePlan, model: LanguageModel, which: str, progress: bool
) -> dict[str, str]:
    """Run the source; returns the folder of each position, relative to the run folder."""
    assert plan.source.capture is not None
    seed = plan.spec.untrained_seed if which == CONTROL else capture.model.untrained
    reader = model if seed is None else untrained(model, seed)
    found = plan.source.capture(
        plan.options, model=model, reader=reader, sites=capture.sites, positions=plan.spec.positions,
        device=plan.spec.device, progress=progress,
    )  # fmt: skip
    if list(found) != list(plan.spec.positions):
        raise DataError(f"source {plan.options['kind']} gave positions {list(found)}, not {list(plan.spec.positions)}")
    places = {}
    for position, activations in found.items():
        places[position] = f"artifacts/{_FOLDER}/{'-'.join(filter(None, [capture.key, which]))}/{position}"
        shutil.rmtree(folder.path / places[position], ignore_errors=True)  # a killed capture's
        activations.save(folder.path / places[position])
    return places


def _load(folder: RunFolder, plan: Plan, capture: CapturePlan) -> LanguageModel:
    """The model, known to be the one that it was when the sweep first read it."""
    spec = plan.spec
    model = LanguageModel.of(load_model(capture.load_from, spec.backend, device=spec.device, dtype=spec.dtype))
    folder.uses(model, capture.model.model)
    return model


def _check_unchanged(folder: RunFolder, plan: Plan, capture: CapturePlan, record: Mapping[str, Any]) -> None:
    advice = f"since activations were captured in {folder.path}; choose another --name"
    if record["source"] != _digest(plan.options):
        raise RunError(f"{plan.options['path']} has changed {advice}")
    now = capture.stored.fingerprint if capture.stored else _load(folder, plan, capture).fingerprint
    if record["fingerprint"] != now:
        raise RunError(f"the model {capture.model.model} has changed {advice}")


def _digest(options: Mapping[str, Any]) -> str:
    """Of what the option ``path`` names: the file, or the manifests of the activations in a folder."""
    if "path" not in options:
        return ""
    path, digest = Path(options["path"]), hashlib.sha256()
    for file in sorted(path.rglob("manifest.json")) if path.is_dir() else [path]:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


class Rows(NamedTuple):
    """Activations of one site and position in float32 [rows, d], with the labels and groups of the rows."""

    activations: np.ndarray
    labels: pd.DataFrame
    groups: np.ndarray


def load_rows(run: Path, model: str, position: str, site: str, reader: str = "") -> Rows:
    """What a cell reads, from the run folder of its sweep; a process keeps the last few."""
    record = read_object(run / "artifacts" / f"capture-{capture_key(model)}.json")
    if reader and reader not in record["folders"]:
        raise DataError(f"no {reader} activations of {model} were captured")
    folder = run / record["folders"][reader][position]
    return _cached(str(folder), site, (folder / "manifest.json").stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _cached(folder: str, site: str, _version: int) -> Rows:
    store = ActivationStore(folder)
    return Rows(store.read(site).to(torch.float32).numpy(), store.labels, store.groups)
