"""One goal-directedness run: what held, and the family's views."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from workbench.families import View
from workbench.families.claims import read_claims
from workbench.families.goal_directedness.report import report
from workbench.families.goal_directedness.views import views
from workbench.runs import RunRecord
from workbench.views.choices import tabs
from workbench.views.family import figures, finished_run, safely

__all__ = ["goal_page"]

EXPERIMENT = "goal-directedness"


def goal_page(runs: pd.DataFrame) -> None:
    """Claims, figures and trajectories of a finished run.  ``runs`` is what ``list_runs`` returns."""
    st.header("Goal-directedness in grid worlds")
    run = finished_run(runs, EXPERIMENT, f"workbench run {EXPERIMENT} --preset smoke")
    if run is None:
        return
    shown = {view.title: lambda view=view: _view(run, view) for view in views()}
    tabs(safely({"What held": lambda: _first(run)} | shown), "view")


def _first(run: RunRecord) -> None:
    claims = read_claims(run)
    if claims is None:
        st.info("This run has no table of claims.")
    else:
        st.dataframe(claims.assign(held=claims["held"].map({True: "yes", False: "no"})), hide_index=True)
    for table in report(run):
        st.caption(f"{table.title}: {table.caption}")
        st.dataframe(table.frame, hide_index=True)


def _view(run: RunRecord, view: View) -> None:
    if view.figures:
        figures(run, f"{view.title.lower()}_figure", view.figures)
    for table in view.tables(run) if view.tables else ():
        with st.expander(table.title):
            st.dataframe(table.frame, hide_index=True)
    if view.draw:
        view.draw(run)
