"""Widgets whose value stands in the address of the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

__all__ = ["pick", "pick_some"]


def pick(
    label: str, options: Sequence[str], key: str, radio: bool = False, show: Callable[[str], str] = str, index: int = 0
) -> str:
    """One of the options; the address's ``?key=`` says which, else the one at ``index``.  A name that is not an option
    any more (a run that was deleted) counts as none."""
    asked = st.query_params.get(key)
    start = options.index(asked) if asked in options else index
    widget: Any = st.radio if radio else st.selectbox
    if st.session_state.get(key) not in options:
        st.session_state[key] = options[start]
    chosen = str(widget(label, options, key=key, format_func=show))
    st.query_params[key] = chosen
    return chosen


def pick_some(label: str, options: Sequence[str], key: str) -> list[str]:
    """Any of the options, none meaning all; the address's ``?key=`` repeats for each."""
    if key not in st.session_state:
        st.session_state[key] = [value for value in st.query_params.get_all(key) if value in options]
    st.session_state[key] = [value for value in st.session_state[key] if value in options]
    chosen = list(st.multiselect(label, options, key=key, placeholder="all"))
    st.query_params[key] = chosen
    return chosen
