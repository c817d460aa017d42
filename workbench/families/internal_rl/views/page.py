"""One internal-RL run: what held, the gates, the figures, and a player of its episodes."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from workbench.families.internal_rl import INTERNAL_RL
from workbench.views.family import family_tabs, finished_run

__all__ = ["internal_rl_page"]

_HELD = "Claims of the paper (arXiv 2512.20605), on this model. Held: the 95% interval lies above 0."


def internal_rl_page(runs: pd.DataFrame) -> None:
    """Claims, tables, figures and episodes of a finished run.  ``runs`` is what ``list_runs`` returns."""
    st.header(INTERNAL_RL.title)
    run = finished_run(runs, INTERNAL_RL.name, f"workbench run {INTERNAL_RL.name} --preset smoke")
    if run is not None:
        family_tabs(INTERNAL_RL, run, _HELD)
