"""A run is one spec and one model: what is gone on with is compared with what the first session wrote down."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.errors import RunError
from workbench.files import read_object, write_json
from workbench.provenance import Model, identity
from workbench.runs.contents import PROVENANCE_FILE, SPEC_FILE
from workbench.runs.specs import first_difference, is_spec_of

_COMPARED = {"fingerprint": "fingerprint", "dtype": "dtype", "backend": "back end"}


def check_spec(folder: Path, spec: Mapping[str, Any], run: str | None) -> None:
    """Raise :class:`RunError` when the run has another spec, or its file was edited since.

    ``run``: the hash of the spec that was run, where it is known.
    """
    path = folder / SPEC_FILE
    found = read_object(path)
    difference = first_difference(found, spec)
    if run is not None and not is_spec_of(found, run):
        what = f" ({difference})" if difference else ""
        raise RunError(f"{path} was edited{what}: it is not the spec that was run; put it back or choose another name")
    if difference:
        raise RunError(f"run {folder} belongs to another spec: {difference}; choose another name")


def check_model(folder: Path, first: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> None:
    """Raise :class:`RunError` when two models (see :func:`workbench.provenance.identity`) differ in more than names.

    What either does not say, as records of older runs, is taken to agree.
    """
    for key, what in _COMPARED.items():
        there, here = (first or {}).get(key), (now or {}).get(key)
        if None not in (there, here) and there != here:
            raise RunError(
                f"run {folder} was begun with another model: {what} {there} there and {here} here; a run is one model,"
                " choose another name"
            )


def read_provenance(folder: Path) -> dict[str, Any]:
    """The record of a run; raises :class:`RunError` naming the file when it is none."""
    path = folder / PROVENANCE_FILE
    record = read_object(path)
    for key in ("model", "models", "git", "versions", "machine"):
        if not isinstance(record.get(key), dict | None):
            raise RunError(f"{path} is not a run's provenance: {key} must hold an object")
    others = record.get("resumed", [])
    if not isinstance(others, list) or not all(
        isinstance(each, dict) for each in (*others, *models_of(record).values())
    ):
        raise RunError(f"{path} is not a run's provenance: resumed and models must hold objects")
    return record


def models_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """The further models of a run by name, beside the one that it is of."""
    return record.get("models") or {}


def record_session(folder: Path, session: Mapping[str, Any]) -> None:
    """The first session's record, with the records of later ones that ran on something else in ``resumed``.

    Raises :class:`RunError` for a session with another model than the first.
    """
    path = folder / PROVENANCE_FILE
    if not path.exists():
        write_json(path, session)
        return
    first = read_provenance(folder)
    check_model(folder, first.get("model"), session.get("model"))
    resumed = first.get("resumed", [])
    if _lasting(session) != _lasting(resumed[-1] if resumed else first):
        write_json(path, {**first, "resumed": [*resumed, session]})


def record_model(folder: Path, model: Model, name: str) -> None:
    """Note a further model of the run; raises :class:`RunError` when another one had that name before."""
    record, now = read_provenance(folder), identity(model)
    models = models_of(record)
    check_model(folder, models.get(name), now)
    if name not in models:
        write_json(folder / PROVENANCE_FILE, record | {"models": models | {name: now}})


def _lasting(session: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in session.items() if key not in ("started", "command", "resumed", "models")}
