"""What is chosen on a page, and the address that says so.

``begin``, ``enter`` and ``finish`` stand around every run of the script; in between a page asks for its choices with
``pick``, ``slide`` and the like.  Each page has choices of its own, which are there again when one comes back to it,
even where two pages use one name.  The address is written once a run, at its end, so a click is one step of the
browser's history.  An address that has changed without a click (a link, the browser's back and forward) overrules what
was chosen before.  A choice that is none any more, such as a run that was deleted, counts as the default.

The playground's widgets stand in the address under ``pg-...`` and are kept there by Streamlit itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st
from streamlit.errors import StreamlitAPIException

__all__ = ["begin", "enter", "finish", "go_to", "pick", "pick_some", "slide", "switch", "tabs", "write"]

PAGE = "page"
_BOUND = "pg-"
_Query = dict[str, list[str]]


class _Address:
    """A session's choices.  ``kept[page][key]``: what was chosen; ``used``: what this run of the script has asked for;
    ``outside``: whether the address overrules what was kept."""

    def __init__(self) -> None:
        self.page = ""
        self.kept: dict[str, dict[str, Any]] = {}
        self.used: _Query = {}
        self.managed: set[str] = set()
        self.start: _Query = {}
        self.written: _Query | None = None
        self.outside = True
        self.touched = self.turned = False

    @property
    def own(self) -> dict[str, Any]:
        """The choices of the current page."""
        return self.kept.setdefault(self.page, {})


def _address() -> _Address:
    if "_address" not in st.session_state:
        st.session_state["_address"] = _Address()
    found: _Address = st.session_state["_address"]
    return found


def _query() -> _Query:
    return {key: list(st.query_params.get_all(key)) for key in st.query_params}


def _ours(query: _Query) -> _Query:
    return {key: values for key, values in query.items() if not key.startswith(_BOUND)}


def begin() -> None:
    """Call first in every run of the script."""
    address = _address()
    address.start = _query()
    # A click may come from a browser that does not know the latest address yet, so then the address says nothing.
    address.outside = not address.touched and _ours(address.start) != address.written
    address.touched = False
    address.used, address.page, address.turned = {}, "", False


def enter(page: str) -> None:
    """The choices from here on are those of ``page``."""
    address = _address()
    address.page = page
    last = st.session_state.get("_last_page")
    address.turned = last not in (None, page)
    st.session_state["_last_page"] = page
    if last != page:
        address.managed = set()
    if address.turned:
        _keep_bound(address, str(last))


def finish(whole: bool = True) -> None:
    """Write the address; call last.  Not ``whole``: the page broke off, so what it did not ask for may be meant."""
    address, now = _address(), _query()
    used = {key: values for key, values in address.used.items() if values}
    if address.turned and not address.outside:  # what other pages had in the address goes
        fresh = {key: values for key, values in now.items() if values != address.start.get(key)}
        target = fresh | used
    else:
        asked = set(address.used) | (address.managed if whole else set())
        gone = asked - set(used)
        target = {key: values for key, values in now.items() if key not in gone} | used
    if target != now:
        _write(target, now)
    address.managed |= set(used)
    address.written = _ours(_query())


def _write(target: _Query, now: _Query) -> None:
    """In one message if that can be: each makes a step of the browser's history."""
    plain = {key: values[0] if len(values) == 1 else values for key, values in target.items()}
    try:
        st.query_params.from_dict(plain)
    except StreamlitAPIException:  # some are bound to widgets, which write them themselves
        changed = {key: value for key, value in plain.items() if target[key] != now.get(key)}
        st.query_params.update({key: value for key, value in changed.items() if not key.startswith(_BOUND)})
        for key in set(now) - set(target):
            if not key.startswith(_BOUND):
                del st.query_params[key]


def _keep_bound(address: _Address, last: str) -> None:
    """Streamlit forgets the widgets of a page that one leaves: keep those of the playground, and put them back."""
    bound = {key: value for key, value in st.session_state.items() if str(key).startswith(_BOUND)}
    if bound:
        address.kept.setdefault(last, {})[_BOUND] = bound
    if not address.outside:
        for key, value in address.own.get(_BOUND, {}).items():
            st.session_state[key] = value


