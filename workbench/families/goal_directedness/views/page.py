"""One goal-directedness run: what held, and the family's views."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from workbench.families.goal_directedness import GOAL_DIRECTEDNESS
from workbench.views.family import family_tabs, finished_run

__all__ = ["goal_page"]

_CAPTION = "Claims of the paper (arXiv 2602.08964), on this model, with 95% intervals."


def goal_page(runs: pd.DataFrame) -> None:
    """Claims, figures and trajectories of a finished run.  ``runs`` is what ``list_runs`` returns."""
    st.header(GOAL_DIRECTEDNESS.title)
    name = GOAL_DIRECTEDNESS.name
    run = finished_run(runs, name, f"workbench run {name} --preset smoke")
    if run is not None:
        family_tabs(GOAL_DIRECTEDNESS, run, _CAPTION)
