"""Text as a strip of tokens, each on a colour that says a number: HTML, for notebooks and the app.

Colours are translucent, so the strip reads on a light and on a dark page; hovering a token shows its numbers.
"""

from __future__ import annotations

import html
from collections.abc import Collection, Sequence

from workbench.errors import DataError
from workbench.figures.style import BLUE, ORANGE, translucent

_STRONGEST = 0.75
SINK_MARK = "\u25c6"  # beside a token that is an attention sink
_MARKS = {"\n": "\u23ce", "\t": "\u21e5"}


def visible(text: str) -> str:
    """A token with its spaces and line ends to be seen.

    >>> visible(" a\\n")
    '·a⏎'
    """
    return "".join(_MARKS.get(c, "\u00b7" if c == " " else c) for c in text)


def sink_note(sinks: Collection[int]) -> str:
    """What a figure says of the attention sinks at some positions, none of nothing.

    >>> sink_note([]), sink_note([0])
    ('', ' \u25c6 attention sink: its colour is cut off.')
    """
    if len(sinks) == 1:
        return f" {SINK_MARK} attention sink: its colour is cut off."
    return f" {SINK_MARK} attention sinks: their colours are cut off." if sinks else ""


def token_strip(
    texts: Sequence[str],
    values: Sequence[float],
    notes: Sequence[str] = (),
    limit: float | None = None,
    sinks: Collection[int] = (),
) -> str:
    """HTML of tokens, orange where their value is above 0 and blue where below; NaN has no colour.

    ``limit``: the value of the strongest colour (default: the largest absolute value of a token that is no sink).
    ``notes``: what hovering a token shows (default: its value).  ``sinks``: which tokens, by their place, are attention
    sinks; they have an outline.  Texts are escaped.  Raises :class:`DataError` for lists of different lengths.

    >>> token_strip(["<b>"], [1.0], ["one"]).count("&lt;b&gt;")
    1
    """
    notes = list(notes) or [f"{value:.3g}" for value in values]
    if not len(texts) == len(values) == len(notes):
        raise DataError(f"{len(texts)} tokens, {len(values)} values and {len(notes)} notes: give one for each token")
    known = [abs(value) for place, value in enumerate(values) if value == value and place not in sinks]
    top = limit or max(known, default=0.0) or 1.0
    spans = [_span(*token, top, place in sinks) for place, token in enumerate(zip(texts, values, notes, strict=True))]
    return f'<div style="line-height:1.9;white-space:pre-wrap;overflow-wrap:anywhere">{"".join(spans)}</div>'


def _span(text: str, value: float, note: str, limit: float, sink: bool) -> str:
    strength = 0.0 if value != value else _STRONGEST * min(1.0, abs(value) / limit)
    colour = translucent(ORANGE if value > 0 else BLUE, strength)
    style = f"background-color:{colour};border-radius:3px;padding:1px 0;font-family:monospace;font-size:0.85rem"
    if sink:
        style += ";outline:1px dashed #888"
        note = f"attention sink, its colour is cut off: {note}"
    end = "\n" * text.count("\n")
    shown = text.replace("\n", _MARKS["\n"])
    return f'<span style="{style}" title="{html.escape(note, quote=True)}">{html.escape(shown)}</span>{end}'
