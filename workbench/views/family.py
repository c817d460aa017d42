"""What the pages of the families share: which finished run is shown, what held in it, and its figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import pandas as pd
import streamlit as st

from workbench.errors import WorkbenchError
from workbench.families.claims import read_claims
from workbench.families.family import Family, Table, View
from workbench.figures.style import words
from workbench.runs import RunRecord
from workbench.views.charts import draw, figure_names, show_figure
from workbench.views.choices import pick, tabs
from workbench.views.run_list import has_example, pick_run
from workbench.views.text import say_error

__all__ = ["family_tabs", "figures", "finished_run", "orderings", "safely", "show_table"]

_ROW = 46  # pixels
_WIDTHS = {"claim": 250, "held": 60, "evidence": 480}


def finished_run(runs: pd.DataFrame, experiment: str, command: str) -> RunRecord | None:
    """The chosen run of a family; None, and on the page how to make one, when none is finished."""
    own = runs[runs["experiment"] == experiment]
    finished = own[own["status"] == "finished"]
    if len(finished):
        return pick_run(finished)
    others = f" ({len(own)} are not: see the page Runs)" if len(own) else ""
    hint = ", or switch on the shipped examples" if has_example(experiment) else ""
    st.info(f"No run of {experiment} is finished{others}. This makes one{hint}:")
    st.code(command, language="bash")
    return None


def family_tabs(family: Family, run: RunRecord, caption: str) -> None:
    """What held in a run, with ``caption`` above, and the family's views."""
    draws = {view.title: partial(_view, run, view) for view in family.views()}
    tabs(safely({"What held": partial(_held, family, run, caption), **draws}), "view")


def _held(family: Family, run: RunRecord, caption: str) -> None:
    orderings(run, caption)
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


def safely(draws: dict[str, Callable[[], None]]) -> dict[str, Callable[[], None]]:
    """The same, with the errors of each as a message in its place."""

    def guard(one: Callable[[], None]) -> Callable[[], None]:
        def drawn() -> None:
            try:
                one()
            except WorkbenchError as error:
                say_error(error)

        return drawn

    return {name: guard(one) for name, one in draws.items()}


def orderings(run: RunRecord, caption: str) -> None:
    """The table of what held."""
    table = read_claims(run)
    if table is None:
        st.info("This run has no table of claims.")
        return
    st.caption(caption)
    table = table.assign(held=table["held"].map({True: "yes", False: "no"}), on=table["on"].map(words))
    table = table.drop(columns=[] if (table["on"] != "").any() else "on")
    wide = {name: st.column_config.TextColumn(width=width) for name, width in _WIDTHS.items() if name in table}
    height = min(40 + _ROW * len(table), 700)
    # High rows: the evidence is several numbers, and wraps.
    st.dataframe(table, hide_index=True, key="claims", column_config=wide, row_height=_ROW, height=height)


def show_table(table: Table) -> None:
    """A table for reading."""
    st.markdown(f"**{table.title}**")
    if table.frame.empty:
        st.info("There is nothing to show here.")
    else:
        st.dataframe(table.frame, hide_index=True, key=f"table-{table.title}")
    if table.caption:
        st.caption(table.caption)


def figures(run: RunRecord, key: str, kinds: Sequence[str] = ()) -> str | None:
    """One of the run's figures, of those whose names begin with one of ``kinds``; returns its name."""
    names = [name for name in figure_names(run) if not kinds or name.startswith(tuple(kinds))]
    if not names:
        st.info("This run has no tables for these figures.")
        return None
    name = pick("Figure", names, key=key, show=lambda name: words(name).replace("-", ": ", 1))
    show_figure(draw(run, name), f"chart-{name}")
    return name
