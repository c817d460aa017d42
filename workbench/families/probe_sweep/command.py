"""``workbench sweep FILE``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from workbench.console import Name, NoProgress, Runs, log, option, results, show_progress
from workbench.errors import SpecError
from workbench.families.showing import show
from workbench.spec_files import read_spec_file, validated
from workbench.views.tables import new_table

if TYPE_CHECKING:
    from workbench.families.probe_sweep.plan import Plan

_LISTED = 200


def sweep(
    file: tyro.conf.Positional[Annotated[Path, option("YAML or JSON; docs/sweeps.md explains the fields", "FILE")]],
    runs: Runs = Path("runs"),
    name: Name = None,
    engine: Annotated[str, option("local (processes), ray (a cluster) or slurm (job arrays)", "NAME")] = "local",
    jobs: Annotated[
        int | None, option("processes, cells at once on ray, or elements of the job array; default cores, all, 16", "N")
    ] = None,
    slurm: Annotated[
        tuple[str, ...], option("such as partition=long timeout_min=120 mem_gb=8 cpus_per_task=2", "KEY=VALUE")
    ] = (),
    dry_run: Annotated[bool, option("list the cells and stop")] = False,
    report: Annotated[bool, option("run nothing: print and draw what is finished")] = False,
    no_progress: NoProgress = False,
) -> int:
    """Fit and evaluate many probes: a grid of models, sites, positions, targets, probes and seeds, from one file.

    Activations are captured once a model.  The same file names the same run folder, so the same command goes on where
    it was stopped, and tries failed cells again.  Exit code 1 when cells failed.
    """
    from workbench.families.probe_sweep.pipeline import run as run_sweep
    from workbench.families.probe_sweep.plan import make_plan
    from workbench.families.probe_sweep.spec import EXPERIMENT, SweepSpec
    from workbench.runs import check_root, load_run, make_engine, run_name

    parameters = _parameters(slurm)
    spec = validated(SweepSpec, read_spec_file(file), f"sweep {file}")
    root, base = check_root(runs), file.expanduser().resolve().parent
    path = root / EXPERIMENT / run_name(spec, name)
    if dry_run:
        make_engine(engine, root, jobs, parameters)
        _print_cells(make_plan(spec, base), path)
        return 0
    if not report:
        path = run_sweep(
            spec, root, name, base=base, engine=engine, jobs=jobs, parameters=parameters,
            progress=show_progress(not no_progress), log=log, last=show,
        )  # fmt: skip
    else:
        show(load_run(path))
    record = load_run(path)
    if record.status.state == "failed":
        log(f"{record.status.error}; the same command tries them again")
        return 1
    return 0


def _parameters(words: tuple[str, ...]) -> dict[str, Any]:
    """``KEY=VALUE`` words; a value that reads as a number is one."""
    found: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise SpecError(f"--slurm {word}: write KEY=VALUE, such as partition=long")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found


def _print_cells(plan: Plan, path: Path) -> None:
    spec = plan.spec
    columns = ("model", "position", "site", "target", "probe", "parameters", "seed", "done")
    title = f"{len(plan.captures)} captures, {len(plan.cells)} cells"
    table = new_table(title, *columns, numbers="seed")
    for cell in plan.cells[:_LISTED]:
        v = cell.values
        params = ", ".join(f"{name} {value}" for name, value in v["params"].items())
        done = "yes" if (path / "rows" / f"{cell.name}.parquet").exists() else ""
        site = f"{v['layer']}.{v['component']}"
        table.add_row(v["model"], v["position"], site, v["target"], v["probe"], params, str(v["seed"]), done)
    out = results()
    out.print(table)
    if len(plan.cells) > _LISTED:
        out.print(f"and {len(plan.cells) - _LISTED} more")
    split = f"{spec.holdout:g} held out" if spec.holdout else f"{spec.folds} folds"
    out.print(f"each cell: {split}, controls {', '.join(spec.controls) or 'none'}", markup=False, soft_wrap=True)
    if plan.tests:
        out.print(f"also tested on: {', '.join(plan.tests)}", markup=False, soft_wrap=True)
    out.print(f"run folder: {path}", markup=False, soft_wrap=True)
