"""One EAST run: what held, the figures, and what the agent said steered beside unsteered."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from workbench.families.east.views.transcripts import transcripts
from workbench.figures.style import words
from workbench.runs import RunRecord
from workbench.views.choices import tabs
from workbench.views.family import figures, finished_run, orderings, safely
from workbench.views.text import plain

__all__ = ["east_page"]

_CAPTION = "Orderings that the paper found (arXiv 2406.00244), on this model. Differences in nats, with 95% intervals."


def east_page(runs: pd.DataFrame) -> None:
    """Figures, orderings and transcripts of a finished run.  ``runs`` is what ``list_runs`` returns."""
    st.header("EAST: entropic activation steering")
    run = finished_run(runs, "east", "workbench run east --preset smoke")
    if run is None:
        return
    chosen = run.read_json("chosen") if "chosen.json" in run.artifacts else {}
    picked = [f"{words(r)}: layer {c['layer']}, multiplier {c['multiplier']:g}" for r, c in chosen.items()]
    st.caption(
        f"{plain(run.spec.get('model', 'model unknown'))}. Chosen on other prompts: {'; '.join(picked) or 'nothing'}."
    )
    tabs(
        safely({
            "What held": lambda: orderings(run, _CAPTION), "Figures": lambda: _figures(run),
            "Transcripts": lambda: transcripts(run),
        }),
        "view",
    )  # fmt: skip


def _figures(run: RunRecord) -> None:
    """A figure, and for words the whole table: the figure shows those that change most."""
    name = figures(run, "figure")
    if name and name.startswith("words-"):
        table = run.load_table("words")
        part = table[table["rendering"] == name.removeprefix("words-")].drop(columns="rendering")
        st.caption("All words. Counts in thoughts with EAST and without; ratio of their relative frequencies.")
        st.dataframe(part.sort_values("ratio", ascending=False), hide_index=True, key="words", height=300)
