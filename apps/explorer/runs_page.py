"""All runs below the folder, what one of them holds, and two of them side by side."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd
import streamlit as st

from apps.explorer.compare import compare_runs
from workbench.errors import WorkbenchError
from workbench.families.page import draw, figure_names
from workbench.figures.style import words
from workbench.runs import RunRecord, export_run
from workbench.views.charts import figure_html, show_figure
from workbench.views.choices import pick, pick_some, tabs, write
from workbench.views.run_list import described, pick_run
from workbench.views.run_tables import read_table, show_table, table_names
from workbench.views.text import errors_shown, plain, say_error

_MIME = {".json": "application/json", ".html": "text/html", ".png": "image/png"}


def runs_page(runs: pd.DataFrame) -> None:
    """The table of runs, filtered, and below it one run, or two compared.  ``runs``: what ``list_runs`` returns."""
    st.header("Runs")
    if runs.empty:
        return
    shown = _filtered(runs)
    table = described(shown)
    if not table["error"].any():
        table = table.drop(columns="error")
    st.dataframe(table, hide_index=True, key="runs", height=min(38 + 35 * max(1, len(table)), 390))
    if shown.empty:
        st.info("No run has this family, status and text: clear a filter to see more.")
        return
    tabs({"One run": lambda: _one(shown), "Compare two": lambda: compare_runs(runs)}, "show")


def _filtered(runs: pd.DataFrame) -> pd.DataFrame:
    first, second, third = st.columns(3)
    families = pick_some("Family", sorted(runs["experiment"].unique()), key="experiment", at=first)
    states = pick_some("Status", sorted(runs["status"].unique()), key="status", at=second)
    text = write("Name, model or spec holds", "find", placeholder="such as cpu, or seed 1", at=third).strip().lower()
    shown = runs[runs["experiment"].isin(families or runs["experiment"])]
    shown = shown[shown["status"].isin(states or shown["status"])]
    if text and len(shown):
        table = described(shown)
        columns = table["name"] + " " + table["model"] + " " + table["spec"]
        shown = shown[columns.str.lower().str.contains(text, regex=False).to_numpy()]
    return shown


def _one(shown: pd.DataFrame) -> None:
    try:
        run = pick_run(shown)
    except WorkbenchError as error:
        say_error(f"This run is broken: {error}")
        return
    status = run.status
    total = "?" if status.total is None else status.total
    st.subheader(
        f"{plain(run.experiment)}/{plain(run.name)}: {plain(status.state)}, {len(run.steps())} of {plain(total)} steps"
    )
    for line in filter(None, (status.error, run.edited)):
        say_error(line)
    st.download_button(
        "Download the run (zip)", lambda: _zipped(run), f"{run.experiment}-{run.name}.zip", "application/zip",
        key="zip", on_click="ignore", help="unpacks into a folder of runs",
    )  # fmt: skip
    tabs({
        "Spec": lambda: st.json(run.spec), "Tables": lambda: _tables(run), "Figures": lambda: _figures(run),
        "Vectors and files": lambda: _files(run), "Provenance": lambda: st.json(run.provenance),
        "Log": lambda: st.code(_log(run.path / "log.txt"), language=None),
    }, "view")  # fmt: skip


def _zipped(run: RunRecord) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return export_run(run.path, Path(folder, "run.zip")).read_bytes()


def _tables(run: RunRecord) -> None:
    """A table or a unit's rows, and as CSV or Parquet."""
    names = table_names(run)
    if not names:
        st.info("This run has no tables yet.")
        return
    with errors_shown():
        chosen = pick("Table", names, key="table")
        show_table(read_table(run, chosen), f"{run.name}-{chosen.split(' ')[-1]}", "table")


def _figures(run: RunRecord) -> None:
    """One of the figures that the tables make, and as a page."""
    names = figure_names(run)
    if not names:
        st.info("This run has no tables that a figure is drawn from.")
        return
    name = pick("Figure", names, key="figure", show=words)
    with errors_shown():
        figure = draw(run, name)
        show_figure(figure, f"figure-{name}")
        st.download_button(
            "Download as HTML", lambda: figure_html(figure), f"{run.name}-{name}.html", "text/html", key="html",
            on_click="ignore", help="works offline; the camera above the figure saves a PNG",
        )  # fmt: skip


def _files(run: RunRecord) -> None:
    """Artifacts (vectors, tensors, tables) and drawn figures, each to download."""
    found = {f"artifacts/{name}": run.path / "artifacts" / name for name in run.artifacts}
    found |= {f"figures/{path.name}": path for path in run.figures if path.suffix != ".js"}
    if not found:
        st.info("This run has no artifacts and no figures yet.")
        return
    vectors = [name for name in found if name.startswith("artifacts/vector-")]
    names = vectors + [name for name in found if name not in vectors]
    path = found[pick("File", names, key="file", show=lambda name: f"{name} ({_size(found[name])})")]
    try:
        if path.suffix == ".png":
            st.image(path.read_bytes())
    except OSError as error:
        say_error(f"{path} cannot be read: {error.strerror or error}")
        return
    mime = _MIME.get(path.suffix, "application/octet-stream")
    st.download_button("Download", path.read_bytes, path.name, mime, key="download", on_click="ignore")


def _size(path: Path) -> str:
    try:
        return f"{path.stat().st_size / 1024:.1f} KiB"
    except OSError:
        return "unreadable"


def _log(path: Path, lines: int = 200) -> str:
    try:
        text = "" if path.is_symlink() else path.read_text(errors="replace")
    except OSError:
        return "no log"
    return "\n".join(text.splitlines()[-lines:]) or "the log is empty"
