"""The page of a family, or of several of one group, built from what the family says: claims, report, views.

Viewers of a family's own (``View.draw``, ``Family.page``) use the parts below and the widgets of ``workbench.views``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from workbench.errors import DataError
from workbench.families import families
from workbench.families.claims import read_claims
from workbench.families.family import Family, Table, View
from workbench.figures.style import words
from workbench.runs import RunRecord
from workbench.views.charts import show_figure
from workbench.views.choices import pick, tabs
from workbench.views.run_list import has_example, pick_run
from workbench.views.text import errors_shown, plain

_ROW = 46  # pixels
_WIDTHS = {"claim": 250, "held": 60, "evidence": 480}


def pages() -> dict[str, list[Family]]:
    """Title of each page -> the families that it shows: one, or those of a group."""
    found: dict[str, list[Family]] = {}
    for family in families().values():
        found.setdefault(family.page_title, []).append(family)
    return found


def family_page(title: str, shown: Sequence[Family], runs: pd.DataFrame) -> None:
    """A finished run of a family: what held, its report, its views.  ``runs`` is what ``list_runs`` returns."""
    if len(shown) == 1 and shown[0].page:
        shown[0].page(runs)
        return
    st.header(plain(shown[0].title if len(shown) == 1 else title))
    family = shown[0] if len(shown) == 1 else _picked(shown, runs)
    st.caption(plain(family.question))
    run = _finished_run(runs, family)
    if run is not None:
        draws = {view.title: partial(_view, run, view) for view in family.views()}
        all_draws = {"What held": partial(_held, family, run), **draws}
        tabs(safely({name: run.reading()(one) for name, one in all_draws.items()}), "view")


def _picked(shown: Sequence[Family], runs: pd.DataFrame) -> Family:
    """One of a group: the first that has a finished run, unless another is chosen."""
    by_name = {family.name: family for family in shown}
    done = set(runs[runs["status"] == "finished"]["experiment"])
    start = next((place for place, name in enumerate(by_name) if name in done), 0)
    return by_name[pick("Protocol", list(by_name), "protocol", True, lambda name: by_name[name].title, start)]


def _finished_run(runs: pd.DataFrame, family: Family) -> RunRecord | None:
    """The chosen run; None, and on the page how to make one, when none is finished."""
    own = runs[runs["experiment"] == family.name]
    finished = own[own["status"] == "finished"]
    if len(finished):
        return pick_run(finished)
    others = f" ({len(own)} are not: see the page Runs)" if len(own) else ""
    hint = ", or switch on the shipped examples" if has_example(family.name) else ""
    st.info(plain(f"No run of {family.name} is finished{others}. This makes one{hint}:"))
    st.code(f"workbench run {family.words} --preset {next(reversed(list(family.presets)), 'NAME')}", language="bash")
    return None


def _held(family: Family, run: RunRecord) -> None:
    table = read_claims(run)
    if table is None and family.claims():
        st.info("This run has no table of claims.")
    if table is not None and len(table):
        source = f" of {family.paper}" if family.paper else ""
        st.caption(plain(f"Claims{source}, judged on this run. Held: the 95% interval lies on the claimed side."))
        _claims(table)
    for each in family.report(run):
        show_table(each)


def _claims(table: pd.DataFrame) -> None:
    table = table.assign(held=table["held"].map({True: "yes", False: "no"}), on=table["on"].map(words))
    shown = ["claim", *(["on"] if (table["on"] != "").any() else []), "held", "evidence"]
    wide = {name: st.column_config.TextColumn(width=width) for name, width in _WIDTHS.items()}
    height = min(40 + _ROW * len(table), 700)
    # High rows: the evidence is several numbers, and wraps.
    st.dataframe(table[shown], hide_index=True, key="claims", column_config=wide, row_height=_ROW, height=height)


def _view(run: RunRecord, view: View) -> None:
    if view.caption:
        st.caption(plain(view.caption))
    if view.figures:
        figures(run, f"{view.title}-figure", view.figures)
    for table in view.tables(run) if view.tables else ():
        show_table(table)
    if view.draw:
        view.draw(run)


def safely(draws: dict[str, Callable[[], None]]) -> dict[str, Callable[[], None]]:
    """The same, with the errors of each as a message in its place."""
    return {name: errors_shown()(one) for name, one in draws.items()}


def show_table(table: Table) -> None:
    """A table for reading."""
    st.markdown(f"**{plain(table.title)}**")
    if table.frame.empty:
        st.info("There is nothing to show here.")
    else:
        st.dataframe(table.frame, hide_index=True, key=f"table-{table.title}")
    if table.caption:
        st.caption(plain(table.caption))


def figures(run: RunRecord, key: str, kinds: Sequence[str] = ()) -> str | None:
    """One of the run's figures, of those whose names begin with one of ``kinds``; returns its name."""
    names = [name for name in figure_names(run) if not kinds or name.startswith(tuple(kinds))]
    if not names:
        st.info("This run has no tables for these figures.")
        return None
    name = pick("Figure", names, key=key, show=lambda name: words(name).replace("-", ": ", 1))
    show_figure(draw(run, name), f"chart-{name}")
    return name


def figure_names(run: RunRecord) -> list[str]:
    """The figures that the run's tables can be drawn as."""
    return _names(str(run.path), run.status.updated, run)


def draw(run: RunRecord, name: str) -> go.Figure:
    """One of them; raises :class:`DataError` when its table lacks something."""
    return _drawn(str(run.path), run.status.updated, name, run)


# Drawn or read again only when the run was updated.  Few, since Streamlit walks over all that is kept after every run.
@st.cache_resource(max_entries=16, show_spinner=False)
def _names(path: str, updated: str, _run: RunRecord) -> list[str]:
    return list(_drawings(_run))


@st.cache_resource(max_entries=24, show_spinner="Drawing")
def _drawn(path: str, updated: str, name: str, _run: RunRecord) -> go.Figure:
    drawings = _drawings(_run)
    if name not in drawings:
        raise DataError(f"the run {_run.experiment}/{_run.name} has no figure {name!r}")
    with _run.reading():
        return drawings[name]()


def _drawings(run: RunRecord) -> Mapping[str, Callable[[], go.Figure]]:
    family = families().get(run.experiment)
    with run.reading():
        return family.figures(run) if family else {}
