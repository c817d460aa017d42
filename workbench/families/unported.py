"""Families that are modules with PRESETS, plan and run as yet, as :class:`Family` objects."""

from __future__ import annotations

import importlib
from functools import partial
from pathlib import Path
from typing import Any

from workbench.families import EXPERIMENTS, Family, Step, families, figures_module

_REPORTS = {
    "sweep": ("", "probe_sweep.views.report:print_sweep"),
}


def known() -> dict[str, Family]:
    """Every family by name, those that are not yet ported among them."""
    return families() | {name: _adapted(name) for name in (*EXPERIMENTS, "sweep") if name not in families()}


def old_report(record: Any, out: Any) -> None:
    """Print the report of a family that is not yet ported."""
    table, where = _REPORTS.get(record.experiment, ("", ""))
    if record.experiment not in families() and where and (not table or f"{table}.parquet" in record.artifacts):
        _found(where)(record, out)


def _found(where: str) -> Any:
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(f"workbench.families.{module}"), name)


def _adapted(name: str) -> Family:
    module: Any = None if name == "sweep" else importlib.import_module(EXPERIMENTS[name])
    presets = module.PRESETS if module else {}
    title = (module.__doc__ if module else "").strip().split("\n")[0]
    return Family(
        name, title, type(next(iter(presets.values()), None)), presets,  # type: ignore[arg-type]
        partial(_steps, module),
        run=partial(_run, module), figures=partial(_figures, name),
    )  # fmt: skip


def _steps(module: Any, spec: Any) -> list[Step]:
    return [Step(name, what, lambda context: None, completions) for name, what, completions in module.plan(spec)]


def _run(module: Any, spec: Any, root: Any, name: Any, progress: bool = False, log: Any = None) -> Path:
    return module.run(spec, root, name, progress=progress, say=log)


def _figures(name: str, record: Any) -> Any:
    module: Any = figures_module(name)
    return {key: partial(lambda one: one, one) for key, one in module.figures_of(record).items()}
