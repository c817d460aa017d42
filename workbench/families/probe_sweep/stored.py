"""The source ``activations``: sets or stores that were captured before, read where they lie."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.activations import ActivationStore
from workbench.activations.sources import Source, Stored, Task, infer_task
from workbench.errors import ArtifactError, SpecError, check_keys


def _check(options: Mapping[str, Any], positions: Mapping[str, Any]) -> dict[str, Task]:
    table = next(iter(_stores(options, positions).values())).labels
    return {str(name): infer_task(table[name]) for name in table}


def _stored(options: Mapping[str, Any], positions: Mapping[str, Any]) -> Stored:
    stores = _stores(options, positions)
    first, *others = (store.manifest for store in stores.values())
    for other in others:
        for what in ("fingerprint", "basis", "precision", "sites"):
            if getattr(other, what) != getattr(first, what):
                raise ArtifactError(
                    f"source: the folders of the positions differ in their {what}: one model, one sweep"
                )
    sites = next(iter(stores.values())).sites
    folders = {name: store.path for name, store in stores.items()}
    return Stored(first.model or "saved", first.fingerprint, sites, folders, first.n_layers)


def _stores(options: Mapping[str, Any], positions: Mapping[str, Any]) -> dict[str, ActivationStore]:
    """The store of each position: the one folder for the only position, or ``path/<value of the position>``."""
    check_keys(options, ("kind", "path"), "source activations")
    if "path" not in options:
        raise SpecError("source activations needs 'path': the folder of an ActivationSet or ActivationStore")
    root = Path(options["path"])
    whole = ActivationStore(root)
    if whole.exists and len(positions) > 1:
        raise SpecError(f"positions: {root} is one activation set, so name one position for it")
    found = {}
    for name, value in positions.items():
        store = whole if whole.exists else ActivationStore(root / str(value))
        if not store.exists:
            raise SpecError(f"position {name!r}: no activations are saved in {store.path}")
        found[name] = store
    return found


STORED = Source(check=_check, stored=_stored)
