"""All runs below the folder, and what one of them holds."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import streamlit as st

from apps.explorer.choices import pick, pick_some
from workbench.errors import WorkbenchError
from workbench.runs import RunRecord, load_run

__all__ = ["name_of", "runs_page"]

_MIME = {".json": "application/json", ".html": "text/html", ".png": "image/png"}


def name_of(run: pd.Series) -> str:
    """How a run is named in the app: ``experiment/name``."""
    return f"{run['experiment']}/{run['name']}"


def runs_page(runs: pd.DataFrame) -> None:
    """The table of runs, filtered, and below it the chosen one.  ``runs`` is what ``list_runs`` returns."""
    st.header("Runs")
    left, right = st.columns(2)
    with left:
        experiments = pick_some("Experiment", sorted(runs["experiment"].unique()), key="experiment")
    with right:
        states = pick_some("Status", sorted(runs["status"].unique()), key="status")
    shown = runs[runs["experiment"].isin(experiments or runs["experiment"])]
    shown = shown[shown["status"].isin(states or shown["status"])]
    st.dataframe(shown.drop(columns="path"), hide_index=True, key="runs")
    if shown.empty:
        st.info("No run has this experiment and status: clear a filter to see more.")
        return
    paths = {name_of(run): run["path"] for _, run in shown.iterrows()}
    _show(paths[pick("Run", list(paths), key="run")])


def _show(path: str) -> None:
    try:
        run = load_run(path)
    except WorkbenchError as error:
        st.error(f"This run is broken: {error}")
        return
    status = run.status
    total = "?" if status.total is None else status.total
    st.subheader(f"{run.experiment}/{run.name}: {status.state}, {status.done} of {total} units")
    if status.error:
        st.error(status.error)
    spec, provenance, tables, files, log = st.tabs(["Spec", "Provenance", "Tables", "Files", "Log"])
    spec.json(run.spec)
    provenance.json(run.provenance)
    with tables:
        _tables(run)
    with files:
        _files(run)
    log.code(_log(run.path / "log.txt"), language=None)


def _tables(run: RunRecord) -> None:
    """A table or a unit's rows, and as CSV."""
    artifacts = [name.removesuffix(".parquet") for name in run.artifacts if name.endswith(".parquet")]
    names = [f"table {name}" for name in artifacts] + [f"rows of {unit}" for unit in run.units()]
    if not names:
        st.info("This run has no tables yet.")
        return
    chosen = pick("Table", names, key="table")
    kind, _, name = chosen.partition(" ")
    try:
        table = run.load_table(name) if kind == "table" else run.read(name.removeprefix("of "))
    except WorkbenchError as error:
        st.error(str(error))
        return
    st.caption(f"{len(table)} rows")
    st.dataframe(table, hide_index=True)
    file = f"{run.name}-{name.removeprefix('of ')}.csv"
    st.download_button(
        "Download as CSV", lambda: table.to_csv(index=False), file, "text/csv", key="csv", on_click="ignore"
    )


def _files(run: RunRecord) -> None:
    """Artifacts and figures, each to download."""
    found = {f"artifacts/{name}": run.path / "artifacts" / name for name in run.artifacts}
    found |= {f"figures/{path.name}": path for path in run.figures if path.suffix != ".js"}
    if not found:
        st.info("This run has no artifacts and no figures yet.")
        return
    path = found[pick("File", list(found), key="file")]
    try:
        st.caption(f"{path.stat().st_size / 1024:.1f} KiB")
        data = path.read_bytes()
    except OSError as error:
        st.error(f"{path} cannot be read: {error.strerror or error}")
        return
    if path.suffix == ".png":
        st.image(data)
    mime = _MIME.get(path.suffix, "application/octet-stream")
    st.download_button("Download", data, path.name, mime, key="download", on_click="ignore")


def _log(path: Path, lines: int = 200) -> str:
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return "no log"
    return "\n".join(text.splitlines()[-lines:]) or "the log is empty"
