"""What all figures share: a white template, colours that colour-blind readers can tell apart, how intervals are drawn.

Colours are those of Okabe and Ito (2008).  A method keeps its colour, dash and marker in every figure, so that nothing
is said by colour alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.errors import DataError, WorkbenchError, did_you_mean

BLACK, GREY, ORANGE, SKY, GREEN = "#000000", "#7f7f7f", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
DIVERGING = "PuOr_r"
FONT = "DejaVu Sans, Verdana, Arial, sans-serif"


@dataclass(frozen=True)
class Look:
    """How a method is named and drawn."""

    name: str
    colour: str
    dash: str = "solid"
    symbol: str = "circle"


def look_in(looks: Mapping[str, Look], name: str) -> Look:
    """The look of a name; one that is not known is grey and named as it is.

    >>> look_in({}, "my_method").name
    'my method'
    """
    return looks.get(name, Look(words(name), GREY, "dot", "circle-open"))


_CONDITIONS = {"unsteered": Look("unsteered", "#8a8a8a", "dot", "square"), "steered": Look("steered", ORANGE)}
_CONDITIONS |= {"positive": Look("positive", ORANGE), "negative": Look("negative", SKY, "dot", "square")}


def condition_look(name: str) -> Look:
    """The look of one of two conditions beside each other, seen on light and on dark pages alike.

    >>> condition_look("steered").colour, condition_look("my_own").name
    ('#E69F00', 'my own')
    """
    return look_in(_CONDITIONS, name)


def looks_in(values: Iterable[Any], looks: Mapping[str, Look]) -> list[tuple[str, Look]]:
    """The distinct values with their looks: known ones in their order, then the others."""
    return [(value, look_in(looks, value)) for value in ordered(map(str, values), looks)]


def ordered(values: Iterable[str], known: Iterable[str]) -> list[str]:
    """The distinct values: known ones in their order, then the others as they come.

    >>> ordered(["mine", "b", "a", "b"], ["a", "b"])
    ['a', 'b', 'mine']
    """
    found, known = list(dict.fromkeys(values)), list(known)
    return [v for v in known if v in found] + [v for v in found if v not in known]


def words(name: str) -> str:
    """A column or rendering as words.

    >>> words("slot_machines")
    'slot machines'
    """
    return str(name).replace("_", " ")


def translucent(colour: str, alpha: float) -> str:
    """A ``#rrggbb`` colour with an opacity.

    >>> translucent("#0072B2", 0.5)
    'rgba(0, 114, 178, 0.5)'
    """
    return f"rgba({', '.join(map(str, rgb(colour)))}, {alpha:g})"


def rgb(colour: str) -> list[int]:
    """Red, green and blue of a ``#rrggbb`` colour, each 0 to 255.

    >>> rgb("#0072B2")
    [0, 114, 178]
    """
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def need(table: pd.DataFrame, columns: Iterable[str], figure: str, **values: Any) -> pd.DataFrame:
    """The rows that a figure draws: those with the given value (or one of several) in each of some columns.

    Raises :class:`DataError` when the table lacks a column, naming it, or when there are no such rows.

    >>> import pandas as pd
    >>> need(pd.DataFrame({"layer": [0, 1, 2], "score": [0.1, 0.2, 0.3]}), ["score"], "my figure", layer=[1, 2]).shape
    (2, 2)
    """
    for column in columns:
        if column not in table:
            raise DataError(f"{figure} needs the column {column!r}{did_you_mean(column, map(str, table.columns))}")
    for column, value in values.items():
        table = table[table[column].isin(value if isinstance(value, list | tuple | dict) else [value])]
    if not len(table):
        raise DataError(f"{figure} has nothing to draw: its table is empty")
    return table


def drawn(drawings: Mapping[str, Callable[[], go.Figure]]) -> dict[str, go.Figure]:
    """Every figure that can be drawn, by name; one whose table lacks what it draws is left out."""
    figures: dict[str, go.Figure] = {}
    for name, draw in drawings.items():
        try:
            figures[name] = draw()
        except WorkbenchError:  # a table of an unfinished or older run; the other figures do not need it
            continue
    return figures


def own_tags_only(figure: go.Figure) -> go.Figure:
    """The figure without links and other tags that no figure of ours has: names and texts in it are someone else's.

    >>> own_tags_only(go.Figure(layout_title_text="<b>x</b> <a href='http://a.b'>y</a> < z")).layout.title.text
    "<b>x</b> &lt;a href='http://a.b'>y&lt;/a> &lt; z"
    """
    given = figure.to_dict()
    return go.Figure(fixed) if (fixed := _own_tags_only(given)) is not given else figure


_FOREIGN_TAG = re.compile(r"<(?!/?(?:b|i|br|extra|span(?: style='[\w:;#.-]*')?)>)")


def _own_tags_only(value: Any) -> Any:
    """The value itself where there is nothing to change."""
    if isinstance(value, str):
        return _FOREIGN_TAG.sub("&lt;", value) if "<" in value else value
    if isinstance(value, np.ndarray):
        texts = value.tolist() if value.dtype.kind in "OU" else []
        return value if (fixed := _own_tags_only(texts)) is texts else fixed
    if not isinstance(value, dict | list | tuple):
        return value
    old = list(value.values() if isinstance(value, dict) else value)
    new = [_own_tags_only(each) for each in old]
    if all(one is other for one, other in zip(old, new, strict=True)):
        return value
    return dict(zip(value, new, strict=True)) if isinstance(value, dict) else new


def finish(figure: go.Figure, title: str, note: str = "", width: int = 900, height: int = 520) -> go.Figure:
    """Title, a note under it (what the marks mean), size, fonts and margins; each legend group is named once.

    Returns the figure.
    """
    _name_once(figure)
    text = f"<b>{title}</b>" + (f"<br><span style='font-size:12px;color:#444'>{note}</span>" if note else "")
    top = 78 + (26 if figure.layout.annotations else 0)
    legend = {"orientation": "h", "yref": "container", "y": 0.006, "yanchor": "bottom", "x": 0.5, "xanchor": "center"}
    place = {"x": 0.012, "xanchor": "left", "yref": "container", "y": 1 - 30 / height, "yanchor": "middle"}
    figure.update_layout(
        template="plotly_white", width=width, height=height, font={"family": FONT, "size": 13, "color": "#222"},
        title={"text": text, "font": {"size": 17}} | place, legend=legend, hoverlabel={"namelength": -1},
        margin={"l": 80, "r": 30, "t": top, "b": 115 if _has_legend(figure) else 65},
        paper_bgcolor="white", plot_bgcolor="white", bargap=0.3, bargroupgap=0.06,
    )  # fmt: skip
    axis = {"showline": True, "linecolor": "#888", "ticks": "outside", "tickcolor": "#888", "automargin": True}
    figure.update_xaxes(title_font_size=13, zeroline=False, **axis)
    figure.update_yaxes(title_font_size=13, zeroline=False, **axis)
    figure.update_annotations(font_size=14)
    return figure


def _name_once(figure: go.Figure) -> None:
    named = set()
    for trace in figure.data:
        if "legendgroup" in trace and trace.legendgroup and trace.showlegend is not False:
            trace.showlegend = trace.legendgroup not in named
            named.add(trace.legendgroup)


def _has_legend(figure: go.Figure) -> bool:
    return any(trace.type in ("scatter", "bar") and trace.showlegend is not False for trace in figure.data)
