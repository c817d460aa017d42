"""Every page of the explorer, opened: on runs, on an empty folder, on a phone in the dark."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.explorer.main import pages

pytestmark = pytest.mark.slow

PAGES = list(pages())
NEED_NO_RUNS = ("Playground", "Sweeps")

# Relative luminance (WCAG) of what lies behind an element, and of its text.
SHADES = """element => {
    const light = text => {
        const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
        if (a === 0) return null;
        const [R, G, B] = [r, g, b].map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * R + 0.7152 * G + 0.0722 * B;
    };
    let behind = null;
    for (let up = element; up && behind === null; up = up.parentElement) {
        const paper = up.matches('.js-plotly-plot') ? up.querySelector('.main-svg')?.style.background : null;
        behind = light(paper || getComputedStyle(up).backgroundColor);
    }
    const style = getComputedStyle(element);
    return [light(element instanceof SVGElement ? style.fill : style.color), behind ?? 1];
}"""
READ = "h2, h3, [data-testid=stCaptionContainer] p, [data-testid=stWidgetLabel] p, .xtick text, .ytick text, .gtitle"


@pytest.fixture(scope="module")
def empty_server(start_app: Callable[[Path], Any], tmp_path_factory: Any) -> Iterator[Any]:
    with start_app(tmp_path_factory.mktemp("nothing")) as started:
        yield started


@pytest.mark.parametrize("page", PAGES)
def test_page_and_each_of_its_tabs_opens_on_the_runs(tab: Any, page: str) -> None:
    tab.go(page)
    assert tab.heading
    for name in tab.open_all():
        tab.shoot(f"{page} {name}")
        assert tab.overflow <= 0, f"{name}: {tab.overflow} pixels too wide"


@pytest.mark.parametrize("page", PAGES)
def test_page_opens_on_an_empty_folder(open_tab: Callable[..., Any], empty_server: Any, page: str) -> None:
    tab = open_tab(empty_server).go(page)
    tab.shoot(f"{page} empty")
    assert tab.heading and (page in NEED_NO_RUNS or str(empty_server.folder) in tab.text)


@pytest.mark.parametrize("page", PAGES)
def test_page_fits_a_phone_and_can_be_read_in_the_dark(open_tab: Callable[..., Any], server: Any, page: str) -> None:
    tab = open_tab(server, width=400, height=850, dark=True).go(page)
    for name in tab.open_all():
        tab.shoot(f"{page} {name} phone")
        assert tab.overflow <= 0, f"{name}: {tab.overflow} pixels too wide"
        faint = [text for text in readings(tab) if text[2] < 3]
        assert not faint, f"{name}: {faint}"
    assert tab.page.locator("h2").first.evaluate(SHADES)[1] < 0.05


def readings(tab: Any) -> list[tuple[str, str, float]]:
    """Visible texts, and their contrast (1 to 21) with what is behind them."""
    found = []
    for element in tab.page.get_by_test_id("stMain").locator(READ).all():
        if element.is_visible() and element.text_content().strip():
            one, other = sorted(element.evaluate(SHADES))
            found.append((element.text_content(), element.evaluate("e => e.tagName"), (other + 0.05) / (one + 0.05)))
    assert found
    return found
