"""Foreign text on a page: Streamlit reads most texts as Markdown, in which an image is fetched and a link is one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from workbench.errors import WorkbenchError

_MARKS = re.compile(r"([\\`*\[\]<>$|~#!&]|:(?=\S)|(?<![^\W_])_|_(?![^\W_])|^[-+=])")
_ITEM = re.compile(r"^(\d+)([.)])")
# Backslashes do not keep addresses, :emoji: and arrows from being replaced: these are looked for in the finished text.
_FOUND = re.compile(r":(?=//|\S+:)|@(?=\S)|www(?=\.)|(?<!\S)[-<>~](?=[-=>]{1,2}(?!\S))", re.IGNORECASE)
_JOINER = "\u2060"  # has no width and breaks no line


def plain(text: object) -> str:
    r"""The text on one line, so that Markdown shows it as it is.

    >>> plain("no run ![x](y) in\n*runs*")
    'no run \\!\\[x\\](y) in \\*runs\\*'
    """
    joined = _FOUND.sub(rf"\g<0>{_JOINER}", " ".join(str(text).split()))
    return _ITEM.sub(r"\1\\\2", _MARKS.sub(r"\\\1", joined))


def say_error(error: object) -> None:
    """An error in a box, as text."""
    st.error(plain(error))


@contextmanager
def errors_shown() -> Iterator[None]:
    """A user's error inside ends the block and is a message in its place."""
    try:
        yield
    except WorkbenchError as error:
        say_error(error)