def _ask(key: str, read: Callable[[list[str]], Any], good: Callable[[Any], bool], default: Any) -> Callable[[], None]:
    """Make the widget's state say what is chosen; returns what the widget is to call when it is changed."""
    address = _address()
    own = address.own
    if address.outside:
        own.pop(key, None)
        if key in address.start:
            own[key] = read(address.start[key])
    if key not in own:
        own[key] = default
    value = own[key] if good(own[key]) else default
    if key not in st.session_state or st.session_state[key] != value:
        st.session_state[key] = value

    def changed() -> None:
        own[key] = st.session_state[key]
        address.touched = True

    return changed


def _used(key: str, *values: str) -> None:
    _address().used[key] = list(values)


def pick(
    label: str, options: Sequence[str], key: str, radio: bool = False, show: Callable[[str], str] = str, index: int = 0
) -> str:
    """One of the options; the address's ``?key=`` says which, else the one at ``index``.  A name that is not an option
    any more (a run that was deleted) counts as none."""
    changed = _ask(key, lambda values: values[0], lambda value: value in options, options[index])
    widget: Any = st.radio if radio else st.selectbox
    chosen = str(widget(label, options, key=key, format_func=show, on_change=changed))
    _used(key, chosen)
    return chosen


def pick_some(
    label: str, options: Sequence[str], key: str, show: Callable[[str], str] = str, default: Sequence[str] = ()
) -> list[str]:
    """Any of the options, none meaning all (or, with a ``default``, that); the address's ``?key=`` repeats for each."""
    own = _address().own
    if isinstance(own.get(key), list):
        own[key] = [value for value in own[key] if value in options]

    def read(values: list[str]) -> list[str]:
        return [value for value in values if value in options]

    changed = _ask(key, read, lambda value: isinstance(value, list) and set(value) <= set(options), list(default))
    chosen = list(st.multiselect(label, options, key=key, placeholder="all", format_func=show, on_change=changed))
    _used(key, *chosen)
    return chosen or list(default)


def slide(label: str, low: int, high: int, key: str, default: int | None = None, help: str = "") -> int:
    """A whole number on a slider, moved to the nearest that there is."""
    start = low if default is None else default
    own = _address().own
    changed = _ask(key, lambda values: _number(values[0], start), lambda value: isinstance(value, int), start)
    value = min(max(int(st.session_state[key]), low), high)
    if value != st.session_state[key]:
        own[key] = st.session_state[key] = value
    if low < high:  # a slider needs two values
        value = int(st.slider(label, low, high, key=key, on_change=changed, help=help or None))
    _used(key, str(value))
    return value


def switch(label: str, key: str, default: bool = False, help: str = "") -> bool:
    """On or off."""
    changed = _ask(key, lambda values: values[0] == "1", lambda value: isinstance(value, bool), default)
    chosen = bool(st.toggle(label, key=key, on_change=changed, help=help or None))
    _used(key, "1" if chosen else "0")
    return chosen


def write(label: str, key: str, placeholder: str = "", default: str = "") -> str:
    """A line of text."""
    changed = _ask(key, lambda values: values[0], lambda value: isinstance(value, str), default)
    text = str(st.text_input(label, key=key, placeholder=placeholder, on_change=changed, max_chars=500) or "")
    _used(key, *([text] if text else []))
    return text


def tabs(draws: Mapping[str, Callable[[], object]], key: str) -> None:
    """Tabs of which only the open one is drawn; the address's ``?key=`` says which that is."""
    names = list(draws)
    changed = _ask(key, lambda values: values[0], lambda value: value in draws, names[0])
    for name, tab in zip(names, st.tabs(names, key=key, on_change=changed), strict=True):
        if tab.open:
            _used(key, name)
            with tab:
                draws[name]()


def _number(text: str, default: int) -> int:
    try:
        return int(text)
    except ValueError:
        return default


def go_to(page: str, **values: str) -> None:
    """Choose a page and what is chosen there; the next run of the script shows it."""
    address = _address()
    address.kept.setdefault("", {})[PAGE] = page
    address.kept.setdefault(page, {}).update(values)
    address.touched = True
