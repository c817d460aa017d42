"""Figures as a page shows them: as wide as there is room (a narrow screen scrolls), readable on light and dark pages.

Figures are drawn for white paper.  On a dark page black lines become white and the paper becomes the page.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import streamlit as st

from workbench.errors import DataError
from workbench.families import families
from workbench.runs import RunRecord

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["draw", "figure_html", "figure_names", "show", "show_figure", "theme"]

_CONFIG = {"displaylogo": False, "modeBarButtonsToRemove": ["lasso2d", "select2d"]}
_CLEAR = "rgba(0, 0, 0, 0)"
_DARK = {"#000000": "#FFFFFF", "#222": "#E6E6E6", "#444": "#BDBDBD", "#888": "#9A9A9A", "#7f7f7f": "#A6A6A6"}
_NOTE = re.compile(r"(.*?)(<br><span [^>]*>)(.*)</span>", re.DOTALL)
_NOTE_WIDTH, _LINE = 88, 16  # characters; pixels
_BLACK = re.compile(r"rgba\(0, 0, 0, (?!0\))")


def theme() -> str:
    """``dark`` or ``light``: what the reader's page is."""
    return "dark" if st.context.theme.type == "dark" else "light"


def show_figure(figure: go.Figure, key: str, recolour: bool = True, narrowest: int = 620) -> None:
    """Draw a figure that ``workbench.figures`` made.  ``recolour=False`` leaves its marks alone, for those on pictures;
    ``narrowest``: pixels below which it scrolls instead of shrinking."""
    size = next(width for width in (420, 620, 820) if narrowest <= width or width == 820)
    with st.container(key=f"wide-{size}-{key}"):
        st.plotly_chart(_on_page(figure, recolour), width="stretch", theme=None, key=key, config=_CONFIG)


def show(figure: go.Figure, key: str) -> None:
    """A figure without its title, in the page's own colours and font."""
    figure.update_layout(
        title=None, width=None, paper_bgcolor=_CLEAR, plot_bgcolor=_CLEAR, font={"color": None, "family": None},
        margin={"l": 10, "r": 10, "t": 34}, template="none",
    )  # fmt: skip
    for update in (figure.update_xaxes, figure.update_yaxes):
        update(gridcolor="rgba(128, 128, 128, 0.25)")
    st.plotly_chart(figure, width="stretch", theme="streamlit", key=key, config=_CONFIG)


def _on_page(figure: go.Figure, recolour: bool) -> go.Figure:
    import plotly.graph_objects as go

    if theme() == "dark":
        data = figure.to_dict()
        data["layout"].pop("template", None)
        if recolour:
            data["data"] = [_darkened(trace) for trace in data["data"]]
        layout = _darkened(data["layout"]) | {"template": "plotly_dark"}
        figure = go.Figure(data["data"], layout, data.get("frames"), skip_invalid=True)
    else:
        figure = go.Figure(figure)
    figure.update_layout(width=None, autosize=True, paper_bgcolor=_CLEAR, plot_bgcolor=_CLEAR)
    return _with_wrapped_note(figure)


def _with_wrapped_note(figure: go.Figure) -> go.Figure:
    """The note under the title in lines that a page has room for; a figure on paper is wider."""
    layout = figure.layout
    found = _NOTE.fullmatch(layout.title.text or "")
    lines = textwrap.wrap(found[3], _NOTE_WIDTH) if found and "<" not in found[3] else []
    more = _LINE * (len(lines) - 1)
    if not found or more <= 0 or not layout.height or not layout.margin.t:
        return figure
    height = layout.height + more
    title = {"text": f"{found[1]}{found[2]}{'<br>'.join(lines)}</span>", "y": 1 - (30 + more / 2) / height}
    return figure.update_layout(height=height, margin_t=layout.margin.t + more, title=title)


def _darkened(value: Any) -> Any:
    """The same with the colours of a dark page."""
    if isinstance(value, dict):
        return {key: _darkened(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_darkened(each) for each in value]
    if isinstance(value, str):
        if value in _DARK:
            return _DARK[value]
        return _BLACK.sub("rgba(255, 255, 255, ", value).replace("color:#444", "color:#BDBDBD")
    return value


def figure_names(run: RunRecord) -> list[str]:
    """The figures that the run's tables can be drawn as."""
    return _names(str(run.path), run.status.updated, run)


def draw(run: RunRecord, name: str) -> go.Figure:
    """One of them; raises :class:`DataError` when its table lacks something."""
    return _drawn(str(run.path), run.status.updated, name, run)


def figure_html(figure: go.Figure) -> bytes:
    """A figure as a page that works offline."""
    return str(figure.to_html(include_plotlyjs=True, full_html=True)).encode()


# Drawn or read again only when the run was updated.  Few, since Streamlit walks over all that is kept after every run.
@st.cache_resource(max_entries=16, show_spinner=False)
def _names(path: str, updated: str, _run: RunRecord) -> list[str]:
    return list(_drawings(_run))


@st.cache_resource(max_entries=24, show_spinner="Drawing")
def _drawn(path: str, updated: str, name: str, _run: RunRecord) -> go.Figure:
    drawings = _drawings(_run)
    if name not in drawings:
        raise DataError(f"the run {_run.experiment}/{_run.name} has no figure {name!r}")
    return drawings[name]()


def _drawings(run: RunRecord) -> dict[str, Callable[[], go.Figure]]:
    """What draws each figure of a run, as its family says."""
    family = families().get(run.experiment)
    return dict(family.figures(run)) if family else {}
