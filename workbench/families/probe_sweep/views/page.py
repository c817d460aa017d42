"""Starting runs from a form, watching them, and looking at what a probe sweep found."""

from __future__ import annotations

import hashlib
import re

import pandas as pd
import streamlit as st

from workbench.families import families
from workbench.families.page import figures, safely
from workbench.families.probe_sweep.spec import EXPERIMENT
from workbench.families.probe_sweep.views.form import chosen_spec, command_of, to_yaml
from workbench.figures.style import words
from workbench.runs import RunRecord
from workbench.views.choices import go_to, pick, tabs, write
from workbench.views.processes import Started, check_start, command_line, launch, started
from workbench.views.run_list import pick_run, runs_root
from workbench.views.run_tables import show_table
from workbench.views.text import errors_shown, plain, say_error

_EVERY_S = 2.0
_START, _WATCH, _RESULTS = "Start", "Watch", "Results"


def sweeps_page(runs: pd.DataFrame) -> None:
    """Start, watch, results.  ``runs`` is what ``list_runs`` returns; it may be empty."""
    st.header("Sweeps")
    tabs(
        safely({
            _START: _start, _WATCH: lambda: _watch(), _RESULTS: lambda: _results(runs),
        }),
        "view",
    )  # fmt: skip


def _start() -> None:
    st.caption("Runs in a process of its own: it goes on when you leave this page, and can be watched and cancelled.")
    family, spec = chosen_spec()
    text = to_yaml(spec)
    edited = st.toggle("Edit the YAML", key="_edit")
    if edited:
        # A new form gives a new text: the key says which form the edits belong to.
        stamp = hashlib.sha256(text.encode()).hexdigest()[:8]
        text = st.text_area("Spec", text, height=330, key=f"_yaml-{stamp}")
    else:
        st.code(text, language="yaml")
    default = f"{_slug(family.name)}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"
    name = write("Name of the run", "name", placeholder=default).strip() or default
    root = runs_root()
    st.caption("The same from a shell, with the spec saved as a file:")
    command = command_of(family)
    st.code(command_line(command, name, f"{name}.yaml", str(root)), language="bash")
    free = False
    with errors_shown():
        check_start(root, family.name, name, text)
        free = True
    with st.container(horizontal=True):
        if st.button("Start", type="primary") and free:
            launch(root, family.name, name, text, command)
            go_to("Sweeps", view=_WATCH)
            st.rerun()
        st.download_button("Save the YAML", text, f"{name}.yaml", "application/yaml", on_click="ignore")


def _slug(experiment: str) -> str:
    return re.sub(r"[^a-z0-9-]", "-", experiment)


def _watch() -> None:
    found = started(runs_root())
    if not found:
        st.info(f"Nothing was started from this app yet: use the tab {_START}.")
        return
    at_work = any(each.alive for each in found)

    @st.fragment(run_every=_EVERY_S if at_work else None)
    def watch() -> None:
        for each in found:
            _show(each)
        if at_work and not any(each.alive for each in found):
            # The whole page: from now on nothing needs to be looked at again and again.  Behind the buttons, or a click
            # that comes with this very run of the fragment is lost.
            st.rerun()

    watch()


def _show(each: Started) -> None:
    record, state = each.record(), each.state
    with st.container(border=True, key=f"started-{each.name}"):
        begun = each.begun[:16].replace("T", " ")
        st.markdown(f"**{plain(each.experiment)}/{plain(each.name)}**: {plain(state)}, started {plain(begun)} UTC")
        if record is not None and record.status.total:
            done, total = len(record.steps()), record.status.total
            st.progress(min(1.0, done / total), text=f"{done:d} of {total:d} steps")
        elif state == "running":
            st.progress(0.0, text="starting")
        if state == "failed":
            say_error(_reason(each, record))
        with st.expander("What it says", expanded=state == "running"):
            st.code(each.said() or "nothing yet", language=None, wrap_lines=True)
        _buttons(each, state, record)


def _reason(each: Started, record: RunRecord | None) -> str:
    if record is not None and record.status.error and record.status.started >= each.begun:
        return record.status.error
    return next((line for line in reversed(each.said().splitlines()) if line.strip()), "it ended without a word")


def _buttons(each: Started, state: str, record: RunRecord | None) -> None:
    with st.container(horizontal=True):
        if state == "running" and st.button("Cancel", key=f"cancel-{each.name}"):
            each.cancel()
            st.toast(f"{plain(each.name)}: stopping; what is finished stays")
        if state in ("interrupted", "failed") and st.button("Go on", key=f"again-{each.name}"):
            each.again()
            st.rerun()
        if record is not None and st.button("Open its results", key=f"open-{each.name}"):
            _open(each, state)
            st.rerun()


def _open(each: Started, state: str) -> None:
    run = f"{each.experiment}/{each.name}"
    if each.experiment == EXPERIMENT:
        go_to("Sweeps", view=_RESULTS, run=run)
    elif state == "finished" and each.experiment in families():
        go_to(families()[each.experiment].page_title, run=run, protocol=each.experiment.replace("-", " ").capitalize())
    else:
        go_to("Runs", run=run, show="One run")


def _results(runs: pd.DataFrame) -> None:
    """A sweep's figures and its table, finished or not."""
    own = runs[(runs["experiment"] == EXPERIMENT) & (runs["status"] != "broken")]
    if own.empty:
        st.info("There is no probe sweep yet. Start one, or:")
        st.code("workbench sweep notebooks/sweeps/bandit-entropy.yaml", language="bash")
        return
    run = pick_run(own)
    if run.status.state != "finished":
        total = plain(run.status.total or "?")
        st.caption(f"{plain(run.status.state)}: {len(run.steps())} of {plain(total)} steps are there so far.")
    figures(run, "figure")
    rows = run.load_table("results") if "results.parquet" in run.artifacts else run.rows()
    if rows.empty or "metric" not in rows:
        return
    metric = pick("Score", sorted(rows["metric"].dropna().unique()), key="metric", show=words)
    part = rows[rows["metric"] == metric]
    st.caption("Out-of-fold scores with 95% intervals; difference: probe minus control on the same rows.")
    show_table(part[[name for name in _COLUMNS if name in part]], f"{run.name}-{metric}", "results")


_COLUMNS = [
    "model", "target", "position", "layer", "component", "probe", "params", "seed", "control", "estimate", "low",
    "high", "difference", "difference_low", "difference_high", "n_rows", "n_groups",
]  # fmt: skip
