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
from workbench.families.probe_sweep.plan import CapturePlan, Given, Plan, capture_key
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
        for stored in filter(None, (capture.stored, *capture.stored_tests.values())) if left else ():
            _check_whole(stored)
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
    readers = [*record["folders"].values(), *(each for of_test in _tests(record).values() for each in of_test.values())]
    places = [place for of_reader in readers for place in of_reader.values()]
    return next(filter(None, (_wrong(folder.path / place) for place in places)), "")


def _tests(record: Mapping[str, Any]) -> dict[str, Any]:
    """Test -> reader -> position -> folder; sweeps of before had none."""
    return dict(record.get("tests", {}))


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
        folders, tests = _at(capture.stored), {name: _at(each) for name, each in capture.stored_tests.items()}
    else:
        model = _load(folder, plan, capture)
        stamp = {"model": model.name, "fingerprint": model.fingerprint}
        if BAG_OF_WORDS in plan.spec.controls and plan.source.texts:
            words = {name: each.source.texts(each.options) for name, each in plan.tests.items() if each.source.texts}
            save_words(folder, plan.source.texts(plan.options), words)
        readers = _readers(plan, capture)
        own = Given(plan.source, plan.options, None)
        folders = {which: _save(folder, plan, capture, own, model, which, progress) for which in readers}
        tests = {
            name: {which: _save(folder, plan, capture, each, model, which, progress, name) for which in readers}
            for name, each in plan.tests.items()
        }
    digests = {name: _digest(each.options) for name, each in plan.tests.items()}
    kept = {"source": _digest(plan.options), "folders": folders, "tests": tests, "test_sources": digests}
    folder.write_json(capture.step, stamp | kept)
    return pd.DataFrame()


def _at(stored: Stored) -> dict[str, dict[str, str]]:
    return {"": {name: str(path) for name, path in stored.folders.items()}}


def _readers(plan: Plan, capture: CapturePlan) -> list[str]:
    """The model itself, and the untrained one where that is a control."""
    return ["", CONTROL] if CONTROL in plan.spec.controls and capture.model.untrained is None else [""]


def _save(
    folder: RunFolder, plan: Plan, capture: CapturePlan, given: Given, model: LanguageModel, which: str, progress: bool,
    test: str = "",
) -> dict[str, str]:  # fmt: skip
    """Run the source (or that of a test); returns the folder of each position, relative to the run folder."""
    assert given.source.capture is not None
    seed = plan.spec.untrained_seed if which == CONTROL else capture.model.untrained
    reader = model if seed is None else untrained(model, seed)
    found = given.source.capture(
        given.options, model=model, reader=reader, sites=capture.sites, positions=plan.spec.positions,
        device=plan.spec.device, progress=progress,
    )  # fmt: skip
    if list(found) != list(plan.spec.positions):
        raise DataError(f"source {given.options['kind']} gave positions {list(found)}, not {list(plan.spec.positions)}")
    places = {}
    for position, activations in found.items():
        whose = "-".join(filter(None, [capture.key, which, test and f"test-{test}"]))
        places[position] = f"artifacts/{_FOLDER}/{whose}/{position}"
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
    known = {"": record["source"], **record.get("test_sources", {})}
    for name, options in {"": plan.options, **{name: each.options for name, each in plan.tests.items()}}.items():
        if known.get(name) != _digest(options):
            raise RunError(f"{options['path']} has changed {advice}")
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


def load_rows(run: Path, model: str, position: str, site: str, reader: str = "", test: str = "") -> Rows:
    """What a cell reads, of the sweep's source or one of its tests, from the run folder of its sweep; a process keeps
    the last few."""
    record = read_object(run / "artifacts" / f"capture-{capture_key(model)}.json")
    folders = _tests(record)[test] if test else record["folders"]
    if reader not in folders:
        raise DataError(f"no {reader} activations of {model} were captured")
    folder = run / folders[reader][position]
    return _cached(str(folder), site, (folder / "manifest.json").stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _cached(folder: str, site: str, _version: int) -> Rows:
    store = ActivationStore(folder)
    return Rows(store.read(site).to(torch.float32).numpy(), store.labels, store.groups)
