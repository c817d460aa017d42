"""Foreign text on a page: Streamlit reads most texts as Markdown, in which an image is fetched and a link is one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from workbench.errors import WorkbenchError

_MARKS = re.compile(r"([\\`*\[\]<>$|~#!&]|:(?=\S)|(?<!\w)_|_(?!\w)|(?<=www)\.|^[-+=])")


def plain(text: object) -> str:
    r"""The text on one line, so that Markdown shows it as it is.

    >>> plain("no run ![x](http://a.b/c) in\n*runs*")
    'no run \\!\\[x\\](http\\://a.b/c) in \\*runs\\*'
    """
    return _MARKS.sub(r"\\\1", " ".join(str(text).split()))


def say_error(error: object, before: str = "") -> None:
    """An error in a box, as text; ``before`` is Markdown."""
    st.error(before + plain(error))


@contextmanager
def errors_shown() -> Iterator[None]:
    """A user's error inside ends the block and is a message in its place."""
    try:
        yield
    except WorkbenchError as error:
        say_error(error)
