"""One internal-RL run: which gates were passed and what held, the figures, and a player of its episodes."""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st

from workbench.families import View
from workbench.families.internal_rl import INTERNAL_RL
from workbench.runs import RunRecord
from workbench.views.choices import tabs
from workbench.views.family import figures, finished_run, orderings, safely, show_table

__all__ = ["internal_rl_page"]

_HELD = "Claims of the paper (arXiv 2512.20605), on this model. Held: the 95% interval lies above 0."


def internal_rl_page(runs: pd.DataFrame) -> None:
    """Claims, tables, figures and episodes of a finished run.  ``runs`` is what ``list_runs`` returns."""
    st.header(INTERNAL_RL.title)
    run = finished_run(runs, INTERNAL_RL.name, f"workbench run {INTERNAL_RL.name} --preset smoke")
    if run is not None:
        views = {view.title: partial(_view, run, view) for view in INTERNAL_RL.views()}
        tabs(safely({"What held": partial(_held, run), **views}), "view")


def _held(run: RunRecord) -> None:
    orderings(run, _HELD)
    for table in INTERNAL_RL.report(run):
        show_table(table)


def _view(run: RunRecord, view: View) -> None:
    if view.figures:
        figures(run, f"{view.title}-figure", view.figures)
    for table in view.tables(run) if view.tables else ():
        show_table(table)
    if view.draw:
        view.draw(run)
