"""One introspection run, of either family: self-prediction, or concept injection."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from workbench.families.introspection import FAMILIES
from workbench.views.choices import pick
from workbench.views.family import family_tabs, finished_run

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
        family_tabs(family, run, _HELD)
