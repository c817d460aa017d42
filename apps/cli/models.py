"""``workbench models`` and ``workbench models check``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from apps.cli.console import quiet, results, say
from apps.cli.options import parse
from workbench.errors import WorkbenchError
from workbench.views.tables import new_table

__all__ = ["check", "list_all"]


@dataclass
class ListOptions:
    """The models that come with the workbench.  `workbench models check NAME` checks one."""


@dataclass
class CheckOptions:
    """Does a back end compute what Hugging Face computes on a model?  Exit code 1 when it does not."""

    model: tyro.conf.Positional[
        Annotated[str, tyro.conf.arg(metavar="MODEL", help="shipped model, Hugging Face folder or hub id")]
    ]
    backend: Annotated[str, tyro.conf.arg(help="hf, transformer_lens or nnsight")] = "hf"
    device: Annotated[str | None, tyro.conf.arg(help="default: CUDA when there is one")] = None
    dtype: Annotated[str, tyro.conf.arg(help="auto is the checkpoint's; float32 is held to 1e-5")] = "auto"


def list_all(argv: list[str], prog: str) -> int:
    """``workbench models``."""
    parse(ListOptions, argv, prog)
    quiet()
    from workbench.models import shipped_models

    shipped = shipped_models()
    if not shipped:
        results().print("no model comes with this installation; workbench train bandit-agent makes one")
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


def check(argv: list[str], prog: str) -> int:
    """``workbench models check MODEL``."""
    options = parse(CheckOptions, argv, prog)
    quiet()
    from workbench.models import LanguageModel, check_backend, load_model

    say(f"loading {options.model}")
    model = load_model(options.model, options.backend, device=options.device, dtype=options.dtype)
    report = check_backend(LanguageModel.of(model))
    results().print(str(report), markup=False, soft_wrap=True)
    return 0 if report.ok else 1
