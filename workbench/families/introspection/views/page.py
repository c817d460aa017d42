"""One introspection run, of either protocol: self-prediction, or concept injection."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from workbench.families.introspection.views.injection_view import injection_view
from workbench.families.introspection.views.self_prediction_view import self_prediction_view
from workbench.views.choices import pick
from workbench.views.family import finished_run

__all__ = ["introspection_page"]

_VIEWS = {"self-prediction": self_prediction_view, "concept-injection": injection_view}
_ASKS = {
    "self-prediction": "Does a model foresee its own answers better than another model that learned from them?",
    "concept-injection": "Does a model notice a concept that was put into its activations, and can it name it?",
}


def introspection_page(runs: pd.DataFrame) -> None:
    """Orderings, figures, numbers and single items of a finished run.  ``runs`` is what ``list_runs`` returns."""
    st.header("Introspection")
    known = list(_VIEWS)
    done = [name for name in known if ((runs["experiment"] == name) & (runs["status"] == "finished")).any()]
    start = known.index(done[0]) if done else 0
    protocol = pick("Protocol", known, "protocol", True, lambda name: name.replace("-", " ").capitalize(), start)
    st.caption(_ASKS[protocol])
    run = finished_run(runs, protocol, f"workbench run introspection {protocol} --preset smoke")
    if run is not None:
        _VIEWS[protocol](run)
