"""What is chosen on a page: widgets that Streamlit keeps in step with the address, so a view can be sent as a link.

The address names what differs from what the page shows by itself.  Each page has choices of its own, which are there
again when one comes back: a choice called ``run`` on the page ``sweeps`` stands in the address as ``sweeps-run``.
``at`` is the column or container that a widget is put into.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import streamlit as st

from workbench.views.text import plain

BIND: Any = "query-params"
_PAGE, _NEXT, _GONE = "_page", "_next", "_gone-"
_Number = TypeVar("_Number", int, float)


def path_of(title: str) -> str:
    """A page's path in the address.

    >>> path_of("My page")
    'my-page'
    """
    return title.lower().replace(" ", "-")


def begin(title: str) -> None:
    """The choices from here on are those of the page with this title; call it first in every run of the script."""
    st.session_state[_PAGE] = path_of(title)
    for key, value in st.session_state.pop(_NEXT, {}).items():
        st.session_state[key] = value


def key_of(name: str) -> str:
    """The key of a widget of the current page, which is its name in the address too."""
    return f"{st.session_state.get(_PAGE, 'page')}-{name}"


def say_unknown(*shared: str) -> None:
    """A line about what the address asks for and no choice of this page is called; ``shared`` ones are of all pages."""
    own = key_of("")
    unknown = [f"{key}={value}" for key, value in st.query_params.items() if not key.startswith((own, *shared))]
    if unknown:
        st.warning(f"The address asks for {plain(', '.join(unknown)[:200])}, which is not there.")


def go_to(title: str, **values: str) -> None:
    """Turn to a page and choose there; on the page itself the next run of the script shows it."""
    path = path_of(title)
    chosen = {f"{path}-{name}": value for name, value in values.items()}
    if path == st.session_state.get(_PAGE):
        st.session_state[_NEXT] = chosen
        st.rerun()
    st.switch_page(st.Page(lambda: None, title=title, url_path=path), query_params=chosen)


def pick(
    label: str, options: Sequence[str], key: str, radio: bool = False, show: Callable[[str], str] = str, index: int = 0,
    help: str = "", at: Any = st,
) -> str:  # fmt: skip
    """One of the options; the address says which, else the one at ``index``.

    An address that asks for what is not there (a run that was deleted) gets that one too, and the page says so.
    """
    # Only those of a radio are Markdown.
    widget, shown = (at.radio, lambda option: plain(show(option))) if radio else (at.selectbox, show)
    bound = _bound(label, key, map(shown, options))
    _forget_unless(key_of(key), lambda value: value in options)
    return str(widget(plain(label), options, index, format_func=shown, help=plain(help), **bound))


def pick_one(label: str, options: Sequence[str], key: str, default: str, at: Any = st) -> str:
    """One of a few options, all to be seen."""
    bound = _bound(label, key, map(plain, options))
    _forget_unless(key_of(key), lambda value: value in options)
    found = at.segmented_control(
        plain(label), options, format_func=plain, default=default, required=True, width="stretch", **bound
    )
    return str(found or default)


def pick_some(
    label: str, options: Sequence[str], key: str, show: Callable[[str], str] = str, default: Sequence[str] = (),
    placeholder: str = "all", help: str = "", at: Any = st,
) -> list[str]:  # fmt: skip
    """Any of the options, none meaning all (or, with a ``default``, that); the address repeats the key for each."""
    name, bound = key_of(key), _bound(label, key, map(show, options))
    if name in st.session_state:
        st.session_state[name] = [value for value in st.session_state[name] if value in options]
    chosen = at.multiselect(plain(label), options, format_func=show, placeholder=placeholder, help=plain(help), **bound)
    return list(chosen) or list(default)


def slide(
    label: str, low: _Number, high: _Number, key: str, default: _Number | None = None, step: _Number | None = None,
    help: str = "", at: Any = st,
) -> _Number:  # fmt: skip
    """A number on a slider, moved to the nearest that there is; integers for integer bounds."""
    _clamp(key_of(key), low, high)
    if low >= high:  # a slider needs two values
        return low
    start = low if default is None else default
    found: Any = at.slider(plain(label), low, high, start, step, key=key_of(key), bind=BIND, help=plain(help))
    return type(low)(found)


def number(
    label: str, low: _Number, high: _Number, key: str, default: _Number, step: _Number | None = None, help: str = "",
    at: Any = st,
) -> _Number:  # fmt: skip
    """A number to be typed."""
    _clamp(key_of(key), low, high)
    found: Any = at.number_input(plain(label), low, high, default, step, key=key_of(key), bind=BIND, help=plain(help))
    return type(low)(found)


def window(label: str, count: int, key: str, width: int, at: Any = st) -> tuple[int, int]:
    """A stretch of ``count`` things [first, last], by default the last ``width``."""
    last = count - 1
    if count < 2:
        return 0, last
    name = key_of(key)
    _forget_unless(name, lambda value: isinstance(value, tuple | list) and all(0 <= each <= last for each in value))
    found = at.slider(plain(label), 0, last, (max(0, count - width), last), key=name, bind=BIND)
    return int(found[0]), int(found[1])


def switch(label: str, key: str, default: bool = False, help: str = "", at: Any = st) -> bool:
    """On or off."""
    return bool(at.toggle(plain(label), default, key=key_of(key), bind=BIND, help=plain(help)))


def write(
    label: str, key: str, default: str = "", placeholder: str = "", rows: int = 0, help: str = "", at: Any = st
) -> str:
    """A text: of one line, or of ``rows``."""
    given: dict[str, Any] = {"key": key_of(key), "bind": BIND, "placeholder": placeholder, "help": plain(help)}
    if rows:
        return str(at.text_area(plain(label), default, height=30 + 25 * rows, max_chars=20_000, **given) or "")
    return str(at.text_input(plain(label), default, max_chars=1000, **given) or "")


def tabs(draws: Mapping[str, Callable[[], object]], key: str) -> None:
    """Tabs of which only the open one is drawn."""
    opened = st.tabs([plain(name) for name in draws], **_bound(key.capitalize(), key, map(plain, draws)))
    for name, tab in zip(draws, opened, strict=True):
        if tab.open:
            with tab:
                draws[name]()


def _bound(label: str, key: str, shown: Iterable[str]) -> dict[str, Any]:
    """What binds a widget with options to the address, and a line about what that asks for and is not among those
    ``shown``, until another is chosen."""
    name, valid = key_of(key), set(shown)
    gone = [asked for asked in st.query_params.get_all(name) if asked not in valid]
    if gone and name not in st.session_state:
        st.session_state[_GONE + name] = ", ".join(gone)[:200]
    if _GONE + name in st.session_state:
        asked = st.session_state[_GONE + name]
        st.warning(f"{plain(label)}: the address asks for {plain(asked)}, which is not there.")
    return {"key": name, "bind": BIND, "on_change": lambda: st.session_state.pop(_GONE + name, None)}


def _forget_unless(name: str, good: Callable[[Any], bool]) -> None:
    """Forget a value that is none any more: options and lengths change with the run, the model and the text."""
    if name in st.session_state and not good(st.session_state[name]):
        del st.session_state[name]


def _clamp(name: str, low: _Number, high: _Number) -> None:
    value = st.session_state.get(name)
    if isinstance(value, int | float) and not low <= value <= high:
        st.session_state[name] = type(low)(min(max(value, low), high))
