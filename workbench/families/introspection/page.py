"""One introspection run, of either family: self-prediction, or concept injection."""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st

from workbench.families.family import Family, View
from workbench.families.introspection import FAMILIES
from workbench.runs import RunRecord
from workbench.views.choices import pick, tabs
from workbench.views.family import figures, finished_run, orderings, safely, show_table

__all__ = ["introspection_page"]

_HELD = "Held: the 95% interval of the difference lies above 0, on the same items or concepts."


def introspection_page(runs: pd.DataFrame) -> None:
    """Claims, figures, numbers and single items of a finished run.  ``runs`` is what ``list_runs`` returns."""
    st.header("Introspection")
    by_name = {family.name: family for family in FAMILIES}
    known = list(by_name)
    done = [name for name in known if ((runs["experiment"] == name) & (runs["status"] == "finished")).any()]
    start = known.index(done[0]) if done else 0
    family = by_name[pick("Protocol", known, "protocol", True, lambda name: name.replace("-", " ").capitalize(), start)]
    st.caption(family.question)
    run = finished_run(runs, family.name, f"workbench run {family.words} --preset smoke")
    if run is not None:
        draws = {view.title: partial(_view, run, view) for view in family.views()}
        tabs(safely({"What held": partial(_held, family, run), **draws}), "view")


def _held(family: Family, run: RunRecord) -> None:
    orderings(run, _HELD)
    for table in family.report(run):
        show_table(table)


def _view(run: RunRecord, view: View) -> None:
    if view.caption:
        st.caption(view.caption)
    if view.figures:
        figures(run, f"{view.title}-figure", view.figures)
    for table in view.tables(run) if view.tables else ():
        show_table(table)
    if view.draw:
        view.draw(run)
