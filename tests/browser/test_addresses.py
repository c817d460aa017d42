"""Every view has an address: it can be sent, and the browser's back and forward go through the views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from workbench.views.choices import path_of

pytestmark = pytest.mark.slow

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect


def test_click_in_the_sidebar_turns_to_the_page_and_the_address_says_so(tab: Any) -> None:
    tab.go()
    assert tab.heading == "Runs"
    for page, heading in (("EAST", "EAST: entropic"), ("Goal-directedness", "Goal-directedness: a"), ("Runs", "Runs")):
        tab.turn_to(page)
        assert tab.heading.startswith(heading) and urlsplit(tab.page.url).path == (
            "/" if page == "Runs" else f"/{path_of(page)}"
        )


def test_address_shows_the_same_view_to_someone_else(tab: Any, open_tab: Callable[..., Any], server: Any) -> None:
    tab.go("Goal-directedness")
    tab.page.get_by_role("tab", name="Grid viewer").click()
    tab.settle().slide("Step", "ArrowRight", 2)
    [seen] = tab.charts()
    assert "Step 3 of" in seen
    other = open_tab(server).visit(tab.page.url)
    assert other.charts() == [seen] and other.text == tab.text


def test_chosen_run_table_and_filter_come_back_with_the_address(
    tab: Any, open_tab: Callable[..., Any], server: Any, goal_run: str
) -> None:
    tab.go("Runs", run="east/broken").choose("Run", goal_run)
    tab.page.get_by_role("tab", name="Tables").click()
    tab.settle().choose("Table", "table orderings")
    other = open_tab(server).visit(tab.page.url)
    expect(other.page.get_by_role("combobox", name="Table", exact=True)).to_have_value("table orderings")
    expect(other.page.get_by_role("combobox", name="Run", exact=True)).to_have_value(goal_run)


def test_back_and_forward_go_through_the_pages_that_were_seen(tab: Any) -> None:
    tab.go("Runs").turn_to("EAST").turn_to("Goal-directedness")
    main = tab.page.get_by_test_id("stMain").get_by_role("heading", level=2).first
    tab.page.go_back()
    expect(main).to_have_text("EAST: entropic activation steering")
    assert urlsplit(tab.settle().page.url).path == "/east"
    tab.page.go_back()
    expect(main).to_have_text("Runs")
    tab.settle().page.go_forward()
    expect(main).to_have_text("EAST: entropic activation steering")
    tab.settle()


def test_page_is_as_it_was_left_when_one_turns_to_it_again(tab: Any) -> None:
    tab.go("EAST")
    tab.page.get_by_role("tab", name="Figures").click()
    tab.settle().choose("Figure", "regret")
    seen, address = tab.charts(), tab.page.url
    asked = parse_qs(urlsplit(address).query)
    assert asked == {"east-view": ["Figures"], "east-Figures-figure": ["regret"]}
    tab.turn_to("Goal-directedness").turn_to("EAST")
    assert tab.charts() == seen and sorted(tab.page.url) == sorted(address)


def test_page_that_there_is_not_says_so(tab: Any) -> None:
    tab.visit(f"{tab.server.url}/nowhere")
    expect(tab.page.get_by_role("dialog")).to_contain_text("Page not found")
    assert tab.heading == "Runs"
    tab.faults.clear()
