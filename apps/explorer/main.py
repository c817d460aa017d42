"""The explorer, served by ``workbench app``.

It reads run folders below WORKBENCH_RUNS (default: ``./runs``), and the examples that ship with it.  What is chosen
stands in the address, so a view can be sent as a link.  Whatever goes wrong on one page is a message on that page.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pandas as pd
import streamlit as st

from apps.explorer.playground_page import playground_page
from apps.explorer.runs_page import runs_page
from workbench.errors import WorkbenchError
from workbench.families import families
from workbench.families.page import family_page
from workbench.families.page import pages as family_pages
from workbench.views import choices
from workbench.views.run_list import all_runs, runs_root
from workbench.views.text import plain, say_error

SHARED = "examples"  # stands in the address of every page
_LOG = logging.getLogger(__name__)
# Less empty margin, figures that scroll on a phone instead of shrinking, and tables that keep within the page.
_STYLE = """<style>
.stMainBlockContainer {padding: 4.2rem 2.2rem 4rem 2.2rem; max-width: 1500px;}
@media (max-width: 640px) {.stMainBlockContainer {padding: 4.2rem 1rem 4rem 1rem;}}
.stAppDeployButton {display: none;}
[class*="st-key-wide-"] {overflow-x: auto; overflow-y: hidden;}
[class*="st-key-wide-420"] > div {min-width: 420px;}
[class*="st-key-wide-620"] > div {min-width: 620px;}
[class*="st-key-wide-820"] > div {min-width: 820px;}
</style>"""


def main() -> None:
    """Draw the page that the address names."""
    st.set_page_config(page_title="Activation workbench", layout="wide")
    st.html(_STYLE)
    runs: list[pd.DataFrame] = []  # filled below: the sidebar is drawn outside of the page, so that it stays
    found = [
        st.Page(partial(_draw, show, runs), title=title, url_path=choices.path_of(title), default=title == "Runs")
        for title, show in pages().items()
    ]
    page = st.navigation(found)
    choices.begin(page.title)
    with _guarded(page.title):
        runs.append(_runs(page.title))
        choices.say_unknown(SHARED)
        page.run()


def pages() -> dict[str, Callable[[pd.DataFrame], None]]:
    """What draws each page, by its title: the app's own, and one a family or group of families."""
    shown = {title: partial(family_page, title, several) for title, several in family_pages().items()}
    return {"Runs": runs_page, **shown, "Playground": playground_page}


def _draw(show: Callable[[pd.DataFrame], None], runs: list[pd.DataFrame]) -> None:
    show(runs[0])


@contextmanager
def _guarded(title: str) -> Iterator[None]:
    """Errors of a page are its own."""
    try:
        yield
    except WorkbenchError as error:
        say_error(error)
    except Exception as error:
        _LOG.exception("the page %s failed", title)
        reason = next(iter(str(error).splitlines()), "")[:300]
        say_error(f"This page could not be drawn ({type(error).__name__}: {reason}). The other pages are not affected.")
        with st.expander("Details, for a report"):
            st.code(traceback.format_exc(), language=None, wrap_lines=True)


def _runs(page: str) -> pd.DataFrame:
    """The runs to show: own ones, and the shipped examples when there are none or they are wanted."""
    root = runs_root()
    own, shipped = all_runs(root)
    with st.sidebar:
        wanted = own.empty
        if len(own) and len(shipped):
            wanted = st.toggle(
                "Shipped examples", key=SHARED, bind=choices.BIND, help="small runs that come with the app"
            )
        st.caption(f"Run folders in {plain(root.resolve())}")
        st.button("Read again", help="look for new runs and new results", width="stretch")
    if own.empty and _reads_runs(page):
        _say_how_to_begin(root, page, bool(len(shipped)))
    return pd.concat([own, shipped], ignore_index=True) if wanted and len(shipped) else own


def _reads_runs(page: str) -> bool:
    return page == "Runs" or any(family.page is None for family in family_pages().get(page, ()))


def _say_how_to_begin(root: Path, page: str, examples: bool) -> None:
    """In a folder without runs: at length on the first page, in a line on the others."""
    if examples and page != "Runs":
        st.caption(f"{plain(root.resolve())} holds no run yet: these are the examples that ship with the app.")
        return
    these = "; these are small examples that ship with the app" if examples else ""
    st.info(f"There is no run in {plain(root.resolve())} yet{plain(these)}. This makes one in under a minute:")
    own = family_pages().get(page) or sorted(families().values(), key=lambda family: "demo" not in family.presets)
    first = next(family for family in own if "smoke" in family.presets)
    st.code(f"workbench run {first.words} --preset smoke --runs {root}", language="bash")


if __name__ == "__main__":
    main()
