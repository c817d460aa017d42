"""``workbench runs list | show | export``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from apps.cli.console import results
from apps.cli.options import parse
from apps.cli.reports import print_report
from apps.cli.run import check_root
from workbench.errors import RunError, did_you_mean
from workbench.views.tables import new_table

if TYPE_CHECKING:
    from rich.text import Text

    from workbench.runs import RunRecord

__all__ = ["export", "find_run", "list_all", "show"]

Root = Annotated[Path, tyro.conf.arg(metavar="DIR", help="folder of runs")]
Run = Annotated[str, tyro.conf.arg(metavar="RUN", help="a run's name or its beginning, experiment/name, or its folder")]


@dataclass
class ListOptions:
    """The runs in a folder and how far they are.  A broken folder is listed with the reason."""

    runs: Root = Path("runs")


@dataclass
class ShowOptions:
    """One run: how far it is, what made it, its results, and where its files are."""

    run: tyro.conf.Positional[Run]
    runs: Root = Path("runs")


@dataclass
class ExportOptions:
    """One run as a zip file that unpacks into a folder of runs."""

    run: tyro.conf.Positional[Run]
    destination: tyro.conf.Positional[
        Annotated[Path, tyro.conf.arg(metavar="DEST", help="a .zip file, or a folder for it")]
    ]
    runs: Root = Path("runs")


def list_all(argv: list[str], prog: str) -> int:
    """``workbench runs list``."""
    from workbench.runs import list_runs

    options = parse(ListOptions, argv, prog)
    root = check_root(options.runs)
    found = list_runs(root)
    if found.empty:
        results().print(f"no runs in {root}; workbench demo makes one", markup=False, soft_wrap=True)
        return 0
    table = new_table(f"runs in {root}", "experiment", "name", "status", "steps", "updated (UTC)", "")
    for row in found.astype(object).where(found.notna(), None).itertuples():
        steps = "" if row.done is None else f"{row.done}/{'?' if row.total is None else row.total}"
        updated = str(row.updated or "")[:16].replace("T", " ")
        table.add_row(row.experiment, row.name, row.status, steps, updated, _plain(str(row.error or "")))
    results().print(table)
    return 0


def show(argv: list[str], prog: str) -> int:
    """``workbench runs show RUN``."""
    options = parse(ShowOptions, argv, prog)
    run = find_run(options.run, check_root(options.runs))
    out, status, made = results(), run.status, run.provenance
    total = "?" if status.total is None else status.total
    lines = [f"{run.experiment}/{run.name}: {status.state}, {len(run.steps())} of {total} steps"]
    lines += [f"ended by: {status.error}"] if status.error else []
    model, git = made.get("model") or {}, made.get("git") or {}
    if model:
        lines.append("model: " + ", ".join(f"{key} {value}" for key, value in model.items()))
    dirty = " with uncommitted changes" if git.get("dirty") else ""
    lines += [f"code: commit {git['commit'][:12]}{dirty}"] if git.get("commit") else []
    lines += [f"started {status.created[:16]}, last finished a unit {status.updated[:16]} (UTC)", f"folder: {run.path}"]
    out.print("\n".join(lines), markup=False, soft_wrap=True)
    table = new_table("spec", "field", "value")
    for key, value in run.spec.items():
        table.add_row(key, _plain(str(value)))
    out.print(table)
    print_report(run, out)
    if run.figures:
        out.print(f"figures: {run.path / 'figures'} ({len(run.figures)} files)", markup=False, soft_wrap=True)
    return 0


def export(argv: list[str], prog: str) -> int:
    """``workbench runs export RUN DESTINATION``."""
    from workbench.runs import export_run

    options = parse(ExportOptions, argv, prog)
    run = find_run(options.run, check_root(options.runs))
    results().print(str(export_run(run.path, options.destination)), markup=False, soft_wrap=True)
    return 0


def find_run(text: str, root: Path) -> RunRecord:
    """The run named ``text`` below ``root``, or in the folder ``text``; raises :class:`RunError`."""
    from workbench.runs import list_runs, load_run

    folder = Path(text).expanduser()
    if (folder / "spec.json").exists():
        return load_run(folder)
    found = list_runs(root)
    full = found["experiment"] + "/" + found["name"]
    exact = found[(found["name"] == text) | (full == text)]
    matches = exact if len(exact) else found[found["name"].str.startswith(text) | full.str.startswith(text)]
    if len(matches) == 1:
        return load_run(matches.iloc[0]["path"])
    if len(matches):
        raise RunError(f"{text!r} may be any of {', '.join(full[matches.index])}: write more of the name")
    if folder.is_dir():
        return load_run(folder)  # which says what is missing there
    if found.empty:
        raise RunError(f"there is no run {text!r}: {root} holds no runs")
    raise RunError(f"there is no run {text!r} in {root}{did_you_mean(text, list(found['name']))}")


def _plain(text: str) -> Text:
    from rich.text import Text

    return Text(text)
