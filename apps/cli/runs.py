"""``workbench runs list | show | export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from workbench.console import Runs, option, results
from workbench.errors import RunError, did_you_mean
from workbench.families.showing import print_report
from workbench.views.tables import as_text, new_table, text_table

if TYPE_CHECKING:
    from workbench.runs import RunRecord

Run = tyro.conf.Positional[
    Annotated[str, option("a run's name or its beginning, experiment/name, or its folder", "RUN")]
]
Destination = tyro.conf.Positional[Annotated[Path, option("a .zip file, or a folder for it", "DEST")]]


def list_all(runs: Runs = Path("runs")) -> None:
    """The runs in a folder and how far they are.  A broken folder is listed with the reason."""
    from workbench.runs import check_root, list_runs

    root = check_root(runs)
    found = list_runs(root)
    if found.empty:
        results().print(f"no runs in {root}; workbench demo makes one", markup=False, soft_wrap=True)
        return
    table = new_table(f"runs in {root}", "experiment", "name", "status", "steps", "updated (UTC)", "")
    for row in found.astype(object).where(found.notna(), None).itertuples():
        steps = "" if row.done is None else f"{row.done}/{'?' if row.total is None else row.total}"
        updated = str(row.updated or "")[:16].replace("T", " ")
        table.add_row(row.experiment, row.name, row.status, steps, updated, as_text(row.error or ""))
    results().print(table)


def show(run: Run, runs: Runs = Path("runs")) -> None:
    """One run: how far it is, what made it, its results, and where its files are."""
    import pandas as pd

    record, out = find_run(run, runs), results()
    out.print("\n".join(_facts(record)), markup=False, soft_wrap=True)
    out.print(text_table("spec", pd.DataFrame({"field": record.spec.keys(), "value": map(str, record.spec.values())})))
    print_report(record, out)
    if record.figures:
        out.print(f"figures: {record.path / 'figures'} ({len(record.figures)} files)", markup=False, soft_wrap=True)


def _facts(run: RunRecord) -> list[str]:
    """How far a run is and what made it, in lines."""
    status, made = run.status, run.provenance
    total = "?" if status.total is None else status.total
    lines = [f"{run.experiment}/{run.name}: {status.state}, {len(run.steps())} of {total} steps"]
    lines += [f"ended by: {status.error}"] if status.error else []
    lines += [run.edited] if run.edited else []
    model, git = made.get("model") or {}, made.get("git") or {}
    if model:
        lines.append("model: " + ", ".join(f"{key} {value}" for key, value in model.items()))
    dirty = " with uncommitted changes" if git.get("dirty") else ""
    lines += [f"code: commit {str(git['commit'])[:12]}{dirty}"] if git.get("commit") else []
    lines += [f"started {status.created[:16]}, last finished a step {status.updated[:16]} (UTC)", f"folder: {run.path}"]
    return lines


def export(run: Run, destination: Destination, runs: Runs = Path("runs")) -> None:
    """One run as a zip file that unpacks into a folder of runs."""
    from workbench.runs import export_run

    results().print(str(export_run(find_run(run, runs).path, destination)), markup=False, soft_wrap=True)


def find_run(text: str, root: Path) -> RunRecord:
    """The run named ``text`` below ``root``, or in the folder ``text``; raises :class:`RunError`."""
    from workbench.runs import check_root, list_runs, load_run

    root, folder = check_root(root), Path(text).expanduser()
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
