"""Choices and the address: they go together, page by page, and survive the browser's back and forward."""

import pytest
from streamlit.testing.v1 import AppTest


def two_pages():
    """Two pages that both have a choice called ``run``; page A has a filter, a slider and tabs."""
    import streamlit as st

    from workbench.views import choices

    choices.begin()
    page = choices.pick("Page", ["A", "B"], key="page", radio=True)
    choices.enter(page)
    if page == "A":
        few = choices.switch("Few", "few")
        choices.pick("Run", ["a1", "a2"] if few else ["a1", "a2", "a3"], key="run")
        choices.pick_some("States", ["x", "y", "z"], key="state")
        choices.tabs(
            {"one": lambda: st.text("drawn: one"), "two": lambda: st.text(f"at {choices.slide('At', 1, 9, 'at')}")},
            "view",
        )
    else:
        choices.pick("Run", ["b1", "b2"], key="run", index=1)
        if st.button("over to A"):
            choices.go_to("A", run="a2", view="two")
            st.rerun()
    choices.finish()


@pytest.fixture
def visit():
    """Open the pages at an address, in a session of its own."""

    def run(**address):
        app = AppTest.from_function(two_pages, default_timeout=30)
        for key, value in address.items():
            app.query_params[key] = value
        return step(app)

    return run


def step(app):
    app.run()
    assert not app.exception, app.exception[0].message
    return app


def texts(app):
    return [text.value for text in app.text]


def test_address_holds_every_choice_after_the_first_run(visit):
    assert visit().query_params == {"page": "A", "few": "0", "run": "a1", "view": "one"}
    assert visit(page="B").query_params == {"page": "B", "run": "b2"}


def test_address_opens_the_same_view_in_another_session(visit):
    app = visit()
    app.session_state["view"] = "two"  # as a click on the tab does
    app.selectbox(key="run").set_value("a3")
    app.multiselect(key="state").set_value(["x", "z"])
    step(app)
    again = visit(**app.query_params)
    assert again.selectbox(key="run").value == "a3" and again.multiselect(key="state").value == ["x", "z"]
    assert again.query_params == app.query_params


def test_two_pages_may_use_one_name_and_each_keeps_its_own_choice(visit):
    app = visit()
    app.selectbox(key="run").set_value("a2").run()
    app.radio(key="page").set_value("B").run()
    assert app.selectbox(key="run").value == "b2" and app.query_params == {"page": "B", "run": "b2"}
    app.selectbox(key="run").set_value("b1").run()
    app.radio(key="page").set_value("A").run()
    assert app.selectbox(key="run").value == "a2"
    app.radio(key="page").set_value("B").run()
    assert app.selectbox(key="run").value == "b1" and not app.exception


def test_going_back_in_the_browser_brings_the_earlier_choice_back(visit):
    app = visit()
    before = dict(app.query_params)
    app.selectbox(key="run").set_value("a3").run()
    app.query_params = dict(before)  # what the browser does: the address changes and no widget does
    assert step(app).selectbox(key="run").value == "a1" and app.query_params == before


def test_going_back_to_another_page_brings_that_page_and_its_choice_back(visit):
    app = visit(run="a2")
    before = dict(app.query_params)
    app.radio(key="page").set_value("B").run()
    app.query_params = dict(before)
    step(app)
    assert app.radio(key="page").value == "A" and app.selectbox(key="run").value == "a2"


def test_going_back_to_the_bare_address_is_the_default_view(visit):
    app = visit()
    app.selectbox(key="run").set_value("a3").run()
    app.query_params = {}
    assert step(app).selectbox(key="run").value == "a1"


def test_click_counts_though_the_browser_still_has_the_old_address(visit):
    app = visit()
    stale = dict(app.query_params)
    app.selectbox(key="run").set_value("a2").run()
    app.query_params = stale  # the next click was faster than the new address
    app.selectbox(key="run").set_value("a3").run()
    assert app.selectbox(key="run").value == "a3" and app.query_params["run"] == "a3"


def test_choice_that_is_none_any_more_is_the_default_until_it_is_one_again(visit):
    app = visit(run="a3")
    app.toggle(key="few").set_value(True).run()
    assert app.selectbox(key="run").value == "a1" and app.query_params["run"] == "a1" and not app.exception
    app.toggle(key="few").set_value(False).run()
    assert app.selectbox(key="run").value == "a3"


@pytest.mark.parametrize(
    ("address", "at"), [({"at": "7"}, 7), ({"at": "99"}, 9), ({"at": "-4"}, 1), ({"at": "seven"}, 1)]
)
def test_number_in_the_address_is_moved_to_the_nearest_on_the_slider(visit, address, at):
    app = visit(view="two", **address)
    assert texts(app) == [f"at {at}"] and app.query_params["at"] == str(at)


def test_only_the_open_tab_is_drawn(visit):
    assert texts(visit()) == ["drawn: one"] and texts(visit(view="two")) == ["at 1"]
    assert texts(visit(view="no such tab")) == ["drawn: one"]


def test_address_of_a_tab_that_was_closed_is_gone(visit):
    app = visit(view="two", at="5")
    app.query_params["view"] = "one"
    assert "at" not in step(step(app)).query_params


def test_page_can_send_one_to_another_page_with_its_choices(visit):
    app = visit(page="B")
    app.button[0].click().run()
    assert app.radio(key="page").value == "A" and app.selectbox(key="run").value == "a2" and texts(app) == ["at 1"]
    assert app.query_params["page"] == "A" and app.query_params["view"] == "two"


def test_what_is_no_choice_stays_in_the_address(visit):
    assert visit(embed_it="1").query_params["embed_it"] == "1"


def test_wrong_values_in_the_address_are_defaults(visit):
    app = visit(page="../..", run="<script>", state="zzz", few="maybe")
    assert app.query_params == {"page": "A", "few": "0", "run": "a1", "view": "one"}
