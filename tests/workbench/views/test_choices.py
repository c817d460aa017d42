"""Choices and the address: they go together, page by page, and survive the browser's back and forward."""

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash


def two_pages():
    """Two pages that both have a choice called ``run``; page A has filters, a slider and tabs."""
    import streamlit as st

    from workbench.views import choices

    def a():
        few = choices.switch("Few", "few")
        choices.pick("Run", ["a1", "a2"] if few else ["a1", "a2", "a3"], key="run")
        choices.pick_some("States", ["x", "y", "z"], key="state")
        choices.pick_one("Kind", ["p", "q"], "kind", "p")
        choices.tabs(
            {"one": lambda: st.text("drawn: one"), "two": lambda: st.text(f"at {choices.slide('At', 1, 9, 'at')}")},
            "view",
        )
        if st.button("open two"):
            choices.go_to("A", view="two")

    def b():
        choices.pick("Run", ["b1", "b2"], key="run", index=1)
        if st.button("over to A"):
            choices.go_to("A", run="a2", view="two")

    page = st.navigation([st.Page(a, title="A", url_path="a"), st.Page(b, title="B", url_path="b")])
    choices.begin(page.title)
    page.run()


@pytest.fixture
def visit():
    """Open a page at an address, in a session of its own."""

    def run(page="a", **address):
        app = AppTest.from_function(two_pages, default_timeout=30)
        app.query_params.update(address)
        return turn(app, page)

    return run


def turn(app, page):
    """Turn to a page as a click on its name does: what the address said goes."""
    app._page_hash = calc_hash(page)
    app.run()
    assert not app.exception, app.exception[0].message
    return app


def texts(app):
    return [text.value for text in app.text]


def test_address_names_what_was_chosen_and_not_what_a_page_shows_by_itself(visit):
    app = visit()
    assert app.query_params == {}
    app.selectbox(key="a-run").set_value("a3")
    app.multiselect(key="a-state").set_value(["x", "z"])
    app.session_state["a-view"] = "two"  # as a click on the tab does
    app.run()
    assert texts(app) == ["at 1"]


def test_address_opens_the_view_in_another_session(visit):
    address = {"a-run": "a3", "a-state": ["x", "z"], "a-view": "two", "a-few": "false", "a-at": "4"}
    app = visit(**address)
    assert app.selectbox(key="a-run").value == "a3" and app.multiselect(key="a-state").value == ["x", "z"]
    assert texts(app) == ["at 4"] and not app.warning
    assert app.query_params == {key: value for key, value in address.items() if key != "a-few"}


def test_two_pages_may_use_one_name_and_each_keeps_its_own_choice(visit):
    app = visit()
    app.selectbox(key="a-run").set_value("a2").run()
    turn(app, "b").selectbox(key="b-run").set_value("b1").run()
    assert turn(app, "a").selectbox(key="a-run").value == "a2" and app.query_params == {"a-run": "a2"}
    assert turn(app, "b").selectbox(key="b-run").value == "b1" and app.query_params == {"b-run": "b1"}


def test_choice_that_is_none_any_more_is_the_default(visit):
    app = visit(**{"a-run": "a3"})
    app.toggle(key="a-few").set_value(True).run()
    assert app.selectbox(key="a-run").value == "a1" and not app.warning


@pytest.mark.parametrize(("at", "shown"), [("7", 7), ("99", 1), ("-4", 1), ("seven", 1)])
def test_number_in_the_address_that_the_slider_does_not_have_is_the_default(visit, at, shown):
    app = visit(**{"a-view": "two", "a-at": at})
    assert texts(app) == [f"at {shown}"] and app.query_params.get("a-at", "1") == str(shown)


def test_only_the_open_tab_is_drawn_and_what_a_closed_one_holds_leaves_the_address(visit):
    assert texts(visit()) == ["drawn: one"] == texts(visit(**{"a-view": "no such tab"}))
    app = visit(**{"a-at": "5"})
    assert app.query_params == {"a-at": "5"}  # of a view that is not open yet
    app.session_state["a-view"] = "two"  # as a click on the tab does
    assert texts(app.run()) == ["at 5"] and app.query_params["a-at"] == "5"
    app.session_state["a-view"] = "one"
    assert texts(app.run()) == ["drawn: one"] and "a-at" not in app.query_params


def test_page_can_send_one_to_another_page_with_its_choices(visit):
    app = visit()
    app.selectbox(key="a-run").set_value("a3").run()
    turn(app, "b").button[0].click().run()
    assert app.selectbox(key="a-run").value == "a2" and texts(app) == ["at 1"]
    assert app.query_params == {"a-run": "a2", "a-view": "two"}


def test_page_can_choose_on_itself(visit):
    app = visit()
    app.button[0].click().run()
    assert texts(app) == ["at 1"] and app.query_params == {"a-view": "two"}


def test_choice_that_is_gone_is_said_in_a_line_of_plain_text_until_another_is_made(visit):
    app = visit(**{"a-run": "![x](http://a.b/c)"})
    [said] = app.warning
    assert said.value == "Run: the address asks for \\!\\[x\\](http\\:\u2060//a.b/c), which is not there."
    assert app.selectbox(key="a-run").value == "a1" and app.query_params == {}
    assert app.run().warning  # the browser may draw the page again at once
    assert not app.selectbox(key="a-run").set_value("a2").run().warning


@pytest.mark.parametrize(
    ("name", "asked"), [("run", "gone"), ("state", ["x", "![a](b)"]), ("view", "Nowhere"), ("kind", "r")]
)
def test_whatever_the_address_asks_for_that_is_not_there_is_said(visit, name, asked):
    app = visit(**{f"a-{name}": asked})
    gone = r"\!\[a\](b)" if name == "state" else asked
    what = "States" if name == "state" else name.capitalize()
    assert [said.value for said in app.warning] == [f"{what}: the address asks for {gone}, which is not there."]
