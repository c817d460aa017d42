"""``workbench models`` and ``workbench models check``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from workbench.console import log, option, results
from workbench.errors import ModelError, WorkbenchError
from workbench.views.tables import new_table

if TYPE_CHECKING:
    from workbench.models.report import Report

Model = Annotated[str, option("shipped model, Hugging Face folder or hub id", "MODEL")]


def list_all() -> int:
    """The models that come with the workbench."""
    from workbench.models import shipped_models

    shipped = shipped_models()
    if not shipped:
        results().print("no model comes with this installation; workbench train makes one")
        return 0
    columns = ("model", "layers", "width", "parameters", "on disk", "fingerprint")
    table = new_table("models that come with the workbench", *columns, numbers="layers|width|parameters|on disk")
    for name, folder in shipped.items():
        table.add_row(name, *_facts(name, folder))
    results().print(table)
    return 0


def _facts(name: str, folder: Path) -> list[str]:
    from workbench.models import load_model

    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    try:
        model = load_model(name, device="cpu")
    except WorkbenchError as error:  # the other models must be listed
        return ["", "", "", f"{size / 1e6:.1f} MB", str(error)]
    parameters = sum(weight.numel() for weight in model.backend.hf_model.parameters())
    shape = [str(model.n_layers), str(model.d_model), f"{parameters:,}"]
    return [*shape, f"{size / 1e6:.1f} MB", model.fingerprint]


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
