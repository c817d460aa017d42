"""The text of a completion as it grows: what may be shown of it already."""

from __future__ import annotations

from collections.abc import Sequence

_BROKEN = "\ufffd"  # stands for the bytes of a character that is not whole


def visible(text: str, stops: Sequence[str], ended: bool) -> str:
    """What may be shown of a text: nothing from a stop string on and, while it goes on, nothing that may become one, or
    another character.

    >>> visible("a b. END c", ["END"], ended=True), visible("a b. E", ["END"], ended=False)
    ('a b. ', 'a b. ')
    """
    text = text[: min((text.index(stop) for stop in stops if stop in text), default=len(text))]
    if ended:
        return text
    text = text.rstrip(_BROKEN)
    held = (k for stop in stops for k in range(1, len(stop)) if text.endswith(stop[:k]))
    return text[: len(text) - max(held, default=0)]
