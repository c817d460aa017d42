"""Figures as a page shows them: as wide as there is room (a narrow screen scrolls), readable on light and dark pages.

Figures are drawn for white paper.  On a dark page black lines become white and the paper becomes the page.
"""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Any

import streamlit as st

from workbench.figures.style import own_tags_only

if TYPE_CHECKING:
    import plotly.graph_objects as go

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
    st.plotly_chart(own_tags_only(figure), width="stretch", theme="streamlit", key=key, config=_CONFIG)


def _on_page(figure: go.Figure, recolour: bool) -> go.Figure:
    import plotly.graph_objects as go

    figure = own_tags_only(figure)

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


def figure_html(figure: go.Figure) -> bytes:
    """A figure as a page that works offline."""
    return str(own_tags_only(figure).to_html(include_plotlyjs=True, full_html=True)).encode()
