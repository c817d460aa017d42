"""``workbench sweep FILE``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from apps.cli.console import quiet, results, say, show_progress
from apps.cli.options import parse, validated
from apps.cli.reports import print_report
from apps.cli.run import check_root, draw
from apps.cli.specs import read_spec_file
from workbench.errors import SpecError
from workbench.families.probe_sweep.views.report import print_sweep
from workbench.views.tables import new_table

if TYPE_CHECKING:
    from workbench.families.probe_sweep import Plan, SweepSpec

__all__ = ["sweep"]

_LISTED = 200


def _named(metavar: str | None, text: str) -> Any:
    return tyro.conf.arg(metavar=metavar, help=text)


@dataclass
class SweepOptions:
    """Fit and evaluate many probes: a grid of models, sites, positions, targets, probes and seeds, from one file.

    Activations are captured once a model.  The same file names the same run folder, so the same command goes on where
    it was stopped, and tries failed cells again.  Exit code 1 when cells failed.
    """

    file: tyro.conf.Positional[Annotated[Path, _named("FILE", "YAML or JSON; docs/sweeps.md explains the fields")]]
    runs: Annotated[Path, _named("DIR", "folder of runs")] = Path("runs")
    name: Annotated[str | None, _named("NAME", "of the run folder; default a hash of the file's fields")] = None
    engine: Annotated[str, _named("NAME", "local (processes), ray (a cluster) or slurm (job arrays)")] = "local"
    jobs: Annotated[
        int | None, _named("N", "processes, cells at once on ray, or elements of the job array; default cores, all, 16")
    ] = None
    slurm: Annotated[
        tuple[str, ...], _named("KEY=VALUE", "such as partition=long timeout_min=120 mem_gb=8 cpus_per_task=2")
    ] = ()
    dry_run: Annotated[bool, _named(None, "list the cells and stop")] = False
    report: Annotated[bool, _named(None, "run nothing: print and draw what is finished")] = False
    no_progress: Annotated[bool, _named(None, "draw no progress bars")] = False


def sweep(argv: list[str], prog: str) -> int:
    """``workbench sweep FILE``."""
    options = parse(SweepOptions, argv, prog)
    quiet()
    from workbench.families.probe_sweep import SweepSpec, make_plan
    from workbench.families.probe_sweep.pipeline import EXPERIMENT
    from workbench.families.probe_sweep.pipeline import run as run_sweep
    from workbench.runs import load_run, spec_hash

    parameters = _parameters(options.slurm)
    spec = validated(SweepSpec, read_spec_file(options.file), f"sweep {options.file}")
    root, base = check_root(options.runs), options.file.expanduser().resolve().parent
    path = root / EXPERIMENT / (options.name or spec_hash(spec))
    if options.dry_run:
        _print_cells(make_plan(spec, base), path)
        return 0
    if not options.report:
        path = run_sweep(
            spec, root, options.name, base=base, engine=options.engine, jobs=options.jobs, parameters=parameters,
            progress=show_progress(not options.no_progress), say=say,
        )  # fmt: skip
    record = load_run(path)
    if options.report:
        print_sweep(record, results())
    else:
        print_report(record, results())
    draw(record)
    if record.status.state == "failed":
        say(f"{record.status.error}; the same command tries them again")
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
    spec: SweepSpec = plan.spec
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
    out.print(f"run folder: {path}", markup=False, soft_wrap=True)
