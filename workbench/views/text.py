"""Foreign text on a page: Streamlit reads most texts as Markdown, in which an image is fetched and a link is one."""

from __future__ import annotations

import re

import streamlit as st

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
